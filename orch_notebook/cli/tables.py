"""Runs, tasks and deployments as tables for people in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from orch_notebook.model.deployments import Deployment
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.schedules import schedule_from_json
from orch_notebook.model.views import TONES, duration, look_of, outcome_words, progress_words, task_rows

__all__ = ["deployments_table", "run_view", "runs_table"]

COLOURS = {
    "pending": "bright_black",
    "running": "blue",
    "retrying": "yellow",
    "paused": "magenta",
    "completed": "green",
    "cached": "cyan",
    "failed": "red",
    "crashed": "red",
    "cancelled": "bright_black",
    "upstream": "bright_black",
}


def state_text(state_name: str, words: str = "") -> Text:
    """Return a state as shape, word and colour."""
    look = look_of(state_name)
    return Text(f"{TONES[look.tone].glyph} {words or look.word}", style=COLOURS[look.tone])


def local(instant: datetime | None) -> str:
    """Return an instant in the terminal's time zone."""
    return "" if instant is None else f"{instant.astimezone():%Y-%m-%d %H:%M:%S}"


def plain_table(*columns: str) -> Table:
    """Return a table without lines."""
    table = Table(box=None, pad_edge=False, header_style="bright_black")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def values(parameters: Mapping[str, Any]) -> str:
    """Return parameters as they are typed."""
    return escape(", ".join(f"{name}={value}" for name, value in parameters.items()))


def runs_table(runs: Iterable[FlowRun], now: datetime) -> Table:
    """Return runs, one a row."""
    table = plain_table("Run", "Flow", "Deployment", "State", "Due", "Started", "Took", "Attempt", "Parameters")
    for run in runs:
        table.add_row(
            run.run_id,
            escape(run.flow),
            escape(run.deployment or ""),
            state_text(run.state.name),
            local(run.due_at),
            local(run.started_at),
            duration(run.seconds(now)),
            str(run.attempt),
            values(run.parameters),
        )
    return table


def tasks_table(run: FlowRun, now: datetime) -> Table:
    """Return a run's tasks, one a row."""
    table = plain_table("Task", "State", "Started", "Took", "Attempts", "Reads → writes", "")
    by_name: dict[str, TaskRun] = {task.name: task for task in run.tasks}
    for row in task_rows(run, now):
        task = by_name[row.name]
        names = " → ".join(part for part in (", ".join(row.reads), ", ".join((*row.writes, *row.mutates))) if part)
        started = f"{task.started_at.astimezone():%H:%M:%S}" if task.started_at else ""
        table.add_row(
            escape(row.name),
            state_text(task.state.name),
            started,
            row.duration,
            str(task.attempt or ""),
            escape(names),
            Text(row.remark[:120], style="bright_black"),
        )
    return table


def run_view(run: FlowRun, now: datetime) -> Group:
    """Return one run: head, tasks, what became of it."""
    head = Text.assemble(
        (run.flow, "bold"), "  ", state_text(run.state.name), "  ", (duration(run.seconds(now)) or "", "bright_black")
    )
    if run.tasks:
        head.append(f"  {progress_words(run.tasks)}", style="bright_black")
    lines: list[Any] = [head]
    if run.state.message:
        lines.append(Text(run.state.message))
    if run.tasks:
        lines += [Text(""), tasks_table(run, now)]
        if run.state.is_final and (words := outcome_words(run)):
            lines += [Text(""), Text(words, style="bright_black")]
    return Group(*lines)


def deployments_table(deployments: Iterable[Deployment], now: datetime) -> Table:
    """Return deployments, one a row."""
    table = plain_table("Name", "Version", "Notebook", "Schedule", "Next", "Parameters", "")
    for deployment in deployments:
        rules = [schedule_from_json(schedule.rule) for schedule in deployment.schedules]
        moments = [moment for rule in rules if (moment := rule.next(now)) is not None]
        table.add_row(
            escape(deployment.name),
            str(deployment.version),
            escape(deployment.plan.notebook),
            escape("; ".join(rule.words() for rule in rules) or "on request"),
            "" if deployment.is_paused else local(min(moments, default=None)),
            values(deployment.parameters),
            "paused" if deployment.is_paused else "",
        )
    return table
