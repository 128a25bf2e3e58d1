"""Flows that are suspended: they hold no process while they wait, and go on elsewhere without doing anything twice."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import BaseModel

from orch_notebook import flow, pause_flow_run, resume_flow_run, suspend_flow_run, task
from orch_notebook.errors import (
    FlowRunSuspended,
    FlowRunTimedOut,
    MissingContext,
    NotFound,
    ParameterError,
    UsageError,
)
from orch_notebook.functions.resuming import resume
from orch_notebook.promotion.upkeep import cancel, sweep
from orch_notebook.runtime.owners import this_owner
from tests.functions.conftest import in_time, when_paused

#: Seconds.  The clock of a night moves whenever the run looks for requests, so what must not have passed is far away.
MONTH = 30 * 86_400

calls: list[object] = []


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


class Approval(BaseModel):
    approved: bool
    by: str = "nobody"


@task
def load(n):
    calls.append("load")
    return list(range(n))


@task
def total(values, extra):
    calls.append("total")
    return sum(values) + extra


@flow
def asks(n, wanted=int):
    values = load(n)
    try:
        answer = suspend_flow_run(wait_for_input=wanted)
    except Exception:
        raise AssertionError("The suspension is none of the body's errors.") from None
    return answer if wanted is not int else total(values, answer)


@flow
async def asks_async(n):
    values = load(n)
    return total(values, await suspend_flow_run(wait_for_input=int))


def suspended(a_flow, *args, **kwargs):
    """Run a flow until it is suspended, and return its run's id."""
    with pytest.raises(FlowRunSuspended, match="orch resume"):
        call = in_time(a_flow, *args, **kwargs)
        if a_flow.is_async:
            call.run()
    from orch_notebook.runtime.home import open_home

    return open_home().store.runs()[0].run_id


@pytest.mark.parametrize("a_flow", [asks, asks_async], ids=["plain", "async"])
def test_a_suspended_run_goes_on_where_it_was(stored, a_flow) -> None:
    """It is the same run; what had completed is not run again; what comes after gets the answer."""
    run_id = suspended(a_flow, 4)
    waiting = stored.home.store.run(run_id)
    assert (waiting.state.name, waiting.state.message) == ("Suspended", "Waits for int.")
    assert stored.home.store.owned_runs() == []
    assert in_time(a_flow.resume, run_id, 10) == 16
    run = stored.run()
    assert run.run_id == run_id and run.state.name == "Completed"
    assert [(each.name, each.state.name) for each in run.tasks] == [("load", "Completed"), ("total", "Completed")]
    assert calls == ["load", "total"]


@pytest.mark.parametrize("how", ["called", "submitted"])
def test_what_was_made_from_a_result_is_not_made_again(stored, how) -> None:
    """A list that a task returned counts as that task's result, before the suspension and after it."""

    @flow
    def makes_then_asks():
        values = load(3) if how == "called" else load.submit(3).result()
        found = total(values, 0) if how == "called" else total.submit(values, 0).result()
        return found + suspend_flow_run(wait_for_input=int)

    assert in_time(makes_then_asks.resume, suspended(makes_then_asks), 10) == 13
    assert calls == ["load", "total"]


def test_parameters_come_back_as_they_were(stored) -> None:
    """Also those that JSON cannot hold: a class here, which the store shows as text alone."""
    run_id = suspended(asks, 1, Approval)
    found = in_time(asks.resume, run_id, {"approved": "yes"})
    assert found == Approval(approved=True, by="nobody")


# what is asked for, the words of a command line, and what the flow is given
ANSWERS = {
    "the go-ahead": (None, [], None),
    "a number": (int, ["5"], 5),
    "a number by name": (int, ["input=5"], 5),
    "a list": (list[str], ['["a", "b"]'], ["a", "b"]),
    "a model": (Approval, ["approved=true", "by=ann"], Approval(approved=True, by="ann")),
}


@pytest.mark.parametrize("wanted, words, value", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_read_from_a_command_line(stored, wanted, words, value) -> None:
    """By the types of what is asked for, whether the run is paused or suspended."""
    from orch_notebook.runtime.home import open_home

    home = open_home()

    @flow
    def paused():
        return pause_flow_run(wait_for_input=wanted)

    def answering():
        resume(when_paused(home).run_id, words)

    import threading

    threading.Thread(target=answering, daemon=True).start()
    assert in_time(paused) == value


# what somebody does to a suspended run, and what is said
WRONG = {
    "an answer of another type": (lambda run: asks.resume(run, "many"), ParameterError, "'input' takes int"),
    "no worker could find the flow": (lambda run: resume(run, ["5"]), UsageError, r"asks_here\.resume"),
    "another flow": (lambda run: load_flow.resume(run), NotFound, "has no run"),
    "no such run": (lambda run: resume_flow_run("none"), NotFound, "no run 'none'"),
}


@flow
def load_flow():
    return load(1)


@pytest.mark.parametrize("act, kind, said", WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused_and_the_run_waits_on(stored, act, kind, said) -> None:
    """The error names the thing; the right answer is taken afterwards."""

    @flow(name="asks" if "here" not in said else "asks-here")
    def local():
        return suspend_flow_run(wait_for_input=int)

    run_id = suspended(local)
    with pytest.raises(kind, match=said):
        act(run_id)
    assert in_time(local.resume, run_id, "5") == 5
    with pytest.raises(UsageError, match="not suspended"):
        local.resume(run_id, 6)


def test_only_the_outermost_flow_is_suspended(stored) -> None:
    """A task, a subflow and a script have nothing that could be suspended."""
    with pytest.raises(MissingContext):
        suspend_flow_run()
    with pytest.raises(UsageError, match="A task cannot suspend"):
        in_time(flow(lambda: task(lambda: suspend_flow_run())()))
    with pytest.raises(UsageError, match="suspend the outer one"):
        in_time(flow(lambda: flow(lambda: suspend_flow_run(), name="inner")()))


def test_a_pause_is_asked_once_in_a_line_of_runs(stored) -> None:
    """The body runs again because a task failed: the answer stands, like the results of tasks."""

    @task
    def fails_once():
        calls.append("try")
        if calls.count("try") < 2:
            raise ConnectionError("down")

    @flow
    def asks_then_fails():
        answer = suspend_flow_run(wait_for_input=int)
        fails_once()
        return answer

    run_id = suspended(asks_then_fails)
    with pytest.raises(ConnectionError):
        in_time(asks_then_fails.resume, run_id, 3)
    assert in_time(asks_then_fails.retry, run_id) == 3


def test_a_repetition_that_was_suspended_goes_on_with_what_the_first_run_left(stored) -> None:
    """It is of the same line: its pauses are answered, and what completed before is not run again."""

    @flow
    def fails_then_asks():
        values = load(3)
        calls.append("body")
        if calls.count("body") == 1:
            raise ConnectionError("down")
        return total(values, suspend_flow_run(wait_for_input=int))

    in_time(fails_then_asks, return_state=True)
    first = stored.home.store.runs()[0].run_id
    with pytest.raises(FlowRunSuspended):
        in_time(fails_then_asks.retry, first)
    second = stored.home.store.runs()[0].run_id
    assert second != first and in_time(fails_then_asks.resume, second, 10) == 13
    assert calls.count("load") == 1


def test_a_run_that_nobody_resumes_fails_in_time(stored, night) -> None:
    """Whoever looks ends it; without anybody looking the flow itself finds that it is too late."""

    @flow
    def asks_late():
        return suspend_flow_run(timeout=MONTH)

    run_id = suspended(asks_late)
    store = stored.home.store
    sweep(store, this_owner(), night.now())
    assert store.run(run_id).state.name == "Suspended"
    late = night.now().timestamp() + MONTH + 1
    sweep(store, this_owner(), night.now().fromtimestamp(late, night.now().tzinfo))
    assert (store.run(run_id).state.name, store.run(run_id).state.message) == (
        "TimedOut",
        "Nobody resumed the run in time.",
    )
    with pytest.raises(FlowRunTimedOut, match="in time"):
        in_time(flow(lambda: suspend_flow_run(timeout=-1)))


def test_a_suspended_run_can_be_cancelled(stored) -> None:
    """It ends at once: nobody has to be asked."""
    run_id = suspended(asks, 1)
    store = stored.home.store
    cancel(store, store.run(run_id), this_owner(), stored.home.clock.now())
    assert store.run(run_id).state.message == "Cancelled while it was suspended."


def test_the_same_on_postgresql(postgres, monkeypatch) -> None:
    """Tasks, results, the pause, its answer and the run's own name: every fact that functions store."""
    from orch_notebook import Variable, concurrency, create_markdown_artifact, limit_concurrency
    from orch_notebook.runtime.home import open_home

    monkeypatch.setenv("ORCH_DATABASE_URL", postgres.url())

    @task(tags=["db"])
    def work(n):
        calls.append(n)
        with concurrency("pool"):
            create_markdown_artifact(f"# {n}", key="told")
        return n + Variable.get("one")

    @flow(flow_run_name="of {n}", tags=["pg"], retries=1)
    def whole(n):
        found = work.map([n, n + 1]).result()
        return sum(found) + suspend_flow_run(wait_for_input=int, key="ask")

    Variable.set("one", 1)
    limit_concurrency("pool", 1)
    run_id = suspended(whole, 3)
    with pytest.raises(ParameterError):
        whole.resume(run_id, "many")
    assert in_time(whole.resume, run_id, 100) == 109 and sorted(calls) == [3, 4]
    store = open_home().store
    run = store.run(run_id)
    assert (run.name, run.tags, run.state.name) == ("of 3", ("pg",), "Completed")
    assert store.open_pause(run_id) is None and store.pause(run_id, "ask").answer == (100,)
    assert [artifact.data for artifact in store.artifacts(run_id=run_id)] in (["# 3", "# 4"], ["# 4", "# 3"])


SCRIPT = """
from pydantic import BaseModel
from orch_notebook import flow, suspend_flow_run, task

class Approval(BaseModel):
    approved: bool

@task
def load(n):
    with open("loaded", "a") as file:
        file.write("x")
    return list(range(n))

@flow
def main(n):
    values = load(n)
    approval = suspend_flow_run(wait_for_input=Approval)
    return sum(values) if approval.approved else None

if __name__ == "__main__":
    main(5)
"""


@pytest.mark.processes
def test_a_script_s_run_goes_on_in_a_worker(stored, tmp_path) -> None:
    """The script's process has ended; a worker's finds the flow in its file, with what had completed."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    script = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "FlowRunSuspended" in script.stderr and script.returncode == 1
    [run] = stored.home.store.runs()
    resume(run.run_id, ["approved=true"])
    worker = [sys.executable, "-m", "orch_notebook.cli", "worker", "--until-idle", "--quiet"]
    subprocess.run(worker, cwd=tmp_path, env=dict(os.environ), timeout=60, check=True)
    ended = stored.home.store.run(run.run_id)
    assert (ended.state.name, [each.state.name for each in ended.tasks]) == ("Completed", ["Completed"])
    assert (tmp_path / "loaded").read_text() == "x"
