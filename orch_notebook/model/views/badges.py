"""The one line under a task's cell: live, saved and printed alike.

In: a task run and the present moment.  Out: HTML under 2 KB, or plain text.  The HTML styles itself inline, needs no
script and no class, and keeps its meaning where a sanitiser drops what it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from orch_notebook.model.runs import TaskRun
from orch_notebook.model.states import StateType
from orch_notebook.model.views.looks import LOOKS, TONES, icon
from orch_notebook.model.views.words import attempt_words, clip, plain, state_words

__all__ = [
    "MAX_BADGE_BYTES",
    "as_of",
    "badge_html",
    "badge_text",
    "chip",
    "dim",
    "names_in_words",
    "pill",
    "remark",
]

#: A live badge is sent whole at every change, up to twice a second for each task.
MAX_BADGE_BYTES = 2048

_LINE = (
    "display:flex;flex-wrap:wrap;gap:4px 8px;align-items:center;font-size:13px;line-height:22px;"
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif)"
)


def pill(state_name: str, words: str) -> str:
    """Return a state as a rounded label: its shape, these words, its colour.

    The colour is first given as one that can be read on light and dark paper, then mixed with the colour of the text
    around it, which follows the theme everywhere; who does not know the second (or forbids it) keeps the first.
    """
    tone = LOOKS[state_name].tone
    mid = TONES[tone].mid
    ring = f"border:1px solid {TONES['failed'].mid};" if tone == "upstream" else ""
    red, green, blue = (int(mid[start : start + 2], 16) for start in (1, 3, 5))
    return (
        f'<span style="{ring}display:inline-flex;align-items:center;white-space:nowrap;min-width:max-content;'
        f"padding:0 9px;line-height:20px;border-radius:11px;font-size:12px;font-weight:600;"
        f"background:rgba({red},{green},{blue},0.13);"
        f'color:{mid};color:color-mix(in srgb,{mid} 65%,currentColor)">{icon(tone)} {escape(words)}</span>'
    )


def chip(name: str) -> str:
    """Return a name of the user's as code in a thin frame."""
    style = "border:1px solid rgba(128,128,128,0.35);border-radius:4px;padding:0 5px;font-size:12px;background:none"
    return f'<code style="{style}">{escape(name)}</code>'


def dim(text: str) -> str:
    """Return a text that stands back."""
    return f'<span style="opacity:0.7">{escape(text)}</span>'


def as_of(now: datetime, kernel: str, where: str = "") -> str:
    """Return the moment for which holds what still changes.

    Parameters
    ----------
    now : datetime
        The moment, in the reader's time zone.
    kernel : str
        The name of the kernel that keeps it up to date, by which a page that this kernel reaches hides it; empty where
        nobody does.  Loaded again in the midst of a run, exported or reopened, a notebook shows it.
    where : str
        What tells how things stand by now.
    """
    mark = f' data-orch-kernel="{escape(kernel)}"' if kernel else ""
    return f'<span{mark} style="opacity:0.7">as of {now:%d %b %H:%M}{f"; {escape(where)}" if where else ""}</span>'


def remark(task_run: TaskRun) -> str:
    """Return the one thing worth adding about a task run: why it failed or waits, or its note."""
    details = task_run.details
    failed = task_run.state.type in (StateType.FAILED, StateType.CRASHED)
    found = (failed and details.get("error")) or task_run.state.message or details.get("note")
    if not found and (origin := details.get("cached_from")):
        found = f"result of {origin}"
    if not found and task_run.task.opaque:
        found = f"barrier: {task_run.task.opaque}"
    return " ".join(plain(found).split()) if found else ""


def badge_html(task_run: TaskRun, now: datetime, kernel: str | None = None) -> str:
    """Return the badge as HTML, at most `MAX_BADGE_BYTES` long.

    Parameters
    ----------
    task_run : TaskRun
        Where the task stands.
    now : datetime
        The present moment, aware; a running task shows how long it has run.
    kernel : str, optional
        Who keeps it up to date: what is not final then says as of when it is, see :func:`as_of`.
    """
    # Long names give way in steps, so that the line stays a line and under its size.
    for names, length in ((6, 40), (5, 32), (4, 28), (3, 24), (1, 12), (0, 12)):
        line = _badge(task_run, now, kernel, names, length)
        if len(line.encode()) <= MAX_BADGE_BYTES:
            break
    return line


def _badge(task_run: TaskRun, now: datetime, kernel: str | None, names: int, length: int) -> str:
    task = task_run.task
    parts = [pill(task_run.state.name, state_words(task_run, now)), f"<b>{escape(clip(plain(task.name), length))}</b>"]
    for verb, used in (("reads", task.reads), ("writes", task.writes), ("mutates", task.mutates)):
        if not used:
            continue
        parts.append(dim(verb))
        parts += [chip(clip(plain(name), length)) for name in used[:names]]
        if len(used) > names:
            parts.append(dim(f"+{len(used) - names}" if names else f"{len(used)} names"))
    if words := attempt_words(task_run):
        parts.append(dim(words))
    if note := remark(task_run):
        parts.append(dim(clip(note, 3 * length)))
    if kernel is not None and not task_run.state.is_final:
        parts.append(as_of(now, kernel))
    # Spaces between the parts serve where the style is dropped and the line is just words.
    # By the mark a panel on the page finds the task's cell and adds its ▶; everywhere else it means nothing.
    mark = f'data-orch-task="{escape(task.name)}" ' if len(task.name) <= 80 else ""
    return f'<div {mark}style="{_LINE}">{" ".join(parts)}</div>'


def badge_text(task_run: TaskRun, now: datetime) -> str:
    """Return the badge as one line of plain text.

    Examples
    --------
    >>> from datetime import UTC
    >>> from orch_notebook.model.tasks import Task
    >>> print(badge_text(TaskRun("1", Task("clean", reads=("raw",), writes=("df",))), datetime.now(UTC)))
    ○ Pending  clean  reads raw  writes df
    """
    task = task_run.task
    parts = [f"{TONES[LOOKS[task_run.state.name].tone].glyph} {state_words(task_run, now)}", clip(plain(task.name), 60)]
    for verb, used in (("reads", task.reads), ("writes", task.writes), ("mutates", task.mutates)):
        if used:
            parts.append(f"{verb} {names_in_words(used)}")
    parts += [words for words in (attempt_words(task_run), clip(remark(task_run), 120)) if words]
    return "  ".join(parts)


def names_in_words(names: Sequence[str], most: int = 6) -> str:
    """Return names with commas, at most `most` of them and how many more there are."""
    shown = ", ".join(clip(plain(name), 40) for name in names[:most])
    return shown + (f" +{len(names) - most}" if len(names) > most else "")
