"""Flow runs that wait for a person: paused where they stand, or suspended, which holds no process meanwhile.

In: from the flow, what it wants to know; from anybody, through the store, the answer.  Out: the answer, as the type
that was asked for.  Each pause of a flow is asked once, also if its body runs again: the answer stands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from orch_notebook.errors import FlowRunSuspended, FlowRunTimedOut, MissingContext, ParameterError, UsageError
from orch_notebook.functions.arguments import coerce
from orch_notebook.functions.futures import ring, wait_for_bell
from orch_notebook.functions.loops import AsyncCall, loops
from orch_notebook.functions.outcomes import Suspension
from orch_notebook.functions.performances import Performance
from orch_notebook.functions.schemas import fields_of, words_of
from orch_notebook.model.parameters import Parameter
from orch_notebook.model.runs import short_id
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.context import FlowScope, flow_scope, task_scope
from orch_notebook.runtime.places import this_place
from orch_notebook.runtime.store.pauses import Pause

__all__ = ["pause_flow_run", "suspend_flow_run"]


def pause_flow_run(
    wait_for_input: Any = None, timeout: float = 3600, key: str | None = None, poll_interval: float = 10
) -> Any:
    """Wait in the midst of a flow until somebody resumes its run; return the answer.

    Parameters
    ----------
    wait_for_input : type, optional
        What is asked for: a pydantic model, or a type such as ``int`` or ``list[str]``; without it, only the go-ahead.
    timeout : float
        Seconds to wait.
    key : str, optional
        Which pause of the flow this is; by default told by its place among them.
    poll_interval : float
        For code that says it to Prefect; an answer is noticed within half a second, whatever it is.

    Raises
    ------
    MissingContext
        No flow is running here.
    FlowRunTimedOut
        Nobody resumed it in time.

    Notes
    -----
    A body that runs again, because of ``retries`` or because the run is repeated, is given the same answer at once.
    """
    scope = _scope("pause")
    waiting = _Waiting(scope.performance, wait_for_input, timeout, key)
    if scope.is_async:
        return AsyncCall(waiting.wait_async, "pause_flow_run()")
    return waiting.wait()


def suspend_flow_run(wait_for_input: Any = None, timeout: float = 3600, key: str | None = None) -> Any:
    """Leave a flow until somebody resumes its run; then it begins again elsewhere, and here returns the answer.

    What was submitted is let end first.  The run holds no process while it waits.  When it goes on, the body runs from
    its top, and what had completed is not run again.

    Parameters
    ----------
    wait_for_input : type, optional
        What is asked for: a pydantic model, or a type such as ``int`` or ``list[str]``; without it, only the go-ahead.
    timeout : float
        Seconds to wait; then the run fails.
    key : str, optional
        Which pause of the flow this is; by default told by its place among them.

    Raises
    ------
    MissingContext
        No flow is running here.
    UsageError
        It is part of another flow, whose process waits for it.
    FlowRunTimedOut
        Nobody resumed it in time.
    """
    scope = _scope("suspend")
    if scope.parent_run_id is not None:
        raise UsageError("A flow that another one waits for cannot be suspended; suspend the outer one, or pause this.")
    waiting = _Waiting(scope.performance, wait_for_input, timeout, key)
    if scope.is_async:
        return AsyncCall(waiting.leave_async, "suspend_flow_run()")
    return waiting.leave()


def _scope(verb: str) -> FlowScope:
    scope = flow_scope.get()
    if scope is None or scope.performance is None or scope.performance.is_implicit:
        raise MissingContext(f"{verb}_flow_run() {verb}s a flow run, and no flow is running here.")
    if task_scope.get() is not None:
        raise UsageError(f"A task cannot {verb} its flow run; call {verb}_flow_run() in the flow itself.")
    return scope


class _Waiting:
    """One pause of a run."""

    def __init__(self, performance: Performance, wanted: Any, timeout: float, key: str | None) -> None:
        self._performance = performance
        self._wanted = wanted
        self._timeout = timeout
        self._key = key or performance.next_pause()
        self._answer: Any = None
        self._has_answer = False
        self._refused = ""
        self._tell: Callable[[], object] = lambda: None
        self._pause: Pause

    @property
    def _waits_for(self) -> str:
        what = f"Waits for {_named(self._wanted)}." if self._wanted is not None else "Waits for the go-ahead."
        return what if self._key.startswith("pause-") else f"{self._key}: {what}"

    def _ask(self) -> bool:
        """Note the question in the store; whether it has been answered already."""
        home, kind = self._performance.home, "none"
        schema: tuple[Parameter, ...] = ()
        if self._wanted is not None:
            schema = fields_of(self._wanted) or (Parameter("input", words_of(self._wanted), required=True),)
            kind = "model" if fields_of(self._wanted) else "value"
        now = home.clock.now()
        asked = Pause(
            self._performance.keeper.line,
            self._key,
            self._performance.run_id,
            kind,
            [each.to_json() for each in schema],
            now + timedelta(seconds=self._timeout),
        )
        self._pause = home.store.ask(asked, now)
        return self._take(self._pause)

    def _take(self, pause: Pause | None) -> bool:
        """Take an answer if there is one; one that does not fit is logged, and waited on."""
        if pause is None or pause.answer is None:
            return False
        [answer] = pause.answer
        try:
            self._answer = answer if self._wanted is None else coerce("input", answer, self._wanted, "the pause")
        except ParameterError as error:
            self._refused = str(error)
            self._performance.home.store.refuse_answer(pause)
            self._performance.log("", 1, 40, f"Not resumed: {error}")
            return False
        self._has_answer = True
        return True

    # paused

    def _begin(self, tell: Callable[[], object]) -> None:
        self._tell = tell
        self._performance.look_for_answer = self._look
        self._performance.engine.change(State(StateType.PAUSED, "Paused", self._waits_for))
        self._performance.engine.call_at(self._timeout, tell)

    def _look(self) -> None:
        """Look for an answer, in the thread that asks for requests."""
        if self._take(self._performance.home.store.pause(self._pause.line, self._pause.key)):
            self._performance.look_for_answer = None
            self._tell()

    def _end(self) -> Any:
        self._performance.look_for_answer = None
        if not self._has_answer:
            raise self._too_late(f"within {self._timeout:g} s")
        self._performance.engine.change(State(StateType.RUNNING))
        return self._answer

    def _too_late(self, when: str) -> FlowRunTimedOut:
        said = f" The last answer was refused: {self._refused}" if self._refused else ""
        return FlowRunTimedOut(f"Nobody resumed the run {when}.{said}", run_id=self._performance.run_id)

    def wait(self) -> Any:
        """Wait in this thread."""
        bell = threading.Lock()
        bell.acquire()
        with this_place().quiet():
            if self._ask():
                return self._answer
            self._begin(lambda: ring(bell))
            wait_for_bell(bell)
            return self._end()

    async def wait_async(self) -> Any:
        """Wait in this event loop."""

        def tell_later(callback: Callable[[], object]) -> bool:
            self._begin(callback)
            return True

        if self._ask():
            return self._answer
        await loops().until(tell_later)
        return self._end()

    # suspended

    def leave(self) -> Any:
        """Return the answer if there is one; else leave the body."""
        with this_place().quiet():
            if self._ask():
                return self._answer
        run_id = self._performance.run_id
        if self._pause.expires_at <= self._performance.home.clock.now():
            raise self._too_late("in time")
        said = f"Run {short_id(run_id)} is suspended. {self._waits_for} Let it go on: orch resume {short_id(run_id)}"
        raise Suspension(FlowRunSuspended(said, run_id=run_id), self._waits_for)

    async def leave_async(self) -> Any:
        """Do as :meth:`leave` does."""
        return self.leave()


def _named(wanted: Any) -> str:
    fields = getattr(wanted, "model_fields", None)
    name = words_of(wanted)
    return f"{name} ({', '.join(fields)})" if isinstance(fields, dict) else name
