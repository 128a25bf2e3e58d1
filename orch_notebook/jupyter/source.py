"""What the panel shows of a notebook's flow, and whom its buttons ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from orch_notebook.errors import UsageError
from orch_notebook.jupyter.previews import value_preview
from orch_notebook.jupyter.records import RecordedSource, given, hears_while_busy, kernel_id, typed
from orch_notebook.jupyter.session import NotebookSession
from orch_notebook.jupyter.standing import Standing
from orch_notebook.jupyter.widgets import Given, Kept, Page, Question
from orch_notebook.jupyter.widgets.promoting import PromotePage
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType
from orch_notebook.runtime.owners import this_owner

__all__ = ["FlowSource"]

_FAILED = (StateType.FAILED, StateType.CRASHED)


class FlowSource(RecordedSource):
    """One flow of a session.

    Parameters
    ----------
    session : NotebookSession
        Whose flow it is.
    name : str
        The flow's name.
    standing : Standing, optional
        The static view that stands in for the panel where none can be.
    """

    def __init__(self, session: NotebookSession, name: str, standing: Standing | None = None) -> None:
        super().__init__(session.orchestrator, name, standing)
        self._session = session
        self.kernel_id = kernel_id(session.shell)

    def graph(self) -> Graph:
        """Return the flow as it is defined now."""
        return self._session.flow(self.flow_name).graph

    def current(self) -> FlowRun | None:
        """Return the latest run with its task runs, or ``None`` before the first."""
        return self._session.current(self.flow_name)

    def path(self) -> str | None:
        """Return the notebook's file, where the front end tells it."""
        return self._session.file.place

    def past(self, run_id: str) -> FlowRun | None:
        """Return one of the flow's earlier runs; the one of this session that goes on is no past one."""
        handle = self._session.steering.handle
        if handle is not None and handle.run_id == run_id and not handle.is_over:
            return None
        return super().past(run_id)

    def kept(self, task: str, run: FlowRun | None) -> Sequence[Kept]:
        """Return what a task left: its values, while this session has them, and its artifacts."""
        if run is None:
            return ()
        task_run = next((each for each in run.tasks if each.name == task), None)
        found: list[Kept] = []
        latest = self.current()
        is_latest = latest is not None and latest.run_id == run.run_id
        if task_run is not None and task_run.state.type is StateType.COMPLETED and is_latest:
            found += [value_preview(name, value) for name, value in self._session.left_by(self.flow_name, task)]
        return [*found, *super().kept(task, run)]

    def pages(self) -> Mapping[str, Page]:
        """Return who answers for the pages on history and on promoting."""
        promote = PromotePage(self.orchestrator, self._session.file.saved_path, self.parameters)
        return {**super().pages(), "promote": promote}

    def parameters(self) -> Sequence[Given]:
        """Return what the notebook's parameters cell declares, with the values they have now."""
        values = self._session.shell.user_ns
        return [
            Given(each, typed(values[each.name])) if each.name in values else given(each)
            for each in self._session.file.parameters()
        ]

    def question(self, run: FlowRun | None) -> Question | None:
        """Return what a run, or one that it began, waits to be told; with the latest, what any in this kernel does."""
        latest = self.current()
        is_latest = run is None or (latest is not None and latest.run_id == run.run_id)
        return self._asked(run.run_id if run is not None else "", this_owner() if is_latest else "")

    def coming(self, select: tuple[str, ...] = ()) -> int | None:
        """Return how many tasks a run of this selection would perform; ``None`` where that cannot be said."""
        plan = self._session.plan_of(self.flow_name, select)
        return None if plan is None else len(plan.performed)

    def is_waited_for(self) -> bool:
        """Whether a cell waits for the run, so that the kernel is busy with it."""
        return self._session.steering.is_waiting

    def limits(self) -> Mapping[str, str]:
        """Return what cannot be done while a cell waits for the run, where the kernel hears no click meanwhile."""
        if not self.is_waited_for() or hears_while_busy(self._session.shell):
            return {}
        why = (
            "This kernel hears nothing while a cell waits for the run. Cancel interrupts that cell; "
            "'%flow run --background' leaves the kernel free."
        )
        return {"pause": why, "resume": why}

    def start(
        self, select: tuple[str, ...], *, everything: bool = False, values: Mapping[str, str] | None = None
    ) -> None:
        """Start a run of what is stale, of what is selected, or of everything; return at once."""
        session = self._session
        if values:
            session.give(values)
        session.begin(session.flow(self.flow_name), select, everything=everything)

    def _is_mine(self, run_id: str) -> bool:
        """Whether a run is the latest of this session; so is one that nobody names."""
        handle = self._session.steering.handle
        return not run_id or (handle is not None and handle.run_id == run_id)

    def cancel(self, run_id: str = "") -> None:
        """Ask for a run to be cancelled and return at once."""
        if self._is_mine(run_id):
            self._session.steering.cancel()
        else:
            self.orchestrator.cancel(run_id)

    def pause(self) -> None:
        """Let what runs come to its end and start nothing more until :meth:`resume`."""
        self._session.steering.pause()

    def resume(self, answer: Mapping[str, str] | None = None, run_id: str = "") -> None:
        """Let a paused run go on."""
        if self._is_mine(run_id):
            self._session.steering.resume()
        else:
            super().resume(answer, run_id)

    def retry(self) -> None:
        """Run what failed, and what did not run because of it; return at once."""
        run = self.current()
        flow = self._session.flow(self.flow_name)
        failed = [each.name for each in run.tasks if each.state.type in _FAILED] if run is not None else []
        select = [f"{name}+" for name in failed if name in flow.graph.by_name]
        if not select:
            raise UsageError("No task has failed.")
        self._session.begin(flow, select)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every stored change, until what this returns is called."""
        ends = [self._session.subscribe(callback), super().subscribe(callback)]

        def end() -> None:
            for each in ends:
                each()

        return end
