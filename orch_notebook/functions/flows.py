"""``@flow``: a function whose call is a flow run, and in which the calls of tasks and of other flows belong together.

In: a function and options.  Out: an object that is called like the function.  The body runs in the caller's thread (or
event loop); what it submits runs beside it.  How the run ends, the body's outcome and the task runs' decide together.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ParamSpec, TypeVar, overload

from orch_notebook.errors import (
    FlowRunCancelled,
    FlowRunFailed,
    FlowRunTimedOut,
    NotFound,
    ParameterError,
    ReturnedFailure,
    UsageError,
)
from orch_notebook.functions.arguments import PLAIN, validate
from orch_notebook.functions.futures import Future
from orch_notebook.functions.logs import logging_prints
from orch_notebook.functions.loops import AsyncCall, loops
from orch_notebook.functions.options import FlowOptions, TaskOptions, changed, make, retry_policy
from orch_notebook.functions.outcomes import Outcome
from orch_notebook.functions.performances import Performance
from orch_notebook.functions.tasks import FunctionTask
from orch_notebook.functions.wrapping import Wrapped
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.calls import Call, TaskStopped
from orch_notebook.runtime.context import FlowScope, added_tags, flow_scope, task_scope
from orch_notebook.runtime.home import open_home
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.places import main_thread_signals, this_place
from orch_notebook.runtime.recovery import end_if_lost

__all__ = ["FunctionFlow", "flow"]

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("orch_notebook")

#: Seconds that an interrupt waits for threads which cannot be stopped at once; then they are left to end by themselves.
PATIENCE = 2.0

T = StateType


class FunctionFlow(Wrapped[P, R]):
    """A function whose calls are flow runs.

    Attributes
    ----------
    fn : callable
        The function itself; calling it runs nothing but it.
    name : str
        The flow's name.

    Examples
    --------
    >>> @flow
    ... def nightly(n: int = 3):
    ...     return n
    >>> nightly.fn(4), nightly
    (4, <flow 'nightly'>)
    """

    def __init__(self, function: Callable[P, R], options: FlowOptions, prefix: tuple[Any, ...] = ()) -> None:
        super().__init__(function, options, prefix)
        self.options = options
        if not options.name:
            self.name = self.name.replace("_", "-")
        self.retry_policy = retry_policy(options)

    def __get__(self, instance: Any, owner: type | None = None) -> FunctionFlow[..., R]:
        prefix = self._belongs_to(instance, owner)
        return FunctionFlow(self.fn, self.options, prefix) if prefix else self

    def with_options(self, **options: Any) -> FunctionFlow[P, R]:
        """Return a copy with some options changed; this one stays as it is."""
        return FunctionFlow(self.fn, changed(self.options, options), self._prefix)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, return_state: bool, wait_for: Any = None, **kwargs: Any) -> Any: ...
    def __call__(  # type: ignore[misc]
        self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any
    ) -> Any:
        """Perform a flow run and return what the function returns.

        Parameters
        ----------
        return_state : bool
            Return the state instead, whatever came of it.
        wait_for : list of futures, optional
            Inside another flow: what must have ended well before.

        Raises
        ------
        ParameterError
            A parameter is missing or ill-typed; nothing has run then.
        FlowRunFailed
            A task failed and nobody asked how it ended.
        Exception
            What the function raised, when no retry is left.
        """
        run = _Run(self, self._parameters(self._prefix + args, kwargs), return_state)
        scope = flow_scope.get()
        is_part = scope is not None and scope.performance is not None and not scope.performance.is_implicit
        if self.is_async:
            begin = (lambda: run.as_part_async(wait_for)) if is_part else run.perform_async
            return AsyncCall(begin, f"flow {self.name!r}")
        return run.as_part(wait_for) if is_part else run.perform()

    def _parameters(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            bound = inspect.signature(self.fn).bind(*args, **kwargs)
        except TypeError as error:
            raise ParameterError(f"Flow {self.name!r}: {error}.") from None
        bound.apply_defaults()
        if self.options.validate_parameters:
            bound.arguments.update(validate(self.fn, bound.arguments, self.name))
        return bound

    def retry(self, run_id: str, *args: Any, return_state: bool = False, **kwargs: Any) -> Any:
        """Perform a run again that did not end well: what completed in it is not run again, what failed is.

        Parameters
        ----------
        run_id : str
            The run, by its id.
        *args, **kwargs
            The flow's parameters; by default those that the run was given.

        Raises
        ------
        NotFound
            There is no such run of this flow.
        UsageError
            It has not ended, has completed, or was repeated already.
        """
        home = open_home()
        end_if_lost(home.store, run_id, this_owner(), home.clock.now())
        earlier = home.store.run(run_id)
        if earlier is None or earlier.flow != self.name:
            raise NotFound(f"Flow {self.name!r} has no run {run_id!r}.", run_id=run_id)
        if not earlier.state.is_final or earlier.state.type is T.COMPLETED:
            raise UsageError(f"Run {short_id(run_id)} is {earlier.state.name}; only what did not end well is repeated.")
        given = self._parameters(self._prefix + args, kwargs if args or kwargs else dict(earlier.parameters))
        run = _Run(self, given, return_state, earlier)
        return AsyncCall(run.perform_async, f"flow {self.name!r}") if self.is_async else run.perform()

    def on_completion(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function called after every run that completes; for use as a decorator."""
        return self._add_hook("on_completion", hook)

    def on_failure(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function called after every run that fails; for use as a decorator."""
        return self._add_hook("on_failure", hook)

    def on_cancellation(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function called after every run that is cancelled; for use as a decorator."""
        return self._add_hook("on_cancellation", hook)

    def on_running(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function called when a run begins; for use as a decorator."""
        return self._add_hook("on_running", hook)

    def _add_hook(self, name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        self.options = changed(self.options, {name: (*getattr(self.options, name), hook)})
        return hook

    def __repr__(self) -> str:
        return f"<flow {self.name!r}>"


class SeenRun:
    """A flow run, as its hooks are shown it.

    Attributes
    ----------
    id, name, flow_name : str
        Its id, its own name and its flow's.
    parameters : dict
        What it was given.
    tags : list of str
        Its tags.
    state : Outcome
        How it stands.
    """

    def __init__(self, scope: FlowScope, state: Outcome) -> None:
        self.id = self.run_id = scope.run_id
        self.name = scope.name
        self.flow_name = scope.flow
        self.parameters = dict(scope.parameters)
        self.tags = list(scope.tags)
        self.run_count = scope.attempt
        self.state = state


class _Run:
    """One call of a flow."""

    def __init__(
        self,
        flow: FunctionFlow[..., Any],
        bound: inspect.BoundArguments,
        return_state: bool,
        earlier: FlowRun | None = None,
    ) -> None:
        self.flow = flow
        self.earlier = earlier  # the run that it repeats
        self.bound = bound
        self.return_state = return_state
        self.future: Future | None = None  # the task run that it is in its parent
        self.body: Call | None = None
        self.scope: FlowScope
        self.value: Any = None
        self.is_timed_out = False
        self.is_stuck = False  # threads that cannot be stopped are left to end by themselves

    # as part of another flow

    def _part(self) -> FunctionTask[..., Any]:
        def begin(**parameters: Any) -> Any:
            return self.perform_async() if self.flow.is_async else self.perform()

        async def begin_async(**parameters: Any) -> Any:
            return await self.perform_async()

        part: FunctionTask[..., Any] = FunctionTask(
            begin_async if self.flow.is_async else begin, TaskOptions(name=self.flow.name)
        )
        part.source = self.flow.fn
        return part

    def as_part(self, wait_for: Any) -> Any:
        """Perform it as a task run of the flow whose code is running."""
        return_state, self.return_state = self.return_state, False
        parent: Performance = flow_scope.get().performance  # type: ignore[union-attr]
        with this_place().quiet():
            future = parent.call(self._part(), (), dict(self.bound.arguments), wait_for)
        return future.outcome() if return_state else future.take()

    async def as_part_async(self, wait_for: Any) -> Any:
        """Perform it as a task run of the flow whose code is running, in the same event loop."""
        return_state, self.return_state = self.return_state, False
        parent: Performance = flow_scope.get().performance  # type: ignore[union-attr]
        future = await loops().call(parent, self._part(), (), dict(self.bound.arguments), wait_for)
        return future.outcome() if return_state else future.take()

    # the run

    def _begin(self) -> tuple[Performance, FlowScope]:
        outer, task = flow_scope.get(), task_scope.get()
        runner = self.flow.options.task_runner
        home = open_home()
        if isinstance(runner, type):
            runner = runner()
        performance = Performance(
            home,
            self.flow.name,
            {name: _shown(value) for name, value in self.bound.arguments.items()},
            runner=runner.make(home.settings) if runner is not None else None,
            parent_run_id=outer.run_id if outer else None,
            retry_of=self.earlier,
            log_prints=bool(self.flow.options.log_prints),
            stop=self._stop,
        )
        if self.flow.retry_policy.retries:
            performance.keeper.remember()
        if task is not None and task.future is not None:
            task.future.facts = {"child_run_id": performance.run_id}
        tags = tuple(dict.fromkeys((*self.flow.options.tags, *added_tags.get())))
        scope = FlowScope(
            performance.run_id,
            f"{self.flow.name}-{short_id(performance.run_id)}",
            self.flow.name,
            dict(self.bound.arguments),
            tags,
            1,
            outer.run_id if outer else performance.run.parent_run_id,
            is_async=self.flow.is_async,
            performance=performance,
        )
        self.scope = scope
        if self.flow.options.flow_run_name is not None:
            scope.name = self._name(scope)
        return performance, scope

    def _name(self, scope: FlowScope) -> str:
        wanted = self.flow.options.flow_run_name
        token = flow_scope.set(scope)  # a function may ask the runtime about the run it names
        try:
            return str(wanted() if callable(wanted) else str(wanted).format(**self.bound.arguments))
        except Exception:
            logger.exception("The name of a run of flow %r could not be made.", self.flow.name)
            return scope.name
        finally:
            flow_scope.reset(token)

    def _stop(self, reason: str) -> None:
        body = self.body
        if body is not None and not body.stop_reason:
            body.stop_reason = reason
            if body.place is not None:
                body.place.stop(body)

    def _time_out(self) -> None:
        self.is_timed_out = True
        self._stop("timeout")

    def _call_body(self, task: str, attempt: int) -> None:
        with self._prints():
            value: Any = self.flow.fn(*self.bound.args, **self.bound.kwargs)
            self.value = list(value) if self.flow._is_generator else value

    def _prints(self) -> AbstractContextManager[None]:
        if not self.flow.options.log_prints:
            return nullcontext()
        return logging_prints(self.scope.performance, "", self.scope.attempt)

    def _new_body(self, attempt: int) -> Call:
        self.is_timed_out = False
        return Call(self.flow.name, attempt, lambda call: True, self._call_body, lambda call, details, error: None)

    def perform(self) -> Any:
        """Perform it in this thread."""
        place = this_place()
        with main_thread_signals(), place.quiet():
            performance, scope = self._begin()
            tokens = flow_scope.set(scope), task_scope.set(None)
            outcome: Outcome | None = None
            try:
                self._hooks("on_running", Outcome(T.RUNNING))
                while outcome is None:
                    self.body = self._new_body(scope.attempt)
                    self._start_clock(performance)
                    _, error = place.perform(self.body)
                    self._before_the_end(performance, error)
                    self.is_stuck = not performance.wait_until_idle(self._patience(performance, error))
                    outcome = self._outcome(performance, error)
                    delay = self._delay(performance, scope, outcome)
                    if delay is not None:
                        outcome = None
                        performance.pause(delay)
                        self._again(performance, scope)
            except BaseException as error:  # noqa: BLE001 - an interrupt, while the run's end was waited for
                outcome = self._given_up(performance, error)
                self.is_stuck = True
            finally:
                flow_scope.reset(tokens[0])
                task_scope.reset(tokens[1])
            self._close(performance, outcome)
            performance.join(0.0 if self.is_stuck else None)
        return self._give(performance, outcome)

    async def perform_async(self) -> Any:
        """Perform it in this event loop."""
        performance, scope = self._begin()
        tokens = flow_scope.set(scope), task_scope.set(None)
        outcome: Outcome | None = None
        try:
            self._hooks("on_running", Outcome(T.RUNNING))
            while outcome is None:
                self.body = self._new_body(scope.attempt)
                self._start_clock(performance)
                self.value, error = await loops().perform(self.body, self._await_body())
                self._before_the_end(performance, error)
                await loops().until(performance.tell_idle)
                outcome = self._outcome(performance, error)
                delay = self._delay(performance, scope, outcome)
                if delay is not None:
                    outcome = None
                    await loops().until(functools.partial(performance.tell_later, delay))
                    self._again(performance, scope)
        except BaseException as error:  # noqa: BLE001
            outcome = self._given_up(performance, error)
        finally:
            flow_scope.reset(tokens[0])
            task_scope.reset(tokens[1])
        self._close(performance, outcome)
        await loops().until(performance.tell_end)
        performance.join()
        return self._give(performance, outcome)

    async def _await_body(self) -> Any:
        with self._prints():
            value: Any = self.flow.fn(*self.bound.args, **self.bound.kwargs)
            return await loops().drain(value) if self.flow._is_generator else await value

    @property
    def _is_left(self) -> bool:
        """Whether it ended because whoever awaited it was cancelled."""
        return self.body is not None and self.body.stop_reason == "caller"

    def _start_clock(self, performance: Performance) -> None:
        if self.flow.timeout is not None:
            body = self.body
            performance.engine.call_at(self.flow.timeout, lambda: self._time_out() if self.body is body else None)

    def _before_the_end(self, performance: Performance, error: BaseException | None) -> None:
        """Stop what goes on if the body's end was not its own doing."""
        if isinstance(error, KeyboardInterrupt):
            performance.engine.cancel("Interrupted.")
        elif self._is_left or (isinstance(error, TaskStopped) and not self.is_timed_out):
            performance.engine.cancel("What it was part of was stopped.")
        elif isinstance(error, TaskStopped):
            performance.cancel_all()

    def _patience(self, performance: Performance, error: BaseException | None) -> float | None:
        """Return how many seconds the ends of task runs are waited for; None as long as they take."""
        is_stopped = isinstance(error, TaskStopped | KeyboardInterrupt)
        return PATIENCE if is_stopped or performance.engine.run_type is T.CANCELLING else None

    def _again(self, performance: Performance, scope: FlowScope) -> None:
        scope.attempt += 1
        self.value = None
        performance.begin_again()
        performance.engine.change(State(T.RUNNING, "Retrying"))

    def _delay(self, performance: Performance, scope: FlowScope, outcome: Outcome) -> float | None:
        """Return how many seconds to wait before the body begins again; None if it does not."""
        is_lost = performance.engine.run_type is T.CANCELLING or performance.engine.error is not None
        if (
            outcome.is_completed()
            or outcome.is_cancelled()
            or is_lost
            or self.is_stuck
            or not self.flow.retry_policy.allows(scope.attempt + 1)
        ):
            return None
        delay = self.flow.retry_policy.delay_before(scope.attempt + 1)
        performance.engine.change(State(T.SCHEDULED, "AwaitingRetry", outcome.message))
        return delay

    # how it ends

    def _outcome(self, performance: Performance, error: BaseException | None) -> Outcome:
        if performance.engine.run_type is T.CANCELLING:
            said = FlowRunCancelled(f"Flow {self.flow.name!r} was cancelled.", run_id=performance.run_id)
            is_callers = self._is_left or isinstance(error, KeyboardInterrupt)
            return Outcome(T.CANCELLED, data=error if is_callers else said)
        if isinstance(error, TaskStopped) and self.is_timed_out:
            why = f"It took longer than its timeout of {self.flow.timeout:g} s."
            late = FlowRunTimedOut(f"Flow {self.flow.name!r}: {why}", run_id=performance.run_id)
            return Outcome(T.FAILED, "TimedOut", why, late)
        if error is not None:
            performance.log_failure(error)
            line = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            return Outcome(T.FAILED, message=line, data=error)
        try:
            outcome = self._of_value(self.value)
        except BaseException as failed:  # noqa: BLE001 - a future that it returned
            return Outcome(T.FAILED, message=f"{type(failed).__name__}: {failed}".splitlines()[0][:300], data=failed)
        unobserved = performance.unobserved() if outcome.is_completed() and type(self.value) is not Outcome else []
        if unobserved:
            names = ", ".join(repr(future.name) for future in unobserved[:3]) + (" …" if len(unobserved) > 3 else "")
            count = len(unobserved)
            why = f"{count} task{'s' if count > 1 else ''} failed and nobody asked how they ended: {names}."
            cause = unobserved[0].failure()
            failure = FlowRunFailed(
                f"Flow {self.flow.name!r}: {why} First: {type(cause).__name__}: {cause}",
                run_id=performance.run_id,
                tasks=[future.name for future in unobserved],
            )
            failure.__cause__ = cause
            return Outcome(T.FAILED, message=why, data=failure)
        return outcome

    def _of_value(self, value: Any) -> Outcome:
        """Return the state that a return value means: a state or future speaks for itself, several must all be well."""
        if isinstance(value, Future):
            return value.outcome()
        if isinstance(value, Outcome):
            return value
        if isinstance(value, list | tuple | set) and value:
            told = [each for each in value if isinstance(each, Future | Outcome)]
            if len(told) == len(value):
                outcomes = [each.outcome() if isinstance(each, Future) else each for each in told]
                bad = [each for each in outcomes if not each.is_completed()]
                if bad:
                    said = f"{len(bad)} of {len(outcomes)} returned states are not Completed."
                    cause = bad[0].data if isinstance(bad[0].data, BaseException) else ReturnedFailure(said)
                    return Outcome(T.FAILED, message=said, data=cause)
                return Outcome(T.COMPLETED, data=type(value)(each.data for each in outcomes))
        return Outcome(T.COMPLETED, data=value)

    def _given_up(self, performance: Performance, error: BaseException) -> Outcome:
        performance.engine.cancel("Interrupted.")
        return Outcome(T.CANCELLED, data=error)

    def _close(self, performance: Performance, outcome: Outcome) -> None:
        hooks = {T.COMPLETED: "on_completion", T.FAILED: "on_failure", T.CANCELLED: "on_cancellation"}
        self._hooks(hooks.get(outcome.type, "on_crashed"), outcome)
        performance.close(outcome.to_state() if outcome.is_final() else None)

    def _hooks(self, kind: str, outcome: Outcome) -> None:
        run = SeenRun(self.scope, outcome)
        for hook in getattr(self.flow.options, kind):
            try:
                found = hook(self.flow, run, outcome)
                if inspect.isawaitable(found):
                    loops().run_anywhere(found)
            except Exception:
                logger.exception("The hook %r failed.", getattr(hook, "__name__", hook))

    def _give(self, performance: Performance, outcome: Outcome) -> Any:
        if self.return_state and not isinstance(outcome.data, KeyboardInterrupt):
            return outcome
        return outcome.result()


def _shown(value: Any) -> Any:
    """Return a parameter as the store keeps it for people: what JSON knows as it is, the rest as its repr."""
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


@overload
def flow(function: Callable[P, R], /) -> FunctionFlow[P, R]: ...
@overload
def flow(**options: Any) -> Callable[[Callable[P, R]], FunctionFlow[P, R]]: ...
def flow(function: Any = None, /, **options: Any) -> Any:
    """Make a function a flow: ``@flow``, or with options ``@flow(name="nightly", retries=1)``.

    Parameters
    ----------
    function : callable
        What a run does: plain, ``async def``, a generator, a method.
    **options
        See :class:`~orch_notebook.functions.options.FlowOptions`.

    Raises
    ------
    UsageError
        There is no such option, or its value makes no sense.
    """
    made = make(FlowOptions, options)
    if function is None:
        return lambda function: FunctionFlow(function, made)
    return FunctionFlow(function, made)
