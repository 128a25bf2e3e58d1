"""What flows share beside their runs: transactions, limits, variables, artifacts, and waits for people."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from orch_notebook import (
    Variable,
    concurrency,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    flow,
    limit_concurrency,
    pause_flow_run,
    rate_limit,
    remove_limit,
    resume_flow_run,
    task,
    transaction,
    update_progress_artifact,
)
from orch_notebook.errors import FlowRunTimedOut, MissingContext, NotFound, ParameterError, UsageError
from orch_notebook.runtime.store.shelves import Limit
from tests.functions.conftest import PATIENCE, in_time, when_paused

# Transactions

done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done():
    done.clear()


def step(name, fails=False):
    def work():
        done.append(name)
        if fails:
            raise ValueError(name)

    made = task(work, name=name)
    made.on_rollback(lambda txn: done.append(f"undo {name}"))
    made.on_commit(lambda txn: done.append(f"keep {name}"))
    return made


def all_well():
    with transaction():
        step("a")()
        step("b").submit().result()


def second_fails():
    with transaction():
        step("a")()
        step("b")()
        step("c", fails=True)()


def block_fails():
    with transaction():
        step("a")()
        raise ValueError("block")


def without_a_transaction():
    step("a")()
    step("b", fails=True)()


def inner_of_two_fails():
    with transaction():
        step("a")()
        with transaction():
            step("b")()
            raise ValueError("inner")


def outer_of_two_fails():
    with transaction():
        with transaction():
            step("a")()
        step("b")()
        raise ValueError("outer")


def eager_inner_counts_at_once():
    with transaction():
        with transaction(commit_mode="EAGER"):
            step("a")()
        raise ValueError("outer")


TRANSACTIONS = {
    all_well: ["a", "b", "keep a", "keep b"],
    second_fails: ["a", "b", "c", "undo b", "undo a"],
    block_fails: ["a", "undo a"],
    without_a_transaction: ["a", "b"],
    inner_of_two_fails: ["a", "b", "undo b", "undo a"],
    outer_of_two_fails: ["a", "b", "undo b", "undo a"],
    eager_inner_counts_at_once: ["a", "keep a"],
}


@pytest.mark.parametrize("body, expected", TRANSACTIONS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_transaction_keeps_all_or_undoes_all(stored, body, expected) -> None:
    """Commit hooks in order if everything worked, rollback hooks in reverse if anything failed."""
    in_time(flow(body), return_state=True)
    assert done == expected


def test_hooks_share_values_of_their_transaction(stored) -> None:
    """What is set in the block is there in the hooks, and in transactions inside."""
    seen = []

    @task
    def write():
        return 1

    @write.on_rollback
    def delete(txn):
        seen.append((txn.get("path"), txn.get("other", None)))

    @flow
    def writes():
        with transaction() as txn:
            txn.set("path", "/tmp/x")
            with transaction() as inner:
                assert inner.get("path") == "/tmp/x"
            write()
            raise ValueError("later")

    in_time(writes, return_state=True)
    assert seen == [("/tmp/x", None)]


def test_what_a_transaction_made_is_found_by_its_key(stored) -> None:
    """Once committed, later ones find it; a failed one leaves nothing."""

    def make(value, fails=False, **options):
        with transaction(key="report", **options) as txn:
            if txn.is_committed():
                return txn.read()
            txn.stage(value)
            if fails:
                raise ValueError("fails")
        return value

    with pytest.raises(ValueError, match="fails"):
        make("first", fails=True)
    assert [make("second"), make("third"), make("fourth", overwrite=True), make("fifth")] == [
        "second", "second", "fourth", "fourth",
    ]  # fmt: skip


# Limits


def most_at_once(bodies):
    """Run tasks side by side and return how many were at work at the same time at most."""
    lock, working, most = threading.Lock(), [], []

    def enter():
        with lock:
            working.append(1)
            most.append(len(working))
        time.sleep(0.02)  # long enough to be met by others, were they let in
        with lock:
            working.pop()

    in_time(flow(lambda: [future.result() for future in [body(enter).submit() for body in bodies]]))
    return max(most)


def within(*names, **options):
    def wrap(enter):
        def work():
            with concurrency(list(names), **options):
                enter()

        return task(work)

    return wrap


def tagged(tag):
    return lambda enter: task(enter, tags=[tag])


LIMITED = {
    "one slot": ({"db": 1}, [within("db")] * 4, 1),
    "two slots": ({"db": 2}, [within("db")] * 4, 2),
    "two slots, two each": ({"db": 2}, [within("db", occupy=2)] * 3, 1),
    "all of several": ({"db": 1, "api": 4}, [within("db", "api")] * 3, 1),
    "by tag": ({"tag:gpu": 1}, [tagged("gpu")] * 4, 1),
}


@pytest.mark.parametrize("limits, bodies, most", LIMITED.values(), ids=LIMITED)
def test_a_limit_holds(stored, limits, bodies, most) -> None:
    """Never more at once than there are slots, and everybody comes in the end."""
    for name, slots in limits.items():
        limit_concurrency(name, slots)
    assert most_at_once(bodies) <= most


def test_what_has_no_limit_is_free(stored) -> None:
    """Unless a strict block demands that there is one; a limit of nothing is refused at once."""
    with concurrency("nothing"):
        pass
    with pytest.raises(UsageError, match="There is no limit 'nothing'"), concurrency("nothing", strict=True):
        pass
    limit_concurrency("closed", 0)
    with pytest.raises(UsageError, match="has 0 slots, so 1 are never free"), concurrency("closed"):
        pass
    assert remove_limit("closed") and not remove_limit("closed")
    with concurrency("closed"):
        pass


def test_who_waits_too_long_for_a_slot_is_told(stored) -> None:
    """TimeoutError, and the slot stays with who has it."""
    limit_concurrency("db", 1)
    late = pytest.raises(TimeoutError, match="No 1 slots of db were free")
    with concurrency("db"), late, concurrency("db", timeout_seconds=0.05):
        pass
    with concurrency("db", timeout_seconds=0.05):
        pass


def test_slots_of_a_run_whose_process_died_are_free(stored) -> None:
    """They are held by the run's lease, and by nothing else."""
    home = stored.home
    home.store.set_limit(Limit("db", 1))
    assert home.store.take_slots(["db"], 1, home.clock.now(), run_id="a run that nobody owns") is not None
    assert home.store.take_slots(["db"], 1, home.clock.now(), run_id="another") is not None


def test_a_rate_gives_slots_back_by_itself(stored, night) -> None:
    """Two at once, then one each ten seconds."""
    store = stored.home.store
    store.set_limit(Limit("api", 2, decay=0.1))
    taken = []
    for _ in range(8):
        taken.append(store.take_slots(["api"], 1, night.now()) is not None)
        night.advance(4)
    assert taken == [True, True, False, True, False, True, False, False]


def test_a_rate_limit_needs_a_rate(stored) -> None:
    """One without is named."""
    limit_concurrency("db", 1)
    with pytest.raises(UsageError, match="Limit 'db' has no rate"):
        rate_limit("db")
    limit_concurrency("api", 100, slot_decay_per_second=1000)
    rate_limit("api")


def test_limits_hold_in_event_loops(stored) -> None:
    """With ``async with``; others go on meanwhile."""
    limit_concurrency("db", 1)
    order = []

    @task
    async def use(n):
        async with concurrency("db"):
            order.append(n)
            await asyncio.sleep(0)
            order.append(n)

    @flow
    async def together():
        await asyncio.gather(*(use(n) for n in range(3)))

    in_time(lambda: asyncio.run(together()))
    assert order[0::2] == order[1::2]


# Variables


def test_a_variable_is_set_once_and_found_everywhere(stored) -> None:
    """Plain calls; to replace a value one must say so."""
    Variable.set("region", {"name": "eu"})
    assert Variable.get("region") == {"name": "eu"} and Variable.get("none", 5) == 5
    with pytest.raises(UsageError, match="overwrite=True"):
        Variable.set("region", "us")
    Variable.set("region", "us", overwrite=True)
    assert in_time(flow(lambda: Variable.get("region"))) == "us"
    assert Variable.unset("region") and not Variable.unset("region") and Variable.get("region") is None
    with pytest.raises(UsageError, match="cannot hold this value"):
        Variable.set("lock", threading.Lock())


# Artifacts

ARTIFACTS = {
    "table": (lambda: create_table_artifact([{"a": 1}], key="rows"), [{"a": 1}], "rows"),
    "a table of columns": (lambda: create_table_artifact({"a": [1, 2]}), {"a": [1, 2]}, None),
    "markdown": (lambda: create_markdown_artifact("# Hello", description="x"), "# Hello", None),
    "link": (
        lambda: create_link_artifact("https://a.example", "here"), {"link": "https://a.example", "text": "here"}, None,
    ),
    "image": (lambda: create_image_artifact("https://example.org/a.png"), "https://example.org/a.png", None),
    "progress": (lambda: create_progress_artifact(20), 20.0, None),
}  # fmt: skip


@pytest.mark.parametrize("make, data, key", ARTIFACTS.values(), ids=ARTIFACTS)
def test_an_artifact_is_kept_with_who_made_it(stored, make, data, key) -> None:
    """Its data, key, run and task."""
    publish = task(make, name="publish")
    artifact_id = in_time(flow(lambda: publish()))
    [found] = stored.home.store.artifacts(run_id=stored.run().run_id)
    assert (found.artifact_id, found.data, found.name, found.task) == (artifact_id, data, key, "publish")


def test_progress_goes_on(stored) -> None:
    """The same artifact, with another number."""
    artifact_id = create_progress_artifact(0, key="load", description="loading")
    update_progress_artifact(artifact_id, 50)
    [found] = stored.home.store.artifacts(name="load")
    assert (found.data, found.description) == (50.0, "loading")
    with pytest.raises(UsageError, match="from 0 to 100"):
        update_progress_artifact(artifact_id, 101)
    with pytest.raises(NotFound):
        update_progress_artifact("none", 1)
    with pytest.raises(UsageError, match="lower-case letters, digits and dashes"):
        create_markdown_artifact("x", key="Not a key")


# Pauses


def answer_once(stored, given):
    """Resume the newest run once it is paused."""
    resume_flow_run(when_paused(stored.home).run_id, given)


def answer(stored, *answers):
    """Resume the newest run once it is paused, with each answer in turn."""

    def resume():
        for given in answers:
            answer_once(stored, given)

    threading.Thread(target=resume, daemon=True).start()


PAUSES = {
    "the go-ahead": (None, None, None),
    "a number": (int, "5", 5),
    "a list": (list[str], ["a"], ["a"]),
}


@pytest.mark.parametrize("wanted, given, value", PAUSES.values(), ids=PAUSES)
def test_a_paused_flow_goes_on_with_the_answer(stored, wanted, given, value) -> None:
    """It waits where it stands; what was begun goes on; the answer is what was asked for."""
    other = task(lambda: "done", name="other")

    @flow
    def asks():
        future = other.submit()
        return pause_flow_run(wait_for_input=wanted), future.result()

    answer(stored, given)
    assert in_time(asks) == (value, "done")
    events = [event for _, event in stored.home.store.events(stored.run().run_id)]
    names = [event.state.name for event in events if hasattr(event, "state") and not hasattr(event, "task")]
    assert names == ["Running", "Paused", "Running", "Completed"]


def test_a_paused_flow_may_be_asynchronous(stored) -> None:
    """The pause is awaited then."""

    @flow
    async def asks():
        return await pause_flow_run(wait_for_input=int)

    answer(stored, 7)
    assert in_time(lambda: asyncio.run(asks())) == 7


def test_an_answer_may_be_a_model(stored) -> None:
    """With its fields checked."""
    from pydantic import BaseModel

    class Approval(BaseModel):
        approved: bool
        by: str = "nobody"

    answer(stored, Approval(approved=True))
    approval = in_time(flow(lambda: pause_flow_run(wait_for_input=Approval)))
    assert isinstance(approval, Approval) and approval.approved


def test_a_wrong_answer_is_refused_where_it_is_given(stored) -> None:
    """What can be told from the type alone is told at once, and the run waits on."""
    said = []

    def resume():
        try:
            answer_once(stored, "many")
        except ParameterError as error:
            said.append(str(error))
            answer_once(stored, "5")

    threading.Thread(target=resume, daemon=True).start()
    assert in_time(flow(lambda: pause_flow_run(wait_for_input=int))) == 5
    assert "'input' takes int, not 'many'" in said[0]


def test_an_answer_that_only_the_flow_can_judge_is_logged_and_waited_on(stored) -> None:
    """And named, if none that fits comes in time."""
    from typing import Annotated

    from pydantic import Field

    answer(stored, 0)
    with pytest.raises(FlowRunTimedOut, match="The last answer was refused: Parameter 'input'"):
        in_time(flow(lambda: pause_flow_run(wait_for_input=Annotated[int, Field(gt=0)], timeout=3)))
    assert "Not resumed" in stored.lines()[0]


def test_a_pause_ends(stored) -> None:
    """The flow fails when nobody answers in time; a cancel ends it at once."""
    with pytest.raises(FlowRunTimedOut, match=r"Nobody resumed the run within 0.1 s"):
        in_time(flow(lambda: pause_flow_run(timeout=0.1)))
    assert stored.run().state.name == "Failed"


def test_only_flows_are_paused_and_only_paused_ones_resumed(stored) -> None:
    """Each mistake is named."""
    with pytest.raises(MissingContext):
        pause_flow_run()
    with pytest.raises(UsageError, match="A task cannot pause"):
        in_time(flow(lambda: task(lambda: pause_flow_run())()))
    with pytest.raises(UsageError, match="not paused"):
        resume_flow_run(stored.run().run_id)
    with pytest.raises(NotFound):
        resume_flow_run("none")
    assert PATIENCE
