"""What goes and what stays: runs by age and count, files that nothing needs, and what others still rest on."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from orch_notebook.model.events import LogWritten
from orch_notebook.model.retention import Retention
from orch_notebook.model.states import State, StateType
from orch_notebook.promotion.deployments import find, promote, trigger
from orch_notebook.promotion.following import follow_ends
from orch_notebook.promotion.housekeeping import Keeper, clean_up, plan_cleanup
from orch_notebook.promotion.terms import Terms
from orch_notebook.promotion.upkeep import repeat
from orch_notebook.runtime.recovery import end_lost_run
from tests.books import write_book


@pytest.fixture
def made(store, settings, clock, book):
    """Makes runs of a deployment, a day apart and ended so, each with a line, a value and an executed notebook."""
    promote(store, settings, clock.now(), book, "nightly")

    def made(*endings):
        ids = []
        for ending in endings:
            clock.advance(86_400)
            run = trigger(store, clock.now(), "nightly", {})
            ids.append(run.run_id)
            folder = settings.folder("runs", run.run_id)
            (folder / "report.ipynb").write_text("x" * 1000)
            settings.folder("attempts", run.run_id)
            store.record_value(run.run_id, "rows", 1, clock.now())
            if ending:
                lease = store.claim_run(run.run_id, "me", "", clock.now() + timedelta(days=99))
                store.append(lease, [(1, LogWritten(clock.now(), "", 0, 20, "said"))], lease.expires_at)
                end_lost_run(store, lease, State(StateType(ending)), clock.now())
                store.release(lease)
        follow_ends(store, clock.now())
        return ids

    return made


def left(store):
    """Return the ids that are left, oldest first."""
    return [run.run_id for run in reversed(store.runs(limit=100))]


def test_runs_beyond_the_rule_go_with_all_they_left(made, store, settings, clock):
    """By count and by age, with rows, executed notebooks and values; a plan changes nothing, and sizes are told."""
    ids = made(*["COMPLETED"] * 6)
    for rule, kept in (("4", ids[2:]), ("3d", ids[3:]), ("30d,2", ids[4:])):
        cleanup = plan_cleanup(store, settings, clock.now() + timedelta(hours=1), Retention.parse(rule))
        assert set(cleanup.runs) == set(left(store)) - set(kept)
        sizes = {pile.kind: (pile.count, pile.bytes) for pile in cleanup.piles}
        assert sizes["executed notebooks"] == (len(cleanup.runs), 1000 * len(cleanup.runs))
        assert sizes["runs"][1] > 500 * len(cleanup.runs)
        before = left(store)
        assert before[0] not in kept
        clean_up(store, cleanup)
        assert left(store) == kept
        assert {path.name for path in (settings.home / "runs").iterdir()} == set(kept)
        assert {path.name for path in (settings.home / "attempts").iterdir()} == set(kept)
    assert (store.recorded(ids[0]), store.events(ids[0]), store.logs(ids[0])) == ({}, [], [])
    assert store.counts()["log lines"] == 2
    store.compact()


def test_what_goes_on_or_may_be_repeated_stays(made, store, settings, clock):
    """Waiting and owned runs, what they repeat, and the newest of each deployment stay whatever the rule says."""
    done, old, failed, waiting, owned = made("COMPLETED", "FAILED", "FAILED", "", "")
    plan = replace(store.plan(failed), retries=1)
    repetition = repeat(store, store.run(failed), plan, clock.now())
    [newest] = made("CRASHED")
    lease = store.claim_run(owned, "me", "", clock.now() + timedelta(days=99))
    clean_up(store, plan_cleanup(store, settings, clock.now() + timedelta(days=9), Retention.parse("1d,0")))
    assert set(left(store)) == {done, failed, waiting, owned, newest, repetition.run_id}
    assert (settings.home / "attempts" / failed).is_dir()
    assert old not in left(store)
    assert not store.forget_run(owned)
    store.release(lease)


def test_an_end_that_nobody_has_dealt_with_stays(made, store, settings, clock):
    """A run whose end has not been told yet is not forgotten before it is."""
    made("COMPLETED", "COMPLETED")
    run = trigger(store, clock.now(), "nightly", {})
    lease = store.claim_run(run.run_id, "me", "", clock.now() + timedelta(days=9))
    end_lost_run(store, lease, State(StateType.FAILED), clock.now())
    store.release(lease)
    clock.advance(1)
    made("COMPLETED")
    rule, later = Retention.parse("0"), clock.now() + timedelta(days=1)
    run_id = run.run_id
    clean_up(store, plan_cleanup(store, settings, later, rule))
    assert run_id not in left(store)
    other = trigger(store, clock.now(), "nightly", {})
    lease = store.claim_run(other.run_id, "me", "", clock.now() + timedelta(days=9))
    end_lost_run(store, lease, State(StateType.FAILED), clock.now())
    store.release(lease)
    trigger(store, clock.now() + timedelta(seconds=5), "nightly", {})
    clean_up(store, plan_cleanup(store, settings, later, rule))
    assert other.run_id in left(store)


def test_pinned_notebooks_stay_as_long_as_anything_needs_them(made, store, settings, clock, tmp_path):
    """The snapshots of deployments, of their versions and of runs stay; others go, and cached results by their age."""
    made("COMPLETED")
    first = find(store, "nightly").plan.snapshot
    book = write_book(tmp_path / "work" / "report.ipynb", ("n: int = 4", ["parameters"]), "print(n + 1)")
    second = promote(store, settings, clock.now(), book, "nightly").plan.snapshot
    lost = settings.folder("snapshots") / "lost.ipynb"
    results = settings.folder("results")
    for path in (lost, results / "key", results / "aa", results / "bb"):
        path.write_bytes(b"x" * 100)
    long_ago = (clock.now() - timedelta(days=40)).timestamp()
    for path in (lost, results / "key", results / "aa", Path(first), Path(second)):
        os.utime(path, (long_ago, long_ago))
    os.utime(results / "bb", (clock.now().timestamp(),) * 2)
    if settings.database_url is not None:
        (settings.home / "orch.db").touch()
        assert plan_cleanup(store, settings, clock.now(), Retention.parse("30d")).paths == ()
        (settings.home / "orch.db").unlink()
    cleanup = plan_cleanup(store, settings, clock.now(), Retention.parse("30d"))
    assert {path for _, path in cleanup.paths} == {lost, results / "aa"}
    assert {pile.kind: pile.count for pile in cleanup.piles} == {"runs": 0, "pinned notebooks": 1, "cached results": 1}
    clean_up(store, cleanup)
    assert [path.exists() for path in (Path(first), Path(second), lost)] == [True, True, False]


def test_a_worker_cleans_up_where_a_rule_says_so(made, store, settings, clock, book):
    """Once in an hour, by the rule of the deployment; without any rule nothing goes."""
    ids = made(*["COMPLETED"] * 4)
    keeper = Keeper(store, settings, clock)
    keeper.look(clock.now())
    keeper.wait()
    assert left(store) == ids
    promote(store, settings, clock.now(), book, "nightly", terms=Terms(keep=Retention.parse("2")))
    keeper.look(clock.now())
    keeper.wait()
    assert left(store) == ids
    clock.advance(3600)
    keeper.look(clock.now())
    keeper.wait()
    assert left(store) == ids[2:]
