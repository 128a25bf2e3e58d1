"""A timeout of two seconds around work that does not want to end: when each really ended, on every runner.

``python benchmarks/timeouts.py [--runner threads …]`` prints for a busy loop, a sleep, a blocking call, a hash in C
when the task run ended in the store, and when the work did: its function was left, or its process was gone.  The
sleep lasts 60 seconds by itself, the calls of C some 12.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orch_notebook import DaskTaskRunner, ProcessPoolTaskRunner, ThreadPoolTaskRunner, flow, task
from orch_notebook.runtime.home import close_homes, open_home

TIMEOUT = 2.0
CALL = 12
HASHES = 15_000_000  # some ten seconds of processor time


def busy_loop() -> None:
    """Count for ever."""
    n = 0
    while True:
        n += 1


def long_sleep() -> None:
    """Sleep for a minute."""
    time.sleep(60)


def call_of_c() -> None:
    """Block in the C library, which a signal ends."""
    ctypes.CDLL(None).sleep(CALL)


def hash_in_c() -> None:
    """Compute in C, which nothing ends: as a solver or a decoder does."""
    hashlib.pbkdf2_hmac("sha256", b"word", b"salt", HASHES)


WORK: dict[str, Callable[[], None]] = {
    "busy loop": busy_loop,
    "time.sleep(60)": long_sleep,
    "blocking call of C": call_of_c,
    "computing in C": hash_in_c,
}

RUNNERS: dict[str, Callable[[], Any]] = {
    "threads": ThreadPoolTaskRunner,
    "processes": ProcessPoolTaskRunner,
    "dask": lambda: DaskTaskRunner(cluster_kwargs={"n_workers": 1, "threads_per_worker": 1}),  # the one that is warm
}


def is_alive(pid: int) -> bool:
    """Whether a process lives."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def measure(runner: str, work: Callable[[], None], *, is_called: bool) -> tuple[float, float, str]:
    """Return seconds from the begin of the work to the end of its task run and to its own, and how it ended."""
    folder = Path(tempfile.mkdtemp())

    @task(timeout_seconds=TIMEOUT, name="work")
    def watched() -> None:
        (folder / "pid").write_text(str(os.getpid()))
        (folder / "begun").write_text(str(time.time()))
        try:
            work()
        finally:
            (folder / "left").write_text(str(time.time()))

    ended: list[float] = []

    def watch() -> None:
        while not (folder / "begun").exists():
            time.sleep(0.01)
        pid = int((folder / "pid").read_text())
        while is_alive(pid) and not (folder / "left").exists():
            time.sleep(0.01)
        ended.append(time.time())

    @flow(task_runner=RUNNERS[runner](), name="timeouts")
    def body() -> str:
        task(lambda: None, name="warm").submit().result()
        state = watched(return_state=True) if is_called else watched.submit(return_state=True)
        return str(state.name)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    name = body(return_state=True).result(raise_on_failure=False)
    watcher.join(90)
    begun = float((folder / "begun").read_text())
    [run] = open_home().store.runs(flow="timeouts", limit=1)
    at = next(
        event.at.timestamp()
        for _, event in reversed(list(open_home().store.events(run.run_id)))
        if getattr(event, "task", "") == "work" and hasattr(event, "state")
    )
    return at - begun, (ended[0] if ended else float("nan")) - begun, str(name)


def main() -> None:
    """Print the table."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--runner", nargs="*", choices=[*RUNNERS], default=[*RUNNERS])
    runners = given.parse_args().runner
    print(f"{'':34}{'state':>10}{'task run ended':>16}{'work ended':>12}")
    with tempfile.TemporaryDirectory() as home:
        os.environ["ORCH_HOME"] = home
        for runner in runners:
            for is_called in (True, False) if runner == "threads" else (False,):
                where = "main thread" if is_called else runner
                for what, work in WORK.items():
                    state, real, name = measure(runner, work, is_called=is_called)
                    print(f"{where:14}{what:20}{name:>10}{state:>14.2f} s{real:>10.2f} s", flush=True)
        close_homes()


if __name__ == "__main__":
    main()
