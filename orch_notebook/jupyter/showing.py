"""Panels for whoever asks: the magics, ``flow`` at the end of a cell, and the flows of functions.

In: a session, and which flow.  Out: the panel; where nobody could click (executed notebooks, terminals) the static view
alone, and no widget state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orch_notebook.functions.decorator import FlowDecorator
from orch_notebook.functions.faces import put_on
from orch_notebook.functions.flows import FunctionFlow
from orch_notebook.jupyter.function_source import FunctionSource
from orch_notebook.jupyter.records import RecordedSource
from orch_notebook.jupyter.session import NotebookSession
from orch_notebook.jupyter.source import FlowSource
from orch_notebook.jupyter.standing import Standing
from orch_notebook.jupyter.widgets import FlowPanel
from orch_notebook.runtime.pictures import flow_bundle

__all__ = ["Bundle", "NotebookFace", "offer", "show_flow"]

#: The name that a notebook gets for its own flow.
NAME = "flow"


class Bundle:
    """Something to show, in every form it has."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self._data

    def __repr__(self) -> str:
        return str(self._data.get("text/plain", ""))


def show_flow(session: NotebookSession, name: str | None = None) -> FlowPanel | Bundle:
    """Return the panel of one of the notebook's flows, its static view shown in the cell that is being executed."""
    flow = session.flow(name).name
    if not _is_watched(session):
        return Bundle(flow_bundle(session.current(flow), session.flow(flow).graph, session.orchestrator.clock.now()))
    return _open(FlowSource(session, flow, _standing(session)))


def _standing(session: NotebookSession) -> Standing:
    return Standing(session.outlet, session.new_display_id(), session.orchestrator.clock.now, session.restorer.kernel)


def _open(source: RecordedSource) -> FlowPanel:
    """Show the static view in the cell that is being executed; return the panel that takes its place."""
    source.told(source.current(), source.graph())
    return FlowPanel(source)


def _is_watched(session: NotebookSession) -> bool:
    """Whether somebody could click: a front end says which cell it executes, a program does not."""
    return session.outlet.is_live and bool(session.outlet.here().cell_id)


class NotebookFace:
    """Shows flows in the notebook of a session.

    Parameters
    ----------
    session : NotebookSession
        Whose notebook it is.
    """

    def __init__(self, session: NotebookSession) -> None:
        self._session = session

    def panel(self, flow: FunctionFlow[..., Any] | None) -> Any:
        """Return the panel of a function's flow, or of the notebook's own."""
        session = self._session
        if flow is None:
            return show_flow(session)
        source = FunctionSource(session.orchestrator, flow, session.shell, _standing(session))
        if _is_watched(session):
            return _open(source)
        run = source.current()
        return Bundle(flow_bundle(run, source.graph(), session.orchestrator.clock.now()))


def offer(session: NotebookSession) -> Callable[[], None]:
    """Show flows in this notebook, and let ``flow`` name its own unless it has a ``flow``; return what ends that.

    The name is hidden, as IPython's own are: no program of the person's counts it among its names.
    """
    take_off = put_on(NotebookFace(session))
    names, hidden = session.shell.user_ns, session.shell.user_ns_hidden
    made = FlowDecorator()
    if NAME not in names:
        names[NAME] = hidden[NAME] = made

    def end() -> None:
        take_off()
        for each in (names, hidden):
            if each.get(NAME) is made:
                del each[NAME]

    return end
