"""Three workers under fire: ``python benchmarks/chaos.py [--minutes M] [--store sqlite|postgres] [--rate R]``.

Two hundred deployments are due at `R` per second in sum, while workers, run processes and kernels are killed, or
stopped for longer than their leases last, the store is restarted and the disk is full for a while.  When it is over
every due time must have exactly one row, nothing may have been executed twice at once, every orphan must have been
ended, every retry rule obeyed and every slot be free.  It prints what it did and the delays, and returns 1 if a promise
was broken.

A full disk needs the right to mount (it is a small file system in memory) and is left out without it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orch_notebook.errors import StoreError
from orch_notebook.model.events import RunStateChanged
from orch_notebook.model.policies import CatchUp
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.schedules import Interval, schedule_from_json
from orch_notebook.model.states import StateType
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.terms import Terms
from orch_notebook.runtime.settings import Settings
from tests.books import write_book
from tests.databases.postgres import PostgresServer

DEPLOYMENTS, WORKERS, RETRIES = 200, 3, 5
#: Longer than a lease and the patience that others have with who lives.
STOPPED_FOR = 18.0

WITNESS = """
import os, pathlib, time
def lives(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
mine = pathlib.Path("alive", name)
mine.mkdir(exist_ok=True)
for other in mine.iterdir():
    if lives(other.name):
        with open("overlaps", "a") as file:
            file.write(f"{name}: {os.getpid()} met {other.name}\\n")
(mine / str(os.getpid())).touch()
time.sleep(0.2)
"""
PARAMETERS = ("name = 'none'", ["parameters"])
PLAIN = (PARAMETERS, WITNESS)
TASKS = ("%load_ext orch_notebook", PARAMETERS, WITNESS, "%%task one\nx = 1", "%%task two\ny = x + 1", "%flow run")


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[bool]:
    """Have `place` lie on a file system of its own; whether that was possible."""
    place.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(place)]
    is_mounted = subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)


class Chaos:
    """The fire, and the account of it."""

    def __init__(self, options: argparse.Namespace, folder: Path, settings: Settings, disk: bool) -> None:
        self.random = random.Random(options.seed)
        self.options = options
        self.folder = folder
        self.settings = settings
        self.has_small_disk = disk
        self.server: PostgresServer | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.done: Counter[str] = Counter()
        self.later: list[tuple[float, Callable[[], None]]] = []
        #: When a process of a run was killed, by the run's id if it is known.
        self.killed: dict[str, datetime] = {}
        self.outages: list[tuple[datetime, datetime]] = []

    # what burns

    def work(self) -> None:
        """Start a worker."""
        command = [sys.executable, "-m", "orch_notebook.cli", "worker", "--slots", str(self.options.slots)]
        environment = {**os.environ, **self.settings.environment, "CHAOS": str(self.folder)}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (sys.path[0], os.environ.get("PYTHONPATH"))))
        with (self.folder / "workers.log").open("ab") as log:
            self.workers.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
            )

    def family(self) -> dict[str, list[int]]:
        """Return the processes that live, by what they are."""
        found: dict[str, list[int]] = {"worker": [w.pid for w in self.workers if w.poll() is None]}
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, IndexError):
                if f"CHAOS={self.folder}".encode() not in (place / "environ").read_bytes().split(b"\0"):
                    continue
                words = (place / "cmdline").read_bytes()
                kind = "process" if b"promotion.start" in words else "kernel" if b"ipykernel" in words else "other"
                if int(place.name) not in found["worker"]:
                    found.setdefault(kind, []).append(int(place.name))
        return found

    def signal(self, kind: str, number: signal.Signals) -> int | None:
        """Send a signal to one process of a kind, if there is one."""
        there = self.family().get(kind, [])
        if not there:
            return None
        pid = self.random.choice(there)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def kill(self, kind: str) -> None:
        """Kill a worker, a run process or a kernel; another worker comes some seconds later."""
        if self.signal(kind, signal.SIGKILL) is None:
            return
        self.done[f"kill -9 {kind}"] += 1
        if kind == "worker":
            self.at(self.random.uniform(1, 5), self.work)

    def freeze(self, kind: str) -> None:
        """Stop a process for longer than its leases last, then let it go on."""
        pid = self.signal(kind, signal.SIGSTOP)
        if pid is None:
            return
        self.done[f"stop {kind}"] += 1

        def thaw() -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        self.at(STOPPED_FOR, thaw)

    def restart_store(self) -> None:
        """Pull the plug of the database server for some seconds."""
        if self.server is None:
            return
        self.server.stop(signal.SIGQUIT)
        self.done["restart store"] += 1
        began_at = datetime.now(UTC)

        def start() -> None:
            assert self.server is not None
            self.server.start()
            self.outages.append((began_at, datetime.now(UTC) + timedelta(seconds=5)))

        self.at(self.random.uniform(1, 6), start)

    def fill_disk(self) -> None:
        """Leave no room on the file system that the home lies on, for some seconds."""
        ballast = self.settings.home / "ballast"
        if not self.has_small_disk or ballast.exists():
            return
        began_at = datetime.now(UTC)
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 65536)
        self.done["full disk"] += 1

        def free() -> None:
            ballast.unlink()
            self.outages.append((began_at, datetime.now(UTC) + timedelta(seconds=5)))

        self.at(8.0, free)

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later."""
        self.later.append((time.monotonic() + seconds, act))

    def tend(self, *, all_of_it: bool = False) -> None:
        """Do what is due; with `all_of_it`, wait for the rest."""
        while True:
            now = time.monotonic()
            due = [pair for pair in self.later if pair[0] <= now]
            for pair in due:
                self.later.remove(pair)
                pair[1]()
            if not all_of_it or not self.later:
                return
            time.sleep(0.1)

    # the whole

    def run(self) -> int:
        orchestrator = Orchestrator(self.settings)
        self.promote(orchestrator)
        for _ in range(WORKERS):
            self.work()
        acts: list[Callable[[], None]] = [
            *(lambda kind=kind: self.kill(kind) for kind in ("worker", "process", "kernel")),
            *(lambda kind=kind: self.freeze(kind) for kind in ("worker", "process")),
            self.restart_store,
            self.fill_disk,
        ]
        end = time.monotonic() + 60 * self.options.minutes
        while time.monotonic() < end:
            self.tend()
            self.random.choice(acts)()
            time.sleep(self.random.uniform(0.5, 1.5) * self.options.pause)
        self.tend(all_of_it=True)
        for name in self.names:
            orchestrator.deployments.pause(name)
        quiet_at = time.monotonic()
        while not self.is_quiet(orchestrator):
            if time.monotonic() - quiet_at > self.options.patience:
                print(f"not quiet after {self.options.patience:g} s")
                break
            time.sleep(1)
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.workers:
            worker.wait(120)
        broken = self.judge(orchestrator)
        orchestrator.close()
        return int(bool(broken))

    def promote(self, orchestrator: Orchestrator) -> None:
        (self.folder / "alive").mkdir()
        books = [write_book(self.folder / "plain.ipynb", *PLAIN), write_book(self.folder / "tasks.ipynb", *TASKS)]
        self.names = [f"d{place:03}" for place in range(DEPLOYMENTS)]
        began_at = orchestrator.clock.now()
        period = DEPLOYMENTS / self.options.rate
        terms = Terms(retries=RETRIES, concurrency=1, catch_up=CatchUp.parse("all"))
        for place, name in enumerate(self.names):
            anchor = began_at + timedelta(seconds=20 + place / self.options.rate - period)
            orchestrator.deployments.promote(
                books[place % 10 == 0],
                name,
                schedules=[Interval(period, anchor)],
                parameters={"name": name},
                terms=terms,
            )

    def is_quiet(self, orchestrator: Orchestrator) -> bool:
        try:
            store = orchestrator.store
            return not store.owned_runs() and store.next_due_at() is None
        except StoreError:
            return False

    def judge(self, orchestrator: Orchestrator) -> list[str]:
        """Print the account and return the promises that were broken."""
        store, broken = orchestrator.store, []
        runs = [store.run(run.run_id) for run in store.runs(limit=1_000_000)]
        whole = [run for run in runs if run is not None and run.parent_run_id is None]
        first = [run for run in whole if run.retry_of is None]
        for name in self.names:
            deployment = orchestrator.deployments.find(name)
            schedule = schedule_from_json(deployment.schedules[0].rule)
            expected = Counter(schedule.due(deployment.created_at, deployment.updated_at))
            found = Counter(run.due_at for run in first if run.deployment == name)
            if found != expected:
                broken.append(f"{name}: due {sum(expected.values())}, rows {sum(found.values())}: {found - expected}")
        again = Counter(run.retry_of for run in whole if run.retry_of)
        for run in whole:
            retried = again[run.run_id]
            wants = run.state.type in (StateType.FAILED, StateType.CRASHED) and run.attempt <= RETRIES
            if retried != wants:
                broken.append(f"{run.run_id} ({run.state.name}, attempt {run.attempt}) was repeated {retried} times")
        for run in filter(None, runs):
            if not run.state.is_final or any(not task.state.is_final for task in run.tasks):
                broken.append(f"{run.run_id} ({run.flow}) is {run.state.name}")
            states = [event.state for _, event in store.events(run.run_id) if isinstance(event, RunStateChanged)]
            if states and states[-1] != run.state:
                broken.append(f"{run.run_id}: the last event says {states[-1].name}, the row {run.state.name}")
        if store.owned_runs():
            broken.append(f"{len(store.owned_runs())} slots are held")
        if (self.folder / "overlaps").exists():
            broken += (self.folder / "overlaps").read_text().splitlines()
        left = {kind: pids for kind, pids in self.family().items() if pids}
        if left:
            broken.append(f"processes are left: {left}")
        self.report(whole, first, broken)
        return broken

    def report(self, whole: list[FlowRun], first: list[FlowRun], broken: list[str]) -> None:
        """Print what happened as JSON."""
        made = [(run.created_at - run.due_at).total_seconds() for run in first if run.due_at]
        started = [(run.started_at - run.due_at).total_seconds() for run in first if run.started_at and run.due_at]
        about = {
            "store": self.options.store,
            "minutes": self.options.minutes,
            "fire": dict(self.done),
            "due times": len(first),
            "runs with repetitions": len(whole),
            "states": dict(Counter(run.state.name for run in whole)),
            "attempts": dict(Counter(run.attempt for run in whole)),
            "why crashed": dict(Counter(run.state.message[:60] for run in whole if run.state.name == "Crashed")),
            "why failed": dict(Counter(run.state.message[:90] for run in whole if run.state.name == "Failed")),
            "row made after due (s)": quantiles(made),
            "started after due (s)": quantiles(started),
            "broken": broken[:50],
        }
        print(json.dumps(about, indent=1))


def quantiles(values: list[float]) -> dict[str, float]:
    """Return median, ninth decile, 99th percentile and the most."""
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {
        name: round(found, 3)
        for name, found in zip(
            ("median", "p90", "p99", "max"), (cuts[49], cuts[89], cuts[98], max(values)), strict=True
        )
    }


def main() -> int:
    """Burn, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="postgres")
    parser.add_argument("--rate", type=float, default=1.0, help="due times per second, over all deployments")
    parser.add_argument("--slots", type=int, default=2, help="slots of each worker")
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between two acts, on average")
    parser.add_argument("--patience", type=float, default=900.0, help="seconds to wait for the end of what is left")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="orch-chaos-", ignore_cleanup_errors=True))
        )
        disk = stack.enter_context(small_disk(folder / "home", 200))
        settings = Settings(folder / "home")
        chaos = Chaos(options, folder, settings, disk)
        if options.store == "postgres":
            chaos.server = PostgresServer()
            stack.callback(chaos.server.close)
            chaos.settings = replace(settings, database_url=chaos.server.url())
        return chaos.run()


if __name__ == "__main__":
    sys.exit(main())
