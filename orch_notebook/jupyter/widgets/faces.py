"""What a panel shows of a flow, its run and its tasks: the parts of its messages.

The types here, in :mod:`.pages` and in :mod:`.messages` are one schema with those of ``js/src/messages.ts``; a test
holds them together.  Instants are seconds since the epoch by the kernel's clock.
"""

from __future__ import annotations

from typing import TypedDict

__all__ = [
    "Asked",
    "Controls",
    "LogLine",
    "NodeFace",
    "ParameterInfo",
    "RunFace",
    "StateLine",
    "TaskFace",
    "TaskInfo",
    "Thing",
    "Topology",
]


class TaskInfo(TypedDict):
    """What does not change about a task while its flow runs."""

    name: str
    #: Each name it takes in, and the task it comes from (empty: from the notebook).
    reads: list[tuple[str, str]]
    writes: list[str]
    mutates: list[str]
    tags: list[str]
    #: The numbers of the tasks it waits for.
    before: list[int]
    #: The cell's number as a reader counts, from 1; 0 when it is not known.
    cell: int
    #: How many attempts it has.
    attempts: int
    #: Why its source cannot be analysed, or empty.
    opaque: str


class Topology(TypedDict):
    """The wiring: sent once, and again when it changes."""

    flow: str
    #: The bare diagram, or empty where it could not be drawn.
    svg: str
    #: Why it could not, or empty.
    excuse: str
    tasks: list[TaskInfo]
    #: For every node of the diagram the numbers of its tasks.
    nodes: list[list[int]]
    #: For every tone the SVG path of its shape, in a box of 12 by 12.
    shapes: dict[str, str]
    #: The kernel, where its front end can interrupt it; or empty.
    kernel: str
    #: The further pages that there are: ``history``, ``promote``.
    pages: list[str]
    #: What stands in the place of tasks where there are none; code between backticks.
    hint: str


class TaskFace(TypedDict):
    """Where one task stands."""

    tone: str
    word: str
    attempt: int
    started_at: float | None
    ended_at: float | None
    remark: str
    #: Its earlier attempts: when each began and ended, and its tone.
    tries: list[tuple[float, float, str]]


class NodeFace(TypedDict):
    """What one node of the diagram shows."""

    tone: str
    sub: str
    #: When `sub` is a length of time that still grows: when it began.
    running_since: float | None


class RunFace(TypedDict):
    """Where the run stands."""

    run_id: str
    tone: str
    word: str
    #: The state with a gap for the time: "Failed after {}".
    phrase: str
    is_final: bool
    is_paused: bool
    #: A cell waits for it, so the kernel is busy with it.
    is_waited_for: bool
    created_at: float
    started_at: float | None
    ended_at: float | None
    #: "4 of 9 done · 2 running".
    progress: str
    #: How many tasks bear each tone, in the order of the bar.
    tones: list[tuple[str, int]]
    #: What the run leaves behind, or why it ended; or empty.
    outcome: str
    #: What it was given, each written as one would type it.
    parameters: list[tuple[str, str]]


class Controls(TypedDict):
    """What each button can do: empty where it can, else why it cannot."""

    run: str
    all: str
    #: Why one task alone, with what it needs, cannot be run.
    part: str
    cancel: str
    pause: str
    resume: str
    retry: str
    #: How many tasks ▶ would perform; null where that cannot be said.
    coming: int | None
    #: How many ↻ would.
    again: int | None


class ParameterInfo(TypedDict):
    """A parameter, and the value it has now as one would type it."""

    name: str
    annotation: str
    value: str
    help: str
    is_required: bool
    #: What kind of field fits: ``date``, ``integer``, ``number``, ``secret``, or empty.
    kind: str
    #: What it can be, where that is a few things, each as one would type it.
    choices: list[str]


class Asked(TypedDict):
    """What a run waits to be told by a person."""

    run_id: str
    #: Which flow asks, and for what.
    words: str
    fields: list[ParameterInfo]
    #: How long it waits.
    until: float


class LogLine(TypedDict):
    """One line a task wrote."""

    at: float
    level: int
    text: str
    attempt: int


class StateLine(TypedDict):
    """One state a task has been in."""

    at: float
    tone: str
    word: str
    attempt: int
    message: str


class Thing(TypedDict):
    """A value or an artifact that a task left."""

    name: str
    kind: str
    text: str
    is_artifact: bool
