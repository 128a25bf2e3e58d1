"""One due time, one kill: what must hold whatever dies where.

In: a case, that is a point, who reaches it and who is killed there.  Out: nothing, or an AssertionError that says which
promise was broken.  The notebook itself bears witness: it writes down when another execution of it is still alive.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from orch_notebook.model.events import Event
from orch_notebook.model.schedules import Once
from orch_notebook.model.states import State, StateType
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.terms import Terms
from orch_notebook.promotion.upkeep import repeat
from orch_notebook.runtime.recovery import end_lost_run
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store
from tests.books import write_book
from tests.waiting import until

__all__ = ["CASES", "Case", "play"]

Found = TypeVar("Found")

#: Who is alive and writes down whom it meets; then two tasks of which the first keeps its result.  The second waits
#: until the store knows that the first has completed, so that every part of the history is recorded by itself.
BOOK = (
    """
    %load_ext orch_notebook
    import os, pathlib, time
    from orch_notebook.runtime.settings import Settings
    from orch_notebook.runtime.store.opening import open_store
    def lives(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False
    for other in pathlib.Path("alive").iterdir():
        if lives(other.name):
            pathlib.Path("overlaps").open("a").write(f"{os.getpid()} met {other.name}\\n")
    pathlib.Path("alive", str(os.getpid())).touch()
    def note(name, text):
        # Not a path that the analysis can read: a task that reads a file which it writes is never fresh.
        pathlib.Path(name.lower()).open("a").write(text)
    def await_stored(task):
        store = open_store(Settings.from_environment())
        while True:
            (run,) = store.runs(parent_run_id=os.environ["ORCH_RUN_ID"])
            if any(each.name == task and each.state.is_final for each in store.run(run.run_id).tasks):
                return store.close()
            time.sleep(0.005)
    """,
    "%%task first --cache\nx = 41\nnote('FIRST', 'x')",
    "%%task second\ny = x + 1\nawait_stored('first')\nnote('SECOND', f'{y} ')",
    "%flow run",
)

WORKER, PROCESS, KERNEL = "worker", "process", "kernel"
#: Nobody is killed: whoever is held finds on going on that another machine has taken its runs over.
LEASE = "lease"
#: Worker and run process are stopped until another worker has taken the run over, then go on.
FROZEN = "all"

#: Each act in the recording of a group of facts, for each part of a run's history.
RECORDS = tuple(f"record.{act}.{part}" for part in ("first", "next", "last") for act in ("begun", "inside", "done"))

#: The points by who reaches them, and who is alive by then.
POINTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    *(
        (name, WORKER, (WORKER,))
        for name in (
            "tick.begun",
            "tick.beaten",
            "tick.swept",
            "due.reckoned",
            "due.inside",
            "due.made",
            "tick.followed",
            "claim.begun",
            "claim.inside",
            "claim.done",
            "launch.ready",
            "tick.done#2",
            "release.begun",
            "release.ended",
            "release.repeated",
            "release.done",
        )
    ),
    *((f"launch.{name}", WORKER, (WORKER, PROCESS, KERNEL)) for name in ("started", "done")),
    # The kernel boots while the process that executes the run loads what that takes.
    *((f"execute.{name}", PROCESS, (WORKER, PROCESS, KERNEL)) for name in ("begun", "ready", "cell", "cell_ended")),
    *((f"execute.{name}", PROCESS, (WORKER, PROCESS)) for name in ("over", "recorded", "done")),
    *((name, PROCESS, (WORKER, PROCESS, KERNEL)) for name in RECORDS if not name.endswith("last")),
    *((name, PROCESS, (WORKER, PROCESS)) for name in RECORDS if name.endswith("last")),
    ("file.written", PROCESS, (WORKER, PROCESS, KERNEL)),
    ("file.written#2", PROCESS, (WORKER, PROCESS)),
    *((f"kernel:{name}", KERNEL, (WORKER, PROCESS, KERNEL)) for name in (*RECORDS, "file.written", "file.written#2")),
)


@dataclass(frozen=True, slots=True)
class Case:
    """Kill `victim` when `reacher` has come to `point`."""

    point: str
    reacher: str
    victim: str

    def __str__(self) -> str:
        how = {LEASE: "lost", FROZEN: "frozen"}.get(self.victim, "killed")
        return f"{self.victim} {how} at {self.point}"


CASES = (
    *(Case(point, reacher, victim) for point, reacher, victims in POINTS for victim in victims),
    *(
        Case(point, reacher, LEASE)
        for point, reacher, _ in POINTS
        # Inside a transaction nobody else can write.
        if not point.startswith(("tick", "due", "claim.begun")) and "inside" not in point and point != "release.done"
    ),
    *(Case(point, PROCESS, FROZEN) for point in ("execute.begun", "execute.cell", "execute.over")),
    Case("kernel:record.done.next", KERNEL, FROZEN),
)


def play(case: Case, folder: Path, settings: Settings) -> str:
    """Play a case in an empty folder; return in a few words what happened."""
    with Scene(folder, settings) as scene:
        return scene.play(case)


def stat_of(pid: int) -> list[str]:
    """Return the fields of a process behind its name: state, parent and so on; none if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


class Scene:
    """A folder, a store and workers, for one case."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.orchestrator = Orchestrator(settings)
        self.workers: list[subprocess.Popen[bytes]] = []
        (folder / "alive").mkdir(parents=True)
        (folder / "point").mkdir()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
        for pid in self._remains():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.orchestrator.close()

    @property
    def store(self) -> Store:
        return self.orchestrator.store

    def play(self, case: Case) -> str:
        book = write_book(self.folder / "book.ipynb", *BOOK)
        due_at = self._promote(book)
        first = self._work(case.point)
        held = until(self._held, f"{case.point} to be reached")
        owned = [lease.run_id for lease in self.store.owned_runs()]
        if case.victim == LEASE:
            taken = self._take_over()
        elif case.victim == FROZEN:
            taken = self._freeze(case, first.pid, held)
        else:
            os.kill(self._find(case, first.pid, held), signal.SIGKILL)
            taken = []
        before = self._facts()
        killed_at = time.monotonic()
        (self.folder / "point" / "go").touch()
        second = self._work(None)
        until(lambda: all(self._is_over(run_id) for run_id in owned), "the ends of orphans", 15.0)
        took = time.monotonic() - killed_at
        until(self._is_done, "the end of all")
        assert second.wait(60) == 0, "the second worker failed"
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
            worker.wait(30)
        until(lambda: not self._remains(), "the ends of all processes", 15.0)
        self._check(case, due_at, before, taken)
        runs = ", ".join(run.state.name for run in sorted(self.store.runs(deployment="book"), key=lambda r: r.attempt))
        return f"{took:.1f} s; {runs}"

    def _promote(self, book: Path) -> datetime:
        while True:
            due_at = datetime.now(UTC) + timedelta(seconds=0.5)
            terms = Terms(retries=1, concurrency=1)
            found = self.orchestrator.deployments.promote(book, "book", schedules=[Once(due_at)], terms=terms)
            if found.schedules[0].next_at is not None:  # else promoting took longer than that
                return due_at

    def _work(self, point: str | None, *, until_idle: bool = True) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self.settings.environment, "SCENE": str(self.folder)}
        environment["ORCH_LEASE"] = str(self.settings.lease)
        if point is not None:
            environment["ORCH_CRASH_POINT"] = f"{point}={self.folder / 'point'}"
        command = [
            sys.executable,
            "-m",
            "orch_notebook.cli",
            "worker",
            *(["--until-idle"] if until_idle and not point else []),
        ]
        with (self.folder / f"worker-{len(self.workers)}.log").open("wb") as log:
            self.workers.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
            )
        return self.workers[-1]

    def _held(self) -> int:
        try:
            return int((self.folder / "point" / "held").read_text())
        except (OSError, ValueError):
            return 0

    def _find(self, case: Case, worker: int, held: int) -> int:
        """Return the process to kill: the one that is held, or one related to it."""
        if case.victim == case.reacher:
            return held
        if case.victim == WORKER:
            return worker
        if case.victim == PROCESS:
            if case.reacher == KERNEL:
                return int(stat_of(held)[1])
            return until(lambda: self._child(worker, b"promotion.start"), "a run process")
        process = held if case.reacher == PROCESS else self._find(Case(case.point, case.reacher, PROCESS), worker, held)
        return until(lambda: self._child(process, b"ipykernel"), "a kernel")

    def _child(self, parent: int, words: bytes) -> int:
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                fields = stat_of(int(place.name))
                if fields and fields[1] == str(parent) and words in (place / "cmdline").read_bytes():
                    return int(place.name)
        return 0

    def _remains(self) -> list[int]:
        """Return the processes of this scene that live, apart from this one."""
        mark = f"SCENE={self.folder}".encode()
        found = []
        for place in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                pid = int(place.parent.name)
                if pid != os.getpid() and mark in place.read_bytes().split(b"\0") and stat_of(pid)[:1] != ["Z"]:
                    found.append(pid)
        return found

    def _family(self) -> Iterator[Any]:
        for run in self.store.runs(limit=1000):
            yield self.store.run(run.run_id)

    def _facts(self) -> dict[str, list[tuple[int, Event]]]:
        return {run.run_id: self.store.events(run.run_id) for run in self._family()}

    def _is_over(self, run_id: str) -> bool:
        run = self.store.run(run_id)
        assert run is not None
        children = self.store.runs(parent_run_id=run_id)
        whole = [run, *(self.store.run(child.run_id) for child in children)]
        return all(
            each is not None and each.state.is_final and all(task.state.is_final for task in each.tasks)
            for each in whole
        )

    def _is_done(self) -> bool:
        runs = list(self._family())
        return bool(runs) and all(self._is_over(run.run_id) for run in runs) and not self.store.owned_runs()

    def _freeze(self, case: Case, worker: int, held: int) -> list[str]:
        """Stop worker and run process until another worker has ended their run, and wake the worker."""
        process = self._find(Case(case.point, case.reacher, PROCESS), worker, held)
        owned = [lease.run_id for lease in self.store.owned_runs()]
        for pid in (worker, process):
            os.kill(pid, signal.SIGSTOP)
        self._work(None, until_idle=False)
        # On one machine the others know that the owner lives: they wait for its lease and then some seconds more.
        until(lambda: all(self._is_over(run_id) for run_id in owned), "a take-over of the frozen run", 40.0)
        until(lambda: stat_of(process)[:1] in (["Z"], []), "the end of what was at work", 15.0)
        os.kill(worker, signal.SIGCONT)
        return owned

    def _take_over(self) -> list[str]:
        """Do what a worker on another machine does whose clock says that every lease has ended."""
        now = datetime.now(UTC)
        taken = []
        for lease in self.store.owned_runs():
            mine = self.store.take_over(lease, "elsewhere:1:1", now + timedelta(seconds=30))
            assert mine is not None
            end_lost_run(self.store, mine, State(StateType.CRASHED, "Crashed", "Its heartbeat stopped."), now)
            run = self.store.run(lease.run_id)
            assert run is not None
            repeat(self.store, run, self.store.plan(run.run_id), now)
            self.store.release(mine)
            taken.append(lease.run_id)
        assert taken, "nobody owns anything here"
        return taken

    def _check(
        self, case: Case, due_at: datetime, before: dict[str, list[tuple[int, Event]]], taken: list[str]
    ) -> None:
        """Assert every promise."""
        if taken and not case.point.startswith("release"):
            logs = [*self.folder.glob("*.log"), *self.settings.home.glob("runs/*/process.log")]
            said = "".join(log.read_text() for log in logs)
            assert re.search("given up|taken over|belongs to another", said), "who lost the run did not say so"
        runs = list(self._family())
        whole = [run for run in runs if run.parent_run_id is None]
        planned = [run for run in whole if run.retry_of is None]
        assert len(planned) == 1, f"{len(planned)} rows for one due time"
        assert abs(planned[0].due_at - due_at) < timedelta(milliseconds=1)
        if planned[0].state.type is StateType.COMPLETED:
            assert len(whole) == 1, "a run that completed was repeated"
        else:
            assert planned[0].state.type is StateType.CRASHED, planned[0].state
            again = [run for run in whole if run.retry_of == planned[0].run_id]
            assert [run.attempt for run in again] == [2], "not repeated exactly once"
            assert again[0].state.type is StateType.COMPLETED, again[0].state
        for run_id, events in before.items():
            after = self.store.events(run_id)
            assert after[: len(events)] == events, "a stored fact is gone"
            assert run_id not in taken or after == events, "somebody wrote who had lost the right to"
            numbers = [number for number, _ in after]
            assert len(set(numbers)) == len(numbers)
        # Another machine cannot end what is at work here; it ends itself as soon as it is refused.
        assert case.victim == LEASE or not (self.folder / "overlaps").exists(), (self.folder / "overlaps").read_text()
        assert self.store.owned_runs() == [], "a slot is held"
        assert not self.store.due_runs(datetime.now(UTC) + timedelta(days=1), 10), "something still waits"
        kept = any(
            task.name == "first" and task.state.type is StateType.COMPLETED and run.state.type is StateType.CRASHED
            for run in runs
            for task in run.tasks
        )
        times = len((self.folder / "first").read_text()) if (self.folder / "first").exists() else 0
        assert times >= 1 and (case.victim == LEASE or not kept or times == 1), f"a kept task ran {times} times"
        last = [run for run in runs if run.parent_run_id is not None and run.state.type is StateType.COMPLETED]
        assert last, "no flow completed"
        assert {task.state.type for task in last[-1].tasks} == {StateType.COMPLETED}
        assert "42 " in (self.folder / "second").read_text()
        for run in whole:
            if run.executed_notebook and Path(run.executed_notebook).exists():
                statuses = [
                    cell["metadata"].get("papermill", {}).get("status")
                    for cell in json.loads(Path(run.executed_notebook).read_text())["cells"]
                ]
                assert "running" not in statuses, "the executed notebook says that a cell still runs"
