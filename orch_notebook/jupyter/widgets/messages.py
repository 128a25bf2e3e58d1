"""What kernel and browser say to each other about a panel.

The types below and those of ``js/src/messages.ts`` are one schema, written twice; a test holds them together.  Instants
are seconds since the epoch by the kernel's clock; each message bears that clock's ``now``, so that a browser whose
clock differs still counts right.

The kernel numbers what changes a panel's picture (``seq``).  A browser that misses a number asks with ``hello`` and
gets a full snapshot; so does one that has just come, and every browser at the end of a run.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

__all__ = [
    "Cancel",
    "Delta",
    "Detail",
    "FromBrowser",
    "FromKernel",
    "Hello",
    "LogLine",
    "NodeFace",
    "Refused",
    "Run",
    "RunFace",
    "Select",
    "Snapshot",
    "TaskFace",
    "TaskInfo",
    "Topology",
]


class TaskInfo(TypedDict):
    """What does not change about a task while its flow runs."""

    name: str
    #: Each name it takes in, and the task it comes from (empty: from the notebook).
    reads: list[tuple[str, str]]
    writes: list[str]
    mutates: list[str]
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


class TaskFace(TypedDict):
    """Where one task stands."""

    tone: str
    word: str
    attempt: int
    started_at: float | None
    ended_at: float | None
    remark: str


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
    can_cancel: bool
    started_at: float | None
    ended_at: float | None
    #: "4 of 9 done · 2 running".
    progress: str
    #: How many tasks bear each tone, in the order of the bar.
    tones: list[tuple[str, int]]
    #: What the run leaves behind, or why it ended; or empty.
    outcome: str


class LogLine(TypedDict):
    """One line a task wrote."""

    at: float
    level: int
    text: str


class Snapshot(TypedDict):
    """Everything; `topology` is left out when the browser must have it already."""

    type: Literal["snapshot"]
    seq: int
    now: float
    topology: NotRequired[Topology]
    run: RunFace | None
    tasks: list[TaskFace]
    nodes: list[NodeFace]


class Delta(TypedDict):
    """What changed since the last number: faces by the number of the task or node."""

    type: Literal["delta"]
    seq: int
    now: float
    run: RunFace | None
    tasks: dict[str, TaskFace]
    nodes: dict[str, NodeFace]


class Detail(TypedDict):
    """The log and traceback of the task somebody looks at."""

    type: Literal["detail"]
    task: str
    log: list[LogLine]
    traceback: list[str]


class Refused(TypedDict):
    """What was asked could not be done, in one line."""

    type: Literal["refused"]
    text: str


class Hello(TypedDict):
    """A browser has come, or has missed something."""

    type: Literal["hello"]


class Run(TypedDict):
    """▶: run what the selectors name, or what is stale; or `everything`."""

    type: Literal["run"]
    select: list[str]
    everything: bool


class Cancel(TypedDict):
    """■: cancel the run."""

    type: Literal["cancel"]


class Select(TypedDict):
    """Somebody looks at this task; empty: at none."""

    type: Literal["select"]
    task: str


FromKernel = Snapshot | Delta | Detail | Refused
FromBrowser = Hello | Run | Cancel | Select
