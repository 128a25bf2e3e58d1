"""The other names that functions are offered: how arguments are meant, policies, limits, what is shared."""

from __future__ import annotations

import threading

import pytest

from orch_notebook import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    CachePolicy,
    ConcurrentTaskRunner,
    Variable,
    allow_failure,
    concurrency,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    exponential_backoff,
    flow,
    limit_concurrency,
    opaque,
    pause_flow_run,
    quote,
    rate_limit,
    record,
    remove_limit,
    resume_flow_run,
    suspend_flow_run,
    tags,
    task,
    task_input_hash,
    transaction,
    unmapped,
    update_progress_artifact,
)
from orch_notebook.errors import FlowRunSuspended, FlowRunTimedOut, NotFound, UsageError
from orch_notebook.functions.futures import Future
from tests.functions.conftest import PATIENCE
from tests.functions.meanings import elsewhere, means

give = task(lambda *values: list(values), name="give")


@means("allow_failure", "allow_failure(value)")
def a_failed_upstream_is_given_as_its_exception(stored) -> None:
    bad = task(lambda: 1 / 0)
    [error, value] = flow(lambda: give(allow_failure(bad.submit()), allow_failure(give.submit(1))))()
    assert isinstance(error, ZeroDivisionError) and value == [1]


@means("quote", "quote(value)", "opaque", "opaque(value)")
def futures_within_are_not_looked_for(stored) -> None:
    @flow
    def hides():
        future = give.submit(1)
        return [type(each[0]) for each in give(quote([future]), opaque([future]))]

    assert hides() == [Future, Future]


@means("unmapped", "unmapped(value)")
def every_element_is_given_the_same(stored) -> None:
    assert flow(lambda: give.map([1, 2], unmapped([3, 4])).result())() == [[1, [3, 4]], [2, [3, 4]]]


@means("exponential_backoff", "exponential_backoff(backoff_factor)")
def delays_double(stored) -> None:
    assert exponential_backoff(10)(4) == [10, 20, 40, 80]


@means("tags", "tags(words)")
def a_block_adds_tags_to_runs_and_task_runs(stored) -> None:
    with tags("night", "gpu"):
        flow(lambda: give(1))()
    assert set(stored.run().tags) == {"night", "gpu"} == set(stored.run().tasks[0].task.tags)


def times(policy, *calls):
    """Return how often a task with this policy runs, called in two runs of a flow with a parameter."""
    made = []
    work = task(lambda x: made.append(x), name="work", cache_policy=policy)
    for day, x in calls:
        flow(lambda day, x=x: work(x), name="day")(day)
    return len(made)


@means("DEFAULT", "INPUTS", "TASK_SOURCE", "FLOW_PARAMETERS", "RUN_ID", "NO_CACHE",
       "CachePolicy", "task_input_hash", "task_input_hash(context)", "task_input_hash(arguments)")  # fmt: skip
def a_policy_names_what_a_result_depends_on(stored) -> None:
    same, other_input, other_day = ((1, 1), (1, 1)), ((1, 1), (1, 2)), ((1, 1), (2, 1))
    found = {name: [times(policy, *calls) for calls in (same, other_input, other_day)] for name, policy in {
        "DEFAULT": DEFAULT, "INPUTS": INPUTS, "TASK_SOURCE": TASK_SOURCE, "FLOW_PARAMETERS": FLOW_PARAMETERS,
        "RUN_ID": RUN_ID, "NO_CACHE": NO_CACHE, "INPUTS - x": INPUTS - "x" + TASK_SOURCE,
        "INPUTS + FLOW_PARAMETERS": INPUTS + FLOW_PARAMETERS - "nothing",
    }.items()}  # fmt: skip
    assert isinstance(INPUTS + RUN_ID, CachePolicy)
    assert found["DEFAULT"] == found["RUN_ID"] == found["NO_CACHE"] == [2, 2, 2]
    assert found["INPUTS"][:2] == [1, 1] and found["INPUTS + FLOW_PARAMETERS"][2] == 1
    hashed = []
    once = task(lambda x: hashed.append(x), cache_key_fn=task_input_hash)
    once(1), once(1), once(2)
    assert hashed == [1, 2]


@means("transaction", "transaction(key)", "transaction(overwrite)", "transaction(isolation_level)",
       "transaction(commit_mode)")  # fmt: skip
def a_key_is_looked_up_staged_and_committed(stored) -> None:
    def make(value, **options):
        with transaction(key="report", **options) as txn:
            if not txn.is_committed():
                txn.stage(value)
            return txn.read() or value

    assert [make(1), make(2), make(3, overwrite=True), make(4)] == [1, 1, 3, 3]
    undone = []
    undoing = task(lambda: 1)
    undoing.on_rollback(lambda txn: undone.append(1))
    for mode in ("LAZY", "EAGER"):
        with pytest.raises(ValueError, match="outer"), transaction():
            with transaction(commit_mode=mode):
                undoing()
            raise ValueError("outer")
    assert undone == [1]
    gate, made = threading.Barrier(2), []

    def both():
        gate.wait(PATIENCE)
        with transaction(key="one", isolation_level="SERIALIZABLE") as txn:
            if not txn.is_committed():
                made.append(1)
                txn.stage(1)

    threads = [threading.Thread(target=both) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert made == [1]
    for wrong in ({"isolation_level": "LOOSE"}, {"commit_mode": "LATER"}, {"isolation_level": "SERIALIZABLE"}):
        with pytest.raises(UsageError), transaction(**wrong):
            pass
    with pytest.raises(TypeError), transaction(isolation="SERIALIZABLE"):
        pass


@means("concurrency", "concurrency(names)", "concurrency(occupy)", "concurrency(timeout_seconds)",
       "concurrency(strict)", "limit_concurrency", "limit_concurrency(name)", "limit_concurrency(slots)",
       "remove_limit", "remove_limit(name)")  # fmt: skip
def slots_are_held_for_the_block(stored) -> None:
    limit_concurrency("db", 2)
    late = pytest.raises(TimeoutError)
    with concurrency("db"), concurrency(["db"]), late, concurrency("db", timeout_seconds=0.01):
        pass
    with concurrency("db", occupy=2), pytest.raises(TimeoutError), concurrency("db", timeout_seconds=0.01):
        pass
    limit_concurrency("db", 0)
    with pytest.raises(UsageError, match="0 slots"), concurrency("db"):
        pass
    assert remove_limit("db") and not remove_limit("db")
    with concurrency("db"):
        pass
    with pytest.raises(UsageError, match="There is no limit"), concurrency("db", strict=True):
        pass


@means("rate_limit", "rate_limit(names)", "rate_limit(occupy)", "rate_limit(timeout_seconds)", "rate_limit(strict)",
       "limit_concurrency(slot_decay_per_second)")  # fmt: skip
def slots_come_back_by_themselves(stored) -> None:
    limit_concurrency("api", 2, slot_decay_per_second=0.001)
    rate_limit("api"), rate_limit(["api"])
    with pytest.raises(TimeoutError):
        rate_limit("api", timeout_seconds=0.01)
    limit_concurrency("api", 2, slot_decay_per_second=0.001)
    limit_concurrency("quick", 100, slot_decay_per_second=10_000)
    rate_limit("quick", occupy=100), rate_limit("quick", occupy=50)
    with pytest.raises(UsageError, match="There is no limit"):
        rate_limit("none", strict=True)


@means(
    "Variable", "Variable.set", "Variable.get", "Variable.unset", "Variable.aset", "Variable.aget", "Variable.aunset"
)
def a_variable_is_kept_for_everybody(stored) -> None:
    Variable.set("region", {"name": "eu"})
    with pytest.raises(UsageError):
        Variable.set("region", "us")
    Variable.set("region", "us", overwrite=True)
    assert (Variable.get("region"), Variable.get("none", 5)) == ("us", 5)

    @flow
    async def awaits():
        await Variable.aset("zone", 1)
        return await Variable.aget("zone"), await Variable.aunset("zone")

    assert awaits().run() == (1, True) and Variable.unset("region") and Variable.get("region") is None


elsewhere("tests/functions/test_secrets.py::test_a_secret_is_kept_and_read",
          "Secret", "Secret.save", "Secret.load", "Secret.get", "Secret.delete")  # fmt: skip


@means(*(f"create_{kind}_artifact{part}" for kind, first in (
    ("table", "table"), ("markdown", "markdown"), ("image", "image_url"), ("progress", "progress"), ("link", "link"),
) for part in ("", f"({first})", "(key)", "(description)")), "create_link_artifact(link_text)",
    "update_progress_artifact", "update_progress_artifact(artifact_id)", "update_progress_artifact(progress)",
    "update_progress_artifact(description)")  # fmt: skip
def an_artifact_is_kept_by_key_with_who_made_it(stored) -> None:
    makers = {
        "table": lambda **about: create_table_artifact([{"a": 1}], **about),
        "markdown": lambda **about: create_markdown_artifact("# Hello", **about),
        "image": lambda **about: create_image_artifact("https://a.example/a.png", **about),
        "progress": lambda **about: create_progress_artifact(10, **about),
        "link": lambda **about: create_link_artifact("https://a.example", "here", **about),
    }

    @task
    def publish():
        for kind, make in makers.items():
            made = make(key=kind, description=f"a {kind}")
            if kind == "progress":
                update_progress_artifact(made, 50, "half")
        with pytest.raises(NotFound):
            update_progress_artifact("none", 1)

    flow(lambda: publish())()
    found = {each.name: each for each in stored.home.store.artifacts(run_id=stored.run().run_id)}
    assert {name: (each.data, each.description, each.task) for name, each in found.items()} == {
        "table": ([{"a": 1}], "a table", "publish"),
        "markdown": ("# Hello", "a markdown", "publish"),
        "image": ("https://a.example/a.png", "a image", "publish"),
        "progress": (50.0, "half", "publish"),
        "link": ({"link": "https://a.example", "text": "here"}, "a link", "publish"),
    }


@means("record", "record(name)", "record(value)")
def a_value_is_kept_with_the_run(stored) -> None:
    assert flow(lambda: record("rows", 5))() == 5
    run_id = stored.run().run_id
    assert stored.home.store.recorded(run_id) == {run_id: {"rows": 5}}


def answering(stored, value):
    """Resume the newest run once it is paused."""

    def wait_and_resume():
        while not (runs := stored.home.store.runs()) or runs[0].state.name != "Paused":
            threading.Event().wait(0.01)
        resume_flow_run(runs[0].run_id, value)

    threading.Thread(target=wait_and_resume, daemon=True).start()


@means("pause_flow_run", "pause_flow_run(wait_for_input)", "pause_flow_run(timeout)", "pause_flow_run(key)",
       "pause_flow_run(poll_interval)", "resume_flow_run", "resume_flow_run(run_id)",
       "resume_flow_run(run_input)")  # fmt: skip
def a_paused_flow_keeps_its_process_and_asks_once_for_each_key(stored) -> None:
    here = []

    @flow(retries=1)
    def asks():
        here.append(threading.get_ident())
        found = (
            pause_flow_run(wait_for_input=int, key="n", poll_interval=1),
            pause_flow_run(wait_for_input=int, key="n"),
        )
        return found if len(here) > 1 else 1 / 0

    answering(stored, "5")
    assert asks() == (5, 5) and set(here) == {threading.get_ident()}
    with pytest.raises(FlowRunTimedOut, match=r"within 0.05 s"):
        flow(lambda: pause_flow_run(timeout=0.05))()
    with pytest.raises(TypeError):
        flow(lambda: pause_flow_run(timout=1))()


@means("suspend_flow_run(timeout)", "suspend_flow_run(key)")
def a_suspension_ends_in_time_and_each_key_fires_once(stored) -> None:
    @flow
    def asks():
        return suspend_flow_run(wait_for_input=int, key="n") + suspend_flow_run(wait_for_input=int, key="n")

    with pytest.raises(FlowRunSuspended):
        asks()
    assert asks.resume(stored.home.store.runs()[0].run_id, 5) == 10
    with pytest.raises(FlowRunTimedOut):
        flow(lambda: suspend_flow_run(timeout=-1))()


elsewhere("tests/functions/test_serializers.py::test_a_value_comes_back_as_it_was",
          "PickleSerializer", "JSONSerializer", "CompressedPickleSerializer", "CompressedJSONSerializer")  # fmt: skip
elsewhere("tests/functions/test_serializers.py::test_a_serializer_of_ones_own", "Serializer", "CompressedSerializer")
elsewhere("tests/functions/test_runners.py::test_a_function_gives_its_value",
          "ProcessPoolTaskRunner", "DaskTaskRunner")  # fmt: skip
elsewhere("tests/functions/test_options.py::test_a_task_runner_bounds_what_runs_at_once",
          "ThreadPoolTaskRunner", "ThreadPoolTaskRunner(max_workers)", "SequentialTaskRunner")  # fmt: skip


@means("ConcurrentTaskRunner", "ConcurrentTaskRunner(max_workers)")
def the_older_name_of_the_threads(stored) -> None:
    meet = threading.Barrier(2)
    both = task(lambda: meet.wait(PATIENCE) >= 0)
    runner = ConcurrentTaskRunner(max_workers=2)
    assert flow(task_runner=runner)(lambda: [each.result() for each in (both.submit(), both.submit())])() == [
        True,
        True,
    ]
