"""Repeating a run on request: what is refused, what the new attempt is, and what is forgotten when it completes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from orch_notebook.errors import NotebookError, UnknownTask, UsageError
from orch_notebook.model.events import RunCreated, RunStateChanged, TaskStateChanged
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.orchestrator import open_orchestrator
from orch_notebook.promotion.deployments import promote, submit, trigger
from orch_notebook.promotion.retrying import foresee_retry, repeatable, retry
from orch_notebook.promotion.upkeep import repeat
from orch_notebook.runtime.attempts import forget_attempts, open_attempts
from orch_notebook.runtime.results import Results
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease
from orch_notebook.testing import make_graph

T = StateType


@pytest.fixture
def ended(store, settings, clock, book):
    """Makes a run that has ended, with the tasks `load >> fit` in a run of its notebook's kernel."""

    def make(run: FlowRun | None = None, state: StateType = T.FAILED, details: dict | None = None) -> FlowRun:
        now = clock.now()
        run = run or submit(store, settings, now, book, {}, "me:1:1")
        lease = store.claim_run(run.run_id, "me:1:1", "w", now + timedelta(9)) or Lease(run.run_id, "me:1:1", 1, now)
        running = RunStateChanged(now, State(T.RUNNING))
        child = FlowRun(f"{run.run_id}-child", run.flow, State(T.PENDING), now, parent_run_id=run.run_id)
        store.create_run(child, owner="me:1:1", lease_expires_at=now + timedelta(9))
        graph = make_graph("load >> fit")
        events = [RunCreated(now, run.flow, graph, {}), running]
        for task, kind, about in (("load", T.COMPLETED, details), ("fit", state, None)):
            events.append(TaskStateChanged(now, task, 1, State(T.RUNNING)))
            events.append(TaskStateChanged(now, task, 1, State(kind), about))
        events.append(RunStateChanged(now, State(state)))
        for each, facts in (
            (Lease(child.run_id, "me:1:1", 1, now), events),
            (
                lease,
                [
                    RunCreated(now, run.flow, make_graph(""), run.parameters),
                    running,
                    RunStateChanged(now, State(state)),
                ],
            ),
        ):
            store.append(each, list(enumerate(facts, 1)), now + timedelta(9))
            store.release(each)
        return store.run(run.run_id)

    return make


def test_the_repeating_run_is_one_attempt_further(store, settings, clock, book, ended):
    """Same notebook, parameters and deployment; it waits for a worker, or is claimed by who asks."""
    promote(store, settings, clock.now(), book, "nightly", parameters={"n": 7})
    failed = ended(trigger(store, clock.now(), "nightly", {}))
    made = store.run(retry(store, failed, clock.now()).run_id)
    assert (made.retry_of, made.attempt, made.deployment, made.parameters) == (failed.run_id, 2, "nightly", {"n": 7})
    assert (made.state.type, store.due_runs(clock.now(), 9)) == (T.SCHEDULED, [made.run_id])
    assert store.plan(made.run_id) == store.plan(failed.run_id)
    mine = retry(store, ended(), clock.now(), owner="me:1:1")
    assert mine.run_id in [lease.run_id for lease in store.owned_runs()]


def test_what_runs_again_is_said_once(store, clock, ended):
    """The tasks named go with the attempt that was asked for, not with those that its retry rule makes later."""
    made = retry(store, ended(), clock.now(), ["load"])
    plan = store.plan(made.run_id)
    assert plan.again == ("load",)
    failed = ended(made)
    again = repeat(store, failed, replace(plan, retries=9), clock.now())
    assert store.plan(again.run_id).again == ()


def test_the_run_of_a_kernel_stands_for_the_whole(store, ended):
    """What the notebook's own ``%flow run`` did is part of its run: that is repeated."""
    failed = ended()
    assert repeatable(store, store.run(f"{failed.run_id}-child"))[0].run_id == failed.run_id


def test_what_cannot_be_repeated_is_refused_in_words(store, settings, clock, book, ended):
    """A run that goes on, that completed, that was repeated, that came from nowhere; a task that is not there."""
    waiting = submit(store, settings, clock.now(), book, {}, "me:1:1")
    completed, failed = ended(state=T.COMPLETED), ended()
    session = FlowRun("aaaa", "demo", State(T.FAILED), clock.now())
    refusals = [
        (store.run(waiting.run_id), (), UsageError, "only what has ended"),
        (completed, (), UsageError, "--from TASK"),
        (failed, ["laod"], UnknownTask, "Did you mean 'load'"),
        (session, (), UsageError, "%flow resume"),
    ]
    for run, again, kind, words in refusals:
        with pytest.raises(kind, match=words):
            retry(store, run, clock.now(), again)
    retry(store, failed, clock.now())
    with pytest.raises(UsageError, match=r"repeated by run .* already, which is AwaitingRetry"):
        retry(store, failed, clock.now())
    assert retry(store, completed, clock.now(), ["fit"]).attempt == 2
    Path(store.plan(failed.run_id).snapshot).unlink()
    with pytest.raises(NotebookError, match="is gone"):
        foresee_retry(store, Results(settings.home), settings, failed)


def test_what_is_left_is_found_along_the_line(store, settings, clock, ended):
    """The third attempt loads what the first one left; until a later run completes, and takes its place."""
    results = Results(settings.folder("results"))
    first = ended(details=open_attempts(store, results, settings, ended().run_id).keep("k", {"n": 1}, 1.0, {}))
    second = ended(retry(store, first, clock.now()))
    third = retry(store, second, clock.now())
    found = open_attempts(store, results, settings, third.run_id)
    assert (found.load("k", {}), found.left["k"].run_id) == ({"n": 1}, first.run_id)
    assert [(fate.task, fate.runs) for fate in foresee_retry(store, results, settings, second)] == [
        ("load", False),
        ("fit", True),
    ]
    large = found.keep("big", {"text": "x" * 10_000}, 1.0, {})
    folder = settings.home / "attempts" / first.run_id
    assert (large["kept"], len(list(folder.iterdir()))) == ("file", 1)
    forget_attempts(store, settings, ended(third, state=T.COMPLETED))
    assert folder.exists()
    clock.advance(60)
    forget_attempts(store, settings, ended(state=T.COMPLETED))
    assert not folder.exists()


def test_a_run_is_resumed_in_the_store_where_it_was_found(book: Path, tmp_path: Path) -> None:
    """An orchestrator of other settings than the environment's looks at its own runs."""
    with open_orchestrator(Settings(tmp_path / "elsewhere")) as orchestrator:
        orchestrator.deployments.promote(book, "report")
        waiting = orchestrator.deployments.trigger("report")
        with pytest.raises(UsageError, match="is Scheduled, not paused"):
            orchestrator.resume(waiting.run_id)
