"""One flow run of functions, performed by this process: where task runs are submitted and how they end.

In: functions to be called, from the flow's body or from tasks of the run.  Out: futures, and through the engine every
fact in the store.  What follows what is the machine's to decide and the engine's to carry out; here stand the values.
"""

from __future__ import annotations

import contextvars
import json
import logging
import threading
import traceback
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import ReturnedFailure, TaskTimedOut, UsageError
from orch_notebook.functions.arguments import PLAIN, find, resolve
from orch_notebook.functions.futures import Future, ring, wait_for_bell
from orch_notebook.functions.here import Here
from orch_notebook.functions.jobs import perform_elsewhere
from orch_notebook.functions.keeping import Keeper, Plan
from orch_notebook.functions.limits import slots_of_tags
from orch_notebook.functions.logs import logging_prints, not_logging_prints
from orch_notebook.functions.loops import loops
from orch_notebook.functions.outcomes import Outcome
from orch_notebook.functions.transactions import current_transaction
from orch_notebook.model.events import LogWritten, RunCreated, TaskStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task, check_resources
from orch_notebook.runtime.calls import Call, describe_failure
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.context import TaskScope, added_tags, task_scope
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.home import Home
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.redaction import redactor
from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.runners.places import Carrier, carrier
from orch_notebook.runtime.store import Lease
from orch_notebook.runtime.vault import learn_secrets

if TYPE_CHECKING:
    from orch_notebook.functions.tasks import FunctionTask

__all__ = ["Performance", "new_run", "shown"]

logger = logging.getLogger("orch_notebook")

NO_PRINTS: AbstractContextManager[None] = nullcontext()

#: Values that cannot be referred to weakly, kept so that the diagram shows where an argument came from.
REMEMBERED = 1000


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
        self.flow = run.flow
        self.is_implicit = is_implicit
        self.log_prints = log_prints
        self.lock = threading.Lock()
        self._stop = stop
        self.is_stopped = False
        self._open: dict[str, Future] = {}
        self._names: dict[str, int] = {}
        self._settled: deque[Future] = deque()
        self._unresolved = 0
        self._told_idle: list[Callable[[], object]] = []
        self._told_stop: Callable[[], object] = lambda: None
        self.failed: dict[str, Future] = {}
        self._origins: dict[int, tuple[Any, str]] = {}
        self._remembered: OrderedDict[int, Any] = OrderedDict()
        seq: int | None = None
        learn_secrets(home.store, home.settings)
        if lease is not None:
            seq = home.store.last_seq(run.run_id)
            home.store.name_run(lease, run)
        else:
            owner, expires_at = this_owner(), run.created_at + timedelta(seconds=home.settings.lease)
            if not home.store.create_run(run, owner=owner, lease_expires_at=expires_at):
                raise UsageError(f"Run {short_id(run.retry_of or '')} was repeated already.", run_id=run.retry_of)
            lease = Lease(run.run_id, owner, 1, expires_at)
        self.runner: Runner = runner or home.pools.runner(home.settings.runner)
        self._runners: dict[str, Runner] = {}
        self._usual = usual = self.runner.name
        self._capacity = capacity = home.settings.resources
        # A run that was suspended goes on: its tasks stand as they stood.
        history = [event for _, event in home.store.events(run.run_id)] if seq else []
        if history:
            self.machine = RunMachine.replay(history, capacity=capacity, runner=usual, is_open=True)
        else:
            self.machine = RunMachine(Graph(), capacity=capacity, runner=usual, is_open=True)
        self.engine = Engine(
            self.machine,
            self._perform,
            self.runner,
            home.ledger,
            lease,
            home.clock,
            seq=seq or 0,
            ask=self._take_requests,
            settled=self._take_end,
            freed=self._resolve,
            describe=self._describe,
            is_lent=seq is not None,
        )
        # What completed in the run that it repeats, or in what that repeated, is not run again; also when this one was
        # suspended, and goes on.
        chain = _line(home, run)
        self.keeper = Keeper(home, self.run, chain[-1].run_id if chain else self.run.run_id)
        again = _again(home, run, chain[0]) if chain else frozenset()
        for each in chain:
            self.keeper.inherit(each, again)
        if history:
            self.keeper.inherit(home.store.run(run.run_id) or run)
        else:
            self.engine.journal.record(RunCreated(run.created_at, run.flow, Graph(), run.parameters))
        self.engine.begin()
        #: Called now and then while the run is paused: looks whether somebody has answered.
        self.look_for_answer: Callable[[], object] | None = None
        self._pauses = 0
        self.final: State | None = None
        self.broken: BaseException | None = None
        self._told_end: list[Callable[[], object]] = []
        self._thread = threading.Thread(target=self._go, name=f"orch-run-{short_id(self.run_id)}", daemon=True)
        home.closing[self.run_id] = self._finish
        self._thread.start()

    def _take_requests(self) -> list[str]:
        found = self.home.store.take_requests(self.run.run_id, self.home.clock.now())
        if (look := self.look_for_answer) is not None:
            look()
        return found

    def next_pause(self) -> str:
        """Return the key of a pause that was given none: the first of the body is always the same one."""
        self._pauses += 1
        return f"pause-{self._pauses}"

    def leave(self, state: State) -> None:
        """Leave the run in a state that is not its end, once every task run has ended."""
        self.engine.leave(state)

    def _finish(self) -> None:
        """End it, because the process does: what was submitted outside of flows is waited for, a flow is cancelled."""
        if not self.is_implicit:
            self.engine.cancel("Its process ended.")
            self.engine.close()
        self._thread.join(None if self.is_implicit else 2.0)
        if self._thread.is_alive():
            self.engine.give_up(State(StateType.CANCELLED, message="Its process ended while a thread was at work."))
            self._thread.join(2.0)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    def _go(self) -> None:
        try:
            self.final = self.engine.run()
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits
            self.broken = error
        for runner in self._runners.values():
            runner.close()
        self.home.closing.pop(self.run_id, None)
        with self.lock:
            told, self._told_end = self._told_end, []
        for tell in told:
            tell()

    # Task runs

    def submit(
        self,
        task: FunctionTask[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any = None,
        here: Runner | None = None,
    ) -> Future:
        """Add a task run; call it in a quiet place.  With `here`, that runner performs it, wherever it would belong."""
        found: dict[Future, bool] = {}
        for value in args:
            find(value, found)
        for value in kwargs.values():
            find(value, found)
        if wait_for is not None:
            find(wait_for, found)
        if self.keeper.earlier and not found and (again := self._again(task, args, kwargs)) is not None:
            return again
        name = self._name(task, args, kwargs)
        future = Future(task, name, self, args, kwargs, contextvars.copy_context())
        upstream: tuple[str, ...] = ()
        lenient: tuple[str, ...] = ()
        if found:
            upstream, lenient = self._wait_for(found, task)
        if self._origins:
            upstream = self._add_origins(upstream, args, kwargs)
        tags = added_tags.get()
        future.tags = tuple(dict.fromkeys((*task.tags, *tags))) if tags else task.tags
        runner = task.options.runner
        if runner is not None and here is None:
            here = self._runner(runner)
        spec = Task(
            name, task.retry, task.timeout, future.tags, (), task.resources, runner=runner or "", when=task.when
        )
        if task.resources and (runner or self._usual) != "dask":
            check_resources(spec, self._capacity)
        with self.lock:
            self._open[name] = future
            self._unresolved += 1
        try:
            self.engine.submit(spec, upstream, lenient, here)
        except BaseException:
            with self.lock:
                self._open.pop(name, None)
                self._unresolved -= 1
            raise
        return future

    def _runner(self, name: str) -> Runner:
        """Return the runner of this name for the tasks of the run that name it."""
        with self.lock:
            found = self._runners.get(name)
            if found is None:
                found = self._runners[name] = self.home.pools.runner(name)
            return found

    def _again(self, task: FunctionTask[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future | None:
        """Return the task run that did this very call before the flow's body began again; it stands as it is."""
        future = Future(task, "", self, args, kwargs, None)
        plan = self.keeper.plan(future, args, kwargs)
        kept = self.keeper.take(plan.key, f"{self.run_id}/") if plan is not None else None
        if plan is None or kept is None:
            return None
        future.name = kept.made_by.partition("/")[2]
        future.value, future.state_now, future.is_done = kept.value, State(StateType.COMPLETED), True
        self.keeper.note_done(future, plan.key)
        with self.lock:
            self._names.setdefault(future.name, 1)
        return future

    def _wait_for(
        self, found: Mapping[Future, bool], task: FunctionTask[..., Any]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the task runs of this run to wait for, and those among them that may fail."""
        upstream, lenient = [], []
        for future, allowed in found.items():
            allowed = allowed or task.when != "all_success"
            if allowed:
                future.is_observed = True
            if future.performance is not self:  # of another run: it is simply waited for
                future.wait()
                continue
            upstream.append(future.name)
            if allowed and task.when == "all_success":
                lenient.append(future.name)
        return tuple(upstream), tuple(lenient)

    def _name(self, task: FunctionTask[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        base = task.name if task.run_name is None else redactor.redact(task.name_run(args, kwargs))
        with self.lock:
            count = self._names.get(base, 0) + 1
            name = base if count == 1 else f"{base}-{count}"
            # Taken by a name of the user's making, or completed before the body began again.
            while (count > 1 and name in self._names) or not self.machine.may_add(name):
                count += 1
                name = f"{base}-{count}"
            self._names[base] = count
            self._names.setdefault(name, 1)
            return name

    def begin_again(self) -> None:
        """Let the flow's body begin once more: names count from the start, what failed may be submitted again."""
        with self.lock:
            self._names.clear()
            self.failed.clear()
            self._pauses = 0
        self.keeper.begin_again()

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
        here.perform_until_done(future)
        if future.interrupt is not None:
            raise future.interrupt
        return future

    def abandon(self, future: Future) -> None:
        """Stop a task run whose caller is gone."""
        self.engine.cancel_task(future.name)

    def state_of(self, name: str) -> StateType:
        """Return the state type of a task run."""
        return self.machine.state_of(name)

    # In the place where a task run is performed

    def _perform(self, name: str, attempt: int) -> Mapping[str, Any] | None:
        future = self._open[name]
        context = future.context
        assert context is not None
        return context.run(self._call, future, attempt, carrier.get())

    def _call(self, future: Future, attempt: int, place: Carrier | None) -> Mapping[str, Any] | None:
        with self.scope(future, attempt) as (args, kwargs):
            try:
                plan = self.keeper.plan(future, args, kwargs)
                with self.keeper.alone(plan), self.prints(future, attempt):
                    if plan is not None and (reused := self.keeper.reuse(future, plan)) is not None:
                        return reused
                    with self.limited(future) or nullcontext():
                        if place is None:
                            value = future.task.perform(future, args, kwargs)
                        else:
                            value = self._perform_elsewhere(place, future, args, kwargs)
                    return self.take_value(future, value, plan)
            except KeyboardInterrupt as interrupt:
                if threading.current_thread() is threading.main_thread():
                    self._interrupt(future, interrupt)
                raise

    def _perform_elsewhere(self, place: Carrier, future: Future, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        future.task.tell_start(future)
        attempt = future.attempt
        return perform_elsewhere(
            place, future, args, kwargs, lambda level, text: self.log(future.name, attempt, level, text)
        )

    def take_value(self, future: Future, value: Any, plan: Plan | None) -> Mapping[str, Any] | None:
        """Take what an attempt returned, and keep it as planned."""
        told = self._accept(future, value)
        if (within := current_transaction.get()) is not None:
            within.note(future)
        if plan is None:
            return told
        kept = self.keeper.keep(future, plan)
        return {**kept, **told} if told else kept

    def scope(self, future: Future, attempt: int) -> _Scope:
        """Return the context in which an attempt's code runs; entering it gives the arguments."""
        return _Scope(future, attempt)

    def limited(self, future: Future) -> Any:
        """Return the slots that an attempt must hold because of its tags; None if there are none."""
        return slots_of_tags(self.home, future.tags) if future.tags else None

    def prints(self, future: Future, attempt: int) -> AbstractContextManager[None]:
        """Return the context in which what an attempt prints goes into its log, if it is to."""
        wanted = future.task.options.log_prints
        if wanted is None:
            wanted = self.log_prints
        if wanted:
            return logging_prints(self, future.name, attempt)
        return not_logging_prints() if self.log_prints else NO_PRINTS

    def _interrupt(self, future: Future, interrupt: KeyboardInterrupt) -> None:
        # Ctrl-C is meant for the whole run: the attempt counts as cancelled, not as failed.
        future.interrupt = interrupt
        call = self.engine.call_of(future.name)
        if call is not None and not call.stop_reason:
            call.stop_reason = "cancel"

    def _accept(self, future: Future, value: Any) -> Mapping[str, Any] | None:
        """Accept what an attempt returned.

        Raises
        ------
        ReturnedFailure
            It returned a state, or futures, that did not end well.
        """
        if type(value) is Future:
            value = value.result()
        if type(value) is Outcome:
            future.is_stated = True
            if value.is_final() and not value.is_completed():
                error = value.data if isinstance(value.data, BaseException) else None
                raise error or ReturnedFailure(value.message or f"It returned {value.name}.", task=future.name)
            future.value = value.data
            return {"note": value.message, **(future.facts or {})} if value.message else future.facts
        future.value = value
        return future.facts

    def _describe(self, error: BaseException, call: Call) -> dict[str, Any]:
        future = self._open.get(call.task)
        found = {} if isinstance(error, TaskTimedOut) else describe_failure(error)
        if future is not None:
            future.error = error
            found |= future.facts or {}
            if not future.task.may_retry(error, future):
                found["retriable"] = False
        return found

    # How task runs end

    def _take_end(self, event: TaskStateChanged) -> None:
        """Take note of a task run's end; in the midst of the engine's work."""
        future = self._open.pop(event.task, None)
        if future is not None:
            future.state_now = event.state
            future.details = event.details
            future.attempt = event.attempt
            self._settled.append(future)

    def _resolve(self) -> None:
        """Do what follows from the ends that were noted: hooks, and whoever waits; nothing of the engine is held."""
        while True:
            try:
                future = self._settled.popleft()
            except IndexError:
                break
            future.task.tell_end(future)
            with self.lock:
                future.is_done = True
                future.args, future.kwargs, future.context = (), {}, None
                waiters, future.waiters = future.waiters, None
                if future.state_now.type in (StateType.FAILED, StateType.CRASHED):
                    self.failed[future.name] = future
                self._unresolved -= 1
                if not self._unresolved and self._told_idle:
                    waiters = [*(waiters or ()), *self._told_idle]
                    self._told_idle = []
            for tell in waiters or ():
                try:
                    tell()
                except Exception:
                    logger.exception("What was to be done after task %r failed.", future.name)
        if not self.is_stopped and (self.engine.run_type is StateType.CANCELLING or self.engine.error is not None):
            self.is_stopped = True
            self._stop("cancel")
            self._told_stop()
            if self.engine.error is not None:  # what is still being performed will not be heard of any more
                with self.lock:
                    told, self._told_idle = self._told_idle, []
                for tell in told:
                    tell()

    # The run itself

    def wait_until_idle(self, timeout: float | None = None) -> bool:
        """Wait until every task run has ended and what follows from it is done; False if that takes too long."""
        bell = threading.Lock()
        bell.acquire()
        while self.tell_idle(lambda: ring(bell)):
            if not wait_for_bell(bell, timeout):
                return False
        return True

    def tell_idle(self, callback: Callable[[], object]) -> bool:
        """Have `callback` called when every task run has ended; False if they have."""
        with self.lock:
            if not self._unresolved or self.engine.error is not None:
                return False
            self._told_idle.append(callback)
            return True

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

    def cancel_all(self) -> None:
        """Stop every task run that has not ended, though the run itself is not cancelled."""
        for name in list(self._open):
            self.engine.cancel_task(name)

    def unobserved(self) -> list[Future]:
        """Return the task runs that failed and of which nobody has asked how they ended."""
        return [future for future in self.failed.values() if not future.is_observed]

    def close(self, outcome: State | None = None) -> None:
        """Say how the run ends, once every task run has."""
        self.engine.close(outcome)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the run's end is stored.

        Raises
        ------
        StoreError
            It could not be recorded to its end.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        if self.broken is not None:
            raise self.broken
        return True

    def tell_end(self, callback: Callable[[], object]) -> bool:
        """Have `callback` called when the run has ended; False if it has."""
        with self.lock:
            if self.final is not None or self.broken is not None:
                return False
            self._told_end.append(callback)
            return True

    def log(self, task: str, attempt: int, level: int, text: str) -> None:
        """Record a line of a task run, or of the run itself when `task` is empty."""
        self.engine.journal.record(LogWritten(self.home.clock.now(), task, attempt, level, text))

    def log_failure(self, error: BaseException) -> None:
        """Record why the flow's body failed."""
        lines = describe_failure(error)["traceback"] or traceback.format_exception_only(error)
        self.log("", 1, logging.ERROR, "\n".join(lines))

    # Where values came from

    def remember(self, value: Any, name: str) -> None:
        """Take note that a value was handed out as a task run's result, so that who is given it is drawn behind it."""
        if type(value) in PLAIN or value is None:
            return
        try:
            self._origins[id(value)] = weakref.ref(value, _Forget(self._origins, id(value))), name
        except TypeError:  # lists, dicts, tuples: only while they are held here can their ids be trusted
            with self.lock:
                self._remembered[id(value)] = value
                self._origins[id(value)] = (lambda: value), name
                if len(self._remembered) > REMEMBERED:
                    old, _ = self._remembered.popitem(last=False)
                    self._origins.pop(old, None)

    def origin_of(self, value: Any) -> str | None:
        """Return the name of the task run that returned this very object, if one did."""
        origin = self._origins.get(id(value))
        return origin[1] if origin is not None and origin[0]() is value else None

    def _add_origins(
        self, upstream: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[str, ...]:
        found = dict.fromkeys(upstream)
        for value in (*args, *kwargs.values()):
            origin = self.origin_of(value)
            if origin is not None:
                found[origin] = None
        return tuple(found)

    async def await_end(self, future: Future) -> None:
        """Wait for a task run in an event loop."""
        await loops().until(future.tell)


def new_run(
    home: Home,
    flow: str,
    *,
    run_id: str | None = None,
    name: str = "",
    tags: tuple[str, ...] = (),
    about: Mapping[str, str] = MappingProxyType({}),
    parameters: Mapping[str, Any] = MappingProxyType({}),
    parent_run_id: str | None = None,
    earlier: FlowRun | None = None,
    due: bool = False,
) -> FlowRun:
    """Return a run that begins now, in this process; or, when it is `due`, in a worker's."""
    now = home.clock.now()
    return FlowRun(
        run_id=run_id or new_run_id(now),
        flow=flow,
        name=name,
        tags=tags,
        about=dict(about),
        state=State(StateType.SCHEDULED if due else StateType.PENDING),
        created_at=now,
        due_at=now if due else None,
        attempt=earlier.attempt + 1 if earlier else 1,
        parent_run_id=parent_run_id or home.settings.parent_run_id,
        retry_of=earlier.run_id if earlier else None,
        parameters=dict(parameters),
    )


def shown(value: Any) -> Any:
    """Return a parameter as the store keeps it for people: what JSON knows as it is, the rest as its repr."""
    return redactor.redact_all(_shown(value))


def _shown(value: Any) -> Any:
    if type(value) in PLAIN and not isinstance(value, bytes | complex):
        return value
    if isinstance(value, list | dict | tuple):
        try:
            if len(text := json.dumps(value)) <= 10_000:
                return json.loads(text)
        except (TypeError, ValueError, RecursionError):
            pass
    try:
        return repr(value)[:200]
    except Exception:  # noqa: BLE001 - the value's own code
        return f"<{type(value).__name__}>"


def _again(home: Home, run: FlowRun, earlier: FlowRun) -> frozenset[str]:
    """Return the task runs of an earlier attempt that somebody wants to run again, and those that come from them."""
    plan, graph = home.store.plan(run.run_id), earlier.graph
    wanted = [name for name in (plan.again if plan is not None else ()) if name in graph.by_name]
    return frozenset(name for task in wanted for name in graph.reach(task, graph.successors))


def _line(home: Home, run: FlowRun) -> list[FlowRun]:
    """Return the run that this one repeats, what that repeated, and so on to the first."""
    line = []
    while run.retry_of and (earlier := home.store.run(run.retry_of)) is not None:
        line.append(earlier)
        run = earlier
    return line


class _Forget:
    """Takes a value that is gone out of the table of origins."""

    __slots__ = ("_key", "_origins")

    def __init__(self, origins: dict[int, tuple[Any, str]], key: int) -> None:
        self._origins = origins
        self._key = key

    def __call__(self, gone: Any) -> None:
        self._origins.pop(self._key, None)


class _Scope:
    """Says whose code is running while an attempt is performed."""

    __slots__ = ("_attempt", "_future", "_token")

    def __init__(self, future: Future, attempt: int) -> None:
        self._future = future
        self._attempt = attempt

    def __enter__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        future = self._future
        task = future.task
        future.attempt = self._attempt
        strict = task.when == "all_success"
        args = tuple([resolve(value, raise_on_failure=strict) for value in future.args])
        kwargs = {name: resolve(value, raise_on_failure=strict) for name, value in future.kwargs.items()}
        scope = TaskScope(future.name, task.name, self._attempt, task.tags, lambda: task.named(args, kwargs), future)
        self._token = task_scope.set(scope)
        return args, kwargs

    def __exit__(self, *error: object) -> None:
        task_scope.reset(self._token)
