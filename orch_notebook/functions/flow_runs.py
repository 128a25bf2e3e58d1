"""One call of a flow: from its parameters to how its run ended.

In: a flow and validated arguments.  Out: what the function returned, or its state.  The body runs in the caller's
thread or event loop.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import FlowRunCancelled
from orch_notebook.functions.beginnings import beginning_of, given_to
from orch_notebook.functions.entrypoints import entrypoint_of, pin
from orch_notebook.functions.flow_ends import after_error, after_value, cancelled, timed_out
from orch_notebook.functions.given import inexact, keep_given
from orch_notebook.functions.hooks import call_hooks
from orch_notebook.functions.logs import logging_prints
from orch_notebook.functions.loops import loops
from orch_notebook.functions.options import part_options
from orch_notebook.functions.outcomes import Outcome
from orch_notebook.functions.performances import Performance
from orch_notebook.functions.tasks import FunctionTask
from orch_notebook.functions.waits import InLoop, InThread, Waits, run_through
from orch_notebook.model.deployments import Plan
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.calls import Call, TaskStopped
from orch_notebook.runtime.context import FlowScope, flow_scope, task_scope
from orch_notebook.runtime.home import open_home
from orch_notebook.runtime.places import main_thread_signals, this_place
from orch_notebook.runtime.store import Lease

if TYPE_CHECKING:
    from orch_notebook.functions.flows import FunctionFlow

__all__ = ["FlowCall"]

logger = logging.getLogger("orch_notebook")

#: Seconds that an interrupt waits for threads which cannot be stopped at once; then they are left to end by themselves.
PATIENCE = 2.0

T = StateType


class FlowCall:
    """One call of a flow."""

    def __init__(
        self,
        flow: FunctionFlow[..., Any],
        bound: inspect.BoundArguments,
        return_state: bool,
        earlier: FlowRun | None = None,
        *,
        claimed: tuple[FlowRun, Lease] | None = None,
        raw: Mapping[str, Any] = MappingProxyType({}),
        begun: Callable[[str], object] = lambda run_id: None,
    ) -> None:
        self.flow = flow
        self.earlier = earlier  # the run that it repeats
        self.claimed = claimed  # the run that it performs, where that was made beforehand
        self.raw = raw  # its parameters before they were made what the flow takes
        self.begun = begun
        self.given_up: State | None = None
        self.bound = bound
        self.return_state = return_state
        self.body: Call | None = None
        self.scope: FlowScope
        self.value: Any = None
        self.is_timed_out = False
        self.is_part = False  # of another flow, which keeps what this one returns
        self.is_stuck = False  # threads that cannot be stopped are left to end by themselves

    # as part of another flow

    def _part(self) -> FunctionTask[..., Any]:
        def begin(**parameters: Any) -> Any:
            return self.perform_async() if self.flow.is_async else self.perform()

        async def begin_async(**parameters: Any) -> Any:
            return await self.perform_async()

        part: FunctionTask[..., Any] = FunctionTask(
            begin_async if self.flow.is_async else begin, part_options(self.flow.options, self.flow.name)
        )
        part.source = self.flow.fn
        return part

    def as_part(self, wait_for: Any) -> Any:
        """Perform it as a task run of the flow whose code is running."""
        return_state, self.return_state, self.is_part = self.return_state, False, True
        parent: Performance = flow_scope.get().performance  # type: ignore[union-attr]
        with this_place().quiet():
            future = parent.call(self._part(), (), dict(self.bound.arguments), wait_for)
        return future.outcome() if return_state else future.take()

    async def as_part_async(self, wait_for: Any) -> Any:
        """Perform it as a task run of the flow whose code is running, in the same event loop."""
        return_state, self.return_state, self.is_part = self.return_state, False, True
        parent: Performance = flow_scope.get().performance  # type: ignore[union-attr]
        future = await loops().call(parent, self._part(), (), dict(self.bound.arguments), wait_for)
        return future.outcome() if return_state else future.take()

    # the run

    def _begin(self) -> tuple[Performance, FlowScope]:
        outer, task = flow_scope.get(), task_scope.get()
        flow = self.flow
        runner = flow.options.task_runner
        home = open_home()
        if isinstance(runner, type):
            runner = runner()
        run, scope, given, lossy = beginning_of(home, self, outer)
        self.scope = scope
        scope.performance = performance = Performance(
            home,
            run,
            lease=self.claimed[1] if self.claimed else None,
            runner=runner.make(home) if runner is not None else None,
            log_prints=bool(flow.options.log_prints),
            stop=self._stop,
        )
        if lossy and not self.is_part:
            keep_given(home, run.run_id, given, lossy)
        around = outer.performance if outer is not None else None
        performance.keeper.follow(flow.options, around.keeper if around is not None else None)
        if flow.retry_policy.retries:
            performance.keeper.remember()
        if task is not None and task.future is not None:
            task.future.facts = {"child_run_id": performance.run_id}
        self.begun(run.run_id)
        return performance, scope

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

    def _new_body(self, performance: Performance, attempt: int) -> Call:
        self.is_timed_out = False
        begin, end = lambda call: True, lambda call, details, error: None
        self.body = body = Call(self.flow.name, attempt, begin, self._call_body, end)
        # Who cancels the run says so first and then looks for its body, so one of us sees the other.
        if performance.is_stopped:
            body.stop_reason = "cancel"
        return body

    def run(self) -> Any:
        """Perform it in this thread, in an event loop of its own if need be."""
        return loops().run_anywhere(self.perform_async()) if self.flow.is_async else self.perform()

    def give_up(self, state: State) -> None:
        """End the run in this state, whatever is being performed; called from another thread."""
        self.given_up = state
        if (performance := self.scope.performance) is not None:
            performance.engine.give_up(state)

    def perform(self) -> Any:
        """Perform it in this thread."""
        place = this_place()
        with main_thread_signals(), place.quiet():
            outcome = run_through(self._go(InThread(place)))
        __tracebackhide__ = True
        return self._give(outcome)

    async def perform_async(self) -> Any:
        """Perform it in this event loop."""
        return self._give(await self._go(InLoop()))

    async def _go(self, waits: Waits) -> Outcome:
        """Take the run from its beginning to its stored end, and return how it ended."""
        performance, scope = self._begin()
        tokens = flow_scope.set(scope), task_scope.set(None)
        outcome: Outcome | None = None
        try:
            call_hooks("on_running", self.flow, scope, Outcome(T.RUNNING))
            while outcome is None:
                body = self._new_body(performance, scope.attempt)
                self._start_clock(performance)
                error = await waits.body(body, self._await_body)
                self._before_the_end(performance, error)
                self.is_stuck = not await waits.idle(performance, self._patience(performance, error))
                outcome = self._outcome(performance, error)
                delay = self._delay(performance, scope, outcome)
                if delay is not None:
                    outcome = None
                    await waits.pause(performance, delay)
                    self._again(performance, scope)
        except BaseException as error:  # noqa: BLE001 - an interrupt, while the run's end was waited for
            performance.engine.cancel("Interrupted.")
            outcome = cancelled(performance, error)
            self.is_stuck = True
        finally:
            flow_scope.reset(tokens[0])
            task_scope.reset(tokens[1])
        outcome = self._close(performance, outcome)
        await waits.end(performance, is_stuck=self.is_stuck)
        return outcome

    async def _await_body(self) -> None:
        with self._prints():
            value: Any = self.flow.fn(*self.bound.args, **self.bound.kwargs)
            self.value = await loops().drain(value) if self.flow._is_generator else await value

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
            or outcome.is_paused()
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
        if self.given_up is not None:
            said = FlowRunCancelled(self.given_up.message, run_id=performance.run_id)
            return Outcome(self.given_up.type, message=self.given_up.message, data=said)
        if performance.engine.run_type is T.CANCELLING:
            return cancelled(performance, error if self._is_left or isinstance(error, KeyboardInterrupt) else None)
        if isinstance(error, TaskStopped) and self.is_timed_out:
            return timed_out(performance, self.flow.timeout)
        return after_error(performance, error) if error is not None else after_value(performance, self.value)

    def _close(self, performance: Performance, outcome: Outcome) -> Outcome:
        """Say how the run ends, once what it returned is kept where it is to be; return what its caller is given."""
        if outcome.is_paused():
            self._leave(performance, outcome)
            return outcome
        hooks = {T.COMPLETED: "on_completion", T.FAILED: "on_failure", T.CANCELLED: "on_cancellation"}
        call_hooks(hooks.get(outcome.type, "on_crashed"), self.flow, self.scope, outcome)
        kept = None
        if outcome.is_completed() and self.flow.keeps_result and not self.is_part:
            kept = performance.keeper.keep_returned(self.flow.options, outcome.data, performance.log)
        performance.engine.close(outcome.to_state() if outcome.is_final() else None)
        if kept is None or self.flow.options.cache_result_in_memory or not self.return_state:
            return outcome
        self.value = None
        return Outcome(outcome.type, outcome.name, outcome.message, kept)

    def _leave(self, performance: Performance, outcome: Outcome) -> None:
        """Leave the run to whoever goes on with it: what it was given is kept, and how a worker finds the flow."""
        home, lease = performance.home, performance.engine.journal.lease
        given = given_to(self)
        keep_given(home, performance.run_id, given, inexact(given, performance.run.parameters), is_limited=False)
        place = entrypoint_of(self.flow)
        if place is not None and self.claimed is None:
            pinned = pin(place.file, home.settings.folder("snapshots"))
            plan = Plan(str(place.file), str(pinned), str(Path.cwd()), entrypoint=place.text)
            home.store.plan_run(lease, plan)
        performance.engine.leave(outcome.to_state())

    def _give(self, outcome: Outcome) -> Any:
        if self.return_state and not (outcome.is_cancelled() and isinstance(outcome.data, KeyboardInterrupt)):
            return outcome
        __tracebackhide__ = True
        return self.give(outcome)

    def give(self, outcome: Outcome) -> Any:
        """Return what the function returned, or raise why it did not.

        Raises
        ------
        FlowRunSuspended
            It has not ended.
        Exception
            What the function raised.
        """
        __tracebackhide__ = True
        if outcome.is_paused():
            raise outcome.data
        return outcome.result()
