"""A run as its events tell it, and as every `--json` prints it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from orch_notebook.model.events import LogWritten, RunCreated, TaskAdded, event_from_json
from orch_notebook.model.live import LiveRun
from orch_notebook.model.runs import FlowRun, TaskRun, iso, seconds_between
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.testing import START, completed, failed, make_graph, run_became, started, task_became


def later(seconds):
    return START + timedelta(seconds=seconds)


def fresh(graph=None):
    return FlowRun("r1", "demo", State(StateType.PENDING), START, graph=graph or make_graph("a >> b"))


def folded(*events):
    live = LiveRun(fresh())
    live.take(events)
    return live.run


def test_it_begins_with_every_task_pending() -> None:
    """Before anything happened, all tasks of the graph are there."""
    run = LiveRun(fresh()).run
    assert [(task.name, task.state.name, task.attempt) for task in run.tasks] == [
        ("a", "Pending", 0),
        ("b", "Pending", 0),
    ]


def test_an_attempt_has_its_times_and_details() -> None:
    """A retry begins anew: its start replaces the first one's, and its details those of the failure."""
    events = [
        task_became("a", "RUNNING", at=later(1)), task_became("a", "FAILED", at=later(2), error="no"),
        task_became("a", "SCHEDULED", name="AwaitingRetry", at=later(2), due_at="soon"),
        task_became("a", "RUNNING", 2, name="Retrying", at=later(5)),
    ]  # fmt: skip
    one, two, three, four = (folded(*events[:count]).tasks[0] for count in (1, 2, 3, 4))
    assert (one.started_at, one.ended_at, dict(one.details)) == (later(1), None, {})
    assert (two.started_at, two.ended_at, dict(two.details)) == (later(1), later(2), {"error": "no"})
    assert (three.state.name, three.ended_at, dict(three.details)) == ("AwaitingRetry", None, {"due_at": "soon"})
    assert (four.attempt, four.started_at, four.ended_at, dict(four.details)) == (2, later(5), None, {})


def test_a_run_starts_once_and_ends() -> None:
    """Its first start counts; a resumed run has no end until it ends again."""
    events = [
        run_became("RUNNING", at=later(1)),
        run_became("FAILED", at=later(3)),
        run_became("SCHEDULED", at=later(4)),
    ]
    assert (folded(*events[:2]).started_at, folded(*events[:2]).ended_at) == (later(1), later(3))
    assert (folded(*events).started_at, folded(*events).ended_at) == (later(1), None)


def test_added_tasks_come_last_and_lines_change_nothing() -> None:
    """Tasks stand in the order in which they appeared."""
    run = folded(TaskAdded(START, Task("z")), LogWritten(START, "a", 1, 20, "x"), TaskAdded(START, Task("y")))
    assert [task.name for task in run.tasks] == ["a", "b", "z", "y"]


def test_the_creation_tells_graph_and_parameters() -> None:
    """A run of which only the row was known learns its tasks."""
    run = folded(RunCreated(START, "demo", make_graph("x"), {"n": 1}))
    assert [task.name for task in run.tasks] == ["x"] and run.parameters == {"n": 1}


def test_what_was_handed_out_does_not_change() -> None:
    """Whoever holds a run may read it in peace."""
    live = LiveRun(fresh())
    before = live.run
    live.take([started("a")])
    assert before.tasks[0].state.name == "Pending" and live.run.tasks[0].state.name == "Running"
    assert live.run is live.run


def test_a_run_counts_the_names_of_its_tasks_states() -> None:
    """For the line that says how far it is."""
    assert folded(started("a"), completed("a"), started("b")).counts() == {"Completed": 1, "Running": 1}


EVENTS = [
    RunCreated(START, "demo", make_graph("a >> b", Task("b", timeout=1.0)), {"n": [1, None]}),
    TaskAdded(START, Task("c", reads=("x",)), ("a", "b")),
    started("a"),
    failed("a", 2, error="é", traceback=["one"]),
    task_became("a", "CANCELLED", 0, name="UpstreamFailed", message="'b' failed", culprit="b"),
    run_became("CRASHED"),
    LogWritten(START, "", 0, 30, "line"),
]


@pytest.mark.parametrize("event", EVENTS, ids=[type(event).__name__ for event in EVENTS])
def test_an_event_survives_json(event) -> None:
    """It can be read back from its own JSON."""
    data = json.loads(json.dumps(event.to_json()))
    assert event_from_json(type(event).__name__, event.at.timestamp(), data) == event


# What `orch runs --json` and `orch show --json` print: others script against these names.

RUN_KEYS = (
    "run_id", "flow", "name", "tags", "deployment", "backfill", "parent_run_id", "retry_of", "upstream_run_id", "state",
    "due_at", "created_at", "started_at", "ended_at", "duration", "attempt", "parameters", "worker",
)  # fmt: skip
TASK_KEYS = (
    "name", "task_run_id", "run_id", "cell_index", "state", "attempts", "started_at", "ended_at", "duration",
    "reads", "writes", "mutates", "cached_from", "error", "traceback", "note",
)  # fmt: skip


def test_a_run_prints_what_others_rely_on() -> None:
    """Every key is there in every run; with tasks also notebook and executed notebook."""
    run = folded(run_became("RUNNING", at=later(1)), run_became("COMPLETED", at=later(3.5)))
    assert tuple(run.to_json()) == RUN_KEYS
    assert tuple(run.to_json(with_tasks=True)) == (
        *RUN_KEYS,
        "about",
        "notebook",
        "executed_notebook",
        "values",
        "tasks",
    )
    assert run.to_json()["state"] == {"type": "COMPLETED", "name": "Completed", "message": ""}
    assert (run.to_json()["started_at"], run.to_json()["duration"]) == ("2026-01-01T00:00:01.000Z", 2.5)


def test_a_task_run_prints_what_others_rely_on() -> None:
    """Its id is its run's and its name; what is not known is null, and JSON can hold all of it."""
    run = folded(started("a"), failed("a", error="no", traceback=["one", "two"], note="n", cached_from=None))
    data = json.loads(json.dumps(run.tasks[0].to_json()))
    assert tuple(data) == TASK_KEYS
    assert (data["task_run_id"], data["attempts"], data["error"], data["traceback"]) == (
        "r1/a",
        1,
        "no",
        ["one", "two"],
    )
    assert (data["cached_from"], data["note"]) == (None, "n")


INSTANTS = [
    (None, None),
    (START, "2026-01-01T00:00:00.000Z"),
    (datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2026-01-01T00:00:00.000Z"),
    (START + timedelta(microseconds=1999), "2026-01-01T00:00:00.001Z"),
]


@pytest.mark.parametrize("instant, text", INSTANTS)
def test_instants_are_written_in_utc(instant, text) -> None:
    """To the millisecond, whatever zone they were given in."""
    assert iso(instant) == text


def test_a_length_is_never_negative() -> None:
    """A clock that was set back makes no time run backwards; what is not known has no length."""
    pairs = [(START, later(2)), (later(2), START), (None, START), (START, None)]
    assert [seconds_between(*pair) for pair in pairs] == [2.0, 0.0, None, None]
    assert TaskRun("r1", Task("a")).seconds(START) is None and fresh().seconds(START) is None
    assert TaskRun("r1", Task("a"), started_at=START).seconds(later(3)) == 3.0
