"""Backfills: a grid becomes runs, a few at a time, and what was run before is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from orch_notebook.errors import NotFound, ParameterError, UsageError
from orch_notebook.model.policies import Overlap
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.terms import Terms
from orch_notebook.promotion.worker import Worker
from tests.books import write_book
from tests.promotion.test_worker import COMPLETED, FAILED, Stage


@pytest.fixture
def orchestrator(settings, clock, tmp_path):
    """An orchestrator with a deployment that takes a day and a number."""
    found = Orchestrator(settings, clock=clock)
    book = write_book(tmp_path / "work" / "report.ipynb", ("day: date\nn: int = 3", ["parameters"]), "print(day, n)")
    found.deployments.promote(book, "nightly", parameters={"day": "2026-01-01"}, terms=Terms(overlap=Overlap.SKIP))
    yield found
    found.close()


def work(orchestrator, settings, clock, ending=COMPLETED, slots=9):
    """Let a worker end what waits; return the launcher."""
    stage = Stage(orchestrator.store, clock, ending)
    Worker(orchestrator.store, settings, slots=slots, clock=clock, launcher=stage).run(until_idle=True)
    return stage


def test_every_point_becomes_a_run_in_order(orchestrator, settings, clock):
    """The runs bear their point's parameters and begin in the grid's order, whatever the deployment's own policy."""
    plan = orchestrator.deployments.plan_backfill("nightly", ["day=2026-01-01..2026-01-03", "n=1,2"])
    backfill = orchestrator.deployments.backfill(plan, at_once=2)
    runs = orchestrator.deployments.backfill_runs(backfill)
    points = [(run.parameters["day"], run.parameters["n"]) for run in runs]
    assert points == [(f"2026-01-0{day}", n) for day in (1, 2, 3) for n in (1, 2)]
    stage = work(orchestrator, settings, clock)
    assert stage.launched == [run.run_id for run in runs]
    assert {run.state.name for run in orchestrator.deployments.backfill_runs(backfill)} == {"Completed"}


def test_only_so_many_go_on_at_once(orchestrator, settings, clock):
    """However many slots a worker has, a backfill takes no more than it may; the deployment's own runs are apart."""
    plan = orchestrator.deployments.plan_backfill("nightly", ["n=1..5"])
    orchestrator.deployments.backfill(plan, at_once=2)
    own = orchestrator.deployments.trigger("nightly")
    stage = Stage(orchestrator.store, clock)
    worker = Worker(orchestrator.store, settings, slots=9, clock=clock, launcher=stage)
    for _ in range(3):
        worker.step()
    assert len(stage.launched) == 3 and own.run_id in stage.launched


def test_what_was_run_before_is_left_out(orchestrator, settings, clock):
    """A second backfill runs what is new; failed points run again when asked."""
    orchestrator.deployments.backfill(orchestrator.deployments.plan_backfill("nightly", ["n=1..2"]))
    work(orchestrator, settings, clock)
    orchestrator.deployments.backfill(orchestrator.deployments.plan_backfill("nightly", ["n=3..4"]))
    work(orchestrator, settings, clock, FAILED)
    plan = orchestrator.deployments.plan_backfill("nightly", ["n=1..5"])
    assert [point["n"] for point in plan.points] == [5]
    again = orchestrator.deployments.plan_backfill("nightly", ["n=1..5"], reprocess="failed", is_reversed=True)
    assert [point["n"] for point in again.points] == [5, 4, 3]
    assert [run.state.name for _, run in again.left] == ["Completed", "Completed"]


def test_a_backfill_can_be_cancelled(orchestrator, settings, clock):
    """What waits ends at once, what goes on is asked to stop."""
    backfill = orchestrator.deployments.backfill(
        orchestrator.deployments.plan_backfill("nightly", ["n=1..4"]), at_once=1
    )
    stage = Stage(orchestrator.store, clock)
    Worker(orchestrator.store, settings, slots=9, clock=clock, launcher=stage).step()
    assert orchestrator.deployments.cancel_backfill(backfill) == 4
    assert orchestrator.store.take_requests(stage.launched[0], clock.now()) == ["cancel"]
    names = [run.state.name for run in orchestrator.deployments.backfill_runs(backfill)]
    assert names == ["Pending", "Cancelled", "Cancelled", "Cancelled"]
    with pytest.raises(NotFound):
        orchestrator.deployments.cancel_backfill("none")


BAD = [
    (["n=1..3", "m=1"], (), ParameterError, "no parameter 'm'"),
    (["n=one"], (), ParameterError, "'n' takes int"),
    (["n=1"], ("n=2",), UsageError, "'n' is an axis"),
    (["n=1"], ("day=never",), ParameterError, "'day' takes date"),
    ([], (), UsageError, "needs an axis"),
]


@pytest.mark.parametrize(("axes", "given", "kind", "says"), BAD, ids=[row[3] for row in BAD])
def test_every_point_is_checked_before_anything_runs(orchestrator, axes, given, kind, says):
    """A wrong name or value anywhere in the grid is told, and no run is made."""
    with pytest.raises(kind, match=says):
        orchestrator.deployments.plan_backfill("nightly", axes, given)
    assert orchestrator.runs() == []


def test_there_must_be_something_to_run(orchestrator, settings, clock):
    """A backfill of what was all run before says how to run it again; none at a time is refused."""
    orchestrator.deployments.backfill(orchestrator.deployments.plan_backfill("nightly", ["n=1"]))
    work(orchestrator, settings, clock)
    with pytest.raises(UsageError, match="--reprocess all"):
        orchestrator.deployments.backfill(orchestrator.deployments.plan_backfill("nightly", ["n=1"]))
    with pytest.raises(UsageError, match="At least one"):
        orchestrator.deployments.backfill(orchestrator.deployments.plan_backfill("nightly", ["n=2"]), at_once=0)


def test_the_table_of_a_backfill(orchestrator, settings, clock):
    """Each point is one row, its last attempt, with what it recorded; how far all is is counted by points."""
    orchestrator.deployments.promote(
        Path(orchestrator.deployments.find("nightly").plan.notebook), "nightly",
        parameters={"day": "2026-01-01"}, terms=Terms(retries=1),
    )  # fmt: skip
    backfill = orchestrator.deployments.backfill(orchestrator.deployments.plan_backfill("nightly", ["n=1..3"]))
    assert orchestrator.deployments.backfills()[0].words() == "0 of 3 ended (0 %): 3 scheduled"
    first = orchestrator.deployments.backfill_runs(backfill)[0]
    orchestrator.store.record_value(first.run_id, "rows", 5, clock.now())
    work(orchestrator, settings, clock, FAILED)
    runs = orchestrator.deployments.backfill_runs(backfill[-6:])
    assert [(run.parameters["n"], run.attempt, run.values) for run in runs] == [
        (1, 2, {"rows": 5}), (2, 2, {}), (3, 2, {}),
    ]  # fmt: skip
    [progress] = orchestrator.deployments.backfills(backfill)
    assert (progress.words(), progress.total) == ("3 of 3 ended (100 %): 3 failed", 3)
    with pytest.raises(NotFound, match="no backfill 'none'"):
        orchestrator.deployments.backfills("none")
