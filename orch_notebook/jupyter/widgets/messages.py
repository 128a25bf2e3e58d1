"""What kernel and browser say to each other about a panel.

The types below, with their parts in :mod:`.faces` and :mod:`.pages`, and those of ``js/src/messages.ts`` are one
schema, written twice; a test holds them together.  Instants
are seconds since the epoch by the kernel's clock; each message bears that clock's ``now``, so that a browser whose
clock differs still counts right.

The kernel numbers what changes a panel's picture (``seq``).  A browser that misses a number asks with ``hello`` and
gets a full snapshot; so does one that has just come, and every browser at the end of a run.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from orch_notebook.jupyter.widgets.faces import (
    Asked,
    Controls,
    LogLine,
    NodeFace,
    ParameterInfo,
    RunFace,
    StateLine,
    TaskFace,
    Thing,
    Topology,
)

__all__ = [
    "Answer",
    "Ask",
    "Cancel",
    "CellOutputs",
    "Delta",
    "Detail",
    "FromBrowser",
    "FromKernel",
    "Heard",
    "Hello",
    "HelloAgain",
    "Look",
    "Pause",
    "Pulse",
    "Refused",
    "Restore",
    "Resume",
    "Retry",
    "Run",
    "Select",
    "Snapshot",
]


class Snapshot(TypedDict):
    """Everything; `topology` is left out when the browser must have it already."""

    type: Literal["snapshot"]
    seq: int
    now: float
    topology: NotRequired[Topology]
    run: RunFace | None
    #: The id of the past run that is shown in place of the latest, or empty.
    past: str
    controls: Controls
    tasks: list[TaskFace]
    nodes: list[NodeFace]
    #: How many seconds each task usually takes, where earlier runs tell.
    usual: list[float | None]
    parameters: list[ParameterInfo]
    asked: Asked | None


class Delta(TypedDict):
    """What changed since the last number: faces by the number of the task or node."""

    type: Literal["delta"]
    seq: int
    now: float
    run: RunFace | None
    controls: Controls
    asked: Asked | None
    tasks: dict[str, TaskFace]
    nodes: dict[str, NodeFace]


class Detail(TypedDict):
    """What there is to know of the task somebody looks at."""

    type: Literal["detail"]
    task: str
    log: list[LogLine]
    traceback: list[str]
    states: list[StateLine]
    things: list[Thing]
    #: The tasks it waits for, each with the reason.
    waits: list[tuple[str, str]]
    #: How many tasks a run of it would perform.
    coming: int | None


class Refused(TypedDict):
    """What was asked could not be done, in one line."""

    type: Literal["refused"]
    text: str


class Heard(TypedDict):
    """A message of the browser has reached the kernel."""

    type: Literal["heard"]
    id: int


class Pulse(TypedDict):
    """The kernel lives, though nothing has changed."""

    type: Literal["pulse"]
    now: float


class Answer(TypedDict):
    """What a page has asked for; `error` says in one line why there is no answer."""

    type: Literal["answer"]
    id: int
    page: str
    data: Any
    error: str


class Hello(TypedDict):
    """A browser has come, or has missed something."""

    type: Literal["hello"]
    id: int


class Run(TypedDict):
    """▶: run what the selectors name, or what is stale; or `everything`; with parameters as somebody typed them."""

    type: Literal["run"]
    id: int
    select: list[str]
    everything: bool
    values: dict[str, str]


class Cancel(TypedDict):
    """■: cancel this run."""

    type: Literal["cancel"]
    id: int
    run_id: str


class Pause(TypedDict):
    """⏸: start nothing more for now."""

    type: Literal["pause"]
    id: int


class Resume(TypedDict):
    """Let this run go on, with the answer that it waits for."""

    type: Literal["resume"]
    id: int
    run_id: str
    answer: dict[str, str]


class Retry(TypedDict):
    """↻: run what failed, and what did not run because of it."""

    type: Literal["retry"]
    id: int


class Select(TypedDict):
    """Somebody looks at this task; empty: at none."""

    type: Literal["select"]
    id: int
    task: str


class Look(TypedDict):
    """Show this past run in place of the latest; empty: the latest again."""

    type: Literal["look"]
    id: int
    run_id: str


class Ask(TypedDict):
    """A question of one of the further pages, answered by an ``answer`` of the same number."""

    type: Literal["ask"]
    id: int
    page: str
    question: Any


class CellOutputs(TypedDict):
    """What stands below one cell; `mark` is the word in the first output's metadata by which it is known."""

    cell: str
    #: The page that executed the cell, which knows by itself.
    page: str
    mark: str
    #: In the notebook format.
    outputs: list[Any]


class Restore(TypedDict):
    """To the model without a view: the kernel lives, and this stands below cells that other pages executed."""

    type: Literal["restore"]
    kernel: str
    cells: list[CellOutputs]


class HelloAgain(TypedDict):
    """From the model without a view: this page has come."""

    type: Literal["hello"]
    page: str


FromKernel = Snapshot | Delta | Detail | Refused | Heard | Pulse | Answer
FromBrowser = Hello | Run | Cancel | Pause | Resume | Retry | Select | Look | Ask
