"""Where the tasks of a run stand, and which of them wait for which.

In: a graph, tasks that are added while the run goes on, and which of them settle.  Out: for each what it still waits
for and what keeps it from running; and in the end how the run as a whole came out.
"""

from __future__ import annotations

from collections.abc import Sequence

from orch_notebook.errors import ImpossibleEvent
from orch_notebook.model.graph import Graph
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task

__all__ = ["ORDER_ONLY", "Stand", "Stands"]

#: Edges that only keep an order: what comes after them needs nothing from what came before.  Hidden state (a random
#: generator, say) is there whether or not the task before has moved it.
ORDER_ONLY = frozenset({"write-after-read", "hidden-state"})

T = StateType


class Stand:
    """Where one task of a run stands; mutable, private to its machine."""

    __slots__ = (
        "attempt",
        "before",
        "culprit",
        "earlier",
        "holds",
        "is_ending",
        "is_issued",
        "is_settled",
        "is_skipped",
        "needs",
        "successors",
        "task",
        "type",
        "waiting",
    )

    def __init__(self, task: Task, waiting: int) -> None:
        self.task = task
        self.type = T.PENDING
        self.attempt = 0
        self.earlier = 0  # attempts made before it was added again
        self.waiting = waiting  # predecessors not settled yet
        self.before: Sequence[str] = ()  # predecessors, kept only where `when` asks for all of them
        self.successors: list[str] = []
        self.needs: frozenset[str] | None = None  # predecessors that must succeed; None: all of them
        self.culprit = ""
        self.is_issued = False  # its attempt was commanded, and the outcome has not come back
        self.is_ending = False  # its end was commanded; said once, whoever else gives a reason to end it
        self.holds = False  # it has its exclusive things
        self.is_settled = False  # final, and no retry will follow
        self.is_skipped = False  # it completed without running

    @property
    def is_waiting(self) -> bool:
        """Whether it has not ended, and neither its start nor its end was commanded."""
        return not (self.is_settled or self.is_issued or self.is_ending)

    def wants(self, predecessor: str) -> bool:
        """Whether a predecessor must succeed, and is not only waited for."""
        return self.needs is None or predecessor in self.needs

    @property
    def has_succeeded(self) -> bool:
        """Whether it was performed and completed."""
        return self.type is T.COMPLETED and not self.is_skipped


class Stands:
    """The tasks of one run; private to its machine.

    Parameters
    ----------
    graph : Graph
        What is known beforehand.

    Attributes
    ----------
    by_name : dict
        Where each stands.
    unsettled : int
        How many have not ended, or may be tried again.
    """

    def __init__(self, graph: Graph) -> None:
        self.by_name = {task.name: Stand(task, len(graph.predecessors[task.name])) for task in graph.tasks}
        self.unsettled = len(self.by_name)
        #: Tasks that failed or crashed, in the order in which they did.
        self._culprits: list[str] = []
        for name, successors in graph.successors.items():
            self.by_name[name].successors = list(successors)
        ordering = {(e.before, e.after) for e in graph.edges if e.rule in ORDER_ONLY}
        ordering -= {(e.before, e.after) for e in graph.edges if e.rule not in ORDER_ONLY}
        for after in {after for _, after in ordering}:
            before = graph.predecessors[after]
            self.by_name[after].needs = frozenset(each for each in before if (each, after) not in ordering)
        for name, stand in self.by_name.items():
            if stand.task.when != "all_success":
                stand.before = [each for each in graph.predecessors[name] if stand.wants(each)]

    def settle(self, stand: Stand) -> None:
        """Take note that a task has ended, and no retry will follow."""
        stand.is_settled = True
        self.unsettled -= 1
        if stand.type is T.FAILED or stand.type is T.CRASHED:
            self._culprits.append(stand.task.name)

    def unsettle(self, stand: Stand) -> None:
        """Take up again, in a resumed run, a task that had failed or never run."""
        self._acquit(stand)
        stand.is_settled = False
        stand.culprit = self._culprit_of(stand)
        self.unsettled += 1
        for name in stand.successors:
            after = self.by_name[name]
            after.waiting += 1
            after.culprit = self._culprit_of(after)

    def _acquit(self, stand: Stand) -> None:
        if stand.task.name in self._culprits:
            self._culprits.remove(stand.task.name)

    def _culprit_of(self, stand: Stand) -> str:
        """Return which task keeps another from running, as its settled predecessors tell; empty if none does."""
        for before, other in self.by_name.items():
            is_wanted = stand.task.name in other.successors and stand.wants(before)
            if is_wanted and other.is_settled and other.type is not T.COMPLETED:
                return other.culprit or before
        return ""

    def add(self, task: Task, upstream: Sequence[str], lenient: Sequence[str]) -> tuple[Stand, str]:
        """Add a task while the run goes on.

        Returns
        -------
        Stand, str
            And the skipped task that it needs, if there is one.

        Raises
        ------
        ImpossibleEvent
            It waits for a task that is not there.
        """
        name, stand = task.name, Stand(task, 0)
        if (
            before := self.by_name.get(name)
        ) is not None:  # the flow's body runs once more, and has come to the task that failed
            stand.attempt = stand.earlier = before.attempt
            self._acquit(before)
        if lenient:
            stand.needs = frozenset(upstream) - frozenset(lenient)
        is_plain = task.when == "all_success"
        skipped = ""
        for each in upstream:
            source = self.by_name.get(each)
            if source is None or each == name:
                raise ImpossibleEvent(f"Task {name!r} waits for {each!r}, which is not in this run.", task=name)
            if not source.is_settled:
                source.successors.append(name)
                stand.waiting += 1
            elif not stand.wants(each):
                continue
            elif source.type is not T.COMPLETED:
                if is_plain and not stand.culprit:
                    stand.culprit = source.culprit or each
            elif source.is_skipped:
                skipped = skipped or each
        if not is_plain:
            stand.before = [each for each in upstream if stand.wants(each)]
        self.by_name[name] = stand
        self.unsettled += 1
        return stand, skipped

    def outcome(self) -> State:
        """Return how a run ends in which every task has settled."""
        if all(stand.type is T.COMPLETED for stand in self.by_name.values()):
            return State(T.COMPLETED)
        for kind, verb in ((T.FAILED, "failed"), (T.CRASHED, "crashed")):
            names = [repr(name) for name in self._culprits if self.by_name[name].type is kind]
            if names:
                named = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
                return State(kind, message=f"{len(names)} of {len(self.by_name)} tasks {verb}: {named}.")
        return State(T.CANCELLED, "Cancelled")
