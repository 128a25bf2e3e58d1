"""States, lengths of time and counts in words, for people.

In: task runs and flow runs, and the present moment.  Out: short phrases without markup.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import StateType
from orch_notebook.model.views.looks import LOOKS

__all__ = [
    "attempt_words",
    "clip",
    "count_tones",
    "duration",
    "outcome_words",
    "plain",
    "plain_lines",
    "progress_words",
    "run_words",
    "state_words",
    "total_attempts",
    "urgency",
]

#: Colour codes and other terminal commands; tracebacks arrive full of them.
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")

#: The ruler that IPython draws above a traceback.
_RULER = re.compile(r"-{10,}")

#: What cannot be shown and breaks XML, and marks that turn the reading direction around.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def duration(seconds: float | None) -> str:
    """Write a length of time as short as it can be read.

    Examples
    --------
    >>> [duration(seconds) for seconds in (0.0042, 0.4, 3.14, 42, 125, 3720, 190000)]
    ['4 ms', '0.4 s', '3.1 s', '42 s', '2 m 05 s', '1 h 02 m', '2 d 04 h']
    >>> duration(None)
    ''
    """
    if seconds is None:
        return ""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def clip(text: str, length: int) -> str:
    """Cut a text to `length` characters, saying so with an ellipsis.

    Examples
    --------
    >>> clip("train_forest", 8)
    'train_f…'
    """
    return text if len(text) <= length else text[: max(0, length - 1)] + "…"


def plain(text: object) -> str:
    """Return one line or more without terminal colours and characters that cannot be shown."""
    return _UNSEEN.sub("", _TERMINAL.sub("", str(text)))


def plain_lines(lines: Iterable[object], most: int = 20, width: int = 300) -> list[str]:
    """Return the last `most` lines of a traceback or log, each at most `width` long, as plain text.

    Examples
    --------
    >>> plain_lines(["\\x1b[31mValueError\\x1b[0m: no", "a", "b"], most=2)
    ['… 1 line above', 'a', 'b']
    """
    split = [line for chunk in lines for line in plain(chunk).rstrip().split("\n") if not _RULER.fullmatch(line)]
    left_out = len(split) - most
    kept = [clip(line, width) for line in split[-most:]]
    if left_out > 0:
        kept.insert(0, f"… {left_out} line{'s' if left_out > 1 else ''} above")
    return kept


def state_words(task_run: TaskRun, now: datetime) -> str:
    """Say where a task run stands, with the number that matters.

    Examples
    --------
    >>> from orch_notebook.model.states import State
    >>> from orch_notebook.model.tasks import Task
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> state_words(TaskRun("1", Task("load"), State(StateType.RUNNING), 1, noon), noon.replace(second=3))
    'Running 3.0 s'
    """
    word = LOOKS[task_run.state.name].word
    match task_run.state.name:
        case "Late" | "AwaitingRetry" as name:
            due = _instant(task_run.details.get("due_at"))
            if due is None:
                return word
            away = (now - due).total_seconds()
            if name == "Late":
                return f"Late {duration(max(0.0, away))}"
            return f"Retry in {duration(-away)}" if away < 0 else "Retry due"
        case "Retrying":
            return f"Retrying {task_run.attempt} of {total_attempts(task_run)} · {duration(task_run.seconds(now))}"
        case "Running" | "Completed":
            return f"{word} {duration(task_run.seconds(now))}".rstrip()
        case "Failed" | "TimedOut" | "Crashed" | "Lost" if task_run.ended_at:
            return f"{word} after {duration(task_run.seconds(now))}"
    return word


def run_words(run: FlowRun, now: datetime) -> str:
    """Say where a flow run stands: ``Running 12 s``, ``Failed after 9.1 s``, ``Completed in 31 s``."""
    word = LOOKS[run.state.name].word
    length = duration(run.seconds(now))
    match run.state.type:
        case _ if not length:
            return word
        case StateType.RUNNING:
            return f"{word} {length}"
        case StateType.COMPLETED:
            return f"{word} in {length}"
        case StateType.FAILED | StateType.CRASHED | StateType.CANCELLED:
            return f"{word} after {length}"
    return word


def total_attempts(task_run: TaskRun) -> int:
    """Return how many tries the task has, the present one never exceeding it."""
    return max(task_run.task.retry.retries + 1, task_run.attempt)


def attempt_words(task_run: TaskRun) -> str:
    """Return ``attempt 2 of 3``, or nothing for a task that is tried only once or has not begun."""
    total = total_attempts(task_run)
    return f"attempt {task_run.attempt} of {total}" if total > 1 and task_run.attempt else ""


def count_tones(tasks: Iterable[TaskRun]) -> Counter[str]:
    """Return how many of the task runs bear each tone."""
    return Counter(LOOKS[task_run.state.name].tone for task_run in tasks)


def progress_words(tasks: Sequence[TaskRun]) -> str:
    """Say how far a run is: ``4 of 9 done · 2 running · 3 pending``."""
    if not tasks:
        return "no tasks"
    done = sum(task_run.state.type is StateType.COMPLETED for task_run in tasks)
    others = Counter(task_run.state.name for task_run in tasks if task_run.state.type is not StateType.COMPLETED)
    # In the order in which LOOKS lists the names failures would come last; what is wrong is said first.
    names = sorted(others, key=_URGENCY.__getitem__)
    return " · ".join(
        [f"{done} of {len(tasks)} done", *(f"{others[name]} {LOOKS[name].word.lower()}" for name in names)]
    )


def outcome_words(run: FlowRun) -> str:
    """Say what a run that did not complete leaves behind, or nothing."""
    if not run.state.is_final or run.state.type is StateType.COMPLETED or not run.tasks:
        return ""
    kept = any(task_run.state.type is StateType.COMPLETED for task_run in run.tasks)
    idle = sum(task_run.attempt == 0 and task_run.state.type is not StateType.COMPLETED for task_run in run.tasks)
    said = ["What completed is kept."] if kept else []
    if idle:
        said.append(f"{idle} task{'s' if idle > 1 else ''} did not run.")
    return " ".join(said)


_URGENCY = {
    name: place
    for place, name in enumerate(
        [
            *("Failed", "TimedOut", "Crashed", "Lost", "UpstreamFailed"),
            *("Cancelling", "Retrying", "Running", "AwaitingRetry", "Late", "Paused", "Suspended"),
            *("AwaitingConcurrencySlot", "Pending", "Scheduled", "Cancelled", "Missed"),
            *("Completed", "Cached", "Skipped"),
        ]
    )
}


def urgency(task_run: TaskRun) -> int:
    """Return the place of a task run where what needs a person comes first."""
    return _URGENCY[task_run.state.name]


def _instant(value: Any) -> datetime | None:
    """Read an instant that may have come through JSON."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            return None
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return None
