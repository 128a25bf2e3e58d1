"""Kept results: what completed is not run again, in the same run by default, in others where a policy says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from orch_notebook import (
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    flow,
    task,
    task_input_hash,
)
from orch_notebook.errors import NotFound, UsageError
from orch_notebook.model.deployments import Plan
from orch_notebook.promotion.upkeep import next_attempt
from orch_notebook.runtime.home import open_home
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.store import Lease
from tests.functions.conftest import PATIENCE, in_time

calls: list[object] = []


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


@task
def load(n):
    calls.append(("load", n))
    return list(range(n))


@task
def total(values):
    calls.append(("total", len(values)))
    return sum(values)


@task
def fail_until(count):
    calls.append("fail")
    if calls.count("fail") < count:
        raise ConnectionError("down")
    return calls.count("fail")


def calls_directly():
    return total(load(3)), total(load(4)), fail_until(2)


def submits():
    return total.submit(load.submit(3)).result(), fail_until.submit(2).result()


def maps():
    return total.map(load.map([1, 2, 3])).result(), fail_until(2)


def passes_values_on():
    values = load(3)
    values.append(10)
    return total(values), fail_until(2)


def calls_the_same_twice():
    return load(2), load(2), fail_until(2)


# body, what it returns, how often load and total run over all attempts
BODIES = {
    calls_directly: ((3, 6, 2), 4),
    submits: ((3, 2), 2),
    maps: (([0, 1, 3], 2), 6),
    passes_values_on: ((13, 2), 2),
    calls_the_same_twice: (([0, 1], [0, 1], 2), 2),
}


def count_others():
    return len([call for call in calls if call != "fail"])


@pytest.mark.parametrize(
    "body, value, count", [(body, *row) for body, row in BODIES.items()], ids=[b.__name__ for b in BODIES]
)
def test_a_body_that_begins_again_repeats_nothing_that_completed(stored, body, value, count) -> None:
    """What failed runs again, the rest stands as it is, with the values it left."""
    assert in_time(flow(retries=1)(body)) == value
    assert count_others() == count


@pytest.mark.parametrize(
    "body, value, count", [(body, *row) for body, row in BODIES.items()], ids=[b.__name__ for b in BODIES]
)
def test_a_run_that_is_repeated_repeats_nothing_that_completed(stored, body, value, count) -> None:
    """Also when another process repeats it: the store alone knows the results; each says where it came from."""
    work = flow(name="work")(body)
    assert in_time(work, return_state=True).is_failed()
    first = stored.run("work")
    assert in_time(work.retry, first.run_id) == value
    assert count_others() == count
    second = stored.run("work")
    assert (second.retry_of, second.attempt, second.state.name) == (first.run_id, 2, "Completed")
    cached = [task for task in second.tasks if task.state.name == "Cached"]
    assert len(cached) == count and cached[0].details["cached_from"].startswith(first.run_id)
    assert "earlier attempt of this run" in cached[0].details["note"]


def test_a_run_is_repeated_again_and_again(stored) -> None:
    """Results of any run of the line are used, and a run is repeated once."""

    @flow
    def stubborn():
        return total(load(3)), fail_until(3)

    in_time(stubborn, return_state=True)
    first = stored.run().run_id
    in_time(stubborn.retry, first, return_state=True)
    second = stored.run().run_id
    assert in_time(stubborn.retry, second) == (3, 3) and count_others() == 2
    with pytest.raises(UsageError, match=r"repeated by run .* already"):
        in_time(stubborn.retry, first)
    with pytest.raises(UsageError, match="only what did not end well"):
        in_time(stubborn.retry, stored.run().run_id)
    with pytest.raises(NotFound):
        in_time(stubborn.retry, "none")


def test_a_mended_function_runs_again_and_what_needs_it_too(stored) -> None:
    """Its source is part of what its result depends on."""

    def body(source):
        return flow(name="mended")(lambda: (total(task(source, name="source")()), fail_until(2)))

    in_time(body(lambda: calls.append("old") or [1]), return_state=True)
    assert in_time(body(lambda: calls.append("new") or [1, 2]).retry, stored.run().run_id) == (3, 2)
    assert calls == ["old", ("total", 1), "fail", "new", ("total", 2), "fail"]


def test_results_of_every_size_are_kept(stored) -> None:
    """Small ones with their events, big ones in files; what cannot be pickled runs again, and says so."""
    big = task(lambda: calls.append("big") or "x" * 100_000, name="big")
    lock = task(lambda: calls.append("lock") or threading.Lock(), name="lock")
    none = task(lambda: calls.append("none"), name="none")

    @flow
    def sizes():
        return len(big()), type(lock()).__name__, none(), fail_until(2)

    in_time(sizes, return_state=True)
    first = stored.run()
    assert "Not kept, so it always runs: cannot pickle" in first.tasks[1].details["note"]
    assert in_time(sizes.retry, first.run_id) == (100_000, "lock", None, 2)
    assert [call for call in calls if call != "fail"] == ["big", "lock", "none", "lock"]


def test_a_body_that_begins_again_may_call_what_it_submitted_and_submit_what_it_called(stored) -> None:
    """A task run goes where it is asked for this time."""
    rounds = []
    flaky = task(lambda: 1 / (len(rounds) - 1), name="flaky")

    @flow(retries=1)
    def turns():
        rounds.append(1)
        return flaky() if len(rounds) == 1 else flaky.submit().result()

    assert in_time(turns) == 1.0


NOT_KEPT = {"persist_result": {"persist_result": False}, "cache_policy": {"cache_policy": NO_CACHE}}


@pytest.mark.parametrize("options", NOT_KEPT.values(), ids=NOT_KEPT)
def test_keeping_can_be_switched_off(stored, options) -> None:
    """Then it runs again."""
    once = load.with_options(**options)
    in_time(flow(retries=1)(lambda: (once(1), fail_until(2))))
    assert count_others() == 2


def test_a_subflow_that_completed_is_not_run_again(stored) -> None:
    """Its result is kept like a task's."""
    inner = flow(name="inner")(lambda: load(2))
    assert in_time(flow(retries=1, name="outer")(lambda: (inner(), fail_until(2)))) == ([0, 1], 2)
    assert count_others() == 1 and len(stored.runs("inner")) == 1


KILLED = """
import os, signal, sys
from orch_notebook import flow, task
from orch_notebook.runtime.home import open_home

@task
def load(n):
    print("load", n, flush=True)
    return list(range(n))

@task
def last(values):
    if "first" in sys.argv:
        open_home().ledger.flush()  # what ended in the last ten milliseconds may not be stored yet
        os.kill(os.getpid(), signal.SIGKILL)
    return sum(values)

@flow
def nightly(n: int):
    return last(load(n)), last.submit(load.submit(n + 1)).result()

print(nightly(3) if "first" in sys.argv else nightly.retry(sys.argv[-1]))
"""


@pytest.mark.processes
def test_a_run_whose_process_was_killed_is_repeated(stored, environment, tmp_path) -> None:
    """After kill -9 it counts as crashed, task runs included, and its repetition takes up what had completed."""
    script = tmp_path / "nightly.py"
    script.write_text(KILLED)
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)

    def start(*arguments):
        command = [sys.executable, str(script), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    killed = start("first")
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "load 3\n")
    first = stored.home.store.runs()[0]
    repeated = start(first.run_id)
    assert repeated.stdout.splitlines() == ["load 4", "(3, 6)"], repeated.stderr
    before, after = stored.runs()
    assert before.state.name == "Crashed"
    assert [(task.name, task.state.name) for task in before.tasks] == [("load", "Completed"), ("last", "Lost")]
    assert [(task.name, task.state.name) for task in after.tasks] == [
        ("load", "Cached"), ("last", "Completed"), ("load-2", "Completed"), ("last-2", "Completed"),
    ]  # fmt: skip


# Policies


def helper(x):
    return x + 1


def record(x, verbose=False):
    calls.append(x)
    return helper(x)


# the policy, two flows' calls, how many run, what is said of the last
POLICIES = {
    "inputs: the same": (INPUTS, [{"x": 1}, {"x": 1}], 1, "Same input as in run"),
    "inputs: another": (INPUTS, [{"x": 1}, {"x": 2}], 2, "Ran because input 'x' changed."),
    "inputs: by parameter": (INPUTS, [{"x": 1}, {"x": 1, "verbose": False}], 1, "Same input"),
    "inputs but one": (INPUTS - "verbose", [{"x": 1}, {"x": 1, "verbose": True}], 1, "Same input"),
    "source": (TASK_SOURCE, [{"x": 1}, {"x": 2}], 1, "Same source as in run"),
    "both": (INPUTS + TASK_SOURCE, [{"x": 1}, {"x": 1}], 1, "Same source and input"),
    "the run": (INPUTS + RUN_ID, [{"x": 1}, {"x": 1}], 2, "Ran because run changed."),
    "flow parameters": (FLOW_PARAMETERS, [{"x": 1, "day": 1}, {"x": 2, "day": 1}], 1, "Same flow as in run"),
    "other flow parameters": (
        FLOW_PARAMETERS, [{"x": 1, "day": 1}, {"x": 1, "day": 2}], 2, "Ran because flow parameter 'day' changed.",
    ),
    "nothing": (NO_CACHE, [{"x": 1}, {"x": 1}], 2, None),
}  # fmt: skip


def perform(recorded, arguments):
    arguments = dict(arguments)

    @flow(name="day")
    def daily(day: int = 0):
        return recorded(**arguments)

    return in_time(daily, arguments.pop("day", 0))


@pytest.mark.parametrize("policy, given, count, said", POLICIES.values(), ids=POLICIES)
def test_a_policy_says_when_a_result_is_used_again(stored, policy, given, count, said) -> None:
    """Across flow runs; every reuse says why, and every miss what changed."""
    recorded = task(cache_policy=policy, name="recorded")(record)
    for arguments in given:
        perform(recorded, arguments)
    assert len(calls) == count
    last = stored.run().tasks[0]
    assert last.state.name == ("Cached" if count == 1 else "Completed")
    assert last.details.get("note") == said if said is None else said in last.details["note"]


def test_the_source_counts_with_the_helpers_it_calls(stored, monkeypatch) -> None:
    """A helper that is mended means another result."""
    recorded = task(cache_policy=INPUTS + TASK_SOURCE, name="recorded")(record)
    assert perform(recorded, {"x": 1}) == 2
    monkeypatch.setitem(globals(), "helper", lambda x: x + 10)
    assert perform(recorded, {"x": 1}) == 11
    assert stored.run().tasks[0].details["note"] == "Ran because its source changed."


KEY_FUNCTIONS = {
    "a word": (lambda context, arguments: "always", [1, 2], 1),
    "of the arguments": (lambda context, arguments: str(arguments["x"] % 2), [1, 3], 1),
    "of the arguments, another": (lambda context, arguments: str(arguments["x"] % 2), [1, 2], 2),
    "none": (lambda context, arguments: None, [1, 1], 2),
    "the hash of the inputs": (task_input_hash, [1, 1], 1),
    "the hash of other inputs": (task_input_hash, [1, 2], 2),
}


@pytest.mark.parametrize("function, given, count", KEY_FUNCTIONS.values(), ids=KEY_FUNCTIONS)
def test_a_key_function_says_what_counts(stored, function, given, count) -> None:
    """The same key, the same result; None means that it always runs."""
    recorded = task(cache_key_fn=function)(record)
    for x in given:
        perform(recorded, {"x": x})
    assert len(calls) == count


def test_a_result_expires(stored, night) -> None:
    """After its time it is made anew."""
    recorded = task(cache_policy=INPUTS, cache_expiration=timedelta(days=30), name="recorded")(record)
    for days in (0, 29, 2, 0):
        night.advance(days * 86400)
        perform(recorded, {"x": 1})
    assert len(calls) == 2


def test_refresh_makes_a_result_anew(stored) -> None:
    """And keeps it for those who do not refresh."""
    recorded = task(cache_policy=INPUTS, name="recorded")(record)
    perform(recorded, {"x": 1})
    perform(recorded.with_options(refresh_cache=True), {"x": 1})
    assert stored.run().tasks[0].details["note"] == "Ran because refresh_cache says so."
    perform(recorded, {"x": 1})
    assert len(calls) == 2


def test_who_wants_the_same_key_waits_where_the_policy_says_so(stored) -> None:
    """SERIALIZABLE: of two that want one key at once, one works and the other takes its result."""
    gate = threading.Barrier(2)

    @task(cache_policy=INPUTS.configure(isolation_level="SERIALIZABLE"))
    def slow(x):
        calls.append(x)
        return x

    @task
    def ask():
        gate.wait(PATIENCE)
        return slow(1)

    assert in_time(flow(lambda: [future.result() for future in (ask.submit(), ask.submit())])) == [1, 1]
    assert calls == [1]


def test_what_cannot_be_compared_always_runs(stored) -> None:
    """And says which input is at fault."""
    recorded = task(cache_policy=INPUTS, name="recorded")(lambda lock: calls.append(1))
    for _ in range(2):
        in_time(flow(lambda: recorded(threading.Lock())))
    assert len(calls) == 2
    assert "its input 'lock' cannot be pickled" in stored.run().tasks[0].details["note"]


def test_a_task_that_was_asked_for_runs_again_and_what_comes_from_it():
    """``orch retry --from load``: what rests on it runs, though its key is the same; other results are loaded."""

    @flow
    def report(n: int = 3):
        found = total(load(n)), total([1] * 9)
        fail_until(2)
        return found

    report(return_state=True)
    home = open_home()
    (earlier,) = home.store.runs()
    assert calls == [("load", 3), ("total", 3), ("total", 9), "fail"]
    now = home.clock.now()
    made, expires_at = next_attempt(earlier, now, now), now + timedelta(seconds=60)
    plan = Plan("etl.py", "etl.py", ".", entrypoint="etl:report", again=("load",))
    home.store.create_run(made, plan=plan, owner=this_owner(), lease_expires_at=expires_at)
    claimed = report.claimed(made, Lease(made.run_id, this_owner(), 1, expires_at))
    assert claimed.run().result() == (3, 9)
    assert calls[4:] == [("load", 3), ("total", 3), "fail"]
