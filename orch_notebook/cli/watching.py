"""A run followed to its end, live in a terminal or line by line in a log."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import typer
from rich.live import Live

from orch_notebook.cli.app import columns, console, print_json, say
from orch_notebook.cli.tables import run_view
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType
from orch_notebook.orchestrator import Execution, Orchestrator

__all__ = ["follow", "follow_backfill", "see_through"]

EVERY = 0.25


def follow(
    orchestrator: Orchestrator,
    run_id: str,
    is_over: Callable[[FlowRun], bool],
    rest: Callable[[float], object] | None = None,
) -> FlowRun:
    """Show a run until `is_over` says so; return it as it was then.

    Between two looks ``rest(seconds)`` is called, which may come back as soon as the run has ended.
    """
    rest = rest or threading.Event().wait
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            while True:
                run = orchestrator.show(run_id)
                live.update(run_view(run, orchestrator.clock.now(), columns()))
                if is_over(run):
                    return run
                rest(EVERY)
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
        rest(EVERY)


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


def see_through(orchestrator: Orchestrator, execution: Execution, as_json: bool) -> None:
    """Follow an execution to its end, show how it ended, and leave with the exit code that tells so."""
    is_interrupted = False
    try:
        if not as_json:
            follow(orchestrator, execution.run_id, lambda _: execution.is_over, execution.ends_within)
        execution.wait()
    except KeyboardInterrupt:
        is_interrupted = True
        sys.stderr.write("Cancelling; interrupt again to leave at once.\n")
        execution.cancel()
        execution.wait()
    ended = orchestrator.show(execution.run_id)
    if as_json:
        print_json(ended.to_json(with_tasks=True))
    else:
        console.print(run_view(ended, orchestrator.clock.now(), columns()))
        if ended.executed_notebook:
            say(f"\nExecuted notebook: {ended.executed_notebook}")
    if ended.state.type is not StateType.COMPLETED:
        raise typer.Exit(130 if is_interrupted else 1)
