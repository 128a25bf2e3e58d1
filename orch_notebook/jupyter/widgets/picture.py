"""What the browsers have been told of a flow, and what to tell them next.

In: a :class:`PanelSource`, asked only when somebody wants to know.  Out: snapshots and deltas, numbered.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from orch_notebook.errors import OrchError
from orch_notebook.jupyter.widgets.content import node_face, run_face, task_face, topology, tries_of
from orch_notebook.jupyter.widgets.controls import controls_of, failed_tasks
from orch_notebook.jupyter.widgets.faces import Controls, RunFace, TaskFace, Topology
from orch_notebook.jupyter.widgets.forms import asked, given
from orch_notebook.jupyter.widgets.messages import Delta, Snapshot
from orch_notebook.jupyter.widgets.sources import PanelSource, Question
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.views import Node, dot, faces, nodes
from orch_notebook.runtime.layout import layout

__all__ = ["Picture"]


class Picture:
    """What the browsers have been told, and what to tell them next.

    Attributes
    ----------
    past : str
        The id of the earlier run that is shown in place of the latest, or empty.
    task_runs : Mapping
        Where the tasks stand, by name.
    """

    def __init__(self, source: PanelSource) -> None:
        self._source = source
        self._seq = 0
        self._graph = Graph()
        self._is_drawn = False
        self._boxes: tuple[Node, ...] = ()
        self._box_of: dict[str, int] = {}
        self._number: dict[str, int] = {}
        self._ended: str | None = None
        self._run: FlowRun | None = None
        self._controls: Controls | None = None
        self._question: Question | None = None
        self.past = ""
        self.task_runs: Mapping[str, TaskRun] = {}

    @property
    def graph(self) -> Graph:
        """The wiring that was last told."""
        return self._graph

    @property
    def run(self) -> FlowRun | None:
        """The run that was last told of."""
        return self._run

    @property
    def is_going(self) -> bool:
        """Whether that run goes on."""
        return self._run is not None and not self._run.state.is_final

    def snapshot(self, now: datetime) -> Snapshot:
        """Return everything, the topology with it."""
        self._look()
        return self._everything(now, with_topology=True)

    def delta(self, now: datetime) -> Snapshot | Delta | None:
        """Return what changed since the last message, or ``None``; everything when much did."""
        told, was_drawn, known, before = self._graph, self._is_drawn, self.task_runs, self._run
        controls, question = self._controls, self._question
        self._look()
        run = self._run
        if self._graph is not told or not was_drawn:
            return self._everything(now, with_topology=True)
        if (run.run_id if run else "") != (before.run_id if before else ""):
            return self._everything(now)
        if run is not None and run.state.is_final and self._ended != run.run_id:
            # A lost last message would show no gap, so a run ends with everything.
            return self._everything(now)
        changed = [name for name, task_run in self.task_runs.items() if _differs(known.get(name), task_run)]
        is_same = run is before or (run and before and run.state == before.state)
        if not changed and is_same and controls == self._controls and question == self._question:
            return None
        self._seq += 1
        touched = {self._box_of[name] for name in changed}
        # What waits for a task names it, so its neighbours are drawn anew as well.
        touched |= {self._box_of[after] for name in changed for after in self._graph.successors[name]}
        shown = faces(self._graph, self._boxes, self.task_runs, now, sorted(touched))
        assert self._controls is not None
        return {
            "type": "delta",
            "seq": self._seq,
            "now": now.timestamp(),
            "run": self._run_face(),
            "controls": self._controls,
            "asked": asked(self._question, run),
            "tasks": {str(self._number[name]): self._task_face(self.task_runs[name]) for name in changed},
            "nodes": {str(index): node_face(face) for index, face in shown.items()},
        }

    def _look(self) -> None:
        """Ask the source where things stand."""
        source = self._source
        run = (self.past and source.past(self.past)) or None
        if run is None:
            self.past = ""
            run = source.current()
        graph = source.graph()
        if run is not None and run.graph.tasks and (self.past or not run.state.is_final):
            # A run's own graph counts while it is shown: cells edited meanwhile belong to the next one.
            graph = run.graph
        if not self._is_drawn or (graph is not self._graph and graph != self._graph):
            self._is_drawn = True
            self._graph = graph
            self._boxes = nodes(graph)
            self._box_of = {name: index for index, box in enumerate(self._boxes) for name in box.members}
            self._number = {task.name: index for index, task in enumerate(graph.tasks)}
        self._run = run
        names = self._graph.by_name
        self.task_runs = {task_run.name: task_run for task_run in run.tasks if task_run.name in names} if run else {}
        self._question = source.question(run)
        self._controls = self._see_controls(run)

    def _see_controls(self, run: FlowRun | None) -> Controls:
        source, limits = self._source, self._source.limits()
        if self.is_going or self.past:
            past = bool(self.past)
            return controls_of(run, self._graph, past=past, limits=limits, is_open=source.is_open)
        failed = failed_tasks(run, self._graph)
        again = source.coming(tuple(f"{name}+" for name in failed)) if failed else None
        coming = source.coming()
        return controls_of(run, self._graph, coming=coming, again=again, limits=limits, is_open=source.is_open)

    def _run_face(self) -> RunFace | None:
        return run_face(self._run, is_waited_for=not self.past and self._source.is_waited_for())

    def _task_face(self, task_run: TaskRun | None) -> TaskFace:
        if task_run is None or task_run.attempt < 2:
            return task_face(task_run)
        return task_face(task_run, tries_of(self._source.states(task_run.name, self._run), task_run.attempt))

    def _everything(self, now: datetime, *, with_topology: bool = False) -> Snapshot:
        self._seq += 1
        run = self._run
        self._ended = run.run_id if run is not None and run.state.is_final else None
        shown = faces(self._graph, self._boxes, self.task_runs, now)
        usual = self._source.usual()
        assert self._controls is not None
        message: Snapshot = {
            "type": "snapshot",
            "seq": self._seq,
            "now": now.timestamp(),
            "run": self._run_face(),
            "past": self.past,
            "controls": self._controls,
            "tasks": [self._task_face(self.task_runs.get(task.name)) for task in self._graph.tasks],
            "nodes": [node_face(shown[index]) for index in range(len(self._boxes))],
            "usual": [usual.get(task.name) for task in self._graph.tasks],
            "parameters": given(self._source.parameters()),
            "asked": asked(self._question, run),
        }
        if with_topology:
            message["topology"] = self._topology()
        return message

    def _topology(self) -> Topology:
        svg, excuse = "", ""
        if self._graph.tasks:
            try:
                svg = layout(dot(self._graph))
            except OrchError as error:
                excuse = str(error)
        source, pages = self._source, tuple(self._source.pages())
        return topology(source.flow_name, self._graph, self._boxes, svg, excuse, source.kernel_id, pages, source.hint)


def _differs(before: TaskRun | None, after: TaskRun) -> bool:
    """Whether a panel would show two task runs differently."""
    return before is not after and (
        before is None
        or (before.state, before.attempt, before.started_at, before.ended_at)
        != (after.state, after.attempt, after.started_at, after.ended_at)
    )
