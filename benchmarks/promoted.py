"""What executing a notebook costs, by itself and by a worker, beside tools that execute one and keep nothing.

``python benchmarks/promoted.py [NAME …] [--repeats N] [--count N]`` prints a line of JSON for each budget; the names
are ``notebooks``, ``short``, ``promoted``, ``idle``, ``delays``, ``order`` and ``thousand``.  What is compared runs in
turns, in processes of its own; medians are shown, and with them how long processors were busy.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orch_notebook.model.events import RunCreated, RunStateChanged
from orch_notebook.model.schedules import Once
from orch_notebook.model.states import State, StateType
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.launching import Launch
from orch_notebook.promotion.worker import Worker
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease

WORK = "import time\nuntil = time.monotonic() + 3\nwhile time.monotonic() < until:\n    sum(range(10_000))"
TICK = "import os, time\nwith open(os.environ['ORCH_RUN_ID'], 'w') as file:\n    file.write(str(time.time()))"
BOOKS = {
    "empty": ["None"],
    "10 cells": [f"x{place} = {place}\nprint(x{place})" for place in range(10)],
    "200 cells": [f"x{place} = {place}\nprint(x{place})\nx{place}" for place in range(200)],
    "3 s of work": [WORK],
}
SHORT = ["rows = list(range(1000))", "total = sum(rows)", "print(total)"]
ORCH = ("-m", "orch_notebook.cli")


def write_book(path: Path, cells: Sequence[str]) -> Path:
    """Write a notebook with these cells."""
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"c{place}", "metadata": {}, "source": text, "outputs": [], "execution_count": None}
        for place, text in enumerate(cells)
    ]
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": made}
    path.write_text(json.dumps(book), "utf-8")
    return path


@contextmanager
def house() -> Iterator[tuple[Orchestrator, Path, dict[str, str]]]:
    """Give an orchestrator with a home of its own, a folder, and the environment of processes that share the home."""
    with tempfile.TemporaryDirectory(prefix="orch-executing-", ignore_cleanup_errors=True) as folder:
        settings = Settings(Path(folder) / "home")
        environment = {**os.environ, **settings.environment}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # uncompiled modules would be measured, not the product
        orchestrator = Orchestrator(settings)
        try:
            yield orchestrator, Path(folder), environment
        finally:
            orchestrator.close()


def timed(command: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Return how long a Python command took, and how long processors were busy with it."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=folder, env=environment, check=True, capture_output=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def show(what: str, budget: str, **figures: object) -> None:
    """Print one line."""
    rounded = {name: round(each, 3) if isinstance(each, float) else each for name, each in figures.items()}
    print(json.dumps({"what": what, "budget": budget, **rounded}, ensure_ascii=False), flush=True)


def middle(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the medians of both."""
    seconds, busy = zip(*pairs, strict=True)
    return statistics.median(seconds), statistics.median(busy)


def notebooks(repeats: int, count: int) -> None:
    """``orch run`` against ``papermill``, and what a cell costs."""
    plain: dict[str, list[tuple[float, float]]] = {name: [] for name in BOOKS}
    ours: dict[str, list[tuple[float, float]]] = {name: [] for name in BOOKS}
    with house() as (_, folder, environment):
        for name, cells in BOOKS.items():
            write_book(folder / f"{name}.ipynb", cells)
        for _ in range(repeats):
            for name in BOOKS:
                book = f"{name}.ipynb"
                papermill = ("-m", "papermill", book, "out.ipynb", "--no-progress-bar")
                plain[name].append(timed(papermill, folder, environment))
                ours[name].append(timed((*ORCH, "run", book, "--json"), folder, environment))
    for name in BOOKS:
        (base, base_busy), (mine, busy) = middle(plain[name]), middle(ours[name])
        show(
            f"orch run, {name}",
            "≤ 1.1 × papermill",
            ours=mine,
            papermill=base,
            ratio=mine / base,
            busy_ratio=busy / base_busy,
        )
    cell = (middle(ours["200 cells"])[0] - middle(ours["10 cells"])[0]) / 190
    base = (middle(plain["200 cells"])[0] - middle(plain["10 cells"])[0]) / 190
    show("per cell, 200 cells with outputs", "≤ 6 ms", ours_ms=cell * 1000, papermill_ms=base * 1000)


def short(repeats: int, count: int) -> None:
    """Three cells, plain and as tasks, by ``orch run``, ``papermill`` and ``jupyter execute``."""
    tasks = [f"%%task {name}\n{cell}" for name, cell in zip(("load", "add", "say"), SHORT, strict=True)]
    commands = {
        "plain": (*ORCH, "run", "plain.ipynb", "--json"),
        "tasks": (*ORCH, "run", "tasks.ipynb", "--json"),
        "papermill": ("-m", "papermill", "plain.ipynb", "out.ipynb", "--no-progress-bar"),
        "jupyter execute": ("-m", "jupyter", "execute", "plain.ipynb", "--output=executed.ipynb"),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with house() as (_, folder, environment):
        write_book(folder / "plain.ipynb", SHORT)
        write_book(folder / "tasks.ipynb", ["%load_ext orch_notebook", *tasks, "%flow run"])
        for number in range(repeats + 1):
            for name, command in commands.items():
                taken = timed(command, folder, environment)
                if number:  # the first compiles modules and makes the store
                    found[name].append(taken)
    middles = {name: middle(pairs) for name, pairs in found.items()}
    for name in ("plain", "tasks"):
        (mine, busy), papermill, execute = middles[name], middles["papermill"], middles["jupyter execute"]
        show(
            f"orch run, 3 cells, {name}",
            "≤ 1.1 × papermill",
            ours=mine,
            papermill=papermill[0],
            jupyter_execute=execute[0],
            ratio=mine / papermill[0],
            ratio_to_jupyter_execute=mine / execute[0],
            busy_ratio=busy / papermill[1],
        )


@contextmanager
def working(environment: dict[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """Have a worker work."""
    worker = subprocess.Popen(
        [sys.executable, *ORCH, "worker", *options], env=environment, stderr=subprocess.PIPE, text=True
    )
    said: list[str] = []
    assert worker.stderr is not None
    reader = threading.Thread(target=lambda: said.extend(worker.stderr or ()), daemon=True)
    reader.start()
    worker.said = said  # type: ignore[attr-defined]
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait(60)
        reader.join(5)


def all_ended(orchestrator: Orchestrator, count: int, seconds: float) -> list[Any]:
    """Return so many runs once they have ended."""
    give_up_at = time.monotonic() + seconds
    while True:
        runs = [run for run in orchestrator.store.runs(limit=count) if run.state.is_final]
        if len(runs) >= count:
            return sorted(runs, key=lambda run: run.due_at)
        if time.monotonic() > give_up_at:
            raise SystemExit(f"Only {len(runs)} of {count} runs have ended in {seconds:.0f} s.")
        time.sleep(0.2)


def promoted(repeats: int, count: int) -> None:
    """A promoted notebook of ten cells, by a worker without and with a warm kernel, against ``jupyter execute``."""
    base: list[float] = []
    with house() as (_, folder, environment):
        write_book(folder / "ten.ipynb", BOOKS["10 cells"])
        for _ in range(repeats):
            command = ("-m", "jupyter", "execute", "ten.ipynb", "--output=out.ipynb")
            base.append(timed(command, folder, environment)[0])
    plain = statistics.median(base)
    for warm in (0, 1):
        with house() as (orchestrator, folder, environment):
            book = write_book(folder / "ten.ipynb", [TICK, *BOOKS["10 cells"][1:]])
            start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=15)
            moments = [start + timedelta(seconds=10 * place) for place in range(repeats)]
            orchestrator.deployments.promote(book, "ten", schedules=[Once(moment) for moment in moments])
            with working(environment, "--warm", str(warm), "--quiet"):
                runs = all_ended(orchestrator, repeats, 600)
            took = statistics.median((run.ended_at - run.due_at).total_seconds() for run in runs)
            begun = [
                float((folder / run.run_id).read_text()) - run.due_at.timestamp()
                for run in runs
                if run.due_at is not None
            ]
        budget = "≤ 0.25 s; first cell ≤ 150 ms" if warm else "≤ 1.1 × jupyter execute"
        show(
            f"10 cells promoted, due to end, {warm} warm",
            budget,
            ours=took,
            jupyter_execute=plain,
            ratio=took / plain,
            first_cell_ms=statistics.median(begun) * 1000,
            first_cell_worst_ms=max(begun) * 1000,
        )


def processor(pid: int) -> float:
    """Return the seconds that a process has been busy."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """Return a process and all that it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [pid, *(each for child in children for each in descendants(int(child)))]


def idle(repeats: int, count: int) -> None:
    """How busy a worker is with nothing to do, without and with a warm kernel that waits."""
    for warm in (0, 1):
        with house() as (orchestrator, folder, environment):
            book = write_book(folder / "a.ipynb", BOOKS["empty"])
            later = datetime.now(UTC) + timedelta(seconds=600)
            orchestrator.deployments.promote(book, "a", schedules=[Once(later)])
            with working(environment, "--warm", str(warm), "--quiet") as worker:
                time.sleep(10)
                pids = descendants(worker.pid)
                before = sum(map(processor, pids))
                time.sleep(20)
                busy = sum(map(processor, pids)) - before
        show(f"idle worker, {warm} warm", "≤ 1 % of a core", percent=busy / 20 * 100, processes=len(pids))


def delays(repeats: int, count: int) -> None:
    """From due times to the moment the worker fires: a launcher that only looks at the clock."""
    fired: dict[str, float] = {}

    def note(lease: Lease, told: Any) -> Launch:
        fired[lease.run_id] = time.time()
        launch = Launch(lease, lambda: None)
        launch.ended.set()
        return launch

    with house() as (orchestrator, folder, _):
        book = write_book(folder / "a.ipynb", BOOKS["empty"])
        start = datetime.now(UTC) + timedelta(seconds=3)
        moments = [start + timedelta(milliseconds=237 * place) for place in range(100)]
        orchestrator.deployments.promote(book, "a", schedules=[Once(moment) for moment in moments])
        worker = Worker(orchestrator.store, orchestrator.settings, slots=2, launcher=note)
        thread = threading.Thread(target=worker.run)
        thread.start()
        while len(fired) < len(moments) and datetime.now(UTC) < moments[-1] + timedelta(seconds=30):
            time.sleep(0.2)
        worker.drain()
        thread.join(30)
        due = {run.run_id: run.due_at.timestamp() for run in orchestrator.store.runs(limit=1000) if run.due_at}
    late = sorted((at - due[run_id]) * 1000 for run_id, at in fired.items())
    show(
        "due to fire",
        "median ≤ 20 ms, p99 ≤ 50 ms, never early",
        median_ms=statistics.median(late),
        p99_ms=late[int(len(late) * 0.99)],
        first_ms=late[0],
        fired=len(fired),
    )


def order(repeats: int, count: int) -> None:
    """So many deployments due within one minute, on one worker with four slots whose runs take a tenth of a second."""
    began: list[str] = []
    with house() as (orchestrator, folder, _):
        store = orchestrator.store

        def perform(lease: Lease, launch: Launch, told: Callable[[], None]) -> None:
            time.sleep(0.1)
            now = datetime.now(UTC)
            states = (State(StateType.RUNNING), State(StateType.COMPLETED))
            facts = [RunCreated(now, "a"), *(RunStateChanged(now, state) for state in states)]
            store.append(lease, list(enumerate(facts, 1)), lease.expires_at)
            launch.said = "ended with code 0"
            launch.ended.set()
            told()

        def begin(lease: Lease, told: Callable[[], None]) -> Launch:
            began.append(lease.run_id)
            launch = Launch(lease, lambda: None)
            threading.Thread(target=perform, args=(lease, launch, told), daemon=True).start()
            return launch

        book = write_book(folder / "a.ipynb", BOOKS["empty"])
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=10 + count * 0.02)
        for place in range(count):
            due = start + timedelta(seconds=60 * place / count)
            orchestrator.deployments.promote(book, f"d{place}", schedules=[Once(due)])
        worker = Worker(store, orchestrator.settings, slots=4, launcher=begin)
        thread = threading.Thread(target=worker.run)
        thread.start()
        runs = all_ended(orchestrator, count, 120 + 0.2 * count)
        worker.drain()
        thread.join(30)
    late = sorted((run.started_at - run.due_at).total_seconds() * 1000 for run in runs)
    show(
        f"{count} deployments due in one minute, 4 slots, runs of 0.1 s",
        "started in due order, none twice",
        rows=len(runs),
        completed=sum(run.state.name == "Completed" for run in runs),
        started_twice=len(began) - len(set(began)),
        in_due_order=began == [run.run_id for run in runs],
        ended_after_due_ms=statistics.median(late),
        worst_ms=late[-1],
        never_early=late[0] >= 0,
    )


def thousand(repeats: int, count: int) -> None:
    """The same, and each really executed, which takes a second of processor."""
    with house() as (orchestrator, folder, environment):
        book = write_book(folder / "a.ipynb", [TICK])
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=10 + count * 0.02)
        for place in range(count):
            due = start + timedelta(seconds=60 * place / count)
            orchestrator.deployments.promote(book, f"d{place}", schedules=[Once(due)])
        with working(environment, "--slots", "4", "--warm", "2") as worker:
            runs = all_ended(orchestrator, count, 60 + 10 * count)
        said = [line.split() for line in worker.said]  # type: ignore[attr-defined]
        begun = [words[words.index("begins.") - 1] for words in said if "begins." in words]
        executed = [run.run_id for run in runs if (folder / run.run_id).exists()]
    show(
        f"{count} deployments due in one minute, 4 slots",
        "started in due order, none twice",
        rows=len(runs),
        completed=sum(run.state.name == "Completed" for run in runs),
        executed=len(executed),
        started_twice=len(begun) - len(set(begun)),
        in_due_order=begun == [run.run_id for run in runs],
        minutes=(max(run.ended_at for run in runs) - start).total_seconds() / 60,
    )


BENCHMARKS = {
    "notebooks": notebooks,
    "short": short,
    "promoted": promoted,
    "idle": idle,
    "delays": delays,
    "order": order,
    "thousand": thousand,
}


def main() -> None:
    """Measure what is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which; all when left out")
    parser.add_argument("--repeats", type=int, default=7, metavar="N", help="executions of each kind")
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="deployments of 'order' and 'thousand'")
    given = parser.parse_args()
    for name in given.names or BENCHMARKS:
        BENCHMARKS[name](given.repeats, given.count)


if __name__ == "__main__":
    main()
