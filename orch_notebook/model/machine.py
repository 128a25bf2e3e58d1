"""The machine that decides what a run does next.

In: one event at a time, in order.  Out: commands for the engine.  It holds no clock, thread or file, so a whole night
of retries can be replayed in a test, and a run is picked up after a crash by feeding it its own history.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from orch_notebook.errors import ImpossibleEvent
from orch_notebook.model.commands import AwaitRetry, Command, EndRun, EndTask, StartTask, StopTask
from orch_notebook.model.events import Event, LogWritten, RunCreated, RunStateChanged, TaskAdded, TaskStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.holdings import Holdings
from orch_notebook.model.stands import Stand, Stands
from orch_notebook.model.states import FINAL, State, StateType, may_follow
from orch_notebook.model.verdicts import Verdict, judge_after, judge_now

__all__ = ["RunMachine"]

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
        self._all = Stands(graph)
        self._stands = self._all.by_name
        self._holdings = Holdings(capacity, runner)
        #: Tasks that could start but for something that another has, or because the run is held.
        self._parked: deque[str] = deque()
        self._is_held = False

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
        self._holdings.clear()
        for stand in self._stands.values():
            stand.is_ending = False
            stand.is_issued = stand.type in (T.RUNNING, T.CANCELLING)
            stand.holds = stand.is_issued and bool(stand.task.exclusive or stand.task.resources)
            if stand.holds:
                self._holdings.take(stand.task)

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
            if not stand.is_waiting:
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
                commands.extend(self._heed(name, stand, *judge_now(stand, self._stands)))
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
            self._all.unsettle(stand)
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
        self._all.settle(stand)
        culprit = ""
        if stand.type is not T.COMPLETED:
            culprit = (event.details or {}).get("culprit", "") or name
        commands: list[Command] = []
        stand.is_skipped = event.state.name == "Skipped"
        for successor in stand.successors:
            after = self._stands[successor]
            after.waiting -= 1
            if stand.is_skipped or after.task.when != "all_success":
                if after.is_waiting and successor not in self._parked:
                    commands.extend(self._heed(successor, after, *judge_after(stand, after, self._stands)))
                continue
            if culprit and not after.culprit and after.wants(name):
                after.culprit = culprit
            elif after.waiting or after.is_settled:
                continue
            if after.is_waiting:
                commands.extend(self._start_or_end(successor, after))
        return commands or self._end_if_over()

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
            self._holdings.give_back(stand.task)

    def start_retry(self, task: str, attempt: int) -> list[Command]:
        """Return the start of an attempt whose delay has passed; nothing if it is no longer wanted."""
        stand = self._stands[task]
        if stand.type is not T.SCHEDULED or not stand.is_waiting or self.run_type is T.CANCELLING:
            return []
        return self._start(task, stand, attempt)

    def _start(self, name: str, stand: Stand, attempt: int) -> list[Command]:
        if self._is_held:
            self._parked.append(name)
            return []
        if stand.task.exclusive or stand.task.resources:
            if not self._holdings.has_room(stand.task):
                self._parked.append(name)
                return []
            self._holdings.take(stand.task)
            stand.holds = True
        stand.is_issued = True
        return [StartTask(name, attempt)]

    def _release(self, stand: Stand) -> list[Command]:
        """Give back what an attempt held, and start who waited for it."""
        stand.is_issued = False
        if not stand.holds:
            return []
        stand.holds = False
        self._holdings.give_back(stand.task)
        return self._start_parked()

    def _start_parked(self) -> list[Command]:
        commands: list[Command] = []
        for _ in range(len(self._parked)):
            name = self._parked.popleft()
            parked = self._stands[name]
            if parked.is_waiting:
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
            self._all.settle(stand)
            return self._end_if_over()
        if stand.task.when == "always" and stand.type is T.PENDING and (stand.waiting or stand.is_issued):
            return []  # it runs when the others have ended
        stand.is_ending = True
        return [EndTask(name, State(T.CANCELLED, "Cancelled"))]

    def _add(self, event: TaskAdded) -> list[Command]:
        name = event.task.name
        if self.is_over or not self.may_add(name):
            raise ImpossibleEvent(f"Task {name!r} cannot be added: it is there already, or the run is over.", task=name)
        stand, skipped = self._all.add(event.task, event.upstream, event.lenient)
        if skipped and not stand.culprit and event.task.when == "all_success":
            return self._heed(name, stand, Verdict.SKIP, skipped)
        return self._heed(name, stand, *judge_now(stand, self._stands))

    def _end_if_over(self) -> list[Command]:
        if self._all.unsettled or self._is_open or self._is_held or self.is_over:
            return []
        if self.run_type is T.CANCELLING:
            return [EndRun(State(T.CANCELLED, "Cancelled"))]
        return [EndRun(self._outcome or self._all.outcome())]
