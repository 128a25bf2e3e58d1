"""``@flow``: a function whose call is a flow run, and in which the calls of tasks and of other flows belong together.

In: a function and options.  Out: an object that is called like the function.  The body runs in the caller's thread (or
event loop); what it submits runs beside it.  How the run ends, the body's outcome and the task runs' decide together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, overload

from orch_notebook.errors import NotFound, ParameterError, UsageError
from orch_notebook.functions.arguments import validate
from orch_notebook.functions.doors import above
from orch_notebook.functions.faces import bundle_of, panel_of
from orch_notebook.functions.flow_runs import FlowCall
from orch_notebook.functions.given import given_of, spread
from orch_notebook.functions.keeping import kept_return
from orch_notebook.functions.loops import AsyncCall, loops
from orch_notebook.functions.options import FlowOptions, changed, retry_policy
from orch_notebook.functions.resuming import answer
from orch_notebook.functions.tracing import Diagram, trace
from orch_notebook.functions.wrapping import Wrapped
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.states import StateType
from orch_notebook.runtime.context import flow_scope
from orch_notebook.runtime.home import open_home
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.recovery import end_if_lost
from orch_notebook.runtime.store import Lease

__all__ = ["FunctionFlow"]

P = ParamSpec("P")
R = TypeVar("R")

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
    >>> from orch_notebook import flow
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
        how = (options.result_storage, options.result_serializer, None if options.cache_result_in_memory else "away")
        #: Whether what a run returns is kept.
        self.keeps_result = options.persist_result or (options.persist_result is None and any(how))
        #: What is noted with every run: the version and the first line of the description.
        self.about = {key: text for key, text in self._about() if text}

    def _about(self) -> Iterable[tuple[str, str]]:
        yield "version", self.options.version or ""
        yield "description", self.description.partition("\n")[0]

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
        run = self._made(self._prefix + args, kwargs, return_state)
        scope = flow_scope.get()
        is_part = scope is not None and scope.performance is not None and not scope.performance.is_implicit
        if self.is_async:
            begin = (lambda: run.as_part_async(wait_for)) if is_part else run.perform_async
            return AsyncCall(begin, f"flow {self.name!r}")
        __tracebackhide__ = True
        return run.as_part(wait_for) if is_part else run.perform()

    def _made(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], return_state: bool, **more: Any) -> FlowCall:
        """Return the call with these arguments."""
        bound = self._bound(args, kwargs)
        raw = dict(bound.arguments)
        return FlowCall(self, self._valid(bound), return_state, raw=raw, **more)

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            bound = inspect.signature(self.fn).bind(*args, **kwargs)
        except TypeError as error:
            raise ParameterError(f"Flow {self.name!r}: {error}.") from None
        bound.apply_defaults()
        return bound

    def _valid(self, bound: inspect.BoundArguments) -> inspect.BoundArguments:
        if self.options.validate_parameters:
            bound.arguments.update(validate(self.fn, bound.arguments, self.name))
        return bound

    def _named_anew(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return by parameter what is given, though it need not be all."""
        try:
            return dict(inspect.signature(self.fn).bind_partial(*args, **kwargs).arguments)
        except TypeError as error:
            raise ParameterError(f"Flow {self.name!r}: {error}.") from None

    def retry(self, run_id: str, *args: Any, return_state: bool = False, **kwargs: Any) -> Any:
        """Perform a run again that did not end well: what completed in it is not run again, what failed is.

        Parameters
        ----------
        run_id : str
            The run, by its id.
        *args, **kwargs
            Parameters of the flow that are to be others; those that are not given are what they were.

        Raises
        ------
        NotFound
            There is no such run of this flow.
        UsageError
            It has not ended, has completed, or was repeated already.
        ParameterError
            A parameter is not what the flow takes; or one that is not given could not be kept.
        """
        home = open_home()
        end_if_lost(home.store, run_id, this_owner(), home.clock.now())
        earlier = home.store.run(run_id)
        if earlier is None or earlier.flow != self.name:
            raise NotFound(f"Flow {self.name!r} has no run {run_id!r}.", run_id=run_id)
        if not earlier.state.is_final or earlier.state.type is T.COMPLETED:
            raise UsageError(f"Run {short_id(run_id)} is {earlier.state.name}; only what did not end well is repeated.")
        anew = self._named_anew(self._prefix + args, kwargs)
        given = spread(self.fn, {**given_of(home, earlier, anew), **anew})
        run = self._made(*given, return_state, earlier=earlier)
        return AsyncCall(run.perform_async, f"flow {self.name!r}") if self.is_async else run.perform()

    def result(self, run_id: str) -> Any:
        """Return what a completed run of this flow returned, where the flow keeps that.

        It does with ``persist_result=True``, or where it says how (`result_storage`, `result_serializer`).

        Raises
        ------
        NotFound
            There is no such run, or what it returned was not kept.
        """
        found = kept_return(open_home(), run_id, self.options.result_serializer)
        if found is None:
            raise NotFound(
                f"What run {short_id(run_id)} of flow {self.name!r} returned is not kept. @flow(persist_result=True) "
                "keeps it.",
                run_id=run_id,
            )
        return found[0]

    def claimed(self, run: FlowRun, lease: Lease) -> FlowCall:
        """Return the call that performs a run which was made beforehand and is owned by this process.

        Raises
        ------
        ParameterError
            Its parameters are not what the function takes.
        """
        given = spread(self.fn, given_of(open_home(), run))
        return self._made(*given, True, claimed=(run, lease))

    def prepared(self, parameters: Mapping[str, Any], begun: Callable[[str], object]) -> FlowCall:
        """Return the call with these parameters, which tells the id of its run when it begins.

        Raises
        ------
        ParameterError
            They are not what the function takes.
        """
        return self._made((), parameters, True, begun=begun)

    def visualize(self, *args: Any, **kwargs: Any) -> Diagram:
        """Draw the tasks that a call with these arguments would run, without running them.

        The flow's own code runs. What a task returns is what its ``viz_return_value`` says; the flow may pass it on
        without one, but not look into it.

        Returns
        -------
        Diagram
            Shown in place by a notebook; ``save(path)`` writes it as SVG.

        Raises
        ------
        UsageError
            The flow uses what a task returns, and nobody has said what that is like.

        Examples
        --------
        >>> from orch_notebook import flow, task
        >>> double = task(lambda x: 2 * x, name="double")
        >>> flow(lambda n: double(double(n)), name="fourfold").visualize(1)
        double
        double-2  ← double
        """
        given = self._valid(self._bound(self._prefix + args, kwargs))

        def body() -> object:
            value: Any = self.fn(*given.args, **given.kwargs)
            if inspect.iscoroutine(value):
                return loops().run_anywhere(value)
            return list(value) if inspect.isgenerator(value) else value

        return trace(self.name, body)

    def deploy(self, name: str, **terms: Any) -> Any:
        """Make the flow run by itself: on a schedule or on request, performed by any ``orch worker``.

        Parameters
        ----------
        name : str
            The deployment's.
        **terms
            See :func:`orch_notebook.promotion.serving.deploy_flow`.
        """
        return above("deploy_flow")(self, name, **terms)

    def to_deployment(self, name: str, **terms: Any) -> Any:
        """Make the flow run by itself as :meth:`deploy` does, with a queue of its own: for ``serve(…)`` of several.

        Parameters
        ----------
        name : str
            The deployment's, and its queue's unless `terms` say otherwise.
        **terms
            See :func:`orch_notebook.promotion.serving.deploy_flow`.
        """
        return self.deploy(name, **{"queue": name, **terms})

    def serve(self, name: str | None = None, **terms: Any) -> None:
        """Make the flow run by itself, and perform its runs from here until interrupted.

        Parameters
        ----------
        name : str, optional
            The deployment's; by default the flow's.
        **terms
            See :func:`orch_notebook.promotion.serving.serve_flow`.
        """
        above("serve_flow")(self, name, **terms)

    def resume(self, run_id: str, run_input: Any = None, *, return_state: bool = False) -> Any:
        """Go on with a suspended run of this flow here, with the answer that it waits for.

        Returns
        -------
        object
            What the function returns.

        Raises
        ------
        NotFound
            There is no such run of this flow.
        UsageError
            It is not suspended, or somebody else goes on with it.
        ParameterError
            The answer is not what it asks for.
        """
        home = open_home()
        run = home.store.run(run_id)
        if run is None or run.flow != self.name:
            raise NotFound(f"Flow {self.name!r} has no run {run_id!r}.", run_id=run_id)
        if run.state.name != "Suspended":
            raise UsageError(f"Run {short_id(run_id)} is {run.state.name}, not suspended.", run_id=run_id)
        if hasattr(run_input, "model_dump"):
            run_input = run_input.model_dump(mode="json")
        answer(home, run, run_input)
        home.store.wake_run(run_id, home.clock.now())
        expires_at = home.clock.now() + timedelta(seconds=home.settings.lease)
        lease = home.store.claim_run(run_id, this_owner(), "", expires_at, is_limited=False)
        if lease is None:
            raise UsageError(f"A worker goes on with run {short_id(run_id)} already.", run_id=run_id)
        call = self.claimed(run, lease)
        try:
            outcome = call.run()
        finally:
            home.store.release(lease)
        return outcome if return_state else call.give(outcome)

    def panel(self) -> Any:
        """Return the panel of this flow's runs; where nobody could click, its static view.

        Raises
        ------
        UsageError
            The notebook's extension is not loaded.
        """
        return panel_of(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return bundle_of(self, include=include, exclude=exclude)

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
