"""What the panel shows of a notebook's flow, and whom its buttons ask."""

from __future__ import annotations

from collections.abc import Callable

from orch_notebook.jupyter.session import NotebookSession
from orch_notebook.model.events import LogWritten
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun

__all__ = ["FlowSource"]


class FlowSource:
    """One flow of a session, as a :class:`~orch_notebook.jupyter.widgets.PanelSource`.

    Parameters
    ----------
    session : NotebookSession
        Whose flow it is.
    name : str
        The flow's name.
    """

    def __init__(self, session: NotebookSession, name: str) -> None:
        self._session = session
        self._name = name

    @property
    def flow_name(self) -> str:
        """Name of the flow."""
        return self._name

    def graph(self) -> Graph:
        """Return the flow as it is defined now."""
        return self._session.flow(self._name).graph

    def current(self) -> FlowRun | None:
        """Return the latest run with its task runs, or ``None`` before the first."""
        return self._session.current(self._name)

    def log_tail(self, task: str, limit: int) -> list[LogWritten]:
        """Return the last lines that a task wrote in the latest run."""
        run = self.current()
        if run is None:
            return []
        lines = self._session.orchestrator.logs(run.run_id, task, limit=limit)
        return [LogWritten(line.at, line.task, line.attempt, line.level, line.text) for line in lines]

    def coming(self) -> int | None:
        """Return how many tasks ▶ would perform; ``None`` where that cannot be said."""
        plan = None if self._session.is_running else self._session.plan(self._name)
        return None if plan is None else len(plan.performed)

    def start(self, select: tuple[str, ...], *, everything: bool = False) -> None:
        """Start a run of what is stale, of what is selected, or of everything; return at once."""
        self._session.begin(self._session.flow(self._name), select, everything=everything)

    def cancel(self) -> None:
        """Ask for the run to be cancelled and return at once."""
        self._session.cancel()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every stored change, until what this returns is called."""
        return self._session.subscribe(callback)
