"""A module with flows, as the tests of promotion write it."""

from __future__ import annotations

import itertools
from pathlib import Path

count = itertools.count()

SOURCE = """
import pathlib, time
from orch_notebook import flow, task, get_run_logger
from orch_notebook.runtime import deployment, flow_run

def mark(word):
    with open("marks.txt", "a") as marks:
        marks.write(word + "\\n")

@task
def load(n):
    mark("load")
    return list(range(n))

@task
def hold(xs, fails):
    mark("hold")
    if fails and len(pathlib.Path("marks.txt").read_text().split("hold")) <= fails + 1:
        raise ConnectionError("down")
    return sum(xs)

@flow(flow_run_name="{day}", tags=["etl"])
def nightly(day: str, n: int = 3, fails: int = 0):
    get_run_logger().info("for %s", deployment.name)
    return hold(load(n), fails)

@flow
def waits(seconds: float = 60):
    mark("waits")
    time.sleep(seconds)

def helper():
    pass
"""


def write_module(folder: Path, source: str = SOURCE) -> Path:
    """Write a module whose name no other test's has."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"etl_{next(count)}.py"
    path.write_text(source, "utf-8")
    return path
