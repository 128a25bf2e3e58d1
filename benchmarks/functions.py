"""Functions as tasks: what a submit, a map and a direct call cost, every state stored when the flow returns.

``python benchmarks/functions.py SHAPE`` prints microseconds per task, after counting every task run in the store.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

from orch_notebook import flow, task
from orch_notebook.runtime.home import open_home


@task
def step(x: int) -> int:
    """Do next to nothing."""
    return x + 1


@flow
def chain(n: int) -> int:
    """Submit a chain of tasks."""
    last = step.submit(0)
    for _ in range(n - 1):
        last = step.submit(last)
    return last.result()


@flow
def fan(n: int) -> int:
    """Map a task over a list."""
    return len(step.map(range(n)).result())


@flow
def calls(n: int) -> int:
    """Call a task again and again."""
    value = 0
    for _ in range(n):
        value = step(value)
    return value


SHAPES = {"chain": chain, "fan": fan, "calls": calls}


def main(shape: str, count: int) -> None:
    """Measure one shape."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["ORCH_HOME"] = home
        SHAPES[shape](1)  # loads what is loaded once
        started = time.perf_counter()
        SHAPES[shape](count)
        seconds = time.perf_counter() - started
        store = open_home().store
        [run] = store.runs(limit=1)
        states = {each.state.name for each in store.run(run.run_id).tasks}
        assert (len(store.run(run.run_id).tasks), states) == (count, {"Completed"})
        print(f"{seconds / count * 1e6:.2f}")
        open_home().close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
