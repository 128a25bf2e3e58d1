"""``%flow open`` and ``%flow resume``: a run that failed, taken up and finished in the kernel in front of somebody.

In: a run and the session of its notebook.  Out: the live namespace as the failed task found it, as far as what it
reads was kept, with a word on where it failed and on what is not there; then the run that finishes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from IPython.utils.capture import capture_output

from orch_notebook.errors import OrchError, UsageError
from orch_notebook.jupyter.session import NotebookSession
from orch_notebook.model.flows import CellFlow, CellTask
from orch_notebook.model.freshness import coming_words
from orch_notebook.model.headers import parse_header, split_task_cell
from orch_notebook.model.naming import name_for
from orch_notebook.model.runs import short_id
from orch_notebook.model.states import StateType
from orch_notebook.model.views import Reopened, clip
from orch_notebook.promotion.notebooks import FLOW_RUN, tags_of
from orch_notebook.promotion.opening import Opening
from orch_notebook.runtime.continuing import Continuation
from orch_notebook.runtime.handles import RunHandle

__all__ = ["open_run", "resume"]

#: Lines that are this session's own affair: it is loaded already, and what runs is the person's to say.
_OURS = re.compile(r"^[ \t]*%(?:(?:re)?load_ext[ \t]+orch_notebook\b|flow\b).*$", re.MULTILINE)


def open_run(session: NotebookSession, run_id: str, *, anyway: bool = False) -> Reopened:
    """Restore what a failed run of this notebook left, and say where it failed.

    Parameters
    ----------
    run_id : str
        The run.
    anyway : bool
        Also where the notebook has other cells now than the run had: those of the run are taken.

    Raises
    ------
    UsageError
        The notebook differs, a run is under way here, or the run cannot be opened.
    """
    if session.is_executed_by_worker:
        raise UsageError("This notebook is being executed by itself; open the run in a notebook that you work in.")
    session.steering.refuse_if_busy()
    opening = session.orchestrator.open(run_id)
    path = session.file.path
    changed = opening.differences(path) if path is not None else []
    if path is not None and changed and not anyway:
        raise UsageError(_refusal(opening, path, changed))
    notes = [] if path is not None else ["Where this notebook is saved is not known here, so it was not compared."]
    notes += [f"As saved, this notebook differs from what the run executed: {_cells(changed)}."] if changed else []
    notes += _execute_plain_cells(session, opening)
    notes += _define_tasks(session, opening)
    restored = [task for flow in session.flows() for task in session.restore(flow, opening.attempts)]
    session.opened = opening
    return _told(session, opening, restored, notes)


def _refusal(opening: Opening, path: Path, changed: list[str]) -> str:
    name = short_id(opening.run.run_id)
    shown = "\n".join(f"  {line}" for line in changed[:60])
    return (
        f"{path.name} as saved differs from what run {name} executed: {_cells(changed)}.\n{shown}\n"
        f"Nothing was restored. '%flow open {name} --anyway' restores it with the cells of the run."
    )


def _cells(changed: list[str]) -> str:
    return ", ".join(line for line in changed if not line.startswith(" "))


def _execute_plain_cells(session: NotebookSession, opening: Opening) -> Iterator[str]:
    """Execute the cells above the first run of the flow that are no tasks; yield what went wrong."""
    for index, cell in opening.cells():
        source = str(cell.source)
        if FLOW_RUN.search(source):
            return
        text = _OURS.sub("", source)
        if split_task_cell(source) is None and text.strip():
            with capture_output():  # what it puts out stands under the cell itself
                result = session.shell.run_cell(text, store_history=False)
            if not result.success:
                error = result.error_before_exec or result.error_in_exec
                yield f"Cell {index + 1} raised {type(error).__name__}: {error}; what it defines may not be there."
            session.take_in(cell.id, text, source)
        if "parameters" in tags_of(cell):
            session.shell.push(dict(opening.parameters))


def _define_tasks(session: NotebookSession, opening: Opening) -> Iterator[str]:
    """Define the tasks that no cell of this session has defined; yield what went wrong."""
    taken: set[str] = set()
    for index, cell in opening.cells():
        source = str(cell.source)
        split = split_task_cell(source)
        if split is None:
            continue
        try:
            header = parse_header(split[0])
            body = session.shell.input_transformer_manager.transform_cell(split[1])
            name = header.name or name_for(body, taken)
            taken.add(name)
            task = CellTask(name, header, f"# %%task {split[0]}\n{body}", cell.id, index)
            session.adopt(task, source, f"<cell {index + 1}>")
        except (OrchError, SyntaxError) as error:
            yield f"Cell {index + 1} defines no task here: {error}"


def _told(session: NotebookSession, opening: Opening, restored: list[str], notes: list[str]) -> Reopened:
    task = opening.culprit
    flow = next((flow for flow in session.flows() if task is not None and task.name in flow), None)
    inputs: dict[str, tuple[str, str]] = {}
    missing: dict[str, str] = {}
    if task is not None and flow is not None:
        inputs, missing = _inputs(session, opening, flow, task.name, restored)
    plan = session.plan(flow.name) if flow is not None else None
    sources = [str(cell.source) for index, cell in opening.cells() if task and index == task.task.cell_index]
    return Reopened(
        run=opening.run,
        task=task,
        source=sources[0] if sources else "",
        inputs=inputs,
        missing=missing,
        parameters=opening.parameters,
        restored=restored,
        notes=notes,
        coming=coming_words(plan) if plan is not None else "",
    )


def _inputs(
    session: NotebookSession, opening: Opening, flow: CellFlow, task: str, restored: list[str]
) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Put the versions that a task reads under their names; return what is there, and why the others are not."""
    lost = {left.made_by.rpartition("/")[2]: left.details.get("lost") for left in opening.attempts.left.values()}
    inputs: dict[str, tuple[str, str]] = {}
    missing: dict[str, str] = {}
    for name, maker in flow.wiring.bindings[task].items():
        if ":" in name or (maker is None and (name in flow.tools or name not in session.shell.user_ns)):
            continue
        if maker is None:
            inputs[name] = words_of(session.shell.user_ns[name]), ""
        elif maker in restored:
            value = session.show_version(flow, name, maker)
            inputs[name] = words_of(value), maker
        else:
            why = f"its result was not kept ({lost[maker]})" if lost.get(maker) else "it had not completed"
            missing[name] = f"it comes from {maker!r}, and {why}; that task runs again"
    return inputs, missing


def words_of(value: Any) -> str:
    """Return a few words on a value.

    Examples
    --------
    >>> words_of(3), words_of([1, 2]), words_of({"a": 1})
    ('3', 'list of 2', 'dict of 1')
    """
    try:
        kind = type(value).__name__
        if isinstance(value, bool | int | float | complex | str | bytes | type(None)):
            return clip(repr(value), 80)
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            return f"{kind} {' × '.join(map(str, shape))}".strip()
        return f"{kind} of {len(value)}" if hasattr(value, "__len__") else kind
    except Exception:  # noqa: BLE001 - the value's own code
        return type(value).__name__


def resume(session: NotebookSession, run_id: str | None = None, **how: Any) -> RunHandle:
    """Finish a run that did not end well: what completed is not run again.

    Parameters
    ----------
    run_id : str, optional
        The run; by default the one that was opened, or the last one of this session.

    Raises
    ------
    UsageError
        There is nothing to finish.
    FlowRunFailed, FlowRunCancelled
        As for a run.
    """
    opening = session.opened
    if run_id is not None and (opening is None or not _is_called(opening.run.run_id, run_id)):
        open_run(session, run_id)
        opening = session.opened
    if opening is None:
        return _resume_last(session, **how)
    session.steering.refuse_if_busy()
    last = session.steering.handle.run if session.steering.handle is not None else opening.run
    if last.run_id == opening.run.run_id and last.state.type is StateType.COMPLETED:
        raise UsageError(f"Run {short_id(last.run_id)} has completed. '%flow run' runs what is stale.")
    goes_on = session.orchestrator.mend(opening, *session.texts())
    task = opening.culprit
    flow = next((flow.name for flow in session.flows() if task is not None and task.name in flow), None)
    try:
        return session.run(flow=flow, goes_on=goes_on, **how)
    finally:
        if session.steering.handle is not None and session.steering.handle.run.retry_of == opening.run.run_id:
            session.opened = replace(opening, run=session.steering.handle.run)  # which may fail, and be mended, too


def _is_called(run_id: str, part: str) -> bool:
    return run_id.startswith(part) or run_id.endswith(part)


def _resume_last(session: NotebookSession, **how: Any) -> RunHandle:
    last = session.steering.handle.run if session.steering.handle is not None else None
    if last is None:
        raise UsageError("Nothing has run here yet. '%flow resume RUN' finishes a run that failed elsewhere.")
    session.steering.refuse_if_busy()
    if last.state.type is StateType.COMPLETED:
        raise UsageError(f"Run {short_id(last.run_id)} has completed. '%flow run' runs what is stale.")
    return session.run(flow=last.flow, goes_on=Continuation(last), **how)
