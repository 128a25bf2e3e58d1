"""A flow of functions with very many tasks: run, repeated after a failure, and listed.

``python benchmarks/large.py COUNT`` prints microseconds per task for each, after counting every task run in the store.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

from orch_notebook import flow, task
from orch_notebook.runtime.home import open_home

broken = True


@task
def step(x: int) -> int:
    """Do next to nothing."""
    return x + 1


@task
def total(values: list[int]) -> int:
    """Fail the first time."""
    if broken:
        raise ValueError("not yet")
    return sum(values)


@flow
def large(n: int) -> int:
    """Map a task over very many numbers and add up what comes back."""
    return total(step.map(range(n)).result())


def main(count: int) -> None:
    """Measure one size."""
    global broken
    with tempfile.TemporaryDirectory() as home:
        os.environ["ORCH_HOME"] = home
        large(1, return_state=True)  # loads what is loaded once
        store, figures = open_home().store, []

        started = time.perf_counter()
        large(count, return_state=True)
        figures.append(time.perf_counter() - started)
        [failed] = store.runs(limit=1)

        broken = False
        started = time.perf_counter()
        assert large.retry(failed.run_id) == count * (count + 1) // 2
        figures.append(time.perf_counter() - started)
        [repeated] = store.runs(limit=1)

        started = time.perf_counter()
        listed = store.run(repeated.run_id).tasks
        figures.append(time.perf_counter() - started)
        assert len(listed) == count + 1 and {each.state.name for each in listed} == {"Completed", "Cached"}
        print(*(f"{seconds / count * 1e6:.1f}" for seconds in figures))
        open_home().close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
