"""What a panel tells of runs as the store has them, whoever performs them.

In: an orchestrator and the name of a flow.  Out: :class:`RecordedSource`, the part of a panel's source that all flows
have in common; the flow of a notebook and that of a function add how they are run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orch_notebook.functions.resuming import resume
from orch_notebook.jupyter.previews import artifact_preview
from orch_notebook.jupyter.standing import Standing
from orch_notebook.jupyter.widgets import Given, Kept, Page, PanelSource, Question
from orch_notebook.jupyter.widgets.history import HistoryPage
from orch_notebook.model.events import LogWritten, TaskStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.parameters import Parameter
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.usual import usual_seconds
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.runtime.home import Home, open_home

__all__ = ["RecordedSource", "given", "hears_while_busy", "kernel_id", "typed"]


class RecordedSource(PanelSource):
    """The runs of a flow, as they are recorded.

    Parameters
    ----------
    orchestrator : Orchestrator
        Knows the runs.
    name : str
        The flow's name.
    standing : Standing, optional
        The static view that stands in for the panel where none can be.
    """

    def __init__(self, orchestrator: Orchestrator, name: str, standing: Standing | None = None) -> None:
        self.orchestrator = orchestrator
        self.flow_name = name
        self._standing = standing
        self._chronicle = _Chronicle(orchestrator)
        self._past: dict[str, FlowRun] = {}
        self._usual: tuple[object, Mapping[str, float]] = (None, {})

    @property
    def home(self) -> Home:
        """Where flows of functions record what this process runs."""
        return open_home(self.orchestrator.settings)

    def path(self) -> str | None:
        """Return the file in which the flow stands, where that is known; one of its name elsewhere is another."""
        return None

    def past(self, run_id: str) -> FlowRun | None:
        """Return one of the flow's earlier runs with its task runs."""
        found = self._past.get(run_id)
        if found is None:
            found = self.orchestrator.show(run_id)
            if found.state.is_final:
                self._past = {run_id: found}
        return found

    def log_tail(self, task: str, limit: int, run: FlowRun | None = None) -> list[LogWritten]:
        """Return the last lines that a task wrote in a run, by default the latest."""
        run = run or self.current()
        if run is None:
            return []
        lines = self.orchestrator.logs(_home_of(run, task), task, limit=limit)
        return [LogWritten(line.at, line.task, line.attempt, line.level, line.text) for line in lines]

    def states(self, task: str, run: FlowRun | None) -> Sequence[TaskStateChanged]:
        """Return every state a task has been in during a run, in order."""
        return self._chronicle.states(_home_of(run, task), task) if run is not None else ()

    def kept(self, task: str, run: FlowRun | None) -> Sequence[Kept]:
        """Return the artifacts that a task left."""
        found = self.orchestrator.artifacts(_home_of(run, task)) if run is not None else []
        return [artifact_preview(each) for each in found if each.task == task]

    def usual(self) -> Mapping[str, float]:
        """Return how many seconds tasks usually take, as the flow's newest runs tell."""
        run = self.current()
        told = run and (run.run_id, run.state.is_final)
        if told != self._usual[0]:
            self._usual = told, usual_seconds(self.orchestrator.task_history(self.flow_name, path=self.path()))
        return self._usual[1]

    def pages(self) -> Mapping[str, Page]:
        """Return who answers for the page on history."""
        return {"history": HistoryPage(self.orchestrator, self.flow_name, self.path)}

    def told(self, run: FlowRun | None, graph: Graph) -> None:
        """Bring the static view up to date."""
        if self._standing is not None:
            self._standing.show(run, graph)

    def question(self, run: FlowRun | None) -> Question | None:
        """Return what a run, or one that it began, waits to be told."""
        return self._asked(run.run_id) if run is not None else None

    def _asked(self, run_id: str, owner: str = "") -> Question | None:
        found = self.home.store.pause_near(run_id, owner)
        if found is None:
            return None
        pause, flow = found
        fields = [given(Parameter.from_json(each)) for each in pause.schema]
        return Question(pause.run_id, flow, fields, pause.expires_at)

    def resume(self, answer: Mapping[str, str] | None = None, run_id: str = "") -> None:
        """Let a run that waits for an answer go on."""
        resume(run_id, answer or {})

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every stored change of a flow of functions that this process runs."""
        return self.home.ledger.subscribe(lambda run_id, batch: callback())


class _Chronicle:
    """The states of the tasks of one run, read from the store as it grows."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._run_id = ""
        self._seen = 0
        self._states: dict[str, list[TaskStateChanged]] = {}

    def states(self, run_id: str, task: str) -> Sequence[TaskStateChanged]:
        if run_id != self._run_id:
            self._run_id, self._seen, self._states = run_id, 0, {}
        for number, event in self._orchestrator.events(run_id, self._seen):
            self._seen = number
            if isinstance(event, TaskStateChanged):
                self._states.setdefault(event.task, []).append(event)
        return tuple(self._states.get(task, ()))


def _home_of(run: FlowRun, task: str) -> str:
    """Return the id of the run that performed a task: a promoted notebook's tasks belong to the run inside of it."""
    return next((each.run_id for each in run.tasks if each.name == task and each.run_id), run.run_id)


def given(parameter: Parameter) -> Given:
    """Return a parameter with its default as its value."""
    return Given(parameter, "" if parameter.required or parameter.computed else typed(parameter.default))


def typed(value: object) -> str:
    """Return a value as one would type it in a form."""
    return value if isinstance(value, str) else "" if value is None else repr(value)


def hears_while_busy(shell: object) -> bool:
    """Return whether a kernel can handle a click while a cell waits; ipykernel 7 does so in subshells."""
    info = getattr(getattr(shell, "kernel", None), "kernel_info", {})
    return "kernel subshells" in info.get("supported_features", ())


def kernel_id(shell: object) -> str:
    """Return the id that a Jupyter server knows the kernel by: the name of its connection file tells."""
    application = getattr(getattr(shell, "kernel", None), "parent", None)
    path = Path(str(getattr(application, "connection_file", "") or ""))
    return path.stem.removeprefix("kernel-") if path.stem.startswith("kernel-") else ""
