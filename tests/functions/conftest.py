"""What the tests of functions may ask for."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType
from orch_notebook.runtime import home as homes
from orch_notebook.runtime.clock import ManualClock
from orch_notebook.runtime.home import Home, close_homes, open_home
from orch_notebook.runtime.settings import Settings

PATIENCE = 20.0


class Stored:
    """What the store of this test's own ``ORCH_HOME`` knows."""

    @property
    def home(self) -> Home:
        """The home of the environment's settings."""
        return open_home()

    def runs(self, flow: str | None = None) -> list[FlowRun]:
        """The runs, oldest first, with their tasks; what was submitted outside of flows has ended by then."""
        for finish in tuple(self.home.closing.values()):
            finish()
        found = self.home.store.runs(flow=flow, limit=1000)
        return [self.home.store.run(run.run_id) for run in reversed(found)]

    def run(self, flow: str | None = None) -> FlowRun:
        """The newest run."""
        return self.runs(flow)[-1]

    def states(self, flow: str | None = None) -> dict[str, str]:
        """How the task runs of the newest run ended."""
        return {task.name: task.state.name for task in self.run(flow).tasks}

    def names_of(self, task: str, flow: str | None = None) -> list[str]:
        """The names of the states that a task run went through."""
        events = self.home.store.events(self.run(flow).run_id)
        return [event.state.name for _, event in events if getattr(event, "task", None) == task]

    def lines(self, flow: str | None = None) -> list[str]:
        """What the newest run and its tasks logged."""
        return [line.text for line in self.home.store.logs(self.run(flow).run_id)]


@pytest.fixture
def stored() -> Iterator[Stored]:
    """The store behind this test's runs; every run in it is over when the test ends, and every task is final."""
    stored = Stored()
    yield stored
    for run in stored.runs():
        assert run.state.is_final, run
        assert all(task.state.is_final for task in run.tasks), run
        assert not [lease for lease in stored.home.store.owned_runs() if lease.run_id == run.run_id]


@pytest.fixture(autouse=True)
def closed_homes() -> Iterator[None]:
    """Close what the test opened, so that its threads end with it."""
    yield
    close_homes()


def in_time(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a function in a thread of its own, so that a hang is a failed test."""
    outcome: list[Any] = []

    def perform() -> None:
        try:
            outcome.append((function(*args, **kwargs), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=perform, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "It hangs."
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


def when_paused(home: Home) -> FlowRun:
    """Wait until the newest run is paused, and return it."""
    told = threading.Event()
    leave = home.ledger.subscribe(lambda *_: told.set())
    try:
        while True:
            told.clear()
            runs = home.store.runs()
            if runs and runs[0].state.name == "Paused":
                return runs[0]
            assert told.wait(PATIENCE), "No run is paused."
    finally:
        leave()


def final(run: FlowRun) -> StateType:
    """Return the type of a run's state."""
    return run.state.type


@pytest.fixture
def night(stored: Stored) -> ManualClock:
    """A clock that moves at once to whatever is waited for: a night of retries takes no time."""
    clock = ManualClock()
    settings = Settings.from_environment()
    homes._homes[(os.getpid(), settings.home)] = Home(settings, clock)
    return clock
