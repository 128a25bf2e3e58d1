"""Futures and states: what is known of a task run, and of how something ended."""

from __future__ import annotations

import threading

import pytest

from orch_notebook import Cancelled, Completed, Crashed, Failed, as_completed, flow, task, wait
from orch_notebook.functions.outcomes import Outcome
from orch_notebook.model.states import StateType
from tests.functions.conftest import PATIENCE
from tests.functions.meanings import elsewhere, means


def held():
    """Return a task that waits until it is let go, and the event that lets it go."""
    gate = threading.Event()
    return task(lambda word="done": gate.wait(PATIENCE) and word, name="held"), gate


@means("future.result", "future.result(timeout)", "future.result(raise_on_failure)")
def the_result_is_waited_for_or_the_error_given(stored) -> None:
    @flow
    def asks():
        work, gate = held()
        future = work.submit()
        with pytest.raises(TimeoutError, match="has not ended within"):
            future.result(timeout=0.01)
        gate.set()
        bad = task(lambda: 1 / 0).submit()
        with pytest.raises(ZeroDivisionError):
            bad.result()
        return future.result(), type(bad.result(raise_on_failure=False))

    assert asks() == ("done", ZeroDivisionError)


@means("future.wait", "future.wait(timeout)", "future.state")
def the_end_is_waited_for_and_the_state_told(stored) -> None:
    @flow
    def asks():
        work, gate = held()
        future = work.submit()
        before = (future.wait(0.01), future.state.is_final())
        gate.set()
        return before, future.wait(), future.state.name

    assert asks() == ((False, False), True, "Completed")


@means("future.add_done_callback", "future.add_done_callback(callback)")
def a_callback_is_told_at_the_end_or_at_once(stored) -> None:
    told = []

    @flow
    def asks():
        work, gate = held()
        future = work.submit()
        future.add_done_callback(lambda ended: told.append(("later", ended.name)))
        assert told == []
        gate.set()
        future.wait()
        future.add_done_callback(lambda ended: told.append(("at once", ended.name)))

    asks()
    assert told == [("later", "held"), ("at once", "held")]


@means("future.name", "future.task_run_id", "future.id", "future.run_count", "future.tags")
def a_future_says_which_task_run_it_is(stored) -> None:
    seen = []

    @flow
    def asks():
        future = task(lambda: 1, name="told", tags=["gpu"]).submit()
        future.wait()
        seen.append((future.name, future.task_run_id, future.id, future.run_count, future.tags))

    asks()
    [run] = stored.runs()
    assert seen == [("told", f"{run.run_id}/told", f"{run.run_id}/told", 1, ("gpu",))]
    assert run.tasks[0].task_run_id == seen[0][1]


@means("futures.wait", "futures.wait(timeout)", "futures.result", "futures.result(timeout)",
       "futures.result(raise_on_failure)")  # fmt: skip
def those_of_a_map_are_asked_together(stored) -> None:
    @flow
    def asks():
        work, gate = held()
        mapped = work.map(["a", "b"])
        mapped.wait(timeout=0.01)
        with pytest.raises(TimeoutError):
            mapped.result(timeout=0.01)
        gate.set()
        mapped.wait()
        bad = task(lambda x: 1 / x).map([1, 0])
        with pytest.raises(ZeroDivisionError):
            bad.result()
        return mapped.result(), [type(each).__name__ for each in bad.result(raise_on_failure=False)]

    assert asks() == (["a", "b"], ["float", "ZeroDivisionError"])


@means("wait", "wait(futures)", "wait(timeout)")
def several_are_waited_for_and_told_apart(stored) -> None:
    @flow
    def asks():
        work, gate = held()
        quick, slow = task(lambda: 1).submit(), work.submit()
        quick.wait()
        done, not_done = wait([quick, slow], timeout=0.01)
        found = (done == {quick}, not_done == {slow})
        gate.set()
        return found, len(wait([quick, slow]).done)

    assert asks() == ((True, True), 2)


@means("as_completed", "as_completed(futures)", "as_completed(timeout)")
def they_come_in_the_order_of_their_ends(stored) -> None:
    @flow
    def asks():
        work, gate = held()
        slow, quick = work.submit(), task(lambda: 1, name="quick").submit()
        coming = as_completed([slow, quick])
        names = [next(coming).name]
        with pytest.raises(TimeoutError, match="1 of 1"):
            list(as_completed([slow], timeout=0.01))
        gate.set()
        return [*names, *(future.name for future in coming)]

    assert asks() == ["quick", "held"]


elsewhere("tests/functions/test_async.py::test_an_asynchronous_flow_is_awaited", "future.__await__")


@means("state.is_scheduled", "state.is_pending", "state.is_running", "state.is_completed", "state.is_failed",
       "state.is_crashed", "state.is_cancelled", "state.is_cancelling", "state.is_paused",
       "state.is_final")  # fmt: skip
def a_state_is_asked_by_its_type(stored) -> None:
    final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
    for kind in StateType:
        outcome = Outcome(kind)
        asked = {name for name in dir(outcome) if name.startswith("is_") and getattr(outcome, name)()}
        assert asked == {f"is_{kind.lower()}"} | ({"is_final"} if kind in final else set())


def ends(made):
    """Return how a flow ends that returns this."""
    return flow(name="ends")(lambda: made)(return_state=True)


@means("state.result", "state.result(raise_on_failure)", "state.to_state",
       "Completed", "Completed(message)", "Completed(data)", "Completed(name)",
       "Failed", "Failed(message)", "Failed(data)", "Failed(name)",
       "Cancelled", "Cancelled(message)", "Cancelled(data)", "Cancelled(name)",
       "Crashed", "Crashed(message)", "Crashed(data)", "Crashed(name)")  # fmt: skip
def a_returned_state_says_how_it_ended(stored) -> None:
    for kind, type in ((Completed, "COMPLETED"), (Failed, "FAILED"), (Cancelled, "CANCELLED"), (Crashed, "CRASHED")):
        error = None if kind is Completed else ValueError("no rows")
        made = kind(message="why", data=5 if error is None else error, name="Mine")
        state = ends(made)
        assert (state.type, state.name, state.message) == (type, "Mine", "why")
        assert (stored.run().state.type, "Mine" in stored.run().state.message) == (type, True)
        assert state.result(raise_on_failure=False) is (error or 5)
        if error is not None:
            with pytest.raises(ValueError, match="no rows"):
                state.result()
