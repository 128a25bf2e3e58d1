"""Deployments: what promote keeps and refuses, and how due times become rows."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from orch_notebook.errors import NotebookError, NotFound, ParameterError, ScheduleError, UsageError
from orch_notebook.model.chains import After
from orch_notebook.model.differences import compare_deployments
from orch_notebook.model.notices import Notice, write_message
from orch_notebook.model.policies import CatchUp
from orch_notebook.model.schedules import Cron, Interval, Once
from orch_notebook.model.states import StateType
from orch_notebook.promotion import due as due_times
from orch_notebook.promotion.deployments import find, pause, promote, remove, roll_back, submit, trigger
from orch_notebook.promotion.diagnosis import diagnose
from orch_notebook.promotion.due import materialise
from orch_notebook.promotion.notebooks import cells_of, read_notebook
from orch_notebook.promotion.terms import Terms, Timed, read_schedules
from orch_notebook.runtime.owners import this_owner
from tests.books import write_book

LATE = 15.0


@pytest.fixture
def nightly(store, settings, clock, book):
    """Promotes the notebook as 'nightly'; may be called again."""

    def again(*, schedules=(), parameters=None, **terms):
        return promote(
            store,
            settings,
            clock.now(),
            book,
            "nightly",
            schedules=schedules,
            parameters=parameters,
            terms=Terms(**terms),
        )

    return again


def every(clock, seconds):
    """Return the schedule that is due every so many seconds from now on."""
    return [Interval(float(seconds), clock.now())]


def rows(store):
    """Return (seconds past noon, state name) of every run, in order of due time."""
    found = sorted(store.runs(limit=100_000), key=lambda run: run.due_at)
    return [
        ((run.due_at.hour - 12) * 3600 + run.due_at.minute * 60 + run.due_at.second, run.state.name) for run in found
    ]


# promote


def test_promote_keeps_all_that_a_run_needs(store, nightly, book):
    """The pinned copy, the folder, the schema and the given values are kept; the notebook may change afterwards."""
    saved = nightly(parameters={"n": 5}, retries=2, retry_delay=10.0, timeout=60.0, kernel="python3")
    book.unlink()
    assert saved == find(store, "nightly")
    assert (saved.version, saved.flow, saved.parameters) == (1, "report", {"n": 5})
    assert [parameter["name"] for parameter in saved.schema] == ["n"]
    assert saved.plan.folder == str(book.parent)
    assert (saved.plan.kernel, saved.plan.retries, saved.plan.retry_delay, saved.plan.timeout) == ("python3", 2, 10, 60)
    assert read_notebook(saved.plan.snapshot).cells[1].source == "print(n)"


def test_promoting_anew_makes_a_version(store, nightly, book, clock):
    """The same name counts up and replaces schedules and notebook; a run made before keeps what it was made for."""
    first = nightly(schedules=every(clock, 60))
    waiting = trigger(store, clock.now(), "nightly", {})
    write_book(book, "print('second')")
    second = nightly()
    assert (first.version, second.version, len(store.deployments())) == (1, 2, 1)
    assert (len(first.schedules), second.schedules, second.schema) == (1, (), ())
    assert store.plan(waiting.run_id).snapshot == first.plan.snapshot != second.plan.snapshot


REFUSED = [
    ({"name": "two words"}, UsageError, "'two words'"),
    ({"name": ""}, UsageError, "name may hold"),
    ({"name": "../etc"}, UsageError, "'../etc'"),
    ({"retries": -1}, UsageError, "must not be negative"),
    ({"retry_delay": -1.0}, UsageError, "must not be negative"),
    ({"timeout": 0.0}, UsageError, "more than 0"),
    ({"concurrency": 0}, UsageError, "At least one run at a time"),
    ({"queue": "my queue"}, UsageError, "'my queue'"),
    ({"tags": ("",)}, UsageError, "a tag may hold"),
    ({"kernel": "julia-9"}, NotebookError, "kernel 'julia-9' is not installed here; installed: "),
    ({"parameters": {"m": 1}}, ParameterError, "no parameter 'm'. The notebook takes n: int = 3"),
    ({"parameters": {"n": "many"}}, ParameterError, "'n' takes int, not 'many'"),
    ({"notebook": Path("none.ipynb")}, NotebookError, "There is no notebook"),
    ({"cells": ["x = 1"], "kernel_of_book": "ghost"}, NotebookError, "kernel 'ghost' is not installed"),
    ({"cells": [("n: int\nday: str", ["parameters"])], "parameters": {"n": 1}}, ParameterError, "'day'"),
]


@pytest.mark.parametrize(("change", "kind", "says"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_cannot_run_is_refused(store, settings, clock, book, change, kind, says):
    """A name, number, kernel, parameter or notebook that is not right is told in one line, and nothing is kept."""
    change = dict(change)
    if cells := change.pop("cells", None):
        write_book(book, *cells, kernel=change.pop("kernel_of_book", "python3"))
    notebook, name = change.pop("notebook", book), change.pop("name", "nightly")
    parameters = change.pop("parameters", None)
    with pytest.raises(kind) as caught:
        promote(store, settings, clock.now(), notebook, name, parameters=parameters, terms=Terms(**change))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.deployments() == []


SCHEDULES = [
    ({"crons": ["0 6 * * *"], "timezone": "Europe/Madrid"}, Cron("0 6 * * *", "Europe/Madrid")),
    ({"intervals": ["1h30m"]}, "every 1 h 30 min"),
    ({"instants": ["2026-01-15T18:00"], "timezone": "Europe/Madrid"}, "17:00"),
    ({"crons": ["61 * * * *"]}, "minute field '61'"),
    ({"crons": ["0 6 * *"]}, "'0 6 * *'"),
    ({"crons": ["0 6 * * *"], "timezone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
    ({"crons": ["0 0 30 2 *"]}, "0 0 30 2 *"),
    ({"intervals": ["soon"]}, "'soon' is not a length of time"),
    ({"intervals": ["0"]}, "0"),
    ({"instants": ["tomorrow"]}, "'tomorrow'"),
    ({"instants": ["2026-01-15T11:59"]}, "no due time ahead"),
    ({"intervals": ["30s"], "timezone": "UTC"}, "give --cron, --rrule"),
    ({"recurrences": ["FREQ=WEEKLY;BYDAY=MO"], "start": "2026-01-01T06:00"}, "rrule FREQ=WEEKLY"),
    ({"intervals": ["1h"], "start": "2026-01-15T06:30"}, "every 1 h"),
    ({"crons": ["@daily"], "start": "2026-01-15T06:30"}, "give --every or --rrule"),
]


@pytest.mark.parametrize(("options", "expected"), SCHEDULES, ids=[str(row[0]) for row in SCHEDULES])
def test_schedules_are_read_or_refused(clock, options, expected):
    """Options become schedules; what does not parse, or is never due again, is told with the part that is wrong."""
    options = {"crons": (), "intervals": (), "instants": (), "timezone": None} | options
    if isinstance(expected, Cron):
        assert read_schedules(clock.now(), **options) == [expected]
    elif expected.startswith(("every", "rrule")):
        assert read_schedules(clock.now(), **options)[0].words().startswith(expected)
    elif expected == "17:00":
        assert read_schedules(clock.now(), **options) == [Once(clock.now() + timedelta(hours=5))]
    else:
        with pytest.raises(ScheduleError) as caught:
            read_schedules(clock.now(), **options)
        assert expected in str(caught.value)


def test_a_misspelt_deployment_is_told_the_nearest(store, nightly):
    """A name that is not there is answered with the one that was meant."""
    nightly()
    with pytest.raises(NotFound, match="Did you mean 'nightly'"):
        find(store, "nigthly")
    with pytest.raises(NotFound, match="orch deployments"):
        find(store, "weekly")


# runs on request


def test_trigger_takes_parameters_over_those_promoted(store, nightly, clock):
    """A triggered run is due now, with the deployment's values and those given now; wrong ones are refused."""
    nightly(parameters={"n": 5})
    assert trigger(store, clock.now(), "nightly", {}).parameters == {"n": 5}
    made = trigger(store, clock.now(), "nightly", {"n": "7"})
    assert (made.parameters, made.due_at, made.deployment) == ({"n": 7}, clock.now(), "nightly")
    for wrong in ({"k": 1}, {"n": "x"}):
        with pytest.raises(ParameterError):
            trigger(store, clock.now(), "nightly", wrong)
    assert len(store.runs()) == 2


def test_a_notebook_executed_at_once_is_no_workers_business(store, settings, clock, book):
    """A run without a deployment is claimed by who made it from its first moment on."""
    made = submit(store, settings, clock.now(), book, {"n": 1}, this_owner())
    assert [lease.run_id for lease in store.owned_runs()] == [made.run_id]
    assert store.due_runs(clock.now(), 10) == []


# due times


def test_each_due_time_becomes_one_row(store, nightly, clock):
    """Every look turns the due times since the last into runs, once, with the deployment's parameters."""
    nightly(schedules=every(clock, 10), parameters={"n": 4})
    for step in (0, 9, 1, 0, 10, 3, 8):
        clock.advance(step)
        materialise(store, clock.now(), LATE)
    assert rows(store) == [(10, "Scheduled"), (20, "Scheduled"), (30, "Scheduled")]
    assert {(run.deployment, run.parameters["n"], run.attempt) for run in store.runs()} == {("nightly", 4, 1)}


def test_looking_tells_when_to_look_again(store, settings, nightly, clock, book):
    """The earliest due time of all schedules is returned; none where nothing is scheduled."""
    assert materialise(store, clock.now(), LATE) is None
    nightly(schedules=[*every(clock, 3600), Once(clock.now() + timedelta(seconds=90))])
    assert materialise(store, clock.now(), LATE) == clock.now() + timedelta(seconds=90)
    clock.advance(90)
    assert materialise(store, clock.now(), LATE) == clock.now() + timedelta(seconds=3600 - 90)


# seconds between due times, seconds nobody looked, what becomes of the due times
BACKLOGS = [
    (10, 10, ["Scheduled"]),
    (10, 24, ["Scheduled", "Scheduled"]),
    (10, 39, ["Missed", "Missed", "Scheduled"]),
    (60, 59, []),
    (60, 75, ["Scheduled"]),
    (60, 130, ["Missed", "Scheduled"]),
    (600, 3599, ["Missed"] * 4 + ["Scheduled"]),
    (600, 600 + 16, ["Scheduled"]),
]


@pytest.mark.parametrize(("period", "away", "expected"), BACKLOGS)
def test_a_backlog_is_caught_up_with_by_its_newest(store, nightly, clock, period, away, expected):
    """After a time without workers what is punctual runs, else the newest; the others are Missed, with the reason."""
    nightly(schedules=every(clock, period))
    clock.advance(away)
    materialise(store, clock.now(), LATE)
    assert rows(store) == [(period * (place + 1), name) for place, name in enumerate(expected)]
    for run in store.runs():
        if run.state.name == "Missed":
            assert (run.state.type, run.ended_at) == (StateType.CANCELLED, clock.now())
            assert "No worker looked" in run.state.message
            assert store.plan(run.run_id) is None
    assert len(store.due_runs(clock.now(), 100)) == expected.count("Scheduled")


def test_a_backlog_longer_than_one_look_is_caught_up_with_once(store, nightly, clock, monkeypatch):
    """However many looks a backlog takes, only its very newest due time runs."""
    monkeypatch.setattr(due_times, "LIMIT", 10)
    nightly(schedules=every(clock, 60))
    clock.advance(60 * 35 + 20)
    for _ in range(5):
        materialise(store, clock.now(), LATE)
    assert [name for _, name in rows(store)] == ["Missed"] * 34 + ["Scheduled"]


def test_a_paused_deployment_makes_no_rows(store, settings, nightly, clock):
    """While it is paused nothing comes due, and waking it does not bring back what passed, worker or none."""
    nightly(schedules=every(clock, 60))
    pause(store, settings, clock.now(), "nightly", True)
    clock.advance(600)
    assert materialise(store, clock.now(), LATE) is None
    clock.advance(600)
    assert not pause(store, settings, clock.now(), "nightly", False).is_paused
    assert materialise(store, clock.now(), LATE) == clock.now() + timedelta(seconds=60)
    clock.advance(60)
    materialise(store, clock.now(), LATE)
    assert rows(store) == [(1260, "Scheduled")]


def test_pausing_twice_changes_nothing(store, settings, nightly, clock):
    """Waking what is awake keeps the due times that no worker has seen."""
    nightly(schedules=every(clock, 60))
    clock.advance(60)
    pause(store, settings, clock.now(), "nightly", False)
    materialise(store, clock.now(), LATE)
    assert rows(store) == [(60, "Scheduled")]
    with pytest.raises(NotFound):
        pause(store, settings, clock.now(), "none", True)


@pytest.mark.parametrize(("act", "why"), [("promote", "promoted anew"), ("pause", "paused before")])
def test_no_due_time_is_lost_to_a_change(store, settings, nightly, clock, act, why):
    """Due times that no worker saw before a deployment is promoted anew or paused get their row: Missed, or a run."""
    nightly(schedules=every(clock, 60))
    clock.advance(185)
    nightly(schedules=every(clock, 60)) if act == "promote" else pause(store, settings, clock.now(), "nightly", True)
    materialise(store, clock.now(), LATE)
    assert rows(store) == [(60, "Missed"), (120, "Missed"), (180, "Scheduled")]
    assert all(why in run.state.message for run in store.runs(state="missed"))


def test_a_rule_this_machine_does_not_know_stops_no_other(store, nightly, clock):
    """A schedule in a time zone, or of a kind, that is unknown here is left to another machine; the rest goes on."""
    saved = nightly(schedules=every(clock, 60))
    odd = replace(
        saved.schedules[0], schedule_id="", rule={"kind": "cron", "expression": "0 6 * * *", "timezone": "X/Y"}
    )
    lunar = replace(odd, rule={"kind": "lunar"})
    store.save_deployment(replace(saved, schedules=(odd, lunar, *saved.schedules)))
    clock.advance(60)
    materialise(store, clock.now(), LATE)
    assert rows(store) == [(60, "Scheduled")]


# policy, how late nobody looked, what becomes of the hourly due times
CAUGHT_UP = [
    ("latest", ["Missed", "Missed", "Missed", "Scheduled"]),
    ("all", ["Scheduled"] * 4),
    ("skip", ["Missed"] * 4),
    ("limit:2", ["Missed", "Missed", "Scheduled", "Scheduled"]),
    ("limit:9", ["Scheduled"] * 4),
    ("window:2h", ["Missed", "Missed", "Scheduled", "Scheduled"]),
    ("window:30s", ["Missed"] * 4),
]


@pytest.mark.parametrize(("policy", "expected"), CAUGHT_UP)
def test_each_catch_up_policy_in_its_own_way(store, nightly, clock, policy, expected):
    """Of four hours without a worker each policy makes the runs it promises; the rest is Missed and says why."""
    nightly(schedules=every(clock, 3600), catch_up=CatchUp.parse(policy))
    clock.advance(4 * 3600 + 60)
    materialise(store, clock.now(), LATE)
    assert [name for _, name in rows(store)] == expected
    assert store.deployment("nightly").catch_up == CatchUp.parse(policy)
    for run in store.runs(state="missed"):
        assert run.state.message.startswith("No worker looked")


def test_what_is_in_time_runs_whatever_the_policy(store, nightly, clock):
    """A due time that has just passed is nothing to catch up with."""
    nightly(schedules=every(clock, 60), catch_up=CatchUp.parse("skip"))
    clock.advance(121)
    materialise(store, clock.now(), LATE)
    assert [name for _, name in rows(store)] == ["Missed", "Scheduled"]


def test_a_long_backlog_can_be_caught_up_with_whole(store, nightly, clock, monkeypatch):
    """With 'all', no due time is missed, however many looks it takes; runs begin in due order."""
    monkeypatch.setattr(due_times, "LIMIT", 10)
    nightly(schedules=every(clock, 60), catch_up=CatchUp.parse("all"))
    clock.advance(60 * 35 + 20)
    materialise(store, clock.now(), LATE)
    assert [name for _, name in rows(store)] == ["Scheduled"] * 35
    assert [store.run(run_id).due_at for run_id in store.due_runs(clock.now(), 100)] == sorted(
        run.due_at for run in store.runs(limit=100)
    )


def test_each_schedule_gives_its_own_values(store, nightly, clock):
    """A schedule's parameters cover the deployment's; they are checked when it is promoted."""
    hourly, at_once = Interval(3600, clock.now()), Once(clock.now() + timedelta(seconds=5))
    nightly(schedules=[Timed(hourly, {"n": 7}), at_once], parameters={"n": 4})
    clock.advance(5)
    materialise(store, clock.now(), LATE)
    clock.advance(3595)
    materialise(store, clock.now(), LATE)
    assert sorted(run.parameters["n"] for run in store.runs()) == [4, 7]
    with pytest.raises(ParameterError, match="no parameter 'm'"):
        nightly(schedules=[Timed(hourly, {"m": 1})])


# versions


def test_a_version_can_be_gone_back_to(store, settings, nightly, book, clock):
    """Every promote is kept; going back promotes the old notebook, values, schedules and terms as a new version."""
    nightly(schedules=every(clock, 60), parameters={"n": 5}, retries=2, tags=("etl",))
    write_book(book, ("n = 3", ["parameters"]), "print('new')")
    nightly(catch_up=CatchUp.parse("all"))
    clock.advance(600)
    third = roll_back(store, settings, clock.now(), "nightly", 1)
    assert (third.version, third.parameters, third.plan.retries, third.plan.tags) == (3, {"n": 5}, 2, ("etl",))
    assert third.catch_up == CatchUp()
    assert read_notebook(third.plan.snapshot).cells[1].source == "print(n)"
    assert materialise(store, clock.now(), LATE) == clock.now() + timedelta(seconds=60)
    assert [version.version for version in store.versions("nightly")] == [1, 2, 3]
    with pytest.raises(NotFound, match=r"no version 9. Kept are: 1, 2, 3"):
        roll_back(store, settings, clock.now(), "nightly", 9)


def test_what_changed_between_two_versions_is_told(store, nightly, book, clock):
    """Parameters, schedules, terms and cells that differ are told, and nothing else."""
    one = nightly(schedules=[Cron("0 6 * * *")], parameters={"n": 5}, retries=2)
    write_book(book, ("n: int = 3  # rows", ["parameters"]), "print(n)\nprint('more')", "x = 1")
    two = nightly(schedules=[Cron("0 7 * * *")], concurrency=1)
    assert compare_deployments(one, two, cells_of(one), cells_of(two)) == [
        "- parameter n = 5",
        "concurrency: none -> 1",
        "retries: 2 -> 0",
        "- schedule cron 0 6 * * * (UTC)",
        "+ schedule cron 0 7 * * * (UTC)",
        "cell 1",
        "     print(n)",
        "    +print('more')",
        "+ cell 2",
        "    +x = 1",
    ]
    assert compare_deployments(one, one, cells_of(one), cells_of(one)) == []


def test_a_pause_keeps_its_reason(store, settings, nightly, clock):
    """Why a deployment rests is kept until it is woken."""
    nightly()
    assert pause(store, settings, clock.now(), "nightly", True, "the source is down").pause_reason
    assert pause(store, settings, clock.now(), "nightly", False).pause_reason == ""


def test_doctor_looks_at_what_deployments_stand_on(store, settings, clock, book, tmp_path):
    """A snapshot, a kernel or a deployment to start after that is gone is told with its deployment, and what to do."""
    promote(store, settings, clock.now(), book, "load")
    made = promote(store, settings, clock.now(), book, "report", terms=Terms(starts_after=(After("load"),)))

    def problems():
        found = diagnose(settings, lambda: store, clock.now())
        return [
            finding.text for finding in found if finding.subject in ("deployments", "messages") and not finding.is_well
        ]

    assert problems() == []
    remove(store, settings, clock.now(), "me", "load")
    odd = replace(made, name="odd", starts_after=(), plan=replace(made.plan, kernel="no-such-kernel"))
    store.save_deployment(odd)
    store.save_deployment(replace(made, name="lost", starts_after=(), plan=replace(made.plan, snapshot="/gone.ipynb")))
    message = write_message(Notice("x://secret"), "failed", "r", "odd", clock.now())
    store.file_messages([message])
    store.claim_message(message, clock.now())
    store.settle_message(message, "waiting", due_at=clock.now(), error="No answer.")
    lost, kernel, chain, unsent = problems()
    assert ("/gone.ipynb is gone; promote it again" in lost, "no-such-kernel" in kernel) == (True, True)
    assert "starts after 'load', which there is not" in chain
    assert ("1 not sent" in unsent, "secret" in unsent) == (True, False)
