"""The panel's kernel side: watches a source, tells browsers what changed, carries their clicks.

In: changes of a :class:`PanelSource`, from any thread.  Out: at most ten messages a second, made by one pump thread, so
a thousand tasks that change state at once are one message.  It never asks the engine: the source says how things are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from time import perf_counter
from typing import Any, Protocol

from orch_notebook.errors import OrchError
from orch_notebook.jupyter.widgets.content import LOG_LINES, detail, node_face, run_face, task_face, topology
from orch_notebook.jupyter.widgets.messages import Delta, Snapshot, Topology
from orch_notebook.jupyter.widgets.surface import Surface, open_surface
from orch_notebook.model.events import LogWritten
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.views import Node, dot, faces, nodes
from orch_notebook.runtime.layout import layout

__all__ = ["FlowPanel", "PanelSource"]

#: Seconds between two messages: ten a second look live, and more only cost the kernel.
INTERVAL = 0.1
#: The pump rests this many times as long as a message took to make, so it never takes more than a tenth of a core.
RESTS = 9

log = logging.getLogger(__name__)


class PanelSource(Protocol):
    """What a panel shows, and whom it asks.  Every method may be called from any thread."""

    @property
    def flow_name(self) -> str:
        """Name of the flow."""

    def graph(self) -> Graph:
        """Return the flow as it is defined now."""

    def current(self) -> FlowRun | None:
        """Return the latest run with its task runs, or ``None`` before the first."""

    def log_tail(self, task: str, limit: int) -> list[LogWritten]:
        """Return the last lines that a task wrote in the latest run."""

    def coming(self) -> int | None:
        """Return how many tasks ▶ would perform; ``None`` where that cannot be said."""

    def start(self, select: tuple[str, ...], *, everything: bool = False) -> None:
        """Start a run of what is stale, of what is selected, or of everything; return at once."""

    def cancel(self) -> None:
        """Ask for the run to be cancelled and return at once."""

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every stored change, until what this returns is called."""


class FlowPanel:
    """A flow's controls and live detail: ▶ Run, ■ Cancel, diagram, tasks, log.

    Parameters
    ----------
    source : PanelSource
        What it shows, and whom it asks.
    connect : callable, optional
        Opens the surface; a test's own.

    Examples
    --------
    The last expression of a cell shows it; ``close()`` ends it::

        panel = FlowPanel(source)
        panel
    """

    def __init__(
        self,
        source: PanelSource,
        *,
        connect: Callable[[Callable[[Mapping[str, Any]], None], Callable[[], None]], Surface] = open_surface,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._source = source
        self._clock = clock
        self._picture = _Picture(source)
        self._wake = Event()
        self._closed = Event()
        # Deltas are numbered, so what is numbered first must also be sent first.
        self._turn = Lock()
        self._greeted = False
        self._watched = ""
        self._told: tuple[Any, ...] = ()
        self._surface = connect(self._receive, self._ended)
        self._unsubscribe = source.subscribe(self._wake.set)
        self._pump = Thread(target=self._run, name="orch-panel", daemon=True)
        self._pump.start()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self._surface.mimebundle(**kwargs)

    def close(self) -> None:
        """Remove the panel from the page and end its thread."""
        self._surface.close()
        self._ended()
        self._pump.join(timeout=5)

    @property
    def is_closed(self) -> bool:
        """Whether the panel has been closed."""
        return self._closed.is_set()

    def flush(self) -> None:
        """Tell the browsers what changed since the last time, if anything did."""
        with self._turn:
            if self._closed.is_set():
                return
            greeted, self._greeted = self._greeted, False
            now = self._clock()
            message = self._picture.snapshot(now) if greeted else self._picture.delta(now)
            if message is not None:
                self._surface.send(message)
            self._tell_detail(again=greeted)

    def _tell_detail(self, *, again: bool) -> None:
        if not (task := self._watched):
            return
        lines = self._source.log_tail(task, LOG_LINES)
        task_run = self._picture.task_runs.get(task)
        # The last line and the count say whether anything was written; comparing every line would cost more.
        told = (task, self._picture.run_id, len(lines), lines[-1:] and lines[-1], task_run and task_run.state)
        if again or told != self._told:
            self._told = told
            self._surface.send(detail(task, lines, task_run))

    def _receive(self, message: Mapping[str, Any]) -> None:
        """Take what a browser says; on ipykernel 7 this may be a subshell's thread, so nothing here blocks."""
        try:
            match message:
                case {"type": "hello"}:
                    self._greeted = True
                case {"type": "select", "task": str(task)}:
                    self._watched, self._told = task, ()
                case {"type": "run", "select": list(select)}:
                    everything = message.get("everything") is True
                    self._source.start(tuple(str(part) for part in select), everything=everything)
                case {"type": "cancel"}:
                    self._source.cancel()
        except Exception as error:  # noqa: BLE001  whatever went wrong belongs before the person who clicked
            text = str(error) or type(error).__name__
            self._surface.send({"type": "refused", "text": " ".join(text.split())[:500]})
        self._wake.set()

    def _ended(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._unsubscribe()
            self._wake.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            began = perf_counter()
            try:
                self.flush()
            except Exception:
                # A panel that cannot show something must not go silent for the rest of the session.
                log.exception("The panel could not show a change of %r.", self._source.flow_name)
            # Tasks that appear while the flow runs mean a layout each time: what cost much is followed by a long rest.
            self._closed.wait(max(INTERVAL, RESTS * (perf_counter() - began)))


class _Picture:
    """What the browsers have been told, and what to tell them next."""

    def __init__(self, source: PanelSource) -> None:
        self._source = source
        self._seq = 0
        self._graph: Graph | None = None
        self._boxes: tuple[Node, ...] = ()
        self._box_of: dict[str, int] = {}
        self._ended: str | None = None
        self._run: FlowRun | None = None
        self._coming: int | None = None
        self.task_runs: dict[str, TaskRun] = {}

    @property
    def run_id(self) -> str:
        """The run that was last told of, or empty."""
        return self._run.run_id if self._run else ""

    def snapshot(self, now: datetime) -> Snapshot:
        """Return everything, the topology with it."""
        self._look()
        return self._everything(now, with_topology=True)

    def delta(self, now: datetime) -> Snapshot | Delta | None:
        """Return what changed since the last message, or ``None``; everything when much did."""
        told, known, before, coming = self._graph, self.task_runs, self._run, self._coming
        self._look()
        if self._graph is not told:
            return self._everything(now, with_topology=True)
        run = self._run
        if self.run_id != (before.run_id if before else ""):
            return self._everything(now)
        if run is not None and run.state.is_final and self._ended != run.run_id:
            # A lost last message would show no gap, so a run ends with everything.
            return self._everything(now)
        changed = [name for name, task_run in self.task_runs.items() if _differs(known.get(name), task_run)]
        is_same = run is before or (run and before and run.state == before.state)
        if not changed and is_same and coming == self._coming:
            return None
        self._seq += 1
        assert self._graph is not None
        number = {task.name: index for index, task in enumerate(self._graph.tasks)}
        touched = {self._box_of[name] for name in changed}
        # What waits for a task names it, so its neighbours are drawn anew as well.
        touched |= {self._box_of[after] for name in changed for after in self._graph.successors[name]}
        shown = faces(self._graph, self._boxes, self.task_runs, now, sorted(touched))
        return {
            "type": "delta",
            "seq": self._seq,
            "now": now.timestamp(),
            "run": run_face(run, self._coming),
            "tasks": {str(number[name]): task_face(self.task_runs[name]) for name in changed},
            "nodes": {str(index): node_face(face) for index, face in shown.items()},
        }

    def _look(self) -> None:
        """Ask the source where things stand."""
        run = self._source.current()
        graph = self._source.graph()
        if run is not None and not run.state.is_final and run.graph.tasks:
            # While it runs, the run's own graph counts: cells edited meanwhile belong to the next one.
            graph = run.graph
        if self._graph is None or (graph is not self._graph and graph != self._graph):
            self._graph = graph
            self._boxes = nodes(graph)
            self._box_of = {name: index for index, box in enumerate(self._boxes) for name in box.members}
        self._run = run
        self._coming = self._source.coming()
        names = self._graph.by_name
        self.task_runs = {task_run.name: task_run for task_run in run.tasks if task_run.name in names} if run else {}

    def _everything(self, now: datetime, *, with_topology: bool = False) -> Snapshot:
        assert self._graph is not None
        self._seq += 1
        run = self._run
        self._ended = run.run_id if run is not None and run.state.is_final else None
        shown = faces(self._graph, self._boxes, self.task_runs, now)
        message: Snapshot = {
            "type": "snapshot",
            "seq": self._seq,
            "now": now.timestamp(),
            "run": run_face(run, self._coming),
            "tasks": [task_face(self.task_runs.get(task.name)) for task in self._graph.tasks],
            "nodes": [node_face(shown[index]) for index in range(len(self._boxes))],
        }
        if with_topology:
            message["topology"] = self._topology()
        return message

    def _topology(self) -> Topology:
        assert self._graph is not None
        svg, excuse = "", ""
        if self._graph.tasks:
            try:
                svg = layout(dot(self._graph))
            except OrchError as error:
                excuse = str(error)
        return topology(self._source.flow_name, self._graph, self._boxes, svg, excuse)


def _differs(before: TaskRun | None, after: TaskRun) -> bool:
    """Whether a panel would show two task runs differently."""
    return before is not after and (
        before is None
        or (before.state, before.attempt, before.started_at, before.ended_at)
        != (after.state, after.attempt, after.started_at, after.ended_at)
    )
