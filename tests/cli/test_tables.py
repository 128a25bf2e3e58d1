"""Tables for a terminal: what is left out where there is too much, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from orch_notebook.cli.tables import run_view
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task

NOW = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)


def shown(count: int, width: int | None) -> list[str]:
    """The lines of a failed run of many tasks, of which one failed."""
    states = [StateType.FAILED if number == count // 2 else StateType.COMPLETED for number in range(count)]
    tasks = tuple(TaskRun("run", Task(f"t{number}"), State(state), 1, NOW, NOW) for number, state in enumerate(states))
    run = FlowRun("0198-abcdef12", "big", State(StateType.FAILED), NOW, started_at=NOW, ended_at=NOW, tasks=tasks)
    console = Console(width=width or 10_000, color_system=None)
    with console.capture() as captured:
        console.print(run_view(run, NOW, width))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_terminal_shows_the_urgent_ones_of_many_tasks() -> None:
    """A hundred rows, the failure among them, and a line that says how many are left out and how to see them."""
    lines = shown(5000, 80)
    assert len([line for line in lines if line.startswith("t")]) == 100
    assert any("t2500" in line and "Failed" in line for line in lines)
    assert "… and 4,900 tasks more; 'orch show abcdef12 | less' has all." in lines


def test_a_pipe_has_every_task() -> None:
    """Nothing is left out of what another program reads, nor of a run that is small enough."""
    assert len([line for line in shown(500, None) if line.startswith("t")]) == 500
    assert not any("tasks more" in line for line in (*shown(500, None), *shown(100, 80)))
