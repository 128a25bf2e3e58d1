"""The machine's clock is set an hour forward or back while a worker runs: each due time has one row all the same."""

from collections import Counter
from datetime import timedelta

import pytest

from orch_notebook.model.policies import CatchUp
from orch_notebook.model.schedules import Interval
from orch_notebook.model.states import State, StateType
from orch_notebook.promotion.deployments import promote
from orch_notebook.promotion.terms import Terms
from orch_notebook.promotion.worker import Worker
from tests.promotion.test_worker import Stage

TEN_MINUTES = 600.0


@pytest.mark.parametrize(
    ("jump", "catch_up", "completed", "missed"),
    [
        (3630, "all", 18, 0),
        (3630, "latest", 13, 5),
        (3630, "skip", 12, 6),
        (-3600, "all", 12, 0),
        (-3600, "latest", 12, 0),
    ],
)
def test_an_hour_forward_or_back(store, settings, clock, book, jump, catch_up, completed, missed):
    """Forward, what was jumped over is caught up with as the policy says; back, nothing that was done is done again.

    An hour before the jump and, after it, until the clock shows an hour later than it ever did.
    """
    stage = Stage(store, clock, State(StateType.COMPLETED))
    worker = Worker(store, settings, slots=9, clock=clock, launcher=stage)
    start = clock.now()
    terms = Terms(catch_up=CatchUp.parse(catch_up))
    promote(store, settings, start, book, "nightly", schedules=[Interval(TEN_MINUTES, start)], terms=terms)

    def work_until(end):
        while clock.now() < end:
            worker.step()
            clock.advance(TEN_MINUTES - (clock.now() - start).total_seconds() % TEN_MINUTES)
        for _ in range(3):
            worker.step()

    work_until(start + timedelta(hours=1))
    clock.advance(jump)
    work_until(start + timedelta(hours=3 if jump > 0 else 2))
    runs = store.runs(limit=1000)
    due = Counter(run.due_at for run in runs)
    expected = [start + timedelta(minutes=10 * place) for place in range(1, (completed + missed) + 1)]
    assert due == Counter(expected)
    names = Counter(run.state.name for run in runs)
    assert (names["Completed"], names["Missed"]) == (completed, missed)
    assert store.owned_runs() == []
    assert max(Counter(stage.launched).values()) == 1
