"""Two workers on one store for due times at one per second: rows, duplicates, losses and delays.

``python benchmarks/two_workers.py [COUNT] [SLOTS]`` promotes a notebook that appends its run's id to a file, starts two
real workers, waits until every run has ended, and prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orch_notebook.model.runs import FlowRun
from orch_notebook.model.schedules import Once
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.runtime.settings import Settings

SOURCE = "import os\nwith open('ticks', 'a') as file:\n    file.write(os.environ['ORCH_RUN_ID'] + '\\n')"
CELL = {"cell_type": "code", "id": "a", "metadata": {}, "source": SOURCE, "outputs": [], "execution_count": None}
BOOK = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"language_info": {"name": "python"}}, "cells": [CELL]}


def measure(count: int, slots: int) -> dict[str, object]:
    """Return what came of `count` due times."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        book = Path(folder) / "tick.ipynb"
        book.write_text(json.dumps(BOOK))
        orchestrator = Orchestrator(Settings(home))
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)
        moments = [start + timedelta(seconds=place) for place in range(count)]
        orchestrator.deployments.promote(book, "tick", schedules=[Once(moment) for moment in moments])
        command = [sys.executable, "-m", "orch_notebook.cli", "worker", "--quiet", "--slots", str(slots)]
        environment = {**os.environ, "ORCH_HOME": str(home)}
        workers = [subprocess.Popen(command, env=environment) for _ in range(2)]
        try:
            runs = wait(orchestrator, moments[-1], count)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(120)
        executed = Counter((Path(folder) / "ticks").read_text().split())
        orchestrator.close()
    due = Counter(run.due_at for run in runs)
    return {
        "due times": count,
        "rows": len(runs),
        "rows twice": sum(times - 1 for times in due.values()),
        "rows lost": len(set(moments) - set(due)),
        "executed twice": sum(times - 1 for times in executed.values()),
        "not executed": len({run.run_id for run in runs} - set(executed)),
        "states": dict(Counter(run.state.name for run in runs)),
        "by worker": dict(Counter(run.worker for run in runs)),
        "seconds from due to row": spread(
            [(run.created_at - run.due_at).total_seconds() for run in runs if run.due_at]
        ),
        "seconds from due to start": spread(
            [(run.started_at - run.due_at).total_seconds() for run in runs if run.due_at and run.started_at]
        ),
    }


def wait(orchestrator: Orchestrator, last: datetime, count: int) -> list[FlowRun]:
    """Return all runs once everything has come due and ended."""
    give_up_at = time.monotonic() + 30 * count
    while time.monotonic() < give_up_at:
        time.sleep(0.5)
        runs = orchestrator.store.runs(deployment="tick", limit=100 * count)
        if datetime.now(UTC) > last + timedelta(seconds=2) and all(run.state.is_final for run in runs):
            break
    return runs


def spread(values: list[float]) -> dict[str, float]:
    """Return the least, the median and the most."""
    return {"least": min(values), "median": statistics.median(values), "most": max(values)}


if __name__ == "__main__":
    count, slots = [int(argument) for argument in sys.argv[1:3]] + [60, 2][len(sys.argv) - 1 :]
    print(json.dumps(measure(count, slots), indent=2))
