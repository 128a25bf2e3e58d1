"""Two runs as a table for people in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from orch_notebook.cli.tables import fit, state_text
from orch_notebook.model.comparisons import MISSING, Comparison
from orch_notebook.model.runs import FlowRun, seconds_between, short_id
from orch_notebook.model.views import clip, duration

__all__ = ["comparison_table"]


def comparison_table(found: Comparison, width: int | None = None) -> Table:
    """Return two runs, a row for each thing in which they may differ."""
    return fit(("What…", *(_title(run, width) for run in found.runs), "Change"), list(_rows(found)), width)


def _title(run: FlowRun, width: int | None) -> str:
    return f"{run.run_id if width is None else short_id(run.run_id)}…"


def _rows(found: Comparison) -> Iterator[Sequence[str | Text]]:
    old, new = found.runs
    yield "flow", old.flow, new.flow, _mark(old.flow, new.flow)
    yield "state", state_text(old.state.name), state_text(new.state.name), _mark(old.state.name, new.state.name)
    took = tuple(seconds_between(run.started_at, run.ended_at) for run in found.runs)
    yield "took", duration(took[0]), duration(took[1]), _slower(*took)
    yield "started", _day(old.started_at), _day(new.started_at), ""
    for name, pair in found.parameters.items():
        yield f"parameter {name}", _word(pair[0]), _word(pair[1]), _mark(*pair)
    for name, pair in found.values.items():
        yield f"value {name}", _word(pair[0]), _word(pair[1]), _difference(*pair)
    for name, pair in found.artifacts.items():
        yield f"artifact {name}", _word(pair[0]), _word(pair[1]), _mark(*pair)
    for task in found.tasks:
        words = [_fared(state, took) for state, took in zip(task.states, task.durations, strict=True)]
        change = _mark(*task.states) or _slower(*task.durations)
        yield f"task {task.name}", words[0], words[1], change


def _fared(state: str | None, took: float | None) -> Text:
    if state is None:
        return Text("–")
    text = state_text(state)
    return text.append(f"  {duration(took)}") if took is not None else text


def _day(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant.astimezone():%d %b %H:%M}"


def _word(value: Any) -> str:
    return clip(value if isinstance(value, str) else repr(value), 80)


def _mark(old: Any, new: Any) -> str:
    if old is MISSING:
        return "new"
    return "gone" if new is MISSING else "" if old == new else "differs"


def _difference(old: Any, new: Any) -> str:
    numbers = [each for each in (old, new) if isinstance(each, int | float) and not isinstance(each, bool)]
    return f"{new - old:+g}" if len(numbers) == 2 and old != new else _mark(old, new)


def _slower(old: float | None, new: float | None) -> str:
    """Return how many times as long the second took, if that is worth a word."""
    if not old or not new or max(old, new) < 0.05 or 0.8 < new / old < 1.25:
        return ""
    return f"× {new / old:.2g}"
