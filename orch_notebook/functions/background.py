"""Calls of tasks that are put by: whoever makes one goes on at once, a worker performs it.

In: ``send_mail.delay(to)``.  Out: a future that waits for the end through the store, so the worker may be any process
on this store; and for the worker, the call as it was made.  Task and arguments travel pickled and signed: only what
this installation has written is ever unpickled.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import NotFound, TaskCancelled, TaskCrashed, TaskError, UsageError
from orch_notebook.functions.arguments import bind, find
from orch_notebook.functions.beginnings import new_run, shown
from orch_notebook.functions.futures import Future, wait_for_bell
from orch_notebook.functions.loops import loops
from orch_notebook.functions.outcomes import Outcome
from orch_notebook.functions.performances import Performance
from orch_notebook.model.deployments import Plan
from orch_notebook.model.lines import first_line
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.context import FlowScope, added_tags, flow_scope
from orch_notebook.runtime.home import Home, open_home
from orch_notebook.runtime.pickling import from_bytes, to_bytes
from orch_notebook.runtime.places import main_thread_signals, this_place
from orch_notebook.runtime.store import Lease

if TYPE_CHECKING:
    from orch_notebook.functions.tasks import FunctionTask

__all__ = ["BackgroundFuture", "TaskCall", "delay", "queue_of"]

#: Seconds between looks at how a run stands that another process performs.
LOOK_EVERY = 0.1


def queue_of(task: FunctionTask[..., Any]) -> str:
    """Return the queue in which the calls of a task wait."""
    module = getattr(task.fn, "__module__", None) or ""
    if module == "__main__":
        module = Path(getattr(sys.modules[module], "__file__", None) or "main").stem
    return f"task.{module}.{task.name}".replace(" ", "-")


def delay(task: FunctionTask[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> BackgroundFuture:
    """Put a call of a task by, to be performed by a worker.

    Raises
    ------
    UsageError
        An argument is a future: it lives in this process, and so does what it waits for.
    TypeError
        The arguments do not fit the task, or cannot be pickled.
    """
    bind(task.fn, args, kwargs)
    found: dict[Future, bool] = {}
    for value in (*args, *kwargs.values()):
        find(value, found)
    if found:
        raise UsageError(f"Task {task.name!r} is given a future, for which no other process can wait; pass its result.")
    home = open_home()
    tags = tuple(dict.fromkeys((*task.tags, *added_tags.get())))
    parameters = {name: shown(value) for name, value in task.named(args, dict(kwargs)).items()}
    run = new_run(home, task.name, tags=tags, parameters=parameters, due=True)
    call = to_bytes((task, args, dict(kwargs)))
    home.results.keep(_place(run.run_id, "call"), {"paths": list(sys.path), "call": call}, run.run_id)
    plan = Plan("", "", str(Path.cwd()), queue=queue_of(task), tags=tags, entrypoint=f":{task.name}")
    home.store.create_run(run, plan=plan)
    return BackgroundFuture(home, run.run_id, task.name)


def _place(run_id: str, what: str) -> str:
    return f"background/{run_id}/{what}"


class BackgroundFuture:
    """A call that was put by, and in time what came of it.

    Attributes
    ----------
    run_id, task_run_id : str
        Its run, and the only task run in it.
    """

    def __init__(self, home: Home, run_id: str, name: str) -> None:
        self._home = home
        self._name = name
        self.run_id = run_id
        self.task_run_id = f"{run_id}/{name}"

    def _run(self) -> FlowRun:
        run = self._home.store.run(self.run_id)
        if run is None:
            raise NotFound(f"There is no run {self.run_id!r} any more.", run_id=self.run_id)
        return run

    @property
    def state(self) -> Outcome:
        """How it stands, or ended."""
        run = self._run()
        if not run.state.is_final:
            return Outcome(run.state.type, run.state.name, run.state.message)
        value, error = self._left(run.state)
        is_well = run.state.type is StateType.COMPLETED
        return Outcome(run.state.type, run.state.name, run.state.message, value if is_well else error)

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._run().state.is_final

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; whether it has come within `timeout` seconds."""
        give_up_at = None if timeout is None else time.monotonic() + timeout
        bell = threading.Lock()
        bell.acquire()
        while not self.is_done:
            left = LOOK_EVERY if give_up_at is None else min(LOOK_EVERY, give_up_at - time.monotonic())
            if left <= 0:
                return False
            wait_for_bell(bell, left)
        return True

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Wait for the end and return what the task returned.

        Raises
        ------
        TimeoutError
            It has not ended in time; perhaps no worker is running.
        Exception
            What the task raised.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"Task {self._name!r} has not ended within {timeout:g} s.")
        return self.state.result(raise_on_failure)

    def _left(self, state: State) -> tuple[Any, BaseException | None]:
        """Return the value that it left, or the error."""
        kept = self._home.results.load(_place(self.run_id, "end"))
        if kept is not None and (state.type is StateType.COMPLETED) == (kept.values["error"] is None):
            return kept.values["value"], kept.values["error"]
        who = f"Task {self._name!r}"
        if state.type is StateType.COMPLETED:
            raise TaskError(f"{who} completed, but what it returned could not be pickled.", task=self._name)
        if state.type is StateType.CANCELLED:
            return None, TaskCancelled(f"{who} was cancelled. {state.message}".rstrip(), task=self._name)
        if state.type is StateType.CRASHED:
            return None, TaskCrashed(f"{who} crashed. {state.message}".rstrip(), task=self._name)
        return None, TaskError(f"{who} failed. {state.message}".rstrip(), task=self._name)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._await().__await__()

    async def _await(self) -> Any:
        while not self.is_done:
            await loops().sleep(LOOK_EVERY)
        return self.state.result()

    def __repr__(self) -> str:
        return f"<Background call of {self._name!r}: {self._run().state.name}>"


class TaskCall:
    """A call that was put by, as the worker performs it that has claimed its run.

    Parameters
    ----------
    home : Home
        Where it is recorded.
    run, lease : FlowRun, Lease
        The run, and the claim.

    Raises
    ------
    UsageError
        The call was not written by this installation, or can no longer be read.
    """

    def __init__(self, home: Home, run: FlowRun, lease: Lease) -> None:
        kept = home.results.load(_place(run.run_id, "call"))
        if kept is None:
            raise UsageError("The call is not there, or was not written by this installation.", run_id=run.run_id)
        sys.path += [path for path in kept.values["paths"] if path not in sys.path]
        try:
            self._task, self._args, self._kwargs = from_bytes(kept.values["call"])
        except Exception as error:  # noqa: BLE001 - the modules that it comes from may have changed
            said = f"{type(error).__name__}: {first_line(error)}"
            raise UsageError(f"The call cannot be read: {said}", run_id=run.run_id) from None
        self._home = home
        self._run = run
        self._lease = lease
        self._performance: Performance | None = None
        self.given_up: State | None = None

    def give_up(self, state: State) -> None:
        """End the run in this state, whatever is being performed; called from another thread."""
        self.given_up = state
        if self._performance is not None:
            self._performance.engine.give_up(state)

    def run(self) -> Outcome:
        """Perform it in this thread, and return how it ended once that is stored."""
        task, run = self._task, self._run
        performance = Performance(self._home, run, lease=self._lease, is_implicit=True)
        self._performance = performance
        scope = FlowScope(run.run_id, run.flow, run.flow, tags=run.tags, due_at=run.due_at, performance=performance)
        token = flow_scope.set(scope)
        try:
            with main_thread_signals(), this_place().quiet():
                if task.is_async:
                    future = performance.submit(task, self._args, self._kwargs)
                    future.wait()
                else:
                    future = performance.call(task, self._args, self._kwargs)
            outcome = future.outcome()
            self._keep(outcome)
        finally:
            flow_scope.reset(token)
            performance.engine.close()
        performance.course.join()
        return outcome

    def _keep(self, outcome: Outcome) -> None:
        """Leave value or error for whoever waits; what cannot be pickled is told by the state alone."""
        is_well = outcome.is_completed()
        values = {"value": outcome.data if is_well else None, "error": None if is_well else outcome.data}
        place = _place(self._run.run_id, "end")
        try:
            self._home.results.keep(place, values, self._run.run_id)
        except Exception as error:  # noqa: BLE001
            performance: Any = self._performance
            performance.log("", 1, 30, f"What it left could not be kept: {first_line(error)}")
