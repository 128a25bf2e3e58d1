"""Several threads and several processes on one store: each thing is given to one of them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from orch_notebook.errors import HistoryConflict, LeaseLost
from orch_notebook.model.deployments import Deployment, Plan, ScheduleRow
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.store.sqlite import SqliteStore
from orch_notebook.testing import START, open_run, started

LATER = START + timedelta(minutes=1)
PLAN = Plan("nb.ipynb", "snapshot.ipynb", "folder")
CLAIMANTS = 6


def waiting(seconds=0.0):
    due_at = START + timedelta(seconds=seconds)
    return FlowRun(new_run_id(START), "demo", State(StateType.SCHEDULED), START, due_at=due_at)


def all_at_once(act: Callable[[int], object]) -> list[object]:
    """Let several threads do the same at the same moment, and return what each got."""
    gate, got = threading.Barrier(CLAIMANTS), []

    def one(number):
        gate.wait(20)
        try:
            got.append(act(number))
        except (HistoryConflict, LeaseLost) as error:
            got.append(type(error))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(CLAIMANTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(got) == CLAIMANTS
    return got


def test_one_of_many_claimants_wins(store) -> None:
    """Of all that want a waiting run, one gets it, each time."""
    for _ in range(5):
        run = waiting()
        store.create_run(run, plan=PLAN)
        got = all_at_once(lambda n, run=run: store.claim_run(run.run_id, f"here:{n}:{n}", "w", LATER))
        assert len([lease for lease in got if lease is not None]) == 1


def test_one_of_many_heirs_takes_over(store) -> None:
    """Of all that find a run's owner dead, one becomes the owner."""
    for _ in range(5):
        _, lease = open_run(store)
        got = all_at_once(lambda n, lease=lease: store.take_over(lease, f"here:{n}:{n}", LATER))
        [winner] = [heir for heir in got if heir is not None]
        assert winner in store.owned_runs()


def test_one_of_many_writers_gets_a_number(store) -> None:
    """The same number of one history is written once, whoever holds which token."""
    run, lease = open_run(store)
    got = all_at_once(lambda n: store.append(lease, [(1, started(f"t{n}"))], LATER))
    assert Counter(got) == {None: 1, HistoryConflict: CLAIMANTS - 1}
    assert len(store.events(run.run_id)) == 1


def test_one_of_many_workers_makes_the_runs_of_a_schedule(store) -> None:
    """Every due time gets one row, though all see it at once."""
    row = ScheduleRow("s1", "nightly", {"kind": "interval"}, START)
    store.save_deployment(Deployment("nightly", 0, "demo", PLAN, {}, (), START, START, schedules=(row,)))
    for minute in range(5):
        row = store.schedules()[0]
        runs = [(waiting(60 * minute + second), PLAN) for second in (1, 2)]
        fresh = [[(replace(run, run_id=new_run_id(START)), plan) for run, plan in runs] for _ in range(CLAIMANTS)]
        got = all_at_once(
            lambda n, row=row, fresh=fresh: store.advance_schedule(
                row, row.seen_until + timedelta(minutes=1), None, fresh[n]
            )
        )
        assert Counter(got) == {True: 1, False: CLAIMANTS - 1}
    due = [run.due_at for run in store.runs()]
    assert len(due) == len(set(due)) == 10


def test_many_threads_use_one_store(store) -> None:
    """Runs are created, written and read side by side, and nothing is mixed up."""

    def live(number):
        run, lease = open_run(store, owner=f"here:{number}:{number}")
        for seq in range(1, 21):
            store.append(lease, [(seq, started(f"t{number}", seq))], LATER)
        events = store.events(run.run_id)
        store.release(lease)
        return events == [(seq, started(f"t{number}", seq)) for seq in range(1, 21)]

    assert all_at_once(live) == [True] * CLAIMANTS


def test_a_request_filed_while_another_is_taken_is_not_lost(store) -> None:
    """Each is heard once, whenever it comes."""
    taken = []

    def act(number):
        if number % 2:
            for each in range(10):
                store.request("r1", f"{number}-{each}", START)
        else:
            for _ in range(10):
                taken.extend(store.take_requests("r1", LATER))

    all_at_once(act)
    taken.extend(store.take_requests("r1", LATER))
    assert len(taken) == len(set(taken)) == 10 * (CLAIMANTS // 2)


# Processes

OPEN_AND_CLAIM = """
import sys
from datetime import timedelta
from pathlib import Path
from orch_notebook.runtime.store.sqlite import SqliteStore
from orch_notebook.testing import START

sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.readline()
store = SqliteStore(Path(sys.argv[1]))
won = [n for n in range(20) if store.claim_run(f"r{n:02}", sys.argv[2], "w", START + timedelta(minutes=1))]
print(len(won))
"""


@pytest.mark.processes
@pytest.mark.parametrize("is_fresh", [True, False], ids=["a store nobody has made yet", "a store with runs"])
def test_processes_share_a_file(tmp_path, is_fresh) -> None:
    """Opened by all at once, also for the first time; every run is claimed by exactly one of them."""
    path = tmp_path / "home" / "orch.db"
    if not is_fresh:
        store = SqliteStore(path)
        for number in range(20):
            store.create_run(replace(waiting(), run_id=f"r{number:02}"), plan=PLAN)
        store.close()
    started_processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AND_CLAIM, str(path), f"here:{n}:{n}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(4)
    ]  # fmt: skip
    for process in started_processes:
        assert process.stdout.readline() == "ready\n"
    for process in started_processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60) for process in started_processes]
    assert [error for _, error in said] == [""] * 4
    assert sum(int(out) for out, _ in said) == (0 if is_fresh else 20)
    store = SqliteStore(path)
    assert store.describe()["check"] == "ok"
    store.close()
