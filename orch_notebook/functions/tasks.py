"""``@task``: a function whose every call is a task run, with retries, timeouts, states and a place in the diagram.

In: a function and options.  Out: an object that is called like the function (the caller's thread does the work), or
submitted (another thread does), or mapped; inside a flow, inside another task, or outside of both.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar, overload

from orch_notebook.errors import TaskTimedOut
from orch_notebook.functions.arguments import bind, expand
from orch_notebook.functions.background import BackgroundFuture, delay
from orch_notebook.functions.doors import above
from orch_notebook.functions.futures import Future, FutureList
from orch_notebook.functions.implicit import performing
from orch_notebook.functions.loops import AsyncCall, loops
from orch_notebook.functions.options import MaterializeOptions, TaskOptions, changed, make, retry_policy
from orch_notebook.functions.outcomes import Outcome
from orch_notebook.functions.wrapping import Wrapped
from orch_notebook.model.states import StateType
from orch_notebook.model.tasks import Task
from orch_notebook.runtime.places import this_place

__all__ = ["FunctionTask", "task"]

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("orch_notebook")


class FunctionTask(Wrapped[P, R]):
    """A function whose calls are task runs.

    Attributes
    ----------
    fn : callable
        The function itself; calling it runs nothing but it.
    name : str
        The name its task runs bear.

    Examples
    --------
    >>> @task(retries=2)
    ... def double(x):
    ...     return 2 * x
    >>> double.fn(21)
    42
    >>> double
    <task 'double'>
    """

    def __init__(self, function: Callable[P, R], options: TaskOptions, prefix: tuple[Any, ...] = ()) -> None:
        super().__init__(function, options, prefix)
        self.source: Callable[..., Any] = self.fn  # what its results depend on
        self.options = options
        self.tags = tuple(dict.fromkeys(options.tags))
        self.when = options.when
        self.retry = retry_policy(options)
        self.run_name = options.task_run_name
        self.resources = tuple(options.resources.items())
        self.assets = options.assets if isinstance(options, MaterializeOptions) else ()
        self.asset_deps = options.asset_deps
        self.asset_keys = tuple([each.key for each in self.assets])
        self.asset_dep_keys = tuple([each.key for each in self.asset_deps])
        self.has_assets = bool(self.assets or self.asset_deps)
        self.is_elsewhere = options.runner not in (None, "threads")  # also when it is called directly
        self._has_hooks = bool(options.on_completion or options.on_failure)

    def __get__(self, instance: Any, owner: type | None = None) -> FunctionTask[..., R]:
        prefix = self._belongs_to(instance, owner)
        return FunctionTask(self.fn, self.options, prefix) if prefix else self

    def with_options(self, **options: Any) -> FunctionTask[P, R]:
        """Return a copy with some options changed; this one stays as it is."""
        return FunctionTask(self.fn, changed(self.options, options), self._prefix)

    # calling

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, return_state: bool, wait_for: Any = None, **kwargs: Any) -> Any: ...
    def __call__(  # type: ignore[misc]
        self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any
    ) -> Any:
        """Perform a task run in this thread and return what the function returns.

        Parameters
        ----------
        return_state : bool
            Return the state instead, whatever came of it.
        wait_for : list of futures, optional
            What must have ended well before, though nothing of it is needed.

        Raises
        ------
        Exception
            What the function raised, when no retry is left.
        """
        args = self._prefix + args
        if self.is_async:
            return AsyncCall(lambda: self._call_async(args, kwargs, wait_for, return_state), f"task {self.name!r}")
        with performing(self.name) as performance, this_place().quiet():
            future = performance.call(self, args, kwargs, wait_for)
        if return_state:
            return future.outcome()
        __tracebackhide__ = True
        return future.take()

    async def _call_async(self, args: Any, kwargs: Any, wait_for: Any, return_state: bool) -> Any:
        with performing(self.name, join=False) as performance:
            future = await loops().call(performance, self, args, kwargs, wait_for)
        if performance.is_implicit:
            await loops().until(performance.course.tell_end)
            performance.course.join()
        return future.outcome() if return_state else future.take()

    def submit(self, *args: Any, wait_for: Any = None, return_state: bool = False, **kwargs: Any) -> Any:
        """Have a task run performed elsewhere, as soon as what it needs is there; return its future at once.

        Parameters
        ----------
        *args, **kwargs
            What the function takes; futures among them, also inside lists and dicts, are waited for and replaced by
            their results.
        wait_for : list of futures, optional
            What must have ended well before, though nothing of it is needed.
        return_state : bool
            Wait, and return the state.
        """
        with performing(self.name, join=False) as performance, this_place().quiet():
            future = performance.submit(self, self._prefix + args, kwargs, wait_for)
        if return_state:
            future.wait()
            return future.state
        return future

    def map(
        self, *args: Any, wait_for: Any = None, return_state: bool = False, deferred: bool = False, **kwargs: Any
    ) -> Any:
        """Submit one task run for each element of what can be iterated over; return their futures.

        Arguments that cannot be iterated over, strings and what is wrapped in ``unmapped(…)`` are given to every one.

        Parameters
        ----------
        deferred : bool
            Put the calls by for a worker, as :meth:`delay` does.

        Raises
        ------
        UsageError
            Nothing can be iterated over, or the lengths differ.
        """
        calls = expand(self.fn, self._prefix + args, kwargs)
        if deferred:
            return [delay(self, given, named) for given, named in calls]
        with performing(self.name, join=False) as performance, this_place().quiet():
            futures = FutureList(performance.submit(self, given, named, wait_for) for given, named in calls)
        if return_state:
            futures.wait()
            return [future.state for future in futures]
        return futures

    def delay(self, *args: Any, **kwargs: Any) -> BackgroundFuture:
        """Put a call by, to be performed by a worker: by ``serve(task)`` anywhere, or by ``orch worker``.

        Returns
        -------
        BackgroundFuture
            Waits for the end through the store, whichever process brings it.

        Raises
        ------
        UsageError
            An argument is a future.
        """
        return delay(self, self._prefix + args, kwargs)

    def apply_async(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> BackgroundFuture:
        """Put a call by, as :meth:`delay` does."""
        return delay(self, self._prefix + tuple(args), dict(kwargs or {}))

    def serve(self, *, limit: int = 10) -> None:
        """Perform the calls of this task that were put by, until interrupted; `limit` at once."""
        above("serve")(self, limit=limit)

    # what a performance asks

    def spec(self, name: str, tags: tuple[str, ...]) -> Task:
        """Return a task run of this name as the machine and the store see it."""
        return Task(
            name,
            self.retry,
            self.timeout,
            tags,
            resources=self.resources,
            runner=self.options.runner or "",
            when=self.when,
            assets=self.asset_keys,
            asset_deps=self.asset_dep_keys,
        )

    def name_run(self, args: tuple[Any, ...], kwargs: Any) -> str:
        """Return the name of a task run that is called with these arguments."""
        wanted = self.run_name
        try:
            given = bind(self.fn, args, kwargs)
        except TypeError:  # it will fail when it is called, and say why
            return self.name
        if callable(wanted):
            named = wanted(**_accepted(wanted, {"parameters": given}))
            return str(named) or self.name
        return str(wanted).format(**given) or self.name

    def perform(self, future: Future, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function in this thread, for the attempt that begins."""
        self.tell_start(future)
        return self.run(args, kwargs)

    async def perform_async(self, future: Future, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Await the function in the loop that is running, for the attempt that begins."""
        self.tell_start(future)
        return await self._await(args, kwargs)

    def may_retry(self, error: BaseException, future: Future) -> bool:
        """Whether a failure is one that another attempt may mend, as the task's options say."""
        options = self.options
        if options.retry_on:
            wanted = (*options.retry_on, TaskTimedOut) if TimeoutError in options.retry_on else options.retry_on
            if not isinstance(error, wanted):
                return False
        if options.retry_condition_fn is not None and options.retries:
            state = Outcome(StateType.FAILED, message=str(error), data=error)
            try:
                return bool(options.retry_condition_fn(self, future, state))
            except Exception:
                logger.exception("retry_condition_fn of task %r failed, so it is not retried.", future.name)
                return False
        return True

    def tell_start(self, future: Future) -> None:
        """Call the hooks of an attempt that begins."""
        for hook in self.options.on_running:
            _call_hook(hook, self, future, Outcome(StateType.RUNNING))

    def tell_end(self, future: Future) -> None:
        """Call the hooks of a task run that has ended."""
        if not self._has_hooks:
            return
        now = future.state_now
        if now.type is StateType.COMPLETED:
            hooks: Iterable[Any] = self.options.on_completion
        elif now.type in (StateType.FAILED, StateType.CRASHED):
            hooks = self.options.on_failure
        else:
            return
        data = future.value if now.type is StateType.COMPLETED else future.failure()
        for hook in hooks:
            _call_hook(hook, self, future, Outcome(now.type, now.name, now.message, data))

    def on_completion(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function called after every task run that completes; for use as a decorator."""
        return self._add_hook("on_completion", hook)

    def on_failure(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function called after every task run that fails; for use as a decorator."""
        return self._add_hook("on_failure", hook)

    def on_rollback(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function called when the transaction around a task run is undone; for use as a decorator."""
        return self._add_hook("on_rollback", hook)

    def on_commit(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function called when the transaction around a task run commits; for use as a decorator."""
        return self._add_hook("on_commit", hook)

    def on_running(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function called when an attempt begins; for use as a decorator."""
        return self._add_hook("on_running", hook)

    def _add_hook(self, name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        self.options = changed(self.options, {name: (*getattr(self.options, name), hook)})
        self._has_hooks = bool(self.options.on_completion or self.options.on_failure)
        return hook

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"


def _accepted(function: Callable[..., Any], offered: dict[str, Any]) -> dict[str, Any]:
    """Return of what is offered the part that a function takes."""
    takes = inspect.signature(function).parameters
    return {name: value for name, value in offered.items() if name in takes}


def _call_hook(hook: Callable[..., Any], of: Any, run: Any, state: Outcome) -> None:
    """Call a hook; one that fails is logged, and changes nothing."""
    try:
        found = hook(of, run, state)
        if inspect.isawaitable(found):
            loops().run_anywhere(found)
    except Exception:
        logger.exception("The hook %r failed.", getattr(hook, "__name__", hook))


@overload
def task(function: Callable[P, R], /) -> FunctionTask[P, R]: ...
@overload
def task(**options: Any) -> Callable[[Callable[P, R]], FunctionTask[P, R]]: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Make a function a task: ``@task``, or with options ``@task(retries=3)``.

    Parameters
    ----------
    function : callable
        What a task run does: plain, ``async def``, a generator, a method.
    **options
        See :class:`~orch_notebook.functions.options.TaskOptions`.

    Raises
    ------
    UsageError
        There is no such option, or its value makes no sense.
    """
    made = make(TaskOptions, options)
    if function is None:
        return lambda function: FunctionTask(function, made)
    return FunctionTask(function, made)
