"""Runs whose owner is gone are ended, once, and truthfully; the living are left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from orch_notebook.errors import LeaseLost, StoreUnavailable
from orch_notebook.model.events import RunCreated, TaskAdded
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import RetryPolicy, Task
from orch_notebook.runtime.owners import is_dead, this_owner
from orch_notebook.runtime.recovery import end_lost_run, recover
from orch_notebook.testing import START, completed, failed, make_graph, open_run, run_became, started, task_became

LATER = START + timedelta(minutes=1)


def lost(store, graph, *events, **options):
    """Store the beginning of a run whose owner cannot be asked."""
    run, lease = open_run(store, graph, owner="elsewhere:1:1", **options)
    history = [RunCreated(START, "demo", graph), *events] if events else []
    if history:
        store.append(lease, list(enumerate(history, 1)), lease.expires_at)
    return run, lease


#: Graph, what was stored, and the names of the states in which the tasks end.
ENDS = {
    "what ran has crashed": ("a >> b", [run_became("RUNNING"), started("a")], ["Lost", "Cancelled"]),
    "what is done stays done": (
        "a >> b >> c", [run_became("RUNNING"), started("a"), completed("a"), started("b")],
        ["Completed", "Lost", "Cancelled"],
    ),
    "what failed stays failed": (
        "a >> b; c", [run_became("RUNNING"), started("a"), started("c"), failed("a")], ["Failed", "Cancelled", "Lost"],
    ),
    "what was about to run may have begun": ("a >> b", [run_became("RUNNING")], ["Lost", "Cancelled"]),
    "a retry that waits comes no more": (
        "a", [run_became("RUNNING"), started("a"), failed("a"), task_became("a", "SCHEDULED")], ["Cancelled"],
    ),
    "what was being cancelled has crashed": (
        "a", [run_became("RUNNING"), started("a"), run_became("CANCELLING")], ["Lost"],
    ),
    "added tasks too": (
        "a", [run_became("RUNNING"), started("a"), TaskAdded(START, Task("z"), ("a",))], ["Lost", "Cancelled"],
    ),
    "all was done but the last word": ("a", [run_became("RUNNING"), started("a"), completed("a")], ["Completed"]),
    "nothing was stored": ("a", [], []),
}  # fmt: skip


@pytest.mark.parametrize("wiring, events, expected", ENDS.values(), ids=ENDS)
def test_every_task_of_a_lost_run_is_final(store, wiring, events, expected) -> None:
    """The run is Crashed, its history obeys the machine, and nobody holds it; a second look finds nothing."""
    run, _ = lost(store, make_graph(wiring, Task("a", retry=RetryPolicy(1))), *events)
    told = []
    assert recover(store, "here:2:2", LATER, ended=told.append) == [run.run_id]
    stored = store.run(run.run_id)
    assert stored.state.type is StateType.CRASHED and stored.state.message == "Its heartbeat stopped."
    if events:
        assert [task.state.name for task in stored.tasks if task.state.is_final] == expected
        assert len(stored.tasks) == len(expected)
        assert RunMachine.replay(event for _, event in store.events(run.run_id)).is_over
    assert told == [stored] and store.owned_runs() == []
    assert recover(store, "third:3:3", LATER) == []


@pytest.mark.parametrize("seconds, is_found", [(0, False), (8.9, False), (9, True), (60, True)])
def test_a_run_is_lost_when_its_lease_has_run_out(store, seconds, is_found) -> None:
    """An owner on another machine is believed to live as long as its lease."""
    lost(store, make_graph("a"), run_became("RUNNING"))
    assert bool(recover(store, "here:2:2", START + timedelta(seconds=seconds))) is is_found


def test_one_does_not_end_what_one_performs(store) -> None:
    """After a long sleep of the machine the owner's own leases have run out too; it renews them."""
    lost(store, make_graph("a"), run_became("RUNNING"))
    assert recover(store, "elsewhere:1:1", LATER) == []


def test_the_old_owner_is_shut_out_for_good(store) -> None:
    """If it was only slow, it writes nothing more into a history that has ended."""
    run, lease = lost(store, make_graph("a"), run_became("RUNNING"), started("a"))
    recover(store, "here:2:2", LATER)
    before = store.events(run.run_id)
    with pytest.raises(LeaseLost):
        store.append(lease, [(99, completed("a"))], LATER)
    assert store.events(run.run_id) == before


def test_a_run_that_had_ended_is_only_given_back(store) -> None:
    """Its owner died between the last word and the release: the end stands."""
    run, _ = lost(store, make_graph("a"), run_became("RUNNING"), started("a"), completed("a"), run_became("COMPLETED"))
    told = []
    assert recover(store, "here:2:2", LATER, ended=told.append) == []
    assert store.run(run.run_id).state.name == "Completed" and store.owned_runs() == []
    assert [each.run_id for each in told] == [run.run_id]


def test_a_run_is_ended_in_the_state_that_is_asked_for(store) -> None:
    """Whatever became of its tasks."""
    run, lease = lost(store, make_graph("a >> b"), run_became("RUNNING"))
    assert end_lost_run(store, lease, State(StateType.CANCELLED, "Cancelled", "why"), LATER)
    assert store.run(run.run_id).state == State(StateType.CANCELLED, "Cancelled", "why")
    assert not end_lost_run(store, lease, State(StateType.CRASHED), LATER)


def test_what_cannot_be_recorded_is_tried_again_later(store, monkeypatch) -> None:
    """A store that fails in between leaves the lease held, so that the next look finds the run."""
    run, _ = lost(store, make_graph("a"), run_became("RUNNING"))

    def full(*arguments):
        raise StoreUnavailable("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "append", full)
        with pytest.raises(StoreUnavailable):
            recover(store, "here:2:2", LATER)
    assert recover(store, "third:3:3", LATER + timedelta(minutes=1)) == [run.run_id]


# Owners


def test_this_process_lives() -> None:
    """And so does, as far as one can tell, whoever is on another machine."""
    assert not is_dead(this_owner()) and not is_dead("elsewhere:1:1") and not is_dead("nonsense")


def test_another_process_of_the_same_number_is_somebody_else() -> None:
    """The start of the process keeps a recycled number from looking alive."""
    host, pid, started_at = this_owner().split(":")
    assert is_dead(f"{host}:{pid}:{int(started_at) - 1}")


OWN = """
import sys
from orch_notebook.model.events import RunCreated
from orch_notebook.model.machine import RunMachine
from orch_notebook.runtime.clock import SystemClock
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.ledger import Ledger
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.runners.threads import ThreadRunner
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.opening import open_store
from orch_notebook.testing import make_graph, open_run

store, clock, graph = open_store(Settings.from_environment()), SystemClock(), make_graph("done >> endless >> never")
run, lease = open_run(store, graph, now=clock.now(), owner=this_owner())
ledger = Ledger(store, clock=clock)

def perform(task, attempt):
    if task == "endless":
        ledger.flush()
        print(run.run_id, this_owner(), flush=True)
        while True:
            pass

engine = Engine(RunMachine(graph), perform, ThreadRunner(2), ledger, lease, clock)
engine.journal.record(RunCreated(clock.now(), "demo", graph))
engine.run()
"""


@pytest.mark.processes
def test_a_killed_process_is_known_to_be_dead_at_once(store, place) -> None:
    """After `kill -9` nobody waits for the lease: the run ends with the next look, its tasks too."""
    environment = {**os.environ, **place.environment}
    process = subprocess.Popen([sys.executable, "-c", OWN], stdout=subprocess.PIPE, text=True, env=environment)
    run_id, owner = process.stdout.readline().split()
    assert not is_dead(owner)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert is_dead(owner)
    assert recover(store, this_owner(), datetime.now(UTC)) == [run_id]
    stored = store.run(run_id)
    assert stored.state.message == "The process that executed it died."
    assert [task.state.name for task in stored.tasks] == ["Completed", "Lost", "Cancelled"]


def test_a_machine_that_wakes_gives_its_processes_time_to_renew(store) -> None:
    """After a sleep every lease has run out; an owner that lives here is ended only if it goes on not renewing."""
    run, lease = open_run(store, make_graph("a"), owner=this_owner())
    stalled: dict = {}

    def look(seconds, **options) -> list[str]:
        return recover(store, "here:2:2", LATER + timedelta(seconds=seconds), **options)

    assert look(0) == [] and look(60) == []  # who looks only once cannot tell sleep from death
    assert look(60, stalled=stalled) == [] and look(63, stalled=stalled) == []
    renewed = LATER + timedelta(seconds=62)  # expired again by the next look: the owner is slow, but it lives
    assert store.renew(lease, renewed)
    assert look(64, stalled=stalled) == [] and look(67.9, stalled=stalled) == []
    assert look(68, stalled=stalled) == [run.run_id]


def test_who_was_kept_from_looking_gives_others_time_to_renew(store) -> None:
    """A store that was away kept everybody from renewing, on whatever machine; who is dead is dead all the same."""
    run, lease = open_run(store, make_graph("a"), owner="elsewhere:1:1")
    host, pid, started_at = this_owner().split(":")
    dead, _ = open_run(store, make_graph("a"), owner=f"{host}:{pid}:{int(started_at) - 1}")
    stalled: dict = {}

    def look(seconds) -> list[str]:
        return recover(store, "here:2:2", LATER + timedelta(seconds=seconds), stalled=stalled, stood_still=True)

    assert look(0) == [dead.run_id] and look(3) == []
    assert store.renew(lease, LATER + timedelta(seconds=3))  # it lives, and is slow
    assert look(4) == [] and look(7.9) == []
    assert look(8) == [run.run_id]
