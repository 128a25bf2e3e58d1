"""The machine that decides what a run does next.

In: one event at a time, in order.  Out: commands for the engine.  It holds no clock, thread or file, so a whole night
of retries can be replayed in a test, and a run is picked up after a crash by feeding it its own history.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from orch_notebook.errors import ImpossibleEvent
from orch_notebook.model.commands import AwaitRetry, Command, EndRun, EndTask, StartTask, StopTask
from orch_notebook.model.events import Event, LogWritten, RunCreated, RunStateChanged, TaskAdded, TaskStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.stands import Stand, Verdict, judge
from orch_notebook.model.states import FINAL, State, StateType, may_follow
from orch_notebook.model.tasks import ONE, Task

__all__ = ["ORDER_ONLY", "AwaitRetry", "Command", "EndRun", "EndTask", "RunMachine", "StartTask", "StopTask"]

#: Edges that only keep an order: what comes after them needs nothing from what came before.  Hidden state (a random
#: generator, say) is there whether or not the task before has moved it.
ORDER_ONLY = frozenset({"write-after-read", "hidden-state"})

T = StateType

STILL_GOOD = State(T.COMPLETED, "Cached", "Nothing it depends on has changed.")


class RunMachine:
    """Where every task of one run stands, and what that allows.

    Parameters
    ----------
    graph : Graph
        What is known beforehand.
    fresh : mapping
        Tasks that need not be performed, because what an earlier task run left still holds: by name that task run.
    capacity : mapping
        How much there is of each resource; of one that is not named there is one.
    runner : str
        The runner of tasks that name none.  What tasks on Dask need is counted by Dask.
    is_open : bool
        More tasks may still appear (:class:`~orch_notebook.model.events.TaskAdded`); the run then does not end before
        :meth:`close`.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from orch_notebook.model.graph import Edge
    >>> from orch_notebook.model.tasks import Task
    >>> machine = RunMachine(Graph((Task("load"), Task("clean")), (Edge("load", "clean"),)))
    >>> machine.begin()
    [StartTask(task='load', attempt=1)]
    >>> now = datetime(2026, 1, 1, tzinfo=UTC)
    >>> machine.take(TaskStateChanged(now, "load", 1, State(StateType.RUNNING)))
    []
    >>> machine.take(TaskStateChanged(now, "load", 1, State(StateType.COMPLETED)))
    [StartTask(task='clean', attempt=1)]
    """

    def __init__(
        self,
        graph: Graph,
        *,
        fresh: Mapping[str, str] = MappingProxyType({}),
        capacity: Mapping[str, float] = MappingProxyType({}),
        runner: str = "",
        is_open: bool = False,
    ) -> None:
        self.run_type: StateType = T.PENDING
        self._fresh = fresh
        self._is_open = is_open
        self._outcome: State | None = None
        self._stands: dict[str, Stand] = {}
        self._unsettled = 0
        self._counts: Counter[str] = Counter()
        self._culprits: list[str] = []
        #: By thing: at which version it is held, if it has any, and by how many.
        self._held: dict[str, tuple[str, int]] = {}
        #: Tasks that could start but for an exclusive thing that another has, or because the run is held.
        self._parked: deque[str] = deque()
        self._capacity = capacity
        self._used: defaultdict[str, float] = defaultdict(float)
        self._runner = runner
        self._is_held = False
        for task in graph.tasks:
            self._stands[task.name] = Stand(task, len(graph.predecessors[task.name]))
            self._unsettled += 1
        for name, successors in graph.successors.items():
            self._stands[name].successors = list(successors)
        ordering = {(e.before, e.after) for e in graph.edges if e.rule in ORDER_ONLY}
        ordering -= {(e.before, e.after) for e in graph.edges if e.rule not in ORDER_ONLY}
        for _, after in ordering:
            if self._stands[after].needs is None:
                self._stands[after].needs = frozenset(
                    before for before in graph.predecessors[after] if (before, after) not in ordering
                )
        for name, stand in self._stands.items():
            if stand.task.when != "all_success":
                needs = stand.needs
                stand.before = [each for each in graph.predecessors[name] if needs is None or each in needs]

    @classmethod
    def replay(
        cls,
        events: Iterable[Event],
        *,
        capacity: Mapping[str, float] = MappingProxyType({}),
        runner: str = "",
        is_open: bool = False,
    ) -> RunMachine:
        """Rebuild the machine of a run from its recorded events.

        Raises
        ------
        ImpossibleEvent
            The history does not begin with ``RunCreated``, or breaks the transition table.
        """
        events = iter(events)
        first = next(events, None)
        if not isinstance(first, RunCreated):
            raise ImpossibleEvent("A run's history begins with RunCreated.")
        machine = cls(first.graph, capacity=capacity, runner=runner, is_open=is_open)
        for event in events:
            machine.take(event)
        machine._forget_commands()
        return machine

    def _forget_commands(self) -> None:
        """Count what was commanded while history was replayed as never said, for nobody was there to hear it."""
        self._parked.clear()
        self._held.clear()
        self._used.clear()
        for stand in self._stands.values():
            stand.is_ending = False
            stand.is_issued = stand.type in (T.RUNNING, T.CANCELLING)
            stand.holds = stand.is_issued and bool(stand.task.exclusive or stand.task.resources)
            if stand.holds:
                self._take(stand.task)

    @property
    def is_over(self) -> bool:
        """Whether the run is in a final state."""
        return self.run_type in FINAL

    def state_of(self, task: str) -> StateType:
        """Return the state type of a task."""
        return self._stands[task].type

    def attempt_of(self, task: str) -> int:
        """Return the number of a task's latest attempt, 0 before the first."""
        return self._stands[task].attempt

    def may_add(self, task: str) -> bool:
        """Whether a task of this name may be added: it is new, or the one there ended other than well."""
        stand = self._stands.get(task)
        return stand is None or (stand.is_settled and stand.type is not T.COMPLETED)

    def is_settled(self, task: str) -> bool:
        """Whether a task has ended and no retry will follow."""
        return self._stands[task].is_settled

    def timeout_of(self, task: str) -> float | None:
        """Return how many seconds an attempt of a task may take."""
        return self._stands[task].task.timeout

    @property
    def is_idle(self) -> bool:
        """Whether every task that has appeared is settled."""
        return not self._unsettled

    def unfinished(self) -> list[str]:
        """Return the tasks that are being performed (their state is RUNNING or CANCELLING)."""
        return [name for name, stand in self._stands.items() if stand.type in (T.RUNNING, T.CANCELLING)]

    def begin(self) -> list[Command]:
        """Return everything that may happen now: at the start of a run, or after a replay.

        What was being performed when the replayed history breaks off (:meth:`unfinished`) must have ended by then, so
        end the history with the crash of those attempts.
        """
        if self.is_over:
            return []
        commands: list[Command] = []
        for name, stand in self._stands.items():
            if stand.is_settled or stand.is_issued or stand.is_ending:
                continue
            if self.run_type is T.CANCELLING:
                commands.extend(self._cancel(name, stand))
            elif stand.type in (T.SCHEDULED, T.FAILED, T.CRASHED):
                # After a replay: the wait for a retry was cut short, or nobody lived to begin it.
                commands.append(self._retry(stand, stand.attempt + 1))
            elif name in self._fresh:
                stand.is_ending = True
                commands.append(EndTask(name, STILL_GOOD, origin=self._fresh[name]))
            elif stand.type is T.PENDING:
                commands.extend(self._look_at(name, stand))
        return commands or self._end_if_over()

    def close(self, outcome: State | None = None) -> list[Command]:
        """Take note that no more tasks will appear, and end the run if all are settled.

        Parameters
        ----------
        outcome : State, optional
            How the run ends unless it is cancelled; by default as its tasks did.
        """
        self._is_open = False
        self._outcome = outcome
        return self._end_if_over()

    def take(self, event: Event) -> list[Command]:
        """Accept one event and return what may happen because of it.

        Raises
        ------
        ImpossibleEvent
            The event cannot follow the present state; two engines may own this run.
        """
        # Only neighbours can have changed: looking at every task here makes a 2,000-task run quadratic.
        match event:
            case TaskStateChanged():
                return self._take_task(event)
            case RunStateChanged():
                return self._take_run(event)
            case TaskAdded():
                return self._add(event)
            case LogWritten():
                return []
            case RunCreated():
                raise ImpossibleEvent("A run is created once.")

    def _take_task(self, event: TaskStateChanged) -> list[Command]:
        stand = self._stands.get(event.task)
        if stand is None:
            raise ImpossibleEvent(f"There is no task {event.task!r} in this run.", task=event.task)
        after = event.state.type
        if not may_follow(stand.type, after) or self.is_over:
            raise ImpossibleEvent(
                f"Task {event.task!r} cannot go from {stand.type} to {after}; two engines may own this run.",
                task=event.task,
            )
        if stand.is_settled:
            self._unsettle(event.task, stand)
        stand.type = after
        stand.attempt = event.attempt
        if after is T.RUNNING:
            stand.is_issued = True
            return []
        if after not in FINAL:
            if after is T.SCHEDULED:
                return self._release(stand)
            return []
        stand.is_ending = False
        commands = self._release(stand)
        if after in (T.FAILED, T.CRASHED) and self._may_retry(stand, event):
            return [*commands, self._retry(stand, stand.attempt + 1)]
        return commands + self._settle(event.task, stand, event)

    def _may_retry(self, stand: Stand, event: TaskStateChanged) -> bool:
        retriable = (event.details or {}).get("retriable", True)
        is_allowed = stand.task.retry.allows(stand.attempt - stand.earlier + 1)
        return bool(retriable) and self.run_type is not T.CANCELLING and is_allowed

    def _retry(self, stand: Stand, attempt: int) -> AwaitRetry:
        policy = stand.task.retry
        return AwaitRetry(stand.task.name, attempt, policy.delay_before(attempt - stand.earlier), policy.jitter)

    def _settle(self, name: str, stand: Stand, event: TaskStateChanged) -> list[Command]:
        stand.is_settled = True
        self._unsettled -= 1
        culprit = ""
        if stand.type is not T.COMPLETED:
            self._counts[stand.type] += 1
            culprit = (event.details or {}).get("culprit", "") or name
            if stand.type in (T.FAILED, T.CRASHED):
                self._culprits.append(name)
        commands: list[Command] = []
        stand.is_skipped = event.state.name == "Skipped"
        for successor in stand.successors:
            after = self._stands[successor]
            after.waiting -= 1
            if stand.is_skipped or after.task.when != "all_success":
                commands.extend(self._follow(name, stand, successor, after))
                continue
            if culprit and not after.culprit and (after.needs is None or name in after.needs):
                after.culprit = culprit
            elif after.waiting or after.is_settled:
                continue
            if not (after.is_settled or after.is_issued or after.is_ending):
                commands.extend(self._start_or_end(successor, after))
        return commands or self._end_if_over()

    def _follow(self, name: str, stand: Stand, successor: str, after: Stand) -> list[Command]:
        """Return what a task does that follows a skipped one, or that does not simply want all to complete."""
        if after.is_settled or after.is_issued or after.is_ending or successor in self._parked:
            return []
        is_wanted = after.needs is None or name in after.needs
        if after.task.when == "all_success":
            if is_wanted:
                return self._heed(successor, after, Verdict.SKIP, name)
            return [] if after.waiting else self._start_or_end(successor, after)
        # One end is enough to tell, until the last: looking at all of them each time would be quadratic.
        ends = [stand] if after.waiting else [self._stands[each] for each in after.before]
        if not is_wanted and after.waiting:
            return []
        verdict, because = judge(after.task.when, ends, is_last=not after.waiting)
        return self._heed(successor, after, verdict, because)

    def _look_at(self, name: str, stand: Stand) -> list[Command]:
        """Return what a waiting task does, as all it waits for stand now."""
        if stand.task.when == "all_success":
            return self._start_or_end(name, stand) if stand.culprit or not stand.waiting else []
        ends = [self._stands[each] for each in stand.before if self._stands[each].is_settled]
        verdict, because = judge(stand.task.when, ends, is_last=not stand.waiting)
        return self._heed(name, stand, verdict, because)

    def _heed(self, name: str, stand: Stand, verdict: Verdict, because: str) -> list[Command]:
        if verdict is Verdict.WAIT:
            return []
        if verdict is Verdict.END:
            stand.culprit = because
        elif verdict is Verdict.SKIP and self.run_type is not T.CANCELLING:
            stand.is_ending = True
            why = f"{because!r} was skipped, and this needs it." if because else "Nothing that it waited for failed."
            return [EndTask(name, State(T.COMPLETED, "Skipped", why))]
        return self._start_or_end(name, stand)

    def _unsettle(self, name: str, stand: Stand) -> None:
        """Take up again, in a resumed run, a task that had failed or never run."""
        self._counts[stand.type] -= 1
        if name in self._culprits:
            self._culprits.remove(name)
        stand.is_settled = False
        stand.culprit = self._find_culprit(name)
        self._unsettled += 1
        for successor in stand.successors:
            self._stands[successor].waiting += 1
            self._stands[successor].culprit = self._find_culprit(successor)

    def _find_culprit(self, name: str) -> str:
        """Return which task keeps another from running, as its settled predecessors tell; empty if none does."""
        needs = self._stands[name].needs
        for before, stand in self._stands.items():
            is_wanted = name in stand.successors and (needs is None or before in needs)
            if is_wanted and stand.is_settled and stand.type is not T.COMPLETED:
                return stand.culprit or before
        return ""

    def _start_or_end(self, name: str, stand: Stand) -> list[Command]:
        if stand.culprit:
            how = "was cancelled" if self._stands[stand.culprit].type is T.CANCELLED else "failed"
            state = State(T.CANCELLED, "UpstreamFailed", f"{stand.culprit!r} {how}, and this needs it.")
            stand.is_ending = True
            return [EndTask(name, state, stand.culprit)]
        if self.run_type is T.CANCELLING and stand.task.when != "always":
            return self._cancel(name, stand)
        return self._start(name, stand, stand.attempt + 1)

    @property
    def is_held(self) -> bool:
        """Whether nothing starts for now."""
        return self._is_held

    def hold(self) -> None:
        """Start nothing more, and do not end, until :meth:`let_go`; what is being performed comes to its end."""
        self._is_held = True

    def let_go(self) -> list[Command]:
        """Return what may happen after a hold."""
        self._is_held = False
        return self._start_parked() or self._end_if_over()

    def withdraw(self, task: str) -> None:
        """Take back the start of a task that nobody has begun to perform; it is commanded again after the hold."""
        self._parked.append(task)
        stand = self._stands[task]
        stand.is_issued = False
        if stand.holds:
            stand.holds = False
            self._give_back(stand.task)

    def start_retry(self, task: str, attempt: int) -> list[Command]:
        """Return the start of an attempt whose delay has passed; nothing if it is no longer wanted."""
        stand = self._stands[task]
        if stand.type is not T.SCHEDULED or stand.is_issued or stand.is_ending or self.run_type is T.CANCELLING:
            return []
        return self._start(task, stand, attempt)

    def _start(self, name: str, stand: Stand, attempt: int) -> list[Command]:
        if self._is_held:
            self._parked.append(name)
            return []
        if stand.task.exclusive or stand.task.resources:
            if not self._is_free(stand.task):
                self._parked.append(name)
                return []
            self._take(stand.task)
            stand.holds = True
        stand.is_issued = True
        return [StartTask(name, attempt)]

    def _is_free(self, task: Task) -> bool:
        for thing in task.exclusive:
            name, _, version = thing.partition("@")
            if name in self._held and (not version or self._held[name][0] != version):
                return False
        return all(self._used[name] + amount <= self._capacity.get(name, ONE) for name, amount in self._counted(task))

    def _counted(self, task: Task) -> tuple[tuple[str, float], ...]:
        """Return the resources of a task that are counted here."""
        return () if (task.runner or self._runner) == "dask" else task.resources

    def _take(self, task: Task) -> None:
        for thing in task.exclusive:
            name, _, version = thing.partition("@")
            self._held[name] = version, self._held.get(name, ("", 0))[1] + 1
        for name, amount in self._counted(task):
            self._used[name] += amount

    def _give_back(self, task: Task) -> None:
        for thing in task.exclusive:
            name, _, version = thing.partition("@")
            count = self._held[name][1] - 1
            if count:
                self._held[name] = version, count
            else:
                del self._held[name]
        for name, amount in self._counted(task):
            self._used[name] -= amount

    def _release(self, stand: Stand) -> list[Command]:
        """Give back what an attempt held, and start who waited for it."""
        stand.is_issued = False
        if not stand.holds:
            return []
        stand.holds = False
        self._give_back(stand.task)
        return self._start_parked()

    def _start_parked(self) -> list[Command]:
        commands: list[Command] = []
        for _ in range(len(self._parked)):
            name = self._parked.popleft()
            parked = self._stands[name]
            if not (parked.is_settled or parked.is_issued or parked.is_ending):
                commands.extend(self._start_or_end(name, parked))
        return commands

    def _take_run(self, event: RunStateChanged) -> list[Command]:
        after = event.state.type
        if not may_follow(self.run_type, after):
            raise ImpossibleEvent(f"The run cannot go from {self.run_type} to {after}; two engines may own it.")
        self.run_type = after
        if after is not T.CANCELLING:
            return []
        self._is_held = False
        commands: list[Command] = []
        for name, stand in self._stands.items():
            if not stand.is_settled:
                commands.extend(self._cancel(name, stand))
        return commands or self._end_if_over()

    def cancel_task(self, name: str) -> list[Command]:
        """Return what ends one task: stop it, or let it never start."""
        stand = self._stands.get(name)
        return [] if stand is None or self.is_over else self._cancel(name, stand)

    def _cancel(self, name: str, stand: Stand) -> list[Command]:
        if stand.is_settled or stand.is_ending or stand.type is T.CANCELLING:
            return []
        if stand.type is T.RUNNING:
            return [StopTask(name)]
        if stand.type in (T.FAILED, T.CRASHED):  # its retry was due but not yet recorded; it stays as it ended
            stand.is_settled = True
            self._unsettled -= 1
            self._counts[stand.type] += 1
            return self._end_if_over()
        if stand.task.when == "always" and stand.type is T.PENDING and (stand.waiting or stand.is_issued):
            return []  # it runs when the others have ended
        stand.is_ending = True
        return [EndTask(name, State(T.CANCELLED, "Cancelled"))]

    def _add(self, event: TaskAdded) -> list[Command]:
        name = event.task.name
        before = self._stands.get(name)
        if self.is_over or not self.may_add(name):
            raise ImpossibleEvent(f"Task {name!r} cannot be added: it is there already, or the run is over.", task=name)
        stand = Stand(event.task, 0)
        if before is not None:  # the flow's body runs once more, and has come to the task that failed
            stand.attempt = stand.earlier = before.attempt
            self._counts[before.type] -= 1
            if name in self._culprits:
                self._culprits.remove(name)
        if event.lenient:
            stand.needs = frozenset(event.upstream) - frozenset(event.lenient)
        is_plain = event.task.when == "all_success"
        skipped = ""
        for each in event.upstream:
            source = self._stands.get(each)
            if source is None or each == name:
                raise ImpossibleEvent(f"Task {name!r} waits for {each!r}, which is not in this run.", task=name)
            if not source.is_settled:
                source.successors.append(name)
                stand.waiting += 1
            elif stand.needs is not None and each not in stand.needs:
                continue
            elif source.type is not T.COMPLETED:
                if is_plain and not stand.culprit:
                    stand.culprit = source.culprit or each
            elif source.is_skipped:
                skipped = skipped or each
        if not is_plain:
            stand.before = [each for each in event.upstream if stand.needs is None or each in stand.needs]
        self._stands[name] = stand
        self._unsettled += 1
        if is_plain and skipped and not stand.culprit:
            return self._heed(name, stand, Verdict.SKIP, skipped)
        return self._look_at(name, stand)

    def _end_if_over(self) -> list[Command]:
        if self._unsettled or self._is_open or self._is_held or self.is_over:
            return []
        if self.run_type is T.CANCELLING:
            return [EndRun(State(T.CANCELLED, "Cancelled"))]
        if self._outcome is not None:
            return [EndRun(self._outcome)]
        if not self._counts.total():
            return [EndRun(State(T.COMPLETED))]
        for kind, verb in ((T.FAILED, "failed"), (T.CRASHED, "crashed")):
            if self._counts[kind]:
                names = [repr(name) for name in self._culprits if self._stands[name].type is kind]
                named = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
                said = f"{self._counts[kind]} of {len(self._stands)} tasks {verb}: {named}."
                return [EndRun(State(kind, message=said))]
        return [EndRun(State(T.CANCELLED, "Cancelled"))]
