"""Many threads of several processes write one SQLite store: nothing is locked out, and nothing is lost.

``python benchmarks/hammer.py --seconds 60`` has 50 threads in each of four processes perform flows as fast as they can,
and read and file requests between them.  Afterwards every run that a thread saw end is looked for in the store, with
every event of it, numbered without a gap.  It prints what it counted, and ends with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter

from orch_notebook import flow, get_run_logger, task
from orch_notebook.runtime import flow_run
from orch_notebook.runtime.home import close_homes, open_home


@task
def step(n: int) -> int:
    """Do next to nothing, and say so."""
    get_run_logger().info("step %d", n)
    return n + 1


@flow
def tiny(n: int) -> str:
    """Perform one task and tell which run this was."""
    assert step(n) == n + 1
    return str(flow_run.id)


def work(seconds: float, threads: int) -> None:
    """Perform flows in many threads, and print which runs there were and what went wrong."""
    ended: list[str] = []
    errors: list[str] = []
    store = open_home().store
    until = time.monotonic() + seconds

    def hammer() -> None:
        while time.monotonic() < until and not errors:
            try:
                run_id = tiny(1)
                ended.append(run_id)
                store.request(run_id, "cancel", open_home().clock.now())
                store.runs(limit=5)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
                errors.append(f"{type(error).__name__}: {error}")

    hammers = [threading.Thread(target=hammer) for _ in range(threads)]
    for each in hammers:
        each.start()
    for each in hammers:
        each.join()
    close_homes()
    print(json.dumps({"ended": ended, "errors": errors}))


def look(ended: list[str]) -> tuple[int, list[str]]:
    """Return how many events the store has of these runs, and what is wrong with them."""
    store = open_home().store
    count, wrong = 0, []
    for run_id in ended:
        run = store.run(run_id)
        events = list(store.events(run_id))
        lines = store.logs(run_id)
        count += len(events) + len(lines)
        numbers = sorted([number for number, _ in events] + [line.seq for line in lines])
        kinds = Counter(type(event).__name__ for _, event in events)
        if run is None or run.state.name != "Completed" or [each.state.name for each in run.tasks] != ["Completed"]:
            wrong.append(f"{run_id} is {run and run.state.name}")
        elif numbers != list(range(1, len(numbers) + 1)):
            wrong.append(f"{run_id} has a gap: {numbers}")
        elif (kinds["RunCreated"], kinds["TaskAdded"], kinds["TaskStateChanged"], kinds["RunStateChanged"]) != (
            1,
            1,
            2,
            2,
        ):
            wrong.append(f"{run_id} lacks events: {dict(kinds)}")
        elif [line.text for line in lines] != ["step 1"]:
            wrong.append(f"{run_id} lacks its line")
    return count, wrong


def main() -> int:
    """Hammer, count, and say what came of it."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--seconds", type=float, default=60.0)
    given.add_argument("--processes", type=int, default=4)
    given.add_argument("--threads", type=int, default=50, help="in each process")
    given.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = given.parse_args()
    if options.child:
        work(options.seconds, options.threads)
        return 0
    with tempfile.TemporaryDirectory() as home:
        os.environ["ORCH_HOME"] = home
        open_home().store.runs()  # made once, so that the hammers meet at the store and not at its making
        command = [sys.executable, __file__, "--child", "--seconds", str(options.seconds)]
        command += ["--threads", str(options.threads)]
        quiet = subprocess.DEVNULL  # the lines of the runs are shown there
        children = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) for _ in range(options.processes)
        ]
        said = [json.loads(child.communicate()[0] or '{"ended": [], "errors": ["it died"]}') for child in children]
        ended = [run_id for each in said for run_id in each["ended"]]
        errors = [error for each in said for error in each["errors"]]
        stored = len(open_home().store.runs(limit=10_000_000))
        count, wrong = look(ended)
        if stored != len(ended):
            wrong.append(f"{stored} runs are stored and {len(ended)} were performed")
        close_homes()
    print(
        f"{options.processes} × {options.threads} threads, {options.seconds:g} s: {len(ended)} runs, {count} events, "
        f"{len(errors)} errors, {len(wrong)} runs with something missing"
    )
    for line in (*errors[:5], *wrong[:5]):
        print(" ", line)
    return 1 if errors or wrong or not ended else 0


if __name__ == "__main__":
    sys.exit(main())
