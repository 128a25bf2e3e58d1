"""Random flows with timeouts, retries and cancels at random moments: whatever hits whatever, every run ends."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time

import pytest

from orch_notebook import flow, task
from tests.functions.conftest import PATIENCE, in_time
from tests.test_house import ROOT

# A stop is raised between any two instructions, also between opening a file and the block that closes it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

KINDS = ("work", "fail", "call", "submit", "map", "swallow")


def work(milliseconds):
    """Keep the processor busy, where a stop can come at any line."""
    until = time.perf_counter() + milliseconds / 1000
    while time.perf_counter() < until:
        pass


def make(chance, depth):
    """Return a task that works, fails, or calls others in some way."""
    options = {}
    if chance.random() < 0.5:
        options["timeout_seconds"] = chance.uniform(0.001, 0.03)
    if chance.random() < 0.4:
        options |= {"retries": chance.randint(1, 2), "retry_delay_seconds": chance.choice([0, 0.005])}
    kind = chance.choice(KINDS if depth else KINDS[:2])
    length = chance.uniform(0, 15)
    others = [make(chance, depth - 1) for _ in range(2)] if depth else []

    @task(name=f"{kind}{depth}", **options)
    def body(*ignored):
        if kind == "work":
            work(length)
        elif kind == "fail":
            work(length / 2)
            raise ValueError(kind)
        elif kind == "call":
            for other in others:
                other(return_state=True)
        elif kind == "submit":
            for future in [other.submit() for other in others]:
                future.result(raise_on_failure=False)
        elif kind == "map":
            others[0].map(range(3)).wait()
        else:
            try:
                work(length)
                others[0]()
            except BaseException:
                pass

    return body


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_stopped_in_the_midst_of_whatever_every_run_ends(stored, monkeypatch, seed) -> None:
    """On three threads, with a timeout or a cancel from elsewhere: every task run is final, and so is the run."""
    monkeypatch.setenv("ORCH_THREADS", "3")
    chance = random.Random(seed)
    tasks = [(make(chance, 2), chance.random() < 0.5) for _ in range(4)]
    options = {"timeout_seconds": chance.uniform(0.005, 0.1)} if seed % 3 == 0 else {"retries": seed % 2}
    begun = threading.Event()

    @flow(**options)
    def hammered():
        begun.set()
        futures = []
        for each, is_submitted in tasks:
            if is_submitted:
                futures.append(each.submit())
            else:
                each(return_state=True)
        for future in futures:
            future.result(raise_on_failure=False)

    def cancel():
        begun.wait(PATIENCE)
        work(chance.uniform(0, 50))
        [run] = stored.home.store.runs(limit=1)
        stored.home.store.request(run.run_id, "cancel", stored.home.clock.now())

    if seed % 3 == 1:
        threading.Thread(target=cancel, daemon=True).start()
    state = in_time(hammered, return_state=True)
    assert state.is_final()
    assert stored.run().state.type == state.type


def test_threads_of_several_processes_share_one_store(environment) -> None:
    """Nobody is locked out, and every event of every run is there: benchmarks/hammer.py for a second."""
    command = [sys.executable, str(ROOT / "benchmarks" / "hammer.py")]
    command += ["--seconds", "1", "--processes", "2", "--threads", "10"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
