"""A failed run that was opened in its notebook: where it failed, what is there again and what is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from orch_notebook.model.runs import FlowRun, TaskRun, short_id
from orch_notebook.model.views.badges import chip, dim, pill
from orch_notebook.model.views.words import clip, plain, plain_lines

__all__ = ["Reopened", "reopened_html", "reopened_text"]

_FONT = "font-size:13px;line-height:1.5;font-family:var(--jp-ui-font-family,system-ui,sans-serif);max-width:1080px"
_CODE = (
    "margin:4px 0 0;padding:4px 8px;font-size:12px;border:1px solid rgba(128,128,128,0.25);border-radius:4px;"
    "background:rgba(128,128,128,0.08);white-space:pre-wrap"
)


@dataclass(frozen=True, slots=True)
class Reopened:
    """What opening a run has brought back.

    Parameters
    ----------
    run : FlowRun
        The run.
    task : TaskRun or None
        Where it failed.
    source : str
        The cell of that task, as it was executed.
    inputs : mapping
        The names that task reads that are there again: for each a word on its value, and the task that made it.
    missing : mapping
        The names it reads that are not there, each with the reason.
    parameters : mapping
        What the run was given.
    restored : sequence of str
        The tasks whose outcome is there again.
    notes : sequence of str
        What else a person should know: cells that could not be executed.
    coming : str
        What the next run does.
    """

    run: FlowRun
    task: TaskRun | None
    source: str
    inputs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    restored: Sequence[str] = ()
    notes: Sequence[str] = ()
    coming: str = ""


def _lines(opened: Reopened) -> list[str]:
    """Return what is said in words, below what failed."""
    said = []
    if opened.parameters:
        said.append("Parameters: " + ", ".join(f"{name} = {value!r}" for name, value in opened.parameters.items()))
    if opened.restored:
        said.append(f"Restored: {', '.join(opened.restored)}.")
    said += [f"Not there: {name}: {why}" for name, why in opened.missing.items()]
    said += opened.notes
    if opened.coming:
        said.append(opened.coming)
    said.append("Mend the cell, execute it, then finish this run: %flow resume")
    return [clip(plain(line), 1000) for line in said]


def _head(opened: Reopened) -> str:
    task = opened.task
    if task is None:
        return f"run {short_id(opened.run.run_id)}"
    index = task.task.cell_index
    where = "" if index is None else f", cell {index + 1}"
    return f"run {short_id(opened.run.run_id)}, task {clip(plain(task.name), 80)}{where}"


def _trace(opened: Reopened) -> list[str]:
    task = opened.task
    if task is None:
        return []
    return plain_lines(task.details.get("traceback") or [task.details.get("error") or task.state.message or ""])


def _numbered(source: str) -> list[str]:
    lines = source.rstrip().splitlines()
    return [f"{number:>3}  {line}" for number, line in enumerate(lines, 1)]


def reopened_text(opened: Reopened) -> str:
    """Return it as plain text."""
    state = opened.task.state.name if opened.task is not None else opened.run.state.name
    lines = [f"{state}: {_head(opened)}", *(f"    {line}" for line in _trace(opened))]
    if opened.source:
        lines += ["", *(plain(line) for line in _numbered(opened.source)), ""]
    lines += [
        f"  {name}  {clip(plain(words), 120)}" + (f"  from {maker}" if maker else "")
        for name, (words, maker) in opened.inputs.items()
    ]
    return "\n".join([*lines, *_lines(opened)])


def reopened_html(opened: Reopened) -> str:
    """Return it as HTML that styles itself and needs no script."""
    state = opened.task.state.name if opened.task is not None else opened.run.state.name
    parts = [f"<div>{pill(state, state)} {escape(_head(opened))}</div>"]
    if trace := "\n".join(_trace(opened)).strip():
        parts.append(f'<pre style="{_CODE}">{escape(trace)}</pre>')
    if opened.source:
        parts.append(f'<pre style="{_CODE}">{escape(plain(chr(10).join(_numbered(opened.source))))}</pre>')
    if opened.inputs:
        rows = "<br/>".join(
            f"{chip(clip(plain(name), 40))} {escape(clip(plain(words), 120))}"
            + (f" {dim('from ' + clip(plain(maker), 80))}" if maker else "")
            for name, (words, maker) in opened.inputs.items()
        )
        parts.append(f'<div style="margin:6px 0 0">{rows}</div>')
    parts += [f'<div style="margin:6px 0 0">{escape(line)}</div>' for line in _lines(opened)]
    return f'<div style="{_FONT}">{"".join(parts)}</div>'
