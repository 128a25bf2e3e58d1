"""A flow as it is defined, before or apart from any run: its diagram, and why each task waits."""

from __future__ import annotations

from base64 import b64encode
from html import escape

from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.views.badges import chip, dim
from orch_notebook.model.views.words import clip, plain

__all__ = ["graph_html", "graph_text", "reason"]

MOST_EDGES = 300

#: What each rule says, for people; ``{}`` stands for the name.
RULES = {
    "read-after-write": "reads {}",
    "write-after-read": "changes {} in place, which the other reads first",
    "alias": "shares an object with {}",
    "hidden-state": "uses the same hidden state: {}",
    "file": "uses the same file: {}",
    "after": "was told to wait (--after)",
    "barrier": "one of the two cannot be analysed, so their order is kept",
}


def reason(edge: Edge) -> str:
    """Return why a task waits for another.

    Examples
    --------
    >>> reason(Edge("load", "clean", "read-after-write", "df"))
    'reads df'
    """
    name = edge.name.removeprefix("state:").removeprefix("file:")
    return RULES.get(edge.rule, edge.rule).format(clip(plain(name), 60))


def graph_text(graph: Graph) -> str:
    """Return the tasks, one a line, with what each waits for."""
    lines = []
    for task in graph.tasks:
        waits = graph.predecessors[task.name]
        lines.append(plain(task.name) + (f"  ← {', '.join(map(plain, waits))}" if waits else ""))
    return "\n".join(lines) or "No tasks."


def graph_html(graph: Graph, svg: str, *, why: bool = False) -> str:
    """Return the diagram as an image that shows everywhere, with the reasons behind the edges if asked for."""
    data = b64encode(svg.encode()).decode()
    described = f"diagram of {len(graph.tasks)} tasks"
    picture = (
        f'<img src="data:image/svg+xml;base64,{data}" alt="{described}" '
        f'style="display:block;max-width:100%;height:auto">'
        if svg
        else f"<pre>{escape(graph_text(graph))}</pre>"
    )
    return picture + (_reasons(graph) if why else "")


def _reasons(graph: Graph) -> str:
    cell = 'style="text-align:left;padding:2px 12px 2px 0"'
    rows = [
        f"<tr><td {cell}>{chip(plain(edge.after))}</td><td {cell}>{dim('waits for')} {chip(plain(edge.before))}</td>"
        f"<td {cell}>{escape(reason(edge))}</td><td {cell}>{dim(edge.rule)}</td></tr>"
        for edge in graph.edges[:MOST_EDGES]
    ]
    more = f"<div>{dim(f'and {len(graph.edges) - MOST_EDGES} more')}</div>" if len(graph.edges) > MOST_EDGES else ""
    return f'<table style="border-collapse:collapse;font-size:13px;margin-top:8px">{"".join(rows)}</table>{more}'
