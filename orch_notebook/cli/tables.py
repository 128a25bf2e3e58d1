"""Runs, tasks and deployments as tables for people in a terminal.

In: values of the model, the present instant, and how many columns there are; None where the output is piped, which
then shows everything whole.  Out: what the console prints.  Every text is a :class:`~rich.text.Text`, never markup, so
what users wrote is shown as they wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from orch_notebook.model.backfills import BackfillProgress, varying
from orch_notebook.model.deployments import Deployment
from orch_notebook.model.notices import Message, hide
from orch_notebook.model.runs import FlowRun, TaskRun, short_id
from orch_notebook.model.schedules import schedule_from_json
from orch_notebook.model.states import StateType
from orch_notebook.model.views import (
    TONES,
    duration,
    look_of,
    outcome_words,
    plain,
    plain_lines,
    progress_words,
    task_rows,
)

__all__ = [
    "COLOURS",
    "backfill_table",
    "backfills_table",
    "deployments_table",
    "fit",
    "local",
    "messages_table",
    "moment",
    "run_view",
    "runs_table",
    "state_text",
    "values",
    "versions_table",
]

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
FAINT = "bright_black"

#: Columns left to a text that gives way, at least; below that a row rather grows too long.
NARROWEST = 6
GAP = 2

#: Failed tasks whose traceback is shown, and lines of each.
TRACEBACKS, LINES = 3, 12

#: Tasks that a terminal shows of a run, the most urgent ones; what is piped has all of them.
TASKS = 100


def state_text(state_name: str, words: str = "") -> Text:
    """Return a state as shape, word and colour."""
    look = look_of(state_name)
    return Text(f"{TONES[look.tone].glyph} {words or look.word}", style=COLOURS[look.tone])


def local(instant: datetime | None) -> str:
    """Return an instant in the terminal's time zone."""
    return "" if instant is None else f"{instant.astimezone():%Y-%m-%d %H:%M:%S}"


def moment(instant: datetime | None, now: datetime, width: int | None) -> str:
    """Return an instant as short as a person can read it: the time if it is today, else day and time."""
    if instant is None or width is None:
        return local(instant)
    here = instant.astimezone()
    return f"{here:%H:%M:%S}" if here.date() == now.astimezone().date() else f"{here:%d %b %H:%M}"


def values(parameters: Mapping[str, Any]) -> str:
    """Return parameters as they are typed."""
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def fit(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], width: int | None) -> Table:
    """Return a table without lines that fits a terminal; ids, states and times stay whole, long texts give way.

    Parameters
    ----------
    columns : sequence of str
        Titles; one that ends in ``…`` gives way.  A column in which no row says anything is left out.
    rows : iterable of sequences
        One cell for each column.
    width : int or None
        Columns of the terminal; None lets every cell be as long as it is.
    """
    cells = [[Text(plain(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows]
    shown = [place for place in range(len(columns)) if any(row[place].plain for row in cells)]
    titles = {place: columns[place].rstrip("…") for place in shown}
    widths = {place: max(len(titles[place]), *(row[place].cell_len for row in cells)) for place in shown}
    if width is not None:
        giving = [place for place in shown if columns[place].endswith("…")]
        too_much = sum(widths.values()) + GAP * (len(shown) - 1) - width
        while too_much > 0 and giving:
            widest = max(giving, key=lambda place: widths[place])
            if widths[widest] <= NARROWEST:
                break
            widths[widest] -= 1
            too_much -= 1
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style=FAINT)
    for place in shown:
        table.add_column(titles[place], no_wrap=True, width=widths[place])
    for row in cells:
        for place in shown:
            row[place].truncate(widths[place], overflow="ellipsis")
        table.add_row(*(row[place] for place in shown))
    return table


def runs_table(runs: Iterable[FlowRun], now: datetime, width: int | None = None) -> Table:
    """Return runs, one a row."""
    rows: list[Sequence[str | Text]] = []
    for run in runs:
        rows.append(
            (
                run.run_id if width is None else short_id(run.run_id),
                run.flow,
                run.name,
                run.deployment or "",
                state_text(run.state.name),
                moment(run.due_at, now, width),
                moment(run.started_at, now, width),
                duration(run.seconds(now)),
                str(run.attempt) if width is None or run.attempt > 1 else "",
                values(run.parameters),
                ", ".join(run.tags),
            )
        )
    tries = "Attempt" if width is None else "Try"
    columns = ["Run", "Flow…", "Name…", "Deployment…", "State", "Due", "Started", "Took", tries, "Parameters…", "Tags…"]
    if width is not None and width < 100:
        # When a run was due is told by when it started; of one that has not, it is all there is to tell.
        columns[5:7] = ["When"]
        rows = [(*row[:5], row[6] or row[5], *row[7:]) for row in rows]
    return fit(columns, rows, width)


def tasks_table(run: FlowRun, now: datetime, width: int | None = None) -> Table:
    """Return a run's tasks, one a row."""
    by_name: dict[str, TaskRun] = {task.name: task for task in run.tasks}
    rows = []
    for row in task_rows(run, now, None if width is None else TASKS):
        task = by_name[row.name]
        names = " → ".join(part for part in (", ".join(row.reads), ", ".join((*row.writes, *row.mutates))) if part)
        rows.append(
            (
                row.name,
                state_text(task.state.name),
                f"{task.started_at.astimezone():%H:%M:%S}" if task.started_at else "",
                row.duration,
                str(task.attempt) if width is None or task.attempt > 1 else "",
                names,
                Text(plain(row.remark), style=FAINT),
            )
        )
    tries = "Attempt" if width is None else "Try"
    return fit(("Task…", "State", "Started", "Took", tries, "Reads → writes…", "Remark…"), rows, width)


def run_view(run: FlowRun, now: datetime, width: int | None = None) -> Group:
    """Return one run: head, tasks, what became of it."""
    head = Text.assemble((plain(run.name or run.flow), "bold"), "  ", state_text(run.state.name), "  ")
    head.append(duration(run.seconds(now)) or "", style=FAINT)
    if run.tasks:
        head.append(f"  {progress_words(run.tasks)}", style=FAINT)
    lines: list[Any] = [head]
    if about := _about(run, now, width):
        lines.append(Text(about, style=FAINT))
    if run.state.message:
        lines.append(Text(plain(run.state.message)))
    if run.values:
        lines.append(Text(plain(f"recorded {values(run.values)}")))
    if run.tasks:
        lines += [Text(""), tasks_table(run, now, width)]
        if width is not None and (left := len(run.tasks) - TASKS) > 0:
            lines.append(Text(f"… and {left:,} tasks more; 'orch show {short_id(run.run_id)} | less' has all.", FAINT))
    if run.state.is_final:
        lines += _tracebacks(run)
        if run.tasks and (words := outcome_words(run)):
            lines += [Text(""), Text(words, style=FAINT)]
    return Group(*lines)


def _about(run: FlowRun, now: datetime, width: int | None) -> str:
    said = []
    if run.name:
        said.append(f"flow {run.flow}")
    if run.about.get("version"):
        said.append(f"version {run.about['version']}")
    if run.deployment:
        said.append(f"deployment {run.deployment}")
    if run.attempt > 1:
        said.append(f"attempt {run.attempt}")
    if run.upstream_run_id:
        said.append(f"after run {run.upstream_run_id if width is None else short_id(run.upstream_run_id)}")
    if run.retry_of:
        said.append(f"repeats {run.retry_of if width is None else short_id(run.retry_of)}")
    if run.due_at and run.deployment and run.started_at is None:
        said.append(f"due {moment(run.due_at, now, width)}")
    if run.parameters:
        said.append(values(run.parameters))
    if run.tags:
        said.append("tagged " + ", ".join(run.tags))
    if run.about.get("description"):
        said.append(run.about["description"])
    return plain(" · ".join(said))


def _tracebacks(run: FlowRun) -> list[Text]:
    """Return what the failed tasks raised, as far as a screen has room."""
    lines: list[Text] = []
    failed = [task for task in run.tasks if task.state.type is StateType.FAILED and task.details.get("traceback")]
    for task in failed[:TRACEBACKS]:
        lines += [Text(""), Text(plain(task.name), style=COLOURS["failed"])]
        lines += [Text(f"  {line}") for line in plain_lines(task.details["traceback"], LINES)]
    if len(failed) > TRACEBACKS:
        lines.append(Text(f"… and {len(failed) - TRACEBACKS} more failed; 'orch show --json' has all.", style=FAINT))
    return lines


def deployments_table(deployments: Iterable[Deployment], now: datetime, width: int | None = None) -> Table:
    """Return deployments, one a row."""
    rows = []
    for deployment in deployments:
        rules = [schedule_from_json(schedule.rule) for schedule in deployment.schedules]
        following = [due_at for rule in rules if (due_at := rule.next(now)) is not None]
        path = deployment.plan.words
        rows.append(
            (
                deployment.name,
                str(deployment.version),
                path if width is None else path.rpartition("/")[2],
                "; ".join(rule.words() for rule in (*rules, *deployment.starts_after)) or "on request",
                _resting(deployment) if deployment.is_paused else moment(min(following, default=None), now, width),
                values(deployment.parameters),
            )
        )
    return fit(("Name…", "Version", "Notebook…", "Schedule…", "Next", "Parameters…"), rows, width)


def _resting(deployment: Deployment) -> str:
    return f"paused: {deployment.pause_reason}" if deployment.pause_reason else "paused"


def versions_table(versions: Iterable[Deployment], width: int | None = None) -> Table:
    """Return the versions of a deployment, one a row."""
    rows = [
        (
            str(version.version),
            local(version.created_at),
            "; ".join(schedule_from_json(row.rule).words() for row in version.schedules) or "on request",
            values(version.parameters),
        )
        for version in versions
    ]
    return fit(("Version", "Promoted", "Schedule…", "Parameters…"), rows, width)


def messages_table(messages: Iterable[Message], now: datetime, width: int | None = None) -> Table:
    """Return messages to people, one a row; addresses without their secrets."""
    rows = [
        (
            moment(message.created_at, now, width),
            message.title,
            hide(message.to),
            message.state,
            str(message.attempts),
            message.error,
        )
        for message in messages
    ]
    return fit(("When", "What…", "To…", "State", "Tries", "Problem…"), rows, width)


def backfill_table(runs: Sequence[FlowRun], now: datetime, width: int | None = None) -> Table:
    """Return the points of a backfill, one a row: what they differ in, how they went and what they recorded."""
    axes = varying(runs)
    names = list(dict.fromkeys(name for run in runs for name in run.values))
    rows: list[Sequence[str | Text]] = []
    for run in runs:
        rows.append(
            (
                *(str(run.parameters.get(name, "")) for name in axes),
                state_text(run.state.name),
                duration(run.seconds(now)),
                str(run.attempt) if width is None or run.attempt > 1 else "",
                *(shown_value(run.values[name]) if name in run.values else "" for name in names),
                run.run_id if width is None else short_id(run.run_id),
            )
        )
    tries = "Attempt" if width is None else "Try"
    return fit(
        (*(f"{name}…" for name in axes), "State", "Took", tries, *(f"{name}…" for name in names), "Run"), rows, width
    )


def shown_value(value: Any) -> str:
    """Return a recorded value as it fits a table: numbers to six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def backfills_table(backfills: Iterable[BackfillProgress], now: datetime, width: int | None = None) -> Table:
    """Return how far backfills are, one a row."""
    rows = [
        (
            each.backfill if width is None else short_id(each.backfill),
            each.deployment,
            moment(each.created_at, now, width),
            each.words(),
        )
        for each in backfills
    ]
    return fit(("Backfill", "Deployment…", "Began", "How far…"), rows, width)
