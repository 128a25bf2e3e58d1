"""One flow run of functions, performed by this process: where task runs are submitted and how the run itself stands.

In: functions to be called, from the flow's body or from tasks of the run.  Out: futures, and through the engine every
fact in the store.  What follows what is the machine's to decide and the engine's to carry out; here stand the values.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import TaskTimedOut
from orch_notebook.functions.attempting import Attempt, attempting, perform
from orch_notebook.functions.beginnings import keeper_of
from orch_notebook.functions.courses import Course
from orch_notebook.functions.dependencies import futures_in, upstream_of
from orch_notebook.functions.endings import Endings
from orch_notebook.functions.futures import Future, ring, wait_for_bell
from orch_notebook.functions.here import Here
from orch_notebook.functions.lineage import Lineage
from orch_notebook.functions.loops import loops
from orch_notebook.functions.origins import Origins
from orch_notebook.model.events import LogWritten, RunCreated
from orch_notebook.model.graph import Graph
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import check_resources
from orch_notebook.runtime.calls import Call, describe_failure
from orch_notebook.runtime.context import added_tags
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.home import Home
from orch_notebook.runtime.making import make_run
from orch_notebook.runtime.redaction import redactor
from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.runners.places import carrier
from orch_notebook.runtime.store import Lease
from orch_notebook.runtime.vault import learn_secrets

if TYPE_CHECKING:
    from orch_notebook.functions.tasks import FunctionTask

__all__ = ["Performance"]


class Performance:
    """One flow run of functions.

    Parameters
    ----------
    home : Home
        Where it is recorded.
    run : FlowRun
        The run, as it begins.
    lease : Lease, optional
        The right to write its history, where a worker claimed it; by default the run is new, and made here.
    runner : Runner, optional
        Where submitted task runs are performed; by default as many threads as the settings say.
    is_implicit : bool
        It was made for a task that is called outside of flows.
    log_prints : bool
        What its tasks print goes into their logs, unless they say otherwise.
    stop : callable, optional
        Stops the flow's body, when the run is cancelled or cannot go on.
    """

    def __init__(
        self,
        home: Home,
        run: FlowRun,
        *,
        lease: Lease | None = None,
        runner: Runner | None = None,
        is_implicit: bool = False,
        log_prints: bool = False,
        stop: Callable[[str], object] = lambda reason: None,
    ) -> None:
        self.home = home
        self.run = run
        self.is_implicit = is_implicit
        self.log_prints = log_prints
        self.endings = Endings()
        self.lineage = Lineage()
        self.origins = Origins(self.lineage.follows)
        #: Called now and then while the run is paused: looks whether somebody has answered.
        self.look_for_answer: Callable[[], object] | None = None
        self._pauses = 0
        self._stop = stop
        self.is_stopped = False
        self._told_stop: Callable[[], object] = lambda: None
        self._names: dict[str, int] = {}
        self._lock = threading.Lock()
        self._runners: dict[str, Runner] = {}
        learn_secrets(home.store, home.settings)
        seq = 0
        is_lent = lease is not None
        if lease is not None:
            seq = home.store.last_seq(run.run_id)
            home.store.name_run(lease, run)
        else:
            lease = make_run(home.store, run, home.settings.lease)
        usual = runner or home.pools.runner(home.settings.runner)
        self._usual, self._capacity = usual.name, home.settings.resources
        # A run that was suspended goes on: its tasks stand as they stood.
        history = [event for _, event in home.store.events(run.run_id)] if seq else []
        if history:
            machine = RunMachine.replay(history, capacity=self._capacity, runner=self._usual, is_open=True)
        else:
            machine = RunMachine(Graph(), capacity=self._capacity, runner=self._usual, is_open=True)
        self._machine = machine
        self.engine = Engine(
            machine,
            self._perform,
            usual,
            home.ledger,
            lease,
            home.clock,
            seq=seq,
            ask=self._take_requests,
            settled=self.endings.note,
            freed=self._resolve,
            describe=self._describe,
            is_lent=is_lent,
        )
        self.keeper = keeper_of(home, run)
        if history:
            self.keeper.inherit(home.store.run(run.run_id) or run)
        else:
            self.engine.journal.record(RunCreated(run.created_at, run.flow, Graph(), run.parameters))
        self.engine.begin()
        self.course = Course(self.engine, home, run.run_id, is_awaited=is_implicit, after=self._close_runners)
        self.course.start()

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    # Task runs

    def submit(
        self,
        task: FunctionTask[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any = None,
        here: Runner | None = None,
    ) -> Future:
        """Add a task run; call it in a quiet place.

        Parameters
        ----------
        wait_for : list of futures, optional
            What it waits for besides the futures among its arguments.
        here : Runner, optional
            Performs it, wherever it would belong.
        """
        found = futures_in(args, kwargs, wait_for)
        if self.keeper.earlier and not found and (again := self._again(task, args, kwargs)) is not None:
            return again
        name = self._name(task, args, kwargs)
        future = Future(task, name, self, args, kwargs, contextvars.copy_context())
        upstream, lenient = upstream_of(found, task, self) if found else ([], ())
        upstream += self.origins.of_all((*args, *kwargs.values()))
        self.lineage.note(name, task, upstream)
        tags = added_tags.get()
        future.tags = tuple(dict.fromkeys((*task.tags, *tags))) if tags else task.tags
        runner = task.options.runner
        if runner is not None and here is None:
            here = self._runner(runner)
        spec = task.spec(name, future.tags)
        if task.resources and (runner or self._usual) != "dask":
            check_resources(spec, self._capacity)
        self.endings.expect(future)
        try:
            self.engine.submit(spec, tuple(dict.fromkeys(upstream)), lenient, here)
        except BaseException:
            self.endings.withdraw(future)
            raise
        return future

    def _runner(self, name: str) -> Runner:
        """Return the runner of this name for the tasks of the run that name it."""
        with self._lock:
            found = self._runners.get(name)
            if found is None:
                found = self._runners[name] = self.home.pools.runner(name)
            return found

    def _close_runners(self) -> None:
        for runner in self._runners.values():
            runner.close()

    def _again(self, task: FunctionTask[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future | None:
        """Return the task run that did this very call before the flow's body began again; it stands as it is."""
        future = Future(task, "", self, args, kwargs, None)
        plan = self.keeper.plan(future, args, kwargs)
        kept = self.keeper.take(plan, f"{self.run_id}/") if plan is not None else None
        if plan is None or kept is None:
            return None
        future.name = kept.made_by.partition("/")[2]
        future.value, future.state_now, future.is_done = kept.value, State(StateType.COMPLETED), True
        self.keeper.note(future, plan, kept.offer)
        with self._lock:
            self._names.setdefault(future.name, 1)
        self.lineage.note(future.name, task, self.origins.of_all((*args, *kwargs.values())))
        return future

    def _name(self, task: FunctionTask[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        base = task.name if task.run_name is None else redactor.redact(task.name_run(args, kwargs))
        with self._lock:
            count = self._names.get(base, 0) + 1
            name = base if count == 1 else f"{base}-{count}"
            # Taken by a name of the user's making, or completed before the body began again.
            while (count > 1 and name in self._names) or not self._machine.may_add(name):
                count += 1
                name = f"{base}-{count}"
            self._names[base] = count
            self._names.setdefault(name, 1)
            return name

    def call(
        self, task: FunctionTask[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any = None
    ) -> Future:
        """Perform a task run and return its future, which has ended; call it in a quiet place.

        This thread does the work, unless the task names a runner that takes it elsewhere.
        """
        if task.is_elsewhere:
            future = self.submit(task, args, kwargs, wait_for)
            try:
                future.wait()
            except BaseException:
                self.abandon(future)
                raise
            return future
        here = Here()
        future = self.submit(task, args, kwargs, wait_for, here)
        future.is_direct = True
        here.perform_until_done(future)
        if future.interrupt is not None:
            raise future.interrupt
        return future

    def abandon(self, future: Future) -> None:
        """Stop a task run whose caller is gone."""
        self.engine.cancel_task(future.name)

    def cancel_all(self) -> None:
        """Stop every task run that has not ended, though the run itself is not cancelled."""
        for name in self.endings.names:
            self.engine.cancel_task(name)

    def state_of(self, name: str) -> StateType:
        """Return the state type of a task run."""
        return self._machine.state_of(name)

    def attempting(self, future: Future, number: int) -> AbstractContextManager[Attempt]:
        """Give the attempt that is performed within the block; an event loop performs those of ``async def`` tasks."""
        return attempting(future, number)

    async def await_end(self, future: Future) -> None:
        """Wait for a task run in an event loop."""
        await loops().until(future.tell)

    # What the engine asks for

    def _perform(self, name: str, attempt: int) -> Mapping[str, Any] | None:
        future = self.endings.find(name)
        assert future is not None
        assert future.context is not None
        return future.context.run(perform, future, attempt, carrier.get())

    def _describe(self, error: BaseException, call: Call) -> dict[str, Any]:
        future = self.endings.find(call.task)
        found = {} if isinstance(error, TaskTimedOut) else describe_failure(error)
        if future is not None:
            future.error = error
            found |= future.facts or {}
            if not future.task.may_retry(error, future):
                found["retriable"] = False
        return found

    def _take_requests(self) -> list[str]:
        found = self.home.store.take_requests(self.run_id, self.home.clock.now())
        if (look := self.look_for_answer) is not None:
            look()
        return found

    def _resolve(self) -> None:
        """Do what follows from ends that the engine noted, and stop the body where it cannot go on."""
        self.endings.resolve()
        is_broken = self.engine.error is not None
        if not self.is_stopped and (is_broken or self.engine.run_type is StateType.CANCELLING):
            self.is_stopped = True
            self._stop("cancel")
            self._told_stop()
        if is_broken:
            self.endings.give_up()

    # The run itself

    def begin_again(self) -> None:
        """Let the flow's body begin once more: names count from the start, what failed may be submitted again."""
        with self._lock:
            self._names.clear()
            self._pauses = 0
        self.endings.failed.clear()
        self.keeper.begin_again()

    def pause(self, seconds: float) -> None:
        """Wait before the body begins again; a cancel cuts it short."""
        bell = threading.Lock()
        bell.acquire()
        if self.tell_later(seconds, lambda: ring(bell)):
            wait_for_bell(bell)

    def tell_later(self, seconds: float, callback: Callable[[], object]) -> bool:
        """Have `callback` called in so many seconds, or when the run is cancelled; False if nobody need wait."""
        if seconds <= 0 or self.is_stopped:
            return False
        self._told_stop = callback
        self.engine.call_at(seconds, callback)
        if self.is_stopped:
            callback()
        return True

    def next_pause(self) -> str:
        """Return the key of a pause that was given none: the first of the body is always the same one."""
        self._pauses += 1
        return f"pause-{self._pauses}"

    def log(self, task: str, attempt: int, level: int, text: str) -> None:
        """Record a line of a task run, or of the run itself when `task` is empty."""
        self.engine.journal.record(LogWritten(self.home.clock.now(), task, attempt, level, text))

    def log_failure(self, error: BaseException) -> None:
        """Record why the flow's body failed."""
        lines = describe_failure(error)["traceback"] or traceback.format_exception_only(error)
        self.log("", 1, logging.ERROR, "\n".join(lines))
