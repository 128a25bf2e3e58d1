"""What a panel's messages say: runs and graphs in, message parts out.

Pure: the words, shapes and groups come from ``model.views``; this module only puts them in the messages' form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import orch_notebook.jupyter.widgets.faces as faces
import orch_notebook.jupyter.widgets.messages as messages
from orch_notebook.jupyter.widgets.sources import Kept
from orch_notebook.model.events import LogWritten, TaskStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import StateType
from orch_notebook.model.views import (
    LOOKS,
    TONES,
    Node,
    NodeFace,
    clip,
    outcome_words,
    plain,
    plain_lines,
    progress_words,
    reason,
)
from orch_notebook.model.views.badges import remark
from orch_notebook.model.views.words import count_tones

__all__ = ["LOG_LINES", "detail", "node_face", "run_face", "task_face", "topology", "tries_of"]

#: So many of a log's last lines are shown.
LOG_LINES = 500


def topology(
    flow: str,
    graph: Graph,
    boxes: Sequence[Node],
    svg: str,
    excuse: str = "",
    kernel: str = "",
    pages: Sequence[str] = (),
    hint: str = "",
) -> faces.Topology:
    """Return what a browser needs once about a flow's wiring."""
    number = {task.name: index for index, task in enumerate(graph.tasks)}
    sources = {(edge.after, edge.name): edge.before for edge in graph.edges if edge.rule == "read-after-write"}
    return {
        "flow": flow,
        "svg": svg,
        "excuse": excuse,
        "tasks": [
            {
                "name": task.name,
                "reads": [(name, sources.get((task.name, name), "")) for name in task.reads],
                "writes": list(task.writes),
                "mutates": list(task.mutates),
                "tags": list(task.tags),
                "before": [number[name] for name in graph.predecessors[task.name]],
                "cell": 0 if task.cell_index is None else task.cell_index + 1,
                "attempts": task.retry.retries + 1,
                "opaque": task.opaque,
            }
            for task in graph.tasks
        ],
        "nodes": [[number[name] for name in box.members] for box in boxes],
        "shapes": {name: tone.path for name, tone in TONES.items()},
        "kernel": kernel,
        "pages": list(pages),
        "hint": hint,
    }


Tries = Sequence[tuple[float, float, str]]


def task_face(task_run: TaskRun | None, tries: Tries = ()) -> faces.TaskFace:
    """Return where a task stands; ``None`` means it has not been in any run."""
    if task_run is None:
        return {"tone": "", "word": "", "attempt": 0, "started_at": None, "ended_at": None, "remark": "", "tries": []}
    look = LOOKS[task_run.state.name]
    return {
        "tone": look.tone,
        "word": look.word,
        "attempt": task_run.attempt,
        "started_at": _seconds(task_run.started_at),
        "ended_at": _seconds(task_run.ended_at),
        "remark": clip(remark(task_run), 300),
        "tries": list(tries),
    }


def tries_of(states: Sequence[TaskStateChanged], attempt: int) -> Tries:
    """Return the attempts before this one: when each began and ended, and its tone."""
    began: dict[int, float] = {}
    found: dict[int, tuple[float, float, str]] = {}
    for event in states:
        at = event.at.timestamp()
        if event.state.type is StateType.RUNNING:
            began[event.attempt] = at
        elif event.state.is_final and event.attempt in began:
            found[event.attempt] = began[event.attempt], at, LOOKS[event.state.name].tone
    return [found[number] for number in sorted(found) if number < attempt]


def node_face(face: NodeFace) -> faces.NodeFace:
    """Return what a node of the diagram shows."""
    return {"tone": face.tone, "sub": clip(face.sub, 60), "running_since": _seconds(face.running_since)}


_PHRASES: Mapping[StateType, str] = {
    StateType.RUNNING: "{word} {{}}",
    StateType.COMPLETED: "{word} in {{}}",
    StateType.FAILED: "{word} after {{}}",
    StateType.CRASHED: "{word} after {{}}",
    StateType.CANCELLED: "{word} after {{}}",
}


def run_face(run: FlowRun | None, coming: int | None = None, *, is_waited_for: bool = False) -> faces.RunFace | None:
    """Return where a run stands; `coming` is how many tasks the next one would perform."""
    if run is None:
        return None
    look = LOOKS[run.state.name]
    counts = count_tones(run.tasks)
    why = plain(run.state.message) if run.state.type is not StateType.COMPLETED else ""
    return {
        "run_id": run.run_id,
        "tone": look.tone,
        "word": look.word,
        "phrase": _PHRASES.get(run.state.type, "{word}").format(word=look.word),
        "is_final": run.state.is_final,
        "is_paused": run.state.type is StateType.PAUSED,
        "is_waited_for": is_waited_for and not run.state.is_final,
        "created_at": run.created_at.timestamp(),
        "started_at": _seconds(run.started_at),
        "ended_at": _seconds(run.ended_at),
        "progress": progress_words(run.tasks),
        "tones": [(tone, counts[tone]) for tone in TONES if counts[tone]],
        "outcome": " ".join(part for part in (clip(why, 400), outcome_words(run)) if part),
        "parameters": [(name, clip(plain(repr(value)), 80)) for name, value in run.parameters.items()],
    }


def detail(
    task: str,
    graph: Graph,
    log: Sequence[LogWritten],
    task_run: TaskRun | None,
    states: Sequence[TaskStateChanged] = (),
    kept: Sequence[Kept] = (),
    coming: int | None = None,
) -> messages.Detail:
    """Return what there is to know of one task."""
    lines: list[faces.LogLine] = [
        {"at": written.at.timestamp(), "level": written.level, "text": text, "attempt": written.attempt}
        for written in log[-LOG_LINES:]
        for text in plain_lines([written.text], most=LOG_LINES, width=1000)
    ]
    shown = task_run.details.get("traceback", ()) if task_run else ()
    reasons: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.after == task:
            reasons.setdefault(edge.before, []).append(reason(edge))
    return {
        "type": "detail",
        "task": task,
        "log": lines[-LOG_LINES:],
        "traceback": plain_lines(shown, most=60, width=500) if shown else [],
        "states": [
            {
                "at": event.at.timestamp(),
                "tone": LOOKS[event.state.name].tone,
                "word": LOOKS[event.state.name].word,
                "attempt": event.attempt,
                "message": clip(plain(event.state.message), 300),
            }
            for event in states[-100:]
        ],
        "things": [
            {"name": thing.name, "kind": thing.kind, "text": plain(thing.text)[:4000], "is_artifact": thing.is_artifact}
            for thing in kept[:40]
        ],
        "waits": [(before, clip("; ".join(dict.fromkeys(said)), 200)) for before, said in list(reasons.items())[:40]],
        "coming": coming,
    }


def _seconds(instant: datetime | None) -> float | None:
    return None if instant is None else instant.timestamp()
