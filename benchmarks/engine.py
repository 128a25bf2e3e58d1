"""The engine on no-op tasks: 16 threads, SQLite, every state stored when it returns.

``python benchmarks/engine.py SHAPE`` prints microseconds per task and bytes of memory per task run, after counting
every state of every task in the store.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from shapes import SHAPES, loose

from orch_notebook.model.events import RunCreated
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.runtime.clock import SystemClock, new_run_id
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.ledger import Ledger
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.runners.threads import ThreadRunner
from orch_notebook.runtime.store import Lease
from orch_notebook.runtime.store.sqlite import SqliteStore


def run(graph: Graph, store: SqliteStore, seconds: float = 0.0) -> str:
    """Run a graph whose tasks sleep (not at all by default) and return the run's id."""
    clock = SystemClock()
    ledger = Ledger(store, clock=clock)
    now = clock.now()
    expires_at = now + timedelta(seconds=9)
    made = FlowRun(new_run_id(now), "benchmark", State(StateType.PENDING), now, graph=graph)
    store.create_run(made, owner=this_owner(), lease_expires_at=expires_at)

    def perform(task: str, attempt: int) -> None:
        if seconds:
            time.sleep(seconds)

    lease = Lease(made.run_id, this_owner(), 1, expires_at)
    engine = Engine(
        RunMachine(graph),
        perform,
        ThreadRunner(16),
        ledger,
        lease,
        clock,
        ask=lambda: store.take_requests(made.run_id, clock.now()),
    )
    engine.journal.record(RunCreated(now, "benchmark", graph))
    assert engine.run().type is StateType.COMPLETED
    return made.run_id


def to_graph(shape: tuple[list[str], list[tuple[str, str]]]) -> Graph:
    """Return a shape as the engine takes it."""
    return Graph(tuple(map(Task, shape[0])), tuple(Edge(*pair) for pair in shape[1]))


def main(name: str) -> None:
    """Measure one shape."""
    graph = to_graph(loose(64) if name == "sleep" else SHAPES[name]())
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "orch.db")
        run(to_graph(loose(1)), store)  # loads what is loaded once
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        run_id = run(graph, store, 0.05 if name == "sleep" else 0.0)
        seconds = time.perf_counter() - started
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        count = len(graph.tasks)
        stored = [event for _, event in store.events(run_id) if hasattr(event, "attempt")]
        assert len(stored) == 2 * count, "every task has its two states in the store"
        print(f"{seconds / count * 1e6:.2f} {grown / count:.0f} {seconds:.4f}")


if __name__ == "__main__":
    main(sys.argv[1])
