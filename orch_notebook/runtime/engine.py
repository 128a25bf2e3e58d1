"""Carries out what the machine decides, and feeds back what came of it.

One blocking loop per run.  The machine is asked under one lock by whichever thread has an outcome to report; the loop
itself only wakes for what time brings: retries that fall due, timeouts, and requests filed by other processes.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from orch_notebook.errors import FlowRunCancelled, StoreError, UsageError
from orch_notebook.model.commands import AwaitRetry, Command, EndRun, EndTask, StartTask, StopTask
from orch_notebook.model.events import Event, LogWritten, RunStateChanged, TaskAdded, TaskStateChanged
from orch_notebook.model.lines import first_line
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.runs import iso
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.runtime.calls import Call, describe_failure
from orch_notebook.runtime.clock import Clock
from orch_notebook.runtime.ledger import Journal, Ledger
from orch_notebook.runtime.outcomes import Describe, outcome_of
from orch_notebook.runtime.recovery import end_lost_run
from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.store import Lease
from orch_notebook.runtime.timers import Timers

__all__ = ["Engine", "Perform"]

logger = logging.getLogger("orch_notebook")

#: Does the work of one attempt; what it returns goes into the event of its completion.
Perform = Callable[[str, int], Mapping[str, Any] | None]

#: Seconds after which one who was told to stop has been heard of: processes that do not listen are killed by then.
HEARD_WITHIN = 5.0
UNHEARD = (
    "It was told to stop and goes on: its thread is in a call outside of Python, which nothing can end, or does not "
    "heed it. It is Running until that returns; --runner processes, or runner='processes', can end it for certain."
)

RUNNING = State(StateType.RUNNING)
RETRYING = State(StateType.RUNNING, "Retrying")


class Engine:
    """Runs the tasks of one flow run to their end.

    Parameters
    ----------
    machine : RunMachine
        Decides.
    perform : callable
        ``perform(task, attempt)`` does a task's work in a place of the runner.
    runner : Runner
        Where work is performed; closed when the run ends.
    ledger : Ledger
        Where facts enter the store.
    lease : Lease
        The right to write this run's history.
    clock : Clock
        The time.
    seq : int
        Number of the last event already recorded.
    ask : callable, optional
        Returns requests that others filed (``"cancel"``); asked every `ask_every` seconds.
    settled : callable, optional
        Told the last event of each task of which no further attempt will follow, in the midst of things: it only takes
        note.
    freed : callable, optional
        Called when something has settled and nothing is held any more: what takes time, or code of the user, is done
        here.
    draw : callable
        A number between 0 and 1, for the jitter of retries.
    describe : callable
        ``describe(error, call)`` returns what is recorded of an exception.
    is_lent : bool
        The lease is a worker's, who gives it back when it has seen how the run ended.
    """

    def __init__(
        self,
        machine: RunMachine,
        perform: Perform,
        runner: Runner,
        ledger: Ledger,
        lease: Lease,
        clock: Clock,
        *,
        seq: int = 0,
        ask: Callable[[], list[str]] | None = None,
        ask_every: float = 0.5,
        settled: Callable[[TaskStateChanged], object] = lambda event: None,
        freed: Callable[[], object] = lambda: None,
        draw: Callable[[], float] = random.random,
        describe: Describe = lambda error, call: describe_failure(error),
        is_lent: bool = False,
    ) -> None:
        self._machine = machine
        self._perform = perform
        self._runner = runner
        self._ledger = ledger
        self._clock = clock
        self._ask = ask
        self._ask_every = ask_every
        self._draw = draw
        self._describe = describe
        self._settled = settled
        self._freed = freed
        self._is_lent = is_lent
        self._runners: dict[str, Runner] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._calls: dict[str, Call] = {}
        self._timers = Timers()
        self._has_begun = False
        self._error: BaseException | None = None
        self._final: State | None = None
        self._given_up: State | None = None
        self._journal = ledger.open(lease, self._break, seq)

    @property
    def journal(self) -> Journal:
        """Where this run's facts are recorded; logs go there too."""
        return self._journal

    @property
    def running(self) -> list[str]:
        """The tasks whose attempt is being performed right now."""
        return [name for name, call in list(self._calls.items()) if call.has_begun]

    def begin(self) -> None:
        """Record that the run begins and start what can start; :meth:`run` does so too, unless it was done."""
        with self._lock:
            if self._has_begun:
                return
            self._has_begun = True
            if not self._machine.is_over and self._machine.run_type is not StateType.CANCELLING:
                self._apply(RunStateChanged(self._clock.now(), RUNNING))
            self._carry_out(self._machine.begin())

    def run(self) -> State:
        """Run to the end and return the final state, which is stored by then.

        Raises
        ------
        StoreError
            The run could not be recorded any further; its tasks were stopped.
        """
        try:
            self.begin()
            while self._is_going:
                self._clock.wait(self._wake, self._until_next())
                self._wake.clear()
                self._fire()
        except BaseException as error:  # noqa: BLE001 - raised below, when the run has been ended
            self._break(error)
        self._runner.close()
        broken = self._error
        try:
            self._ledger.close_journal(self._journal, release=broken is None and not self._is_lent)
            broken = self._error or self._journal.error
            if broken is not None:
                self._end_broken(broken)
                if not self._is_lent:
                    self._ledger.store.release(self._journal.lease)
        except StoreError as gone:
            # The lease runs out by itself; whoever looks then ends the run, if it has not ended.
            logger.warning("Run %s could not be given back: %s", self._journal.lease.run_id, gone)
        if broken is not None:
            raise broken
        assert self._final is not None
        return self._final

    def _end_broken(self, error: BaseException) -> None:
        """See to it that a run which cannot go on does not stay Running in the store, if the store still takes it."""
        state = self._given_up or State(StateType.CRASHED, "Crashed", f"The run could not go on: {first_line(error)}")
        end_lost_run(self._ledger.store, self._journal.lease, state, self._clock.now(), is_sure=True)

    def cancel(self, message: str = "") -> None:
        """Stop what runs, start nothing more; returns at once."""
        with self._lock:
            if self._machine.is_over or self._machine.run_type is StateType.CANCELLING or self._error is not None:
                return
            state = State(StateType.CANCELLING, "Cancelling", message)
            try:
                self._carry_out(self._apply(RunStateChanged(self._clock.now(), state)))
            except Exception as error:  # noqa: BLE001 - whoever asks is not at fault; the run ends and says why
                self._break(error)
        self._freed()

    def pause(self) -> None:
        """Let what is being performed come to its end and start nothing more until :meth:`resume`; returns at once."""
        with self._lock:
            if self._is_going and self._machine.run_type is StateType.RUNNING:
                self._machine.hold()
                self._apply(RunStateChanged(self._clock.now(), State(StateType.PAUSED, message="Nothing more starts.")))

    def resume(self) -> None:
        """Go on after :meth:`pause`; returns at once."""
        with self._lock:
            if self._is_going and self._machine.is_held:
                commands = self._apply(RunStateChanged(self._clock.now(), RUNNING))
                self._carry_out([*commands, *self._machine.let_go()])
        self._freed()

    def submit(
        self,
        task: Task,
        upstream: tuple[str, ...] = (),
        lenient: tuple[str, ...] = (),
        runner: Runner | None = None,
    ) -> None:
        """Add a task run to the run that goes on; returns at once.

        Parameters
        ----------
        task : Task
            Its name is new, or that of a task that has ended other than well.
        upstream : tuple of str
            The tasks it waits for.
        lenient : tuple of str
            Those among them that need not end well.
        runner : Runner, optional
            Who performs its attempts, if not the run's own.

        Raises
        ------
        UsageError
            The run is over.
        """
        with self._lock:
            if not self._is_going or self._machine.is_over:
                raise UsageError(f"Task {task.name!r} came when its flow run had ended.", task=task.name)
            if runner is not None:
                self._runners[task.name] = runner
            self._carry_out(self._apply(TaskAdded(self._clock.now(), task, upstream, lenient)))
        self._freed()

    def cancel_task(self, task: str) -> None:
        """Stop one task run, or let it never start; what needs it will not run either."""
        with self._lock:
            if self._is_going:
                self._carry_out(self._machine.cancel_task(task))
        self._freed()

    def change(self, state: State) -> None:
        """Record that the run itself entered a state that is not its end (a retry of the whole flow, a pause)."""
        with self._lock:
            if self._is_going and self._machine.run_type is not StateType.CANCELLING:
                self._carry_out(self._apply(RunStateChanged(self._clock.now(), state)))

    def close(self, outcome: State | None = None) -> None:
        """Say that no more tasks will come, and how the run ends; it ends when every task has."""
        with self._lock:
            if self._is_going:
                self._carry_out(self._machine.close(outcome))

    def leave(self, state: State) -> None:
        """Leave the run in this state, which is not its end; it goes on elsewhere when somebody asks for it."""
        with self._lock:
            if self._is_going:
                self._apply(RunStateChanged(self._clock.now(), state))
                self._final = state
                self._wake.set()

    def give_up(self, state: State) -> None:
        """End the run in this state though tasks are still being performed: its process is about to end."""
        if self._is_going:
            self._given_up = state
            self._break(FlowRunCancelled(state.message, run_id=self._journal.lease.run_id))

    def call_at(self, seconds: float, act: Callable[[], object]) -> None:
        """Have `act` called by the run's own thread in so many seconds, unless the run has ended by then."""
        with self._lock:
            self._at(self._clock.now() + timedelta(seconds=seconds), act)

    def call_of(self, task: str) -> Call | None:
        """Return the attempt of a task that is being performed or waits for a place."""
        return self._calls.get(task)

    @property
    def run_type(self) -> StateType:
        """Where the run itself stands."""
        return self._machine.run_type

    @property
    def error(self) -> BaseException | None:
        """Why the run cannot go on, if so."""
        return self._error

    @property
    def _is_going(self) -> bool:
        """Whether the run has neither ended nor broken off."""
        return self._final is None and self._error is None

    # What is decided, and what is done about it

    def _apply(self, event: Event) -> list[Command]:
        """Record a fact and return what the machine makes of it."""
        commands = self._machine.take(event)
        self._journal.record(event)
        if isinstance(event, TaskStateChanged) and self._machine.is_settled(event.task):
            self._runners.pop(event.task, None)  # one of this name that is added again may belong elsewhere
            self._settled(event)
        return commands

    def _carry_out(self, commands: list[Command], after: Call | None = None) -> Call | None:
        """Do what the machine commands; leave one call to the place in which `after` has just ended, if it may."""
        kept: Call | None = None
        stops: list[str] = []
        # The list grows while it is walked: what is recorded here makes the machine command more.
        for command in commands:
            match command:
                case StartTask(task, attempt):
                    call = Call(task, attempt, self._begin, self._perform, self._end)
                    self._calls[task] = call
                    runner = call.runner = self._runners.get(task, self._runner)
                    if after is not None and kept is None and runner is after.runner and runner.follows(call, after):
                        kept = call
                    else:
                        runner.start(call)
                case EndTask(task, state, culprit, origin):
                    details = {"culprit": culprit} if culprit else {"cached_from": origin} if origin else None
                    attempt = self._machine.attempt_of(task)
                    commands.extend(self._apply(TaskStateChanged(self._clock.now(), task, attempt, state, details)))
                case AwaitRetry() as retry:
                    commands.extend(self._await_retry(retry))
                case StopTask(task):
                    stops.append(task)
                case EndRun(state):
                    self._apply(RunStateChanged(self._clock.now(), state))
                    self._final = state
                    self._wake.set()
        if kept is not None and not self._record_start(kept):
            kept = None
        # A task may cancel its own run: its stop is raised here, in the midst of this, so it comes behind all else.
        for task in sorted(stops, key=self._is_mine):
            self._stop(task, "cancel")
        return kept

    def _is_mine(self, task: str) -> bool:
        call = self._calls.get(task)
        return call is not None and call.place is not None and call.place.ident == threading.get_ident()

    def _await_retry(self, retry: AwaitRetry) -> list[Command]:
        now = self._clock.now()
        due_at = now + timedelta(seconds=retry.seconds(self._draw()))
        state = State(StateType.SCHEDULED, "AwaitingRetry")
        details = {"due_at": iso(due_at)}
        commands = self._apply(TaskStateChanged(now, retry.task, retry.attempt - 1, state, details))

        def start() -> None:
            self._carry_out(self._machine.start_retry(retry.task, retry.attempt))

        self._at(due_at, start)
        return commands

    def _record_start(self, call: Call) -> bool:
        if not self._is_going or self._calls.get(call.task) is not call:
            return False
        if self._machine.state_of(call.task) not in (StateType.PENDING, StateType.SCHEDULED):
            return False  # cancelled while it waited for room
        if self._machine.is_held:
            del self._calls[call.task]
            self._machine.withdraw(call.task)
            return False
        call.has_begun = True
        now = self._clock.now()
        self._apply(TaskStateChanged(now, call.task, call.attempt, RUNNING if call.attempt == 1 else RETRYING))
        timeout = self._machine.timeout_of(call.task)
        if timeout is not None:
            self._at(now + timedelta(seconds=timeout), lambda: self._time_out(call, timeout))
        return True

    # Called by the runner, in the place where the work is done

    def _begin(self, call: Call) -> bool:
        try:
            with self._lock:
                return self._record_start(call)
        except BaseException as error:  # noqa: BLE001 - a run must end, whatever happens
            self._break(error)
            return False

    def _end(self, call: Call, details: Mapping[str, Any] | None, error: BaseException | None) -> Call | None:
        try:
            state, details = outcome_of(call, details, error, self._describe)
            with self._lock:
                if self._calls.get(call.task) is call:
                    del self._calls[call.task]
                if not self._is_going:
                    return None
                event = TaskStateChanged(self._clock.now(), call.task, call.attempt, state, details)
                following = self._carry_out(self._apply(event), after=call)
            self._freed()
            return following
        except BaseException as broken:  # noqa: BLE001
            self._break(broken)
            return None

    # What time brings

    def _at(self, due_at: datetime, act: Callable[[], object]) -> None:
        if self._timers.add(due_at, act):
            self._wake.set()

    def _until_next(self) -> float | None:
        with self._lock:
            due_at = self._timers.next_at
        seconds = None if due_at is None else max(0.0, (due_at - self._clock.now()).total_seconds())
        if self._ask is not None:
            return self._ask_every if seconds is None else min(seconds, self._ask_every)
        return seconds

    def _fire(self) -> None:
        try:
            if self._ask is not None and self._final is None and "cancel" in self._ask():
                self.cancel("Cancelled by request.")
        except StoreError as error:
            # Requests could not be read this time; what is recorded tells whether the store is really gone.
            logger.warning("Could not look for requests: %s", error)
        with self._lock:
            now = self._clock.now()
            while self._final is None and (act := self._timers.take(now)) is not None:
                act()
        self._freed()

    def _time_out(self, call: Call, timeout: float) -> None:
        if self._calls.get(call.task) is call:
            self._stop(call.task, f"It took longer than its timeout of {timeout:g} s.")

    def _stop(self, task: str, reason: str) -> None:
        call = self._calls.get(task)
        if call is None or call.stop_reason:
            return
        call.stop_reason = reason
        (call.runner or self._runner).stop(call)
        if call.has_begun and self._is_going:
            self._at(self._clock.now() + timedelta(seconds=HEARD_WITHIN), lambda: self._say_unheard(call))

    def _say_unheard(self, call: Call) -> None:
        """Say of an attempt that goes on although it was told to stop, that it does."""
        if self._calls.get(call.task) is call:
            self._journal.record(LogWritten(self._clock.now(), call.task, call.attempt, logging.WARNING, UNHEARD))

    # When nothing more can be recorded

    def _break(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        for task in list(self._calls):
            self._stop(task, "cancel")
        self._freed()
        self._wake.set()
