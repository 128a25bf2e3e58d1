"""What every store does: runs, history, leases, requests, deployments and workers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from orch_notebook.errors import HistoryConflict, LeaseLost
from orch_notebook.model.assets import KnownAsset, Reference
from orch_notebook.model.deployments import Deployment, Plan, ScheduleRow
from orch_notebook.model.events import LogWritten, RunCreated, RunStateChanged, TaskAdded, TaskStateChanged
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import RetryPolicy, Task
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.store.pauses import Pause
from orch_notebook.testing import START, completed, failed, make_graph, open_run, run_became, started, task_became

LATER = START + timedelta(minutes=1)
PLAN = Plan("nb.ipynb", "snapshot.ipynb", "folder", kernel="python3", retries=2, retry_delay=5.0, timeout=60.0)


def waiting(due_at=START, **fields):
    """Return a run that waits for a worker."""
    return FlowRun(new_run_id(START), "demo", State(StateType.SCHEDULED), START, due_at=due_at, **fields)


def deployment(name="nightly", *schedules):
    schema = ({"name": "n", "type": "int"},)
    return Deployment(name, 0, "demo", PLAN, {"n": 3}, schema, START, START, schedules=schedules)


def schedule(name="nightly", schedule_id="s1", seen_until=START):
    return ScheduleRow(schedule_id, name, {"kind": "interval", "every": 60}, seen_until)


# Runs


def test_a_run_comes_back_as_it_was_made(store) -> None:
    """Every field that is known when a run is made is there again."""
    run = waiting(deployment="nightly", parent_run_id="p", attempt=2, retry_of="r", parameters={"n": [1, "é"]})
    run = replace(run, worker="w", notebook="nb.ipynb", executed_notebook="out.ipynb")
    assert store.create_run(run, plan=PLAN)
    assert store.run(run.run_id) == run
    assert store.plan(run.run_id) == PLAN


def test_what_is_not_there_is_none(store) -> None:
    """Asking for what nobody stored is no error."""
    assert (store.run("x"), store.plan("x"), store.deployment("x")) == (None, None, None)
    assert (store.events("x"), store.logs("x"), store.last_seq("x"), store.next_due_at()) == ([], [], 0, None)
    assert not store.pause_deployment("x", True, START)


def test_a_run_is_repeated_once(store) -> None:
    """Two that find the same run crashed cannot both arrange for its retry."""
    assert store.create_run(waiting(retry_of="first"))
    assert not store.create_run(waiting(retry_of="first"))


def test_an_id_can_be_found_by_its_beginning(store) -> None:
    """At most two are named, so that a person sees that several match."""
    ids = [f"01{letter}0" for letter in "abcde"]
    for run_id in ids:
        store.create_run(replace(waiting(), run_id=run_id))
    assert store.run_ids_like("01B") == ["01b0"] and len(store.run_ids_like("01")) == 2
    assert store.run_ids_like("02") == []


LISTED = [
    ({}, "edcba"),
    ({"limit": 2}, "ed"),
    ({"deployment": "nightly"}, "b"),
    ({"parent_run_id": "p"}, "c"),
    ({"flow": "other"}, "d"),
    ({"state": "late"}, "e"),
    ({"state": "Scheduled"}, "edcba"),
    ({"state": "FAILED"}, ""),
    ({"flow": "demo", "parent_run_id": "p"}, "c"),
    ({"flow": "demo", "path": "/here/demo.ipynb"}, "ecb"),
    ({"flow": "demo", "path": "/there/demo.ipynb"}, "eca"),
]


@pytest.mark.parametrize("narrowed, expected", LISTED, ids=[str(narrowed) for narrowed, _ in LISTED])
def test_runs_are_listed_newest_first(store, narrowed, expected) -> None:
    """They can be narrowed by what they came from, by flow and its file, and by the type or the name of their state."""
    here, there = ({"path": f"/{folder}/demo.ipynb"} for folder in ("here", "there"))
    fields = [there, {"deployment": "nightly", **here}, {"parent_run_id": "p"}, {"flow": "other", **here}, {}]
    for number, (letter, changed) in enumerate(zip("abcde", fields, strict=True)):
        run = replace(waiting(), **changed, run_id=letter, created_at=START + timedelta(seconds=number))
        store.create_run(replace(run, state=State(StateType.SCHEDULED, "Late")) if letter == "e" else run)
    assert "".join(run.run_id for run in store.runs(**narrowed)) == expected


# Questions


def test_a_question_is_found_where_somebody_looks(store) -> None:
    """By the run that waits, by one that began it however far up, by its owner; answered, it is none any more."""
    runs = (
        ("outer", None, "RUNNING"),
        ("part", "outer", "RUNNING"),
        ("deep", "part", "PAUSED"),
        ("other", None, "PAUSED"),
    )
    for run_id, parent, state in runs:
        run = FlowRun(run_id, f"flow-{run_id}", State(StateType[state]), START, parent_run_id=parent)
        store.create_run(run, owner="here" if run_id == "other" else "there", lease_expires_at=LATER)
    for run_id in ("deep", "other", "outer"):  # the last one goes on, whatever it once asked
        store.ask(Pause(run_id, "pause-1", run_id, "value", [{"name": "input"}], LATER), START)
    looked = [("outer", ""), ("part", ""), ("deep", ""), ("other", ""), ("nobody", ""), ("nobody", "here")]
    found = [near and (near[0].run_id, near[1]) for near in (store.pause_near(*each) for each in looked)]
    deep, other = ("deep", "flow-deep"), ("other", "flow-other")
    assert found == [deep, deep, deep, other, None, other]
    assert store.answer(store.open_pause("deep"), 5, LATER)
    assert store.pause_near("outer") is None


# History


def test_history_comes_back_as_it_was_written(store) -> None:
    """Events with their numbers, without the lines of output; the newest number counts both."""
    graph = make_graph("a >> b", Task("a", retry=RetryPolicy(2, (1.5,), 0.5), timeout=3.0, tags=("gpu",), opaque="why"))
    run, lease = open_run(store, graph)
    events = [
        (1, RunCreated(START, "demo", graph, {"n": 1})),
        (2, run_became("RUNNING", at=LATER)),
        (3, started("a")),
        (4, LogWritten(START, "a", 1, 20, "hello")),
        (5, failed("a", error="ValueError: é", traceback=["one", "two"])),
        (6, task_became("a", "SCHEDULED", name="AwaitingRetry", due_at="2026-01-01T00:00:01.500Z")),
        (7, TaskAdded(START, Task("c", reads=("x",)), ("a",))),
    ]
    store.append(lease, events[:4], LATER)
    store.append(lease, events[4:], LATER)
    assert store.events(run.run_id) == [pair for pair in events if pair[0] != 4]
    assert store.events(run.run_id, after=5) == events[5:]
    assert store.last_seq(run.run_id) == 7
    stored = store.run(run.run_id)
    assert stored.graph == graph.extended([(Task("c", reads=("x",)), ("a",))])
    assert stored.parameters == {"n": 1} and stored.started_at == LATER
    assert [(task.name, task.state.name) for task in stored.tasks] == [
        ("a", "AwaitingRetry"), ("b", "Pending"), ("c", "Pending"),
    ]  # fmt: skip
    assert stored.tasks[2].task.reads == ("x",)


def test_instants_keep_their_microseconds(store) -> None:
    """What was written at an instant is read back at that instant."""
    run, lease = open_run(store)
    at = [START + timedelta(days=number * 97, microseconds=number * 7919) for number in range(200)]
    store.append(lease, [(n, run_became("RUNNING", at=moment)) for n, moment in enumerate(at, 1)], LATER)
    assert [event.at for _, event in store.events(run.run_id)] == at


TEXTS = ["plain", "naïve ☕ 𝄞", "", "tab\tnew\nline", "'); DROP TABLE logs; --", "<script>", "x" * 100_000]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_lines_come_back_as_they_were_written(store, text) -> None:
    """Whatever a task prints."""
    run, lease = open_run(store)
    store.append(lease, [(1, LogWritten(START, "a", 1, 30, text))], LATER)
    [line] = store.logs(run.run_id)
    assert (line.seq, line.at, line.task, line.attempt, line.level, line.text) == (1, START, "a", 1, 30, text)


def test_a_character_that_not_every_store_holds_is_spelled_out(store) -> None:
    """A null character, which PostgreSQL's texts cannot hold, is written as its escape; nothing is lost or refused."""
    run, lease = open_run(store)
    store.append(
        lease,
        [(1, LogWritten(START, "a", 1, 30, "a\0b")), (2, RunStateChanged(START, State(StateType.FAILED, "", "x\0y")))],
        LATER,
    )
    assert store.logs(run.run_id)[0].text == "a\\x00b"
    assert store.run(run.run_id).state.message == "x\\x00y"


def test_half_characters_are_spelled_out(store) -> None:
    """What no UTF-8 file can hold neither ends the run nor vanishes."""
    run, lease = open_run(store)
    event = task_became("a", "FAILED", message="caf\udce9", error="caf\udce9")
    store.append(lease, [(1, LogWritten(START, "a", 1, 20, "caf\udce9")), (2, event)], LATER)
    assert store.logs(run.run_id)[0].text == "caf\\udce9"
    [(_, stored)] = store.events(run.run_id)
    assert (stored.state.message, stored.details["error"]) == ("caf\\udce9", "caf\udce9")


def test_the_newest_lines_are_given_oldest_first(store) -> None:
    """Of one task or of all, from a number on, and no more than asked for."""
    run, lease = open_run(store)
    lines = [(n, LogWritten(START, "ab"[n % 2], 1, 20, str(n))) for n in range(1, 9)]
    store.append(lease, lines, LATER)
    assert [line.text for line in store.logs(run.run_id, limit=3)] == ["6", "7", "8"]
    assert [line.text for line in store.logs(run.run_id, "a", after=3)] == ["4", "6", "8"]


def test_a_number_is_given_once(store) -> None:
    """A second event of the same number is refused, and nothing of its batch is kept."""
    run, lease = open_run(store)
    store.append(lease, [(1, started("a"))], LATER)
    with pytest.raises(HistoryConflict, match=run.run_id):
        store.append(lease, [(2, completed("a")), (1, failed("a"))], LATER)
    assert store.events(run.run_id) == [(1, started("a"))]


def test_the_executed_notebook_is_noted_by_the_owner_alone(store) -> None:
    """Who was replaced writes nothing more, this neither."""
    run, lease = open_run(store)
    store.set_executed_notebook(lease, "mine.ipynb")
    store.take_over(lease, "there:2:2", LATER)
    store.set_executed_notebook(lease, "late.ipynb")
    assert store.run(run.run_id).executed_notebook == "mine.ipynb"


# Leases


def test_a_waiting_run_is_claimed_once(store) -> None:
    """The second claimant gets nothing; the first is the owner."""
    run = waiting()
    store.create_run(run, plan=PLAN)
    lease = store.claim_run(run.run_id, "here:1:1", "w1", LATER)
    assert (lease.owner, lease.token, lease.expires_at) == ("here:1:1", 1, LATER)
    assert store.claim_run(run.run_id, "there:2:2", "w2", LATER) is None
    assert store.owned_runs() == [lease]
    assert (store.run(run.run_id).state.name, store.run(run.run_id).worker) == ("Pending", "w1")


def test_what_does_not_wait_cannot_be_claimed(store) -> None:
    """A run that somebody performs, or that has ended, is not up for grabs."""
    run, lease = open_run(store)
    store.append(lease, [(1, run_became("RUNNING"))], LATER)
    store.release(lease)
    assert store.claim_run(run.run_id, "there:2:2", "w", LATER) is None


def test_who_was_replaced_is_shut_out(store) -> None:
    """After a take-over the old token opens nothing: no event, no renewal, no second take-over, no release."""
    run, old = open_run(store)
    new = store.take_over(old, "there:2:2", LATER)
    assert new.token == old.token + 1
    with pytest.raises(LeaseLost, match=run.run_id):
        store.append(old, [(1, started("a")), (2, LogWritten(START, "a", 1, 20, "x"))], LATER)
    assert store.events(run.run_id) == [] and store.logs(run.run_id) == []
    assert not store.renew(old, LATER) and store.take_over(old, "third:3:3", LATER) is None
    store.release(old)
    assert store.owned_runs() == [new]
    store.append(new, [(1, started("a"))], LATER)


def test_a_lease_is_renewed_by_writing_and_by_asking(store) -> None:
    """Both move its end, and a released one cannot be renewed."""
    _, lease = open_run(store)
    store.append(lease, [(1, run_became("RUNNING"))], LATER)
    assert store.owned_runs()[0].expires_at == LATER
    assert store.renew(lease, LATER + timedelta(seconds=1))
    assert store.owned_runs()[0].expires_at == LATER + timedelta(seconds=1)
    store.release(lease)
    assert not store.renew(lease, LATER) and store.owned_runs() == []


# Due runs


def test_due_runs_come_in_their_order(store) -> None:
    """Earliest first, no more than asked for, and none that is not for workers, owned or not yet due."""
    for name, seconds, plan in [("c", 3, PLAN), ("a", 1, PLAN), ("b", 2, PLAN), ("later", 99, PLAN), ("mine", 0, None)]:
        store.create_run(replace(waiting(START + timedelta(seconds=seconds)), run_id=name), plan=plan)
    assert store.next_due_at() == START + timedelta(seconds=1)
    assert store.due_runs(LATER, 10) == ["a", "b", "c"] and store.due_runs(LATER, 2) == ["a", "b"]
    store.claim_run("a", "here:1:1", "w", LATER)
    assert store.due_runs(LATER, 10) == ["b", "c"]
    assert store.next_due_at() == START + timedelta(seconds=2)


def test_what_is_overdue_is_named_late_once(store) -> None:
    """Only runs that still wait, and only those due before the instant."""
    for name, seconds in [("a", 1), ("b", 2), ("c", 3)]:
        store.create_run(replace(waiting(START + timedelta(seconds=seconds)), run_id=name), plan=PLAN)
    store.claim_run("a", "here:1:1", "w", LATER)
    assert [store.mark_late(START + timedelta(seconds=3)) for _ in range(2)] == [1, 0]
    assert [store.run(name).state.name for name in "abc"] == ["Pending", "Late", "Scheduled"]


# Requests


def test_a_request_is_heard_once(store) -> None:
    """By the run it was filed for, in order."""
    for kind in ("cancel", "pause"):
        store.request("r1", kind, START)
    assert store.take_requests("r2", LATER) == []
    assert store.take_requests("r1", LATER) == ["cancel", "pause"]
    assert store.take_requests("r1", LATER) == []


# Deployments


def test_a_deployment_comes_back_with_its_schedules(store) -> None:
    """Every save is a new version that replaces the schedules; being paused and the day of birth stay."""
    saved = store.save_deployment(deployment("nightly", schedule()))
    assert saved == replace(deployment("nightly", schedule()), version=1)
    store.pause_deployment("nightly", True, LATER)
    again = store.save_deployment(replace(deployment("nightly", schedule(schedule_id="s2")), updated_at=LATER))
    assert (again.version, again.is_paused, again.created_at, again.updated_at) == (2, True, START, LATER)
    assert [row.schedule_id for row in again.schedules] == ["s2"] and again.schedules[0].is_paused
    store.save_deployment(deployment("hourly"))
    assert [found.name for found in store.deployments()] == ["hourly", "nightly"]
    assert store.deployments()[1] == store.deployment("nightly")
    assert store.schedules() == list(again.schedules)


def test_every_due_time_has_exactly_one_row(store) -> None:
    """A schedule moves on together with the runs it makes, all or none, and only once."""
    [row] = store.save_deployment(deployment("nightly", schedule())).schedules
    runs = [(waiting(START + timedelta(seconds=n)), PLAN) for n in (1, 2)]
    assert store.advance_schedule(row, LATER, None, runs)
    assert not store.advance_schedule(row, LATER, None, [(waiting(START + timedelta(seconds=1)), PLAN)])
    assert len(store.runs()) == 2 and store.schedules()[0].seen_until == LATER
    again = (waiting(START + timedelta(seconds=1)), PLAN)
    assert store.advance_schedule(store.schedules()[0], LATER + timedelta(seconds=1), None, [again])
    assert len(store.runs()) == 2


# Workers


def test_workers_are_known_while_they_live(store) -> None:
    """A beat keeps the first day and renews the last sign of life; who says good-bye is forgotten."""
    store.beat("here:1:1", "w1", 2, START)
    store.beat("here:1:1", "w1", 2, LATER)
    store.beat("here:2:2", "w2", 4, LATER)
    first, second = store.workers()
    assert (first.name, first.slots, first.started_at, first.heartbeat_at) == ("w1", 2, START, LATER)
    assert second.slots == 4
    store.remove_worker("here:1:1")
    assert [worker.owner for worker in store.workers()] == ["here:2:2"]


def test_a_store_describes_itself(store) -> None:
    """For `orch doctor`: kind, place, schema and that it is sound."""
    said = store.describe()
    assert said["check"] == "ok" and said["schema"] >= 1 and said["bytes"] > 0 and said["place"]


# Assets


def making(asset, *upstream, **more):
    """Return the details of the end of an attempt that made an asset from others."""
    made = {"asset": asset, "metadata": {"rows": 3}, **more}
    return {"assets": {"made": [made], "upstream": [Reference(each, True).to_json() for each in upstream], "by": "dbt"}}


def test_what_was_made_is_kept_with_the_end_of_its_attempt(store) -> None:
    """The newest attempt of each asset, all of one, what it came from; nothing of a run that is forgotten."""
    runs = [open_run(store, make_graph("load")) for _ in range(2)]
    for seconds, (_, lease) in enumerate(runs):
        at = START + timedelta(seconds=seconds)
        details = making("s3://b", "s3://a", **({"properties": {"name": "B"}} if not seconds else {}))
        kind, name = (StateType.FAILED, "Failed") if seconds else (StateType.COMPLETED, "Completed")
        store.append(lease, [(1, TaskStateChanged(at, "load", 1, State(kind, name), details))], LATER)
    first, second = (store.materializations("s3://b")[place] for place in (1, 0))
    assert [each.run_id for each in (first, second)] == [run.run_id for run, _ in runs]
    assert (first.is_made, second.is_made) == (True, False)
    assert (first.metadata, first.made_by, first.upstream) == ({"rows": 3}, "dbt", (Reference("s3://a", True),))
    assert store.assets() == [
        KnownAsset("s3://a", None, {}, ("s3://b",)),
        KnownAsset("s3://b", second, {"name": "B"}, ()),
    ]
    assert store.materializations(limit=1) == [second] and store.materializations("s3://a") == []
    for run, lease in runs:
        ended = State(StateType.COMPLETED)
        store.append(lease, [(2, RunStateChanged(LATER, ended))], LATER, release=True)
        assert store.forget_run(run.run_id)
    assert store.assets() == [] and store.materializations() == []
