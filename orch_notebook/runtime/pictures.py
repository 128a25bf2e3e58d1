"""A flow and its runs in the forms that show everywhere: plain HTML with the diagram in it, and text.

In: a graph, a run, the time.  Out: bundles as Jupyter takes them, by their types.  A picture that cannot be drawn is
left out: it must never fail a run.
"""

from __future__ import annotations

import logging
from datetime import datetime

from orch_notebook.errors import OrchError
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.views import dot, graph_html, graph_text, paint, summary_html, summary_text
from orch_notebook.runtime.layout import layout

__all__ = ["diagram_svg", "flow_bundle", "summary_bundle"]

logger = logging.getLogger("orch_notebook")


def diagram_svg(graph: Graph, run: FlowRun | None, now: datetime) -> str:
    """Return the painted diagram, or nothing where it cannot be drawn."""
    try:
        return paint(layout(dot(graph)), graph, run.tasks if run is not None else (), now)
    except OrchError as error:
        logger.warning("The diagram could not be drawn: %s", error)
        return ""


def summary_bundle(run: FlowRun, now: datetime, kernel: str = "") -> dict[str, str]:
    """Return a run's summary in every form; of one that goes on, with who keeps it up to date."""
    return {
        "text/html": summary_html(run, diagram_svg(run.graph, run, now), now.astimezone(), kernel),
        "text/plain": summary_text(run, now),
    }


def flow_bundle(run: FlowRun | None, graph: Graph, now: datetime, kernel: str = "") -> dict[str, str]:
    """Return where a flow stands: its latest run, or what it consists of before the first."""
    if run is not None:
        return summary_bundle(run, now, kernel)
    return {"text/html": graph_html(graph, diagram_svg(graph, None, now)), "text/plain": graph_text(graph)}
