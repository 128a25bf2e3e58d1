"""A run followed to its end, live in a terminal or line by line in a log."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rich.live import Live

from orch_notebook.cli.app import columns, console, say
from orch_notebook.cli.tables import run_view
from orch_notebook.model.runs import FlowRun
from orch_notebook.orchestrator import Orchestrator

__all__ = ["follow", "follow_backfill"]

EVERY = 0.25


def follow(orchestrator: Orchestrator, run_id: str, is_over: Callable[[FlowRun], bool]) -> FlowRun:
    """Show a run until `is_over` says so; return it as it was then."""
    pause = threading.Event()
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            while True:
                run = orchestrator.show(run_id)
                live.update(run_view(run, orchestrator.clock.now(), columns()))
                if is_over(run):
                    return run
                pause.wait(EVERY)
    said: dict[str, str] = {}
    while True:
        run = orchestrator.show(run_id)
        for task in run.tasks:
            line = f"{task.state.name:<14} {task.name}"
            if said.get(task.task_run_id) != line and task.attempt:
                said[task.task_run_id] = line
                say(f"  {line}")
        if is_over(run):
            return run
        pause.wait(EVERY)


def follow_backfill(orchestrator: Orchestrator, backfill_id: str) -> None:
    """Say how far a backfill is, until all of it has ended or somebody interrupts."""
    pause = threading.Event()
    said = ""
    while True:
        [progress] = orchestrator.deployments.backfills(backfill_id)
        if progress.words() != said:
            said = progress.words()
            say(said)
        if progress.ended == progress.total:
            return
        pause.wait(EVERY)
