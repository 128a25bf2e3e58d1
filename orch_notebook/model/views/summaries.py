"""A whole run on one page, for the cell's output, the executed notebook and the exported HTML.

In: a run with its task runs, its diagram, the present moment.  Out: self-contained HTML or plain text whose size stays
bounded whatever the run's: of many tasks the ones that need a person are shown, the rest are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import StateType
from orch_notebook.model.views.badges import as_of, badge_text, chip, dim, names_in_words, pill, remark
from orch_notebook.model.views.graphs import picture
from orch_notebook.model.views.looks import LOOKS, TONES
from orch_notebook.model.views.words import (
    attempt_words,
    clip,
    count_tones,
    duration,
    outcome_words,
    plain,
    plain_lines,
    progress_words,
    run_words,
    total_attempts,
    urgency,
)

__all__ = [
    "TaskRow",
    "cell_words",
    "failures",
    "summary_html",
    "summary_text",
    "task_row",
    "task_rows",
]

#: So many tasks are listed; of a run with more, those that need a person.
MOST_ROWS = 40
#: So many failures are shown with their tracebacks.
MOST_FAILURES = 5
#: A diagram larger than this is left to the panel.
MOST_DIAGRAM = 400_000

_FONT = "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:20px"
_CODE = (
    "font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);font-size:12px;line-height:18px;"
    "white-space:pre-wrap;overflow-wrap:anywhere;margin:6px 0 0;padding:6px 10px;border-radius:5px;"
    "border:1px solid rgba(128,128,128,0.35);background:none"
)
_CELL = "text-align:left;padding:4px 16px 4px 0;border:none;vertical-align:middle"


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task run as a line of a table, in words; for whoever draws tables (HTML, terminal)."""

    name: str
    tone: str
    glyph: str
    state: str
    duration: str
    attempts: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    mutates: tuple[str, ...]
    remark: str


def task_row(task_run: TaskRun, now: datetime) -> TaskRow:
    """Return a task run in words."""
    look = LOOKS[task_run.state.name]
    total = total_attempts(task_run)
    return TaskRow(
        name=plain(task_run.name),
        tone=look.tone,
        glyph=TONES[look.tone].glyph,
        state=look.word,
        duration=duration(task_run.seconds(now)),
        attempts=f"{task_run.attempt} of {total}" if total > 1 and task_run.attempt else "",
        reads=task_run.task.reads,
        writes=task_run.task.writes,
        mutates=task_run.task.mutates,
        remark=remark(task_run),
    )


def task_rows(run: FlowRun, now: datetime, most: int | None = None) -> list[TaskRow]:
    """Return the run's tasks as rows, in definition order.

    Parameters
    ----------
    run : FlowRun
        With its task runs.
    now : datetime
        The present moment.
    most : int, optional
        Return at most so many: the most urgent, and among those alike the longest.
    """
    return [task_row(task_run, now) for task_run in _chosen(run.tasks, most, now)]


def _chosen(tasks: Sequence[TaskRun], most: int | None, now: datetime) -> list[TaskRun]:
    if most is None or len(tasks) <= most:
        return list(tasks)
    ranked = sorted(range(len(tasks)), key=lambda i: (urgency(tasks[i]), -(tasks[i].seconds(now) or 0.0)))
    return [tasks[index] for index in sorted(ranked[:most])]


def failures(run: FlowRun) -> list[TaskRun]:
    """Return the task runs that failed or crashed."""
    return [task_run for task_run in run.tasks if task_run.state.type in (StateType.FAILED, StateType.CRASHED)]


def summary_html(run: FlowRun, diagram_svg: str, now: datetime, kernel: str | None = None) -> str:
    """Return the run as self-contained HTML.

    Parameters
    ----------
    run : FlowRun
        With its task runs.
    diagram_svg : str
        The painted diagram, or empty where there is none.
    now : datetime
        The present moment; what runs shows how long it has.
    kernel : str, optional
        Who keeps it up to date: a run that goes on then says as of when this is, and who knows how it stands by now.
    """
    parts = [_head(run, now), _bar(run.tasks)]
    if kernel is not None and not run.state.is_final:
        told = as_of(now, kernel, f"orch show {run.run_id} tells how it stands now")
        parts.append(f'<div style="margin:8px 0 0">{told}</div>')
    failed = failures(run)
    parts += [_failure(task_run) for task_run in failed[:MOST_FAILURES]]
    if len(failed) > MOST_FAILURES:
        parts.append(f"<div>{dim(f'{len(failed) - MOST_FAILURES} more tasks failed.')}</div>")
    if run.state.message and run.state.type is not StateType.COMPLETED:
        parts.append(f'<div style="margin:8px 0 0">{escape(clip(plain(run.state.message), 400))}</div>')
    if outcome := outcome_words(run):
        parts.append(f'<div style="margin:8px 0 0">{dim(outcome)}</div>')
    if diagram_svg and len(diagram_svg) <= MOST_DIAGRAM:
        described = f"diagram: {progress_words(run.tasks)}"
        parts.append(picture(diagram_svg, described, margin="12px 0 4px"))
    if run.tasks:
        parts.append(_table(run, now))
    return f'<div style="{_FONT};max-width:1080px">{"".join(parts)}</div>'


def _head(run: FlowRun, now: datetime) -> str:
    words = [
        f'<b style="font-size:15px">{escape(clip(plain(run.flow), 80))}</b>',
        pill(run.state.name, run_words(run, now)),
    ]
    words.append(dim(progress_words(run.tasks)))
    if run.attempt > 1:
        words.append(dim(f"run attempt {run.attempt}"))
    style = "display:flex;flex-wrap:wrap;gap:4px 12px;align-items:center;padding:4px 0 8px"
    return f'<div style="{style}">{" ".join(words)}</div>'


def _bar(tasks: Sequence[TaskRun]) -> str:
    """Return the thin bar: what is done first, what has not begun as bare track."""
    counts = count_tones(tasks)
    stripes = [
        f'<div style="height:4px;width:{100 * counts[tone] / len(tasks):.2f}%;background:{TONES[tone].mid}"></div>'
        for tone in TONES
        if counts[tone] and tone != "pending"
    ]
    track = "display:flex;height:4px;border-radius:2px;overflow:hidden;background:rgba(128,128,128,0.25)"
    return f'<div style="{track}">{"".join(stripes)}</div>'


def _table(run: FlowRun, now: datetime) -> str:
    rows = task_rows(run, now, MOST_ROWS)
    # A column that would be empty all the way down is left out.
    attempts = any(row.attempts for row in rows)
    names = any(row.reads or row.writes or row.mutates for row in rows)
    remarks = any(row.remark for row in rows)
    # What is to be remarked stands below the names, where there are any: two wide columns would squeeze each other.
    alone = remarks and not names
    heads = ["Task", "State", "Time", *["Attempt"] * attempts, *["Reads → writes"] * names, *[""] * alone]
    states = {LOOKS[task_run.state.name].word: task_run.state.name for task_run in run.tasks}
    lines = ["".join(f'<th style="{_CELL}">{dim(head) if head else ""}</th>' for head in heads)]
    for row in rows:
        cells = [f"<b>{escape(clip(row.name, 60))}</b>", pill(states[row.state], row.state)]
        cells.append(f'<span style="white-space:nowrap">{escape(row.duration)}</span>')
        cells += [f'<span style="white-space:nowrap">{escape(row.attempts)}</span>'] * attempts
        told = dim(clip(row.remark, 160)) if row.remark else ""
        cells += ["<br/>".join(part for part in (_names(row), told) if part)] * names + [told] * alone
        lines.append("".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells))
    style = "border-collapse:collapse;margin:10px 0 0;border:none;font-size:13px"
    table = f'<table style="{style}">' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
    hidden = len(run.tasks) - len(rows)
    if hidden:
        table += f'<div style="margin:6px 0 0">{dim(f"and {hidden} more tasks")}</div>'
    return table


def _names(row: TaskRow, most: int = 5) -> str:
    def listed(names: Sequence[str]) -> str:
        more = f" {dim(f'+{len(names) - most}')}" if len(names) > most else ""
        return " ".join(chip(clip(plain(name), 40)) for name in names[:most]) + more

    parts = [listed(row.reads)] if row.reads else []
    if row.writes:
        parts.append(f"{dim('→')} {listed(row.writes)}")
    if row.mutates:
        parts.append(f"{dim('changes')} {listed(row.mutates)}")
    return " ".join(parts)


def _failure(task_run: TaskRun) -> str:
    where = [words for words in (attempt_words(task_run), cell_words(task_run)) if words]
    lines = plain_lines(task_run.details.get("traceback") or [task_run.details.get("error") or task_run.state.message])
    red = TONES["failed"].mid
    last = f'<span style="color:{red};color:color-mix(in srgb,{red} 65%,currentColor)">{escape(lines[-1])}</span>'
    text = "\n".join([*map(escape, lines[:-1]), last])
    title = f"<b>{escape(clip(plain(task_run.name), 80))}</b> {dim(', '.join(where))}"
    return f'<div style="margin:10px 0 0">{title}<pre style="{_CODE}">{text}</pre></div>'


def cell_words(task_run: TaskRun) -> str:
    """Return ``cell 7`` as a reader counts, from 1 over all cells, where the cell is known."""
    index = task_run.task.cell_index
    return "" if index is None else f"cell {index + 1}"


def summary_text(run: FlowRun, now: datetime) -> str:
    """Return the run as plain text, bounded like the HTML."""
    glyph = TONES[LOOKS[run.state.name].tone].glyph
    lines = [f"{clip(plain(run.flow), 80)}  {glyph} {run_words(run, now)}  {progress_words(run.tasks)}"]
    chosen = _chosen(run.tasks, MOST_ROWS, now)
    lines += [f"  {badge_text(task_run, now)}" for task_run in chosen]
    if hidden := len(run.tasks) - len(chosen):
        lines.append(f"  and {hidden} more tasks")
    failed = failures(run)
    for task_run in failed[:MOST_FAILURES]:
        where = [words for words in (attempt_words(task_run), cell_words(task_run)) if words]
        lines += ["", f"{clip(plain(task_run.name), 80)} failed" + (f" ({', '.join(where)}):" if where else ":")]
        shown = task_run.details.get("traceback") or [task_run.details.get("error") or task_run.state.message]
        lines += [f"    {line}" for line in plain_lines(shown)]
    if len(failed) > MOST_FAILURES:
        others = names_in_words([task_run.name for task_run in failed[MOST_FAILURES:]])
        lines.append(f"{len(failed) - MOST_FAILURES} more tasks failed: {others}")
    if outcome := outcome_words(run):
        lines += ["", outcome]
    return "\n".join(lines)
