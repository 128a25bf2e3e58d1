"""Deployments declared in a file: what it may say, what would change, and the way back."""

from __future__ import annotations

import tomllib

import pytest

from orch_notebook.errors import UsageError
from orch_notebook.model.chains import After
from orch_notebook.model.policies import CatchUp, Overlap
from orch_notebook.model.schedules import Cron, Once, Recurrence, schedule_from_json
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.declarations import find_declarations, read_declarations
from orch_notebook.promotion.exporting import write_declarations
from tests.books import write_book

FULL = """
[deployments.nightly]
notebook = "report.ipynb"
parameters = { n = 7 }
retries = 2
retry_delay = "1m"
timeout = "2h"
queue = "big"
priority = 5
limit = 1
overlap = "skip"
catch_up = "limit:3"
tags = ["etl", "daily"]
memory = "2GB"
env = { MODE = "full" }
preload = ["csv", "json"]
warm = 2
keep = "30d"
starts_after = ["by-hand", { deployment = "by-hand", on = "failed", parameters = { n = "{upstream.values.k}" } }]
notify = ["on=late,to=$TEAM", { on = ["failed"], to = "slack://secret/word", title = "{deployment} {what}" }]

[[deployments.nightly.schedules]]
cron = "0 6 * * *"
timezone = "Europe/Madrid"
parameters = { n = 9 }

[[deployments.nightly.schedules]]
rrule = "FREQ=MONTHLY;BYDAY=-1FR"
start = 2026-01-01T18:00:00

[[deployments.nightly.schedules]]
at = 2026-12-24T12:00:00Z

[deployments.by-hand]
notebook = "report.ipynb"
track = true
"""


@pytest.fixture
def orchestrator(settings, clock):
    """An orchestrator whose clock stands still."""
    found = Orchestrator(settings, clock=clock)
    yield found
    found.close()


@pytest.fixture
def declare(book):
    """Writes orch.toml beside the notebook and returns its path."""

    def write(text, name="orch.toml"):
        path = book.parent / name
        path.write_text(text, "utf-8")
        return path

    return write


def test_a_file_says_everything(orchestrator, declare):
    """Every key of a declaration reaches the deployment."""
    changes = orchestrator.deployments.compare(declare(FULL))
    assert [(change.name, change.kind) for change in changes] == [("nightly", "new"), ("by-hand", "new")]
    orchestrator.deployments.apply(changes)
    made = orchestrator.deployments.find("nightly")
    plan = made.plan
    assert (made.parameters, plan.retries, plan.retry_delay, plan.timeout) == ({"n": 7}, 2, 60.0, 7200.0)
    assert (plan.queue, plan.priority, plan.concurrency, plan.overlap) == ("big", 5, 1, Overlap.SKIP)
    assert (made.catch_up, plan.tags) == (CatchUp(3), ("etl", "daily"))
    assert (plan.memory, plan.env, plan.is_tracked) == (2 * 10**9, {"MODE": "full"}, False)
    assert (plan.preload, plan.warm) == (("csv", "json"), 2)
    given = {"n": "{upstream.values.k}"}
    assert made.starts_after == (After("by-hand"), After("by-hand", "failed", given))
    assert [(each.on, each.to) for each in made.notices] == [(("late",), "$TEAM"), (("failed",), "slack://secret/word")]
    assert made.keep.age == 30 * 86400
    rules = {type(schedule_from_json(row.rule)): row for row in made.schedules}
    assert rules.keys() == {Cron, Recurrence, Once}
    assert rules[Cron].parameters == {"n": 9}
    assert orchestrator.deployments.find("by-hand").schedules == ()


def test_what_is_said_of_a_kernel_holds_for_all_that_use_it(orchestrator, declare, book):
    """A deployment's own word counts for more; what is preloaded and kept warm is shown before it is done."""
    path = declare(
        """
        [kernels.python3]
        preload = ["csv"]
        warm = 1

        [deployments.plain]
        notebook = "report.ipynb"

        [deployments.own]
        notebook = "report.ipynb"
        preload = ["json", "csv"]
        warm = 0
        """
    )
    plain, own = orchestrator.deployments.compare(path)
    assert (plain.lines, own.lines) == (("+ preload csv", "+ warm 1"), ("+ preload json, csv",))
    orchestrator.deployments.apply([plain, own])
    declare(path.read_text().replace('["csv"]', '["csv", "sqlite3"]'))
    plain, own = orchestrator.deployments.compare(path)
    assert (plain.lines, own.kind) == (("preload: csv -> csv, sqlite3",), "same")


def test_what_is_in_line_stays_as_it_is(orchestrator, declare, book):
    """Applying twice changes nothing; a change of a value or of a cell is told and makes a version."""
    path = declare(FULL)
    orchestrator.deployments.apply(orchestrator.deployments.compare(path))
    again = orchestrator.deployments.compare(path)
    assert {change.kind for change in again} == {"same"}
    orchestrator.deployments.apply(again)
    assert orchestrator.deployments.find("nightly").version == 1
    declare(FULL.replace("retries = 2", "retries = 3"))
    [change, other] = orchestrator.deployments.compare(path)
    assert (change.kind, change.lines, other.kind) == ("changed", ("retries: 2 -> 3",), "same")
    orchestrator.deployments.apply([change, other])
    assert (orchestrator.deployments.find("nightly").version, orchestrator.deployments.find("by-hand").version) == (
        2,
        1,
    )
    write_book(book, ("n: int = 3  # rows", ["parameters"]), "print(n + 1)")
    assert [change.kind for change in orchestrator.deployments.compare(path)] == ["changed", "same"]  # a tracked file


def test_what_is_no_longer_declared_goes_when_asked(orchestrator, declare, tmp_path, book):
    """With prune, deployments of notebooks below the file go that it does not declare; others stay."""
    orchestrator.deployments.apply(orchestrator.deployments.compare(declare(FULL)))
    elsewhere = write_book(tmp_path / "elsewhere" / "other.ipynb", "x = 1")
    orchestrator.deployments.promote(elsewhere, "other")
    path = declare('[deployments.by-hand]\nnotebook = "report.ipynb"\ntrack = true\n')
    assert [change.kind for change in orchestrator.deployments.compare(path)] == ["same"]
    waiting = orchestrator.deployments.trigger("nightly")
    orchestrator.deployments.apply(orchestrator.deployments.compare(path, prune=True))
    assert [found.name for found in orchestrator.deployments.all()] == ["by-hand", "other"]
    assert orchestrator.show(waiting.run_id).state.message == "The deployment was removed."


def test_the_way_back(orchestrator, declare, book, clock):
    """What is written from the store declares the same deployments."""
    orchestrator.deployments.apply(orchestrator.deployments.compare(declare(FULL)))
    text = write_declarations(orchestrator.deployments.all(), book.parent, with_secrets=True)
    assert tomllib.loads(text)["deployments"]["nightly"]["notebook"] == "report.ipynb"
    assert {change.kind for change in orchestrator.deployments.compare(declare(text))} == {"same"}
    shown = write_declarations(orchestrator.deployments.all(), book.parent)
    assert ("secret" in shown, "word" in shown, "$TEAM" in shown, "$ORCH_NOTIFY_" in shown) == (
        False,
        False,
        True,
        True,
    )
    assert "secret" not in str([each.to_json() for each in orchestrator.deployments.all()])


BAD = [
    ("x = 1", "there is no 'x'"),
    ("deployments = 3", "deployments is no table"),
    ("[deployments]\nnightly = 3", "is no table"),
    ("[deployments.nightly]", "names no notebook"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nretry = 1', "no 'retry'. Did you mean 'retries'?"),
    ('[deployments.nightly]\nnotebook = "none.ipynb"', "There is no notebook"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nretries = -1', "must not be negative"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nretries = "many"', "'many'"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\noverlap = "wait"', "no overlap policy 'wait'"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nparameters = { m = 1 }', "no parameter 'm'"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nschedules = [{ cron = "61 * * * *" }]', "minute field '61'"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nschedules = [{ every = "1h", at = "x" }]', "give one of"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nschedules = [{ rrule = "FREQ=DAILY" }]', "needs a start"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nnotify = [{ on = "failed" }]', "nobody to tell"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nnotify = "slack://a"', "on=FACT"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nstarts_after = "load"', "no such deployment"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nstarts_after = "nightly"', "nightly → nightly"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nstarts_after = [{ on = "failed" }]', "after which?"),
    ('[deployments.nightly]\nnotebook = "report.ipynb"\nkeep = "long"', "cannot be kept"),
    ('[deployments."two words"]\nnotebook = "report.ipynb"', "'two words'"),
    ("[deployments", "is not TOML"),
]


@pytest.mark.parametrize(("text", "says"), BAD, ids=[str(row[1]) for row in BAD])
@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_bad_file_is_told_in_one_line(orchestrator, declare, text, says):
    """What is wrong is told with the file, the deployment and the key, and nothing is kept."""
    path = declare(text)
    with pytest.raises(UsageError) as caught:
        orchestrator.deployments.compare(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert orchestrator.deployments.all() == []


def test_the_file_is_found(declare, book, clock):
    """orch.toml comes first, then a pyproject.toml that speaks of us; else it is told what to write."""
    with pytest.raises(UsageError, match=r"no orch\.toml"):
        find_declarations(book.parent)
    declare("[tool.other]\n", "pyproject.toml")
    with pytest.raises(UsageError, match=r"no orch\.toml"):
        find_declarations(book.parent)
    declare('[tool.orch.deployments.a]\nnotebook = "report.ipynb"\n', "pyproject.toml")
    [found] = read_declarations(find_declarations(book.parent), clock.now())
    assert found.name == "a"
    assert find_declarations(declare("").parent).name == "orch.toml"
