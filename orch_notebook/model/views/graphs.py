"""A flow as it is defined, before or apart from any run: its diagram, its tasks, and why each waits.

In: a graph and its drawing, or a flow explained.  Out: HTML that shows alike wherever notebooks are shown, and text.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape

from orch_notebook.model.explanations import Explanation, TaskExplanation
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.views.badges import chip, dim
from orch_notebook.model.views.hovering import hover_map
from orch_notebook.model.views.looks import TONES
from orch_notebook.model.views.reasons import reason
from orch_notebook.model.views.words import clip, plain

__all__ = ["explanation_html", "explanation_text", "graph_html", "graph_text", "picture"]

#: So many tasks are listed with their reasons, and so many names and reasons of each.
MOST_TASKS = 300
MOST_NAMES = 12
MOST_REASONS = 12


def graph_text(graph: Graph) -> str:
    """Return the tasks, one a line, with what each waits for."""
    lines = []
    for task in graph.tasks:
        waits = graph.predecessors[task.name]
        lines.append(plain(task.name) + (f"  ← {', '.join(map(plain, waits))}" if waits else ""))
    return "\n".join(lines) or "No tasks."


def graph_html(graph: Graph, svg: str) -> str:
    """Return the diagram as an image that shows everywhere; words where it could not be drawn."""
    return picture(svg, f"diagram of {len(graph.tasks)} tasks") if svg else f"<pre>{escape(graph_text(graph))}</pre>"


def picture(svg: str, described: str, margin: str = "0") -> str:
    """Return an SVG as an image, with the reasons behind its lines where one points at them.

    An image has no inside that a pointer could find, so a map of places lies over it.  Its places do not shrink with
    the image: one that is too wide for a page has none, and shrinks.
    """
    data = b64encode(svg.encode()).decode()
    name, areas = hover_map(svg)
    used = f' usemap="#{name}"' if areas else ""
    width = "none" if areas else "100%"
    style = f"display:block;max-width:{width};height:auto;margin:{margin}"
    image = f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(described)}"{used} style="{style}"/>'
    return f'<div style="overflow-x:auto">{image}{areas}</div>' if areas else image


def waits_of(explanation: Explanation) -> Mapping[str, list[Edge]]:
    """Return for every task the edges that lead to it."""
    found: dict[str, list[Edge]] = {task.name: [] for task in explanation.tasks}
    for edge in explanation.edges:
        found[edge.after].append(edge)
    return found


def explanation_text(explanation: Explanation) -> str:
    """Return each task with what it reads, binds and changes, and why it waits for others.

    Examples
    --------
    >>> tasks = (TaskExplanation("load", writes=("x",)), TaskExplanation("show", reads=("x",), bindings={"x": "load"}))
    >>> print(explanation_text(Explanation(tasks, (Edge("load", "show", "read-after-write", "x"),))))
    load
        writes x
    show
        reads x@load
        waits: show reads x from load
    """
    waits = waits_of(explanation)
    lines = []
    for task in explanation.tasks:
        lines.append(plain(task.name) + (f"  ({where})" if (where := _place(task)) else ""))
        lines += [f"    {word} {', '.join(listed)}" for word, listed in _facts(task)]
        lines += [f"    waits: {reason(edge)}" for edge in waits[task.name]]
        lines += [f"    ! {plain(problem)}" for problem in task.problems]
    return "\n".join(lines) or "No tasks."


def _place(task: TaskExplanation) -> str:
    """Return ``cell 7`` as a reader counts, from 1 over all cells; nothing where the name tells."""
    index = task.cell_index
    return "" if index is None or task.name == f"cell-{index}" else f"cell {index + 1}"


def _facts(task: TaskExplanation) -> Iterable[tuple[str, list[str]]]:
    """Yield what is known of a task, each as a verb and what follows it; nothing that is empty."""
    bound = [plain(name) + (f"@{plain(maker)}" if maker else "") for name, maker in task.bindings.items()]
    for word, listed in (
        ("reads", bound),
        ("writes", [plain(name) for name in task.writes]),
        ("mutates", [plain(name) for name in task.mutates]),
        ("deletes", [plain(name) for name in task.deletes]),
        ("uses", [plain(name) for name in task.uses]),
        ("changes", [plain(name) for name in task.changes]),
        ("holds", [plain(name) for name in task.exclusive]),
        ("barrier:", [plain(task.opaque)] if task.opaque else []),
    ):
        if listed:
            yield word, listed


def explanation_html(explanation: Explanation) -> str:
    """Return the same as a table: a task, what it does to names, why it waits."""
    waits = waits_of(explanation)
    cell = 'style="text-align:left;vertical-align:top;padding:4px 16px 4px 0;border:none"'
    heads = "".join(f"<th {cell}>{dim(head)}</th>" for head in ("Task", "Names", "Waits because"))
    rows = [f"<tr>{heads}</tr>"]
    for task in explanation.tasks[:MOST_TASKS]:
        facts = "".join(f"<div>{dim(word)} {_chips(word, listed)}</div>" for word, listed in _facts(task))
        reasons = [f"<div>{escape(reason(edge))} {dim(edge.rule)}</div>" for edge in waits[task.name][:MOST_REASONS]]
        if (hidden := len(waits[task.name]) - MOST_REASONS) > 0:
            reasons.append(f"<div>{dim(f'and {hidden} more')}</div>")
        colour = TONES["failed"].mid
        reasons += [
            f'<div style="color:{colour};color:color-mix(in srgb,{colour} 65%,currentColor)">'
            f"{escape(clip(plain(problem), 400))}</div>"
            for problem in task.problems
        ]
        name = f"<b>{escape(clip(plain(task.name), 60))}</b><div>{dim(_place(task))}</div>"
        rows.append(f"<tr><td {cell}>{name}</td><td {cell}>{facts}</td><td {cell}>{''.join(reasons)}</td></tr>")
    hidden = len(explanation.tasks) - MOST_TASKS
    more = f"<div>{dim(f'and {hidden} more tasks')}</div>" if hidden > 0 else ""
    style = "border-collapse:collapse;border:none;font-size:13px;line-height:20px;margin-top:8px"
    return f'<table style="{style}">{"".join(rows)}</table>{more}'


def _chips(word: str, listed: list[str]) -> str:
    if word == "barrier:":
        return escape(clip(listed[0], 200))
    more = f" {dim(f'+{len(listed) - MOST_NAMES}')}" if len(listed) > MOST_NAMES else ""
    return " ".join(chip(clip(name, 60)) for name in listed[:MOST_NAMES]) + more
