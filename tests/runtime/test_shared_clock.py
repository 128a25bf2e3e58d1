"""The clock of a store that machines share: what their own clocks say, and when they are set, does not matter."""

from datetime import UTC, datetime, timedelta

import pytest

from orch_notebook.errors import StoreUnavailable
from orch_notebook.runtime.clock import ManualClock, SharedClock
from orch_notebook.runtime.store.opening import clock_of

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


class Machine:
    """A machine whose clock is wrong, and may be set, beside a store that fails when told to."""

    def __init__(self, wrong_by):
        self.there = ManualClock(NOON)
        self.here = ManualClock(NOON + wrong_by)
        self.steady = 0.0
        self.is_there = True
        self.asked = 0
        self.clock = SharedClock(self.ask, self.here, steady=lambda: self.steady)

    def ask(self):
        self.asked += 1
        if not self.is_there:
            raise StoreUnavailable("The store does not answer.")
        return self.there.now()

    def pass_by(self, seconds):
        self.there.advance(seconds)
        self.here.advance(seconds)
        self.steady += seconds


HOUR = timedelta(hours=1)


@pytest.mark.parametrize("wrong_by", [timedelta(0), HOUR, -HOUR, timedelta(days=400)])
def test_a_wrong_clock_tells_the_stores_time(wrong_by):
    """However wrong the machine's clock is, and however it is set while it runs, the time is the store's."""
    machine = Machine(wrong_by)
    for step in (1.0, 10.0, 100.0):
        machine.pass_by(step)
        assert machine.clock.now() == machine.there.now()
        machine.here.advance(3600 if step < 5 else -7200)
        assert machine.clock.now() == machine.there.now()
    assert machine.asked < 7


def test_a_clock_that_is_set_while_the_store_is_away_goes_on_steadily():
    """The time that passed is counted on a clock nobody can set, until the store answers again."""
    machine = Machine(HOUR)
    assert machine.clock.now() == NOON
    machine.is_there = False
    machine.here.advance(-7200)
    machine.pass_by(50)
    assert machine.clock.now() == NOON + timedelta(seconds=50)


def test_only_machines_that_share_a_store_ask_it(store):
    """The SQLite file lives on one machine, whose clock needs no question."""
    is_shared = "PostgreSQL" in store.describe()["kind"]
    assert isinstance(clock_of(store), SharedClock) == is_shared
    assert abs(clock_of(store).now() - store.now()) < timedelta(seconds=30)
