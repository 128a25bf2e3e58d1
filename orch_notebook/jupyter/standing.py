"""What stands in a notebook in the panel's place where no panel can be: saved and reopened, exported, printed.

In: where the flow stands, each time the panel has shown it.  Out: an output of its own above the panel, in plain HTML,
brought up to date when a run begins and ends.  The panel's style sheet hides it as long as the panel is there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from orch_notebook.jupyter.outlets import Address, Outlet, TextOutlet
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun
from orch_notebook.runtime.pictures import flow_bundle

__all__ = ["Standing"]

#: Where a notebook is opened again without its kernel, JupyterLab puts an error in the panel's place whatever else the
#: output holds; the page above says all there is to say.
_HIDE = (
    "<style>.jp-OutputArea-child:has(.orch-standing)+.jp-OutputArea-child:has("
    '[data-mime-type="application/vnd.jupyter.widget-view+json"],.jupyter-widgets):not(:has(.orch-panel))'
    "{display:none}</style>"
)


class Standing:
    """The static view above one panel.

    Parameters
    ----------
    outlet : Outlet
        The way to the cells.
    display_id : str
        The output's own.
    now : callable
        The time.
    kernel : str
        The name by which pages know that they are told what changes.
    """

    def __init__(
        self, outlet: Outlet | TextOutlet, display_id: str, now: Callable[[], datetime], kernel: str = ""
    ) -> None:
        self._kernel = kernel
        self._outlet = outlet
        self._display_id = display_id
        self._now = now
        self._place = Address()
        self._shown: tuple[Any, ...] = ()

    def show(self, run: FlowRun | None, graph: Graph) -> None:
        """Show where things stand, in the cell that is being executed the first time, there ever after."""
        # Each task's state in its turn is the panel's business, and the badges'.
        key = (run.run_id, run.state.type) if run is not None else (graph,)
        if key == self._shown:
            return
        kind = "update_display_data" if self._shown else "display_data"
        if not self._shown:
            self._place = self._outlet.here()
        self._shown = key
        content = {
            "data": self._bundle(run, graph),
            "metadata": {"orch_notebook": {"panel": True}},
            "transient": {"display_id": self._display_id},
        }
        self._outlet.send(kind, content, self._place, self._place)

    def _bundle(self, run: FlowRun | None, graph: Graph) -> dict[str, str]:
        found = flow_bundle(run, graph, self._now(), self._kernel)
        return {**found, "text/html": f'<div class="orch-standing">{found["text/html"]}</div>{_HIDE}'}
