"""Flow runs that wait for a person: paused where they stand, and resumed with an answer.

In: from the flow, what it wants to know; from anybody, through the store, the answer.  Out: the answer, as the type
that was asked for.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from orch_notebook.errors import FlowRunTimedOut, MissingContext, NotFound, ParameterError, UsageError
from orch_notebook.functions.arguments import coerce
from orch_notebook.functions.futures import ring, wait_for_bell
from orch_notebook.functions.loops import AsyncCall, loops
from orch_notebook.functions.performances import Performance
from orch_notebook.model.runs import short_id
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.context import flow_scope, task_scope
from orch_notebook.runtime.home import open_home
from orch_notebook.runtime.places import this_place

__all__ = ["pause_flow_run", "resume_flow_run"]

#: The word with which a request to resume begins; what follows is the answer as JSON.
RESUME = "resume "


def pause_flow_run(wait_for_input: Any = None, timeout: float = 3600, key: str | None = None, **ignored: Any) -> Any:
    """Wait in the midst of a flow until somebody resumes its run; return the answer.

    Parameters
    ----------
    wait_for_input : type, optional
        What is asked for: a pydantic model, or a type such as ``int`` or ``list[str]``; without it, only the go-ahead.
    timeout : float
        Seconds to wait.
    key : str, optional
        Noted with the pause.

    Raises
    ------
    MissingContext
        No flow is running here.
    FlowRunTimedOut
        Nobody resumed it in time.
    """
    scope = flow_scope.get()
    if scope is None or scope.performance.is_implicit:
        raise MissingContext("pause_flow_run() pauses a flow run, and no flow is running here.")
    if task_scope.get() is not None:
        raise UsageError("A task cannot pause its flow run; call pause_flow_run() in the flow itself.")
    pause = _Pause(scope.performance, wait_for_input, timeout, key)
    if scope.is_async:
        return AsyncCall(pause.wait_async, "pause_flow_run()")
    return pause.wait()


class _Pause:
    """One pause of a run."""

    def __init__(self, performance: Performance, wanted: Any, timeout: float, key: str | None) -> None:
        self._performance = performance
        self._wanted = wanted
        self._timeout = timeout
        self._key = key
        self._answer: Any = None
        self._has_answer = False
        self._refused = ""
        self._tell: Callable[[], object] = lambda: None

    def _begin(self, tell: Callable[[], object]) -> None:
        self._tell = tell
        self._performance.resumed = self._take
        what = f" Waits for {_named(self._wanted)}." if self._wanted is not None else ""
        self._performance.engine.change(State(StateType.PAUSED, "Paused", f"{self._key or ''}{what}".strip()))
        self._performance.engine.call_at(self._timeout, tell)

    def _take(self, answer: Any) -> None:
        """Take an answer, in the thread that asks for requests; one that does not fit is logged and waited on."""
        try:
            self._answer = answer if self._wanted is None else coerce("input", answer, self._wanted, "the pause")
        except ParameterError as error:
            self._refused = str(error)
            self._performance.log("", 1, 40, f"Not resumed: {error}")
            return
        self._has_answer = True
        self._tell()

    def _end(self) -> Any:
        self._performance.resumed = None
        if not self._has_answer:
            run_id = self._performance.run_id
            said = f" The last answer was refused: {self._refused}" if self._refused else ""
            raise FlowRunTimedOut(f"Nobody resumed the run within {self._timeout:g} s.{said}", run_id=run_id)
        self._performance.engine.change(State(StateType.RUNNING))
        return self._answer

    def wait(self) -> Any:
        """Wait in this thread."""
        bell = threading.Lock()
        bell.acquire()
        with this_place().quiet():
            self._begin(lambda: ring(bell))
            wait_for_bell(bell)
            return self._end()

    async def wait_async(self) -> Any:
        """Wait in this event loop."""

        def tell_later(callback: Callable[[], object]) -> bool:
            self._begin(callback)
            return True

        await loops().until(tell_later)
        return self._end()


def _named(wanted: Any) -> str:
    fields = getattr(wanted, "model_fields", None)
    name = getattr(wanted, "__name__", str(wanted))
    return f"{name} ({', '.join(fields)})" if isinstance(fields, dict) else name


def resume_flow_run(run_id: str, run_input: Any = None) -> None:
    """Let a paused flow run go on, wherever it is performed, with the answer that it waits for.

    Raises
    ------
    NotFound
        There is no such run.
    UsageError
        It is not paused.
    """
    home = open_home()
    run = home.store.run(run_id)
    if run is None:
        raise NotFound(f"There is no run {run_id!r}.", run_id=run_id)
    if run.state.type is not StateType.PAUSED:
        raise UsageError(f"Run {short_id(run_id)} is {run.state.name}, not paused.", run_id=run_id)
    if hasattr(run_input, "model_dump"):
        run_input = run_input.model_dump(mode="json")
    home.store.request(run_id, RESUME + json.dumps(run_input), home.clock.now())
