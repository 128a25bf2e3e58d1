"""Who is told what: rules as they are typed, facts, texts, and secrets that stay secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orch_notebook.errors import CycleError, ParameterError, UsageError
from orch_notebook.model.chains import After, check_chains
from orch_notebook.model.notices import Daily, Notice, facts_of_end, hide, write_message
from orch_notebook.model.retention import Retention
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def run(kind="COMPLETED", name="", **about):
    """Return a run of load in a state, ended at noon."""
    state = State(StateType(kind), name, "it says why")
    return FlowRun("r1", "load", state, NOON, deployment="load", ended_at=NOON, **about)


PARSED = [
    ("on=failed,recovered,to=slack://a/b/c", ("failed", "recovered"), "slack://a/b/c"),
    ("to=https://example.org/hook?a=1,b=2", ("failed", "recovered"), "https://example.org/hook?a=1,b=2"),
    ("on = too-long:2h , to = $TEAM", ("too-long:2h",), "$TEAM"),
    ("on=not-run:06:00@Europe/Madrid,to=command: mail -s 'on=x,to=y' ann", ("not-run:06:00@Europe/Madrid",),
     "command: mail -s 'on=x,to=y' ann"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "on", "to"), PARSED, ids=[row[0] for row in PARSED])
def test_a_rule_is_read_as_it_is_typed(text, on, to):
    """All behind ``to=`` is the address, whatever it holds; without facts, failures and recoveries are told."""
    notice = Notice.parse(text)
    assert (notice.on, notice.to) == (on, to)
    assert Notice.from_json(notice.to_json()) == notice


REFUSED = [
    ("on=faild,to=x://y", "Did you mean 'failed'"),
    ("on=too-long,to=x://y", "too-long:2h"),
    ("on=too-long:soon,to=x://y", "not a length of time"),
    ("on=failed:2h,to=x://y", "not complete"),
    ("on=not-run:6,to=x://y", "no time of day"),
    ("on=not-run:27:00,to=x://y", "27:00 is no time of day"),
    ("on=not-run:06:00@Europe/Madird,to=x://y", "Europe/Madrid"),
    ("slack://a/b/c", "on=FACT"),
    ("to=ann@a/b/c", "is no address: write mailto://"),
]


@pytest.mark.parametrize(("text", "says"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_rule_that_cannot_be_is_refused(text, says):
    """What is wrong is named, with the way out, and an address typed in its place is not repeated."""
    with pytest.raises(UsageError, match=says) as raised:
        Notice.parse(text)
    assert "a/b/c" not in str(raised.value)


def test_texts_are_checked_before_they_are_needed():
    """A place that cannot be filled is refused when the rule is made; what is not known later is left empty."""
    with pytest.raises(UsageError, match=r"Did you mean \{deployment\}"):
        Notice("x://y", title="{deploymnt}")
    with pytest.raises(UsageError, match="written twice"):
        Notice("x://y", body="{")
    notice = Notice("x://y", title="{deployment} {what}", body="{message} {{{worker}}} {parameters}")
    message = write_message(notice, "failed", "s", "load", NOON, run("FAILED", parameters={"n": 3}))
    assert (message.title, message.body) == ("load failed", "it says why {} n=3")


ENDS = [
    (run(), False, None, ("completed",)),
    (run(), False, run(), ("completed",)),
    (run(), False, run("FAILED"), ("completed", "recovered")),
    (run(), False, run("CRASHED"), ("completed", "recovered")),
    (run("FAILED", "TimedOut"), False, None, ("failed",)),
    (run("CRASHED"), False, run("CRASHED"), ("failed",)),
    (run("FAILED"), True, None, ()),
    (run("CANCELLED"), False, None, ("cancelled",)),
    (run("CANCELLED", "Missed"), False, None, ("missed",)),
]


@pytest.mark.parametrize(("ended", "is_repeated", "before", "facts"), ENDS)
def test_what_an_end_is_worth_telling(ended, is_repeated, before, facts):
    """A failure that is repeated is not the last word; a completion after a failure is a recovery."""
    assert facts_of_end(ended, is_repeated=is_repeated, before=before) == facts


def test_the_day_of_a_rule_is_that_of_its_zone():
    """The latest time of day that has passed is looked at, with the day's beginning where the zone says."""
    begin, end = Daily.parse("not-run:06:00@Europe/Madrid").latest(datetime(2026, 3, 29, 3, 59, tzinfo=UTC))
    assert (begin.astimezone(UTC).isoformat(), end.astimezone(UTC).isoformat()) == (
        "2026-03-27T23:00:00+00:00",
        "2026-03-28T05:00:00+00:00",
    )
    begin, end = Daily.parse("not-run:06:00@Europe/Madrid").latest(datetime(2026, 3, 29, 4, tzinfo=UTC))
    assert (end.astimezone(UTC).hour, (end - begin.astimezone(UTC)) / timedelta(hours=1)) == (4, 5.0)


@pytest.mark.parametrize("address", ["slack://tokenA/tokenB", "mailto://ann:pass@example.org", "hidden"])
def test_no_part_of_an_address_is_shown(address):
    """Lists and reports name the kind and a mark by which two addresses are told apart."""
    shown = hide(address) + Notice(address).shown()
    message = write_message(Notice(address), "failed", "s", "load", NOON, run("FAILED"))
    shown += str(message.to_json())
    assert not [part for part in ("token", "ann", "pass", "example", "hidden") if part in shown]


STARTS = [
    ("completed", run(), False, True),
    ("completed", run("FAILED"), False, False),
    ("failed", run("CRASHED"), False, True),
    ("failed", run("CRASHED"), True, False),
    ("finished", run("FAILED"), True, False),
    ("finished", run("CANCELLED"), False, True),
    ("finished", run("CANCELLED", "Missed"), False, False),
]


@pytest.mark.parametrize(("on", "ended", "is_repeated", "starts"), STARTS)
def test_which_ends_start_another(on, ended, is_repeated, starts):
    """A run starts after the end its rule names, and not while that one is repeated."""
    assert After("load", on).starts(ended, is_repeated=is_repeated) is starts


def test_what_is_taken_from_the_run_before():
    """A value alone keeps its type; in a text it is spelled; what is not there is named."""
    rule = After(
        "load", parameters={"n": "{upstream.values.rows}", "name": "{upstream.parameters.day}-{upstream.state}", "k": 1}
    )
    before = run(parameters={"day": "monday"})
    assert rule.given(before, {"rows": [1, 2]}) == {"n": [1, 2], "name": "monday-Completed", "k": 1}
    with pytest.raises(ParameterError, match="recorded no value 'rows'"):
        rule.given(before, {})
    with pytest.raises(UsageError, match=r"no \{upstream.value.rows\} to take"):
        After("load", parameters={"n": "{upstream.value.rows}"})
    with pytest.raises(UsageError, match="Did you mean 'completed'"):
        After("load", "complete")


def test_circles_are_refused_with_their_path():
    """The path is in the order in which runs would start each other; a diamond is none."""
    with pytest.raises(CycleError, match="a → b → c → a"):
        check_chains({"c": [After("b")], "b": [After("a")], "a": [After("c")], "d": [After("a")]})
    check_chains({"b": [After("a")], "c": [After("a")], "d": [After("b"), After("c")]})


KEPT = [
    ("2h", [0, 1]),
    ("3", [0, 1, 2]),
    ("90m,1", [0]),
    ("forever", [0, 1, 2, 3]),
]


@pytest.mark.parametrize(("text", "kept"), KEPT)
def test_runs_are_kept_by_age_and_count(text, kept):
    """Runs older than the age, or beyond the count of the newest, may go; one that goes on stays."""
    runs = [
        FlowRun(str(hours), "f", State(StateType.COMPLETED), NOON, ended_at=NOON - timedelta(hours=hours))
        for hours in range(4)
    ]
    gone = Retention.parse(text).superfluous(runs, NOON + timedelta(minutes=5))
    assert [int(each.run_id) for each in runs if each not in gone] == kept
    assert Retention.parse(Retention.parse(text).text) == Retention.parse(text)


def test_a_run_that_goes_on_is_kept_however_old_it_is():
    """What has not ended is nobody's to remove."""
    old = FlowRun("r", "f", State(StateType.RUNNING), NOON - timedelta(days=99))
    assert Retention.parse("1d,0").superfluous([old], NOON) == []
    with pytest.raises(UsageError, match="30d"):
        Retention.parse("a while")
