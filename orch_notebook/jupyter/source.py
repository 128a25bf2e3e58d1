"""What the panel shows of a notebook's flow, and whom its buttons ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orch_notebook.errors import UsageError
from orch_notebook.jupyter.previews import artifact_preview, value_preview
from orch_notebook.jupyter.session import NotebookSession
from orch_notebook.jupyter.standing import Standing
from orch_notebook.jupyter.widgets import FlowPanel, Given, Kept, Page, PanelSource
from orch_notebook.jupyter.widgets.history import HistoryPage
from orch_notebook.jupyter.widgets.promoting import PromotePage
from orch_notebook.model.events import LogWritten, TaskStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType
from orch_notebook.model.usual import usual_seconds

__all__ = ["FlowSource", "open_panel"]

_FAILED = (StateType.FAILED, StateType.CRASHED)


class FlowSource(PanelSource):
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
        self._session = session
        self._standing = standing
        self.flow_name = name
        self.kernel_id = _kernel_id(session.shell)
        self._chronicle = _Chronicle(session)
        self._past: dict[str, FlowRun] = {}
        self._usual: tuple[object, Mapping[str, float]] = (None, {})

    def graph(self) -> Graph:
        """Return the flow as it is defined now."""
        return self._session.flow(self.flow_name).graph

    def current(self) -> FlowRun | None:
        """Return the latest run with its task runs, or ``None`` before the first."""
        return self._session.current(self.flow_name)

    def past(self, run_id: str) -> FlowRun | None:
        """Return one of the flow's earlier runs; the one of this session that goes on is no past one."""
        handle = self._session.steering.handle
        if handle is not None and handle.run_id == run_id and not handle.is_over:
            return None
        found = self._past.get(run_id)
        if found is None:
            found = self._session.orchestrator.show(run_id)
            if found.state.is_final:
                self._past = {run_id: found}
        return found

    def log_tail(self, task: str, limit: int, run: FlowRun | None = None) -> list[LogWritten]:
        """Return the last lines that a task wrote in a run, by default the latest."""
        run = run or self.current()
        if run is None:
            return []
        lines = self._session.orchestrator.logs(_home_of(run, task), task, limit=limit)
        return [LogWritten(line.at, line.task, line.attempt, line.level, line.text) for line in lines]

    def states(self, task: str, run: FlowRun | None) -> Sequence[TaskStateChanged]:
        """Return every state a task has been in during a run, in order."""
        return self._chronicle.states(_home_of(run, task), task) if run is not None else ()

    def kept(self, task: str, run: FlowRun | None) -> Sequence[Kept]:
        """Return what a task left: its values, while this session has them, and its artifacts."""
        if run is None:
            return ()
        session = self._session
        task_run = next((each for each in run.tasks if each.name == task), None)
        found: list[Kept] = []
        latest = self.current()
        is_latest = latest is not None and latest.run_id == run.run_id
        if task_run is not None and task_run.state.type is StateType.COMPLETED and is_latest:
            found += [value_preview(name, value) for name, value in session.left_by(self.flow_name, task)]
        artifacts = session.orchestrator.artifacts(_home_of(run, task))
        return [*found, *(artifact_preview(each) for each in artifacts if each.task == task)]

    def usual(self) -> Mapping[str, float]:
        """Return how many seconds tasks usually take, as the flow's newest runs tell."""
        run = self.current()
        told = run and (run.run_id, run.state.is_final)
        if told != self._usual[0]:
            history = self._session.orchestrator.task_history(self.flow_name)
            self._usual = told, usual_seconds(history)
        return self._usual[1]

    def pages(self) -> Mapping[str, Page]:
        """Return who answers for the pages on history and on promoting."""
        session = self._session
        return {
            "history": HistoryPage(session.orchestrator, self.flow_name),
            "promote": PromotePage(session.orchestrator, session.file.saved_path, self.parameters),
        }

    def told(self, run: FlowRun | None, graph: Graph) -> None:
        """Bring the static view up to date."""
        if self._standing is not None:
            self._standing.show(run, graph)

    def parameters(self) -> Sequence[Given]:
        """Return what the notebook's parameters cell declares, with the values they have now."""
        values = self._session.shell.user_ns
        return [
            Given(
                each,
                _typed(values[each.name]) if each.name in values else "" if each.required else _typed(each.default),
            )
            for each in self._session.file.parameters()
        ]

    def coming(self, select: tuple[str, ...] = ()) -> int | None:
        """Return how many tasks a run of this selection would perform; ``None`` where that cannot be said."""
        plan = self._session.plan_of(self.flow_name, select)
        return None if plan is None else len(plan.performed)

    def is_waited_for(self) -> bool:
        """Whether a cell waits for the run, so that the kernel is busy with it."""
        return self._session.steering.is_waiting

    def start(
        self, select: tuple[str, ...], *, everything: bool = False, values: Mapping[str, str] | None = None
    ) -> None:
        """Start a run of what is stale, of what is selected, or of everything; return at once."""
        session = self._session
        if values:
            session.give(values)
        session.begin(session.flow(self.flow_name), select, everything=everything)

    def cancel(self) -> None:
        """Ask for the run to be cancelled and return at once."""
        self._session.steering.cancel()

    def pause(self) -> None:
        """Let what runs come to its end and start nothing more until :meth:`resume`."""
        self._session.steering.pause()

    def resume(self, answer: Mapping[str, str] | None = None) -> None:
        """Let a paused run go on."""
        self._session.steering.resume()

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
        return self._session.subscribe(callback)


def open_panel(session: NotebookSession, flow: str) -> FlowPanel:
    """Show a flow's static view in the cell that is being executed, and return the panel that takes its place."""
    standing = Standing(
        session.outlet, session.new_display_id(), session.orchestrator.clock.now, session.restorer.kernel
    )
    source = FlowSource(session, flow, standing)
    source.told(source.current(), source.graph())
    return FlowPanel(source)


class _Chronicle:
    """The states of the tasks of one run, read from the store as it grows."""

    def __init__(self, session: NotebookSession) -> None:
        self._session = session
        self._run_id = ""
        self._seen = 0
        self._states: dict[str, list[TaskStateChanged]] = {}

    def states(self, run_id: str, task: str) -> Sequence[TaskStateChanged]:
        if run_id != self._run_id:
            self._run_id, self._seen, self._states = run_id, 0, {}
        for number, event in self._session.orchestrator.events(run_id, self._seen):
            self._seen = number
            if isinstance(event, TaskStateChanged):
                self._states.setdefault(event.task, []).append(event)
        return tuple(self._states.get(task, ()))


def _home_of(run: FlowRun, task: str) -> str:
    """Return the id of the run that performed a task: a promoted notebook's tasks belong to the run inside of it."""
    return next((each.run_id for each in run.tasks if each.name == task and each.run_id), run.run_id)


def _typed(value: object) -> str:
    """Return a value as one would type it in a form."""
    return value if isinstance(value, str) else "" if value is None else repr(value)


def _kernel_id(shell: object) -> str:
    """Return the id that a Jupyter server knows the kernel by: the name of its connection file tells."""
    application = getattr(getattr(shell, "kernel", None), "parent", None)
    path = Path(str(getattr(application, "connection_file", "") or ""))
    return path.stem.removeprefix("kernel-") if path.stem.startswith("kernel-") else ""
