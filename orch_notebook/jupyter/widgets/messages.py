"""What kernel and browser say to each other about a panel.

The types below and those of ``js/src/messages.ts`` are one schema, written twice; a test holds them together.  Instants
are seconds since the epoch by the kernel's clock; each message bears that clock's ``now``, so that a browser whose
clock differs still counts right.

The kernel numbers what changes a panel's picture (``seq``).  A browser that misses a number asks with ``hello`` and
gets a full snapshot; so does one that has just come, and every browser at the end of a run.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

__all__ = [
    "Answer",
    "Ask",
    "Cancel",
    "CellOutputs",
    "ComparedLine",
    "Controls",
    "Delta",
    "DeploymentLine",
    "Detail",
    "FromBrowser",
    "FromKernel",
    "Heard",
    "Hello",
    "HelloAgain",
    "History",
    "LogLine",
    "Look",
    "NodeFace",
    "ParameterInfo",
    "PastRun",
    "Pause",
    "Preview",
    "PromoteForm",
    "Pulse",
    "Refused",
    "Restore",
    "Resume",
    "Retry",
    "Run",
    "RunFace",
    "Select",
    "Snapshot",
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


class PastRun(TypedDict):
    """One column of the history: a run, and where each task ended in it."""

    run_id: str
    tone: str
    word: str
    at: float
    seconds: float | None
    #: Who started it: the deployment, or empty.
    deployment: str
    parameters: list[tuple[str, str]]
    #: By the number of the row: tone, word and seconds.
    tasks: dict[str, tuple[str, str, float | None]]


class History(TypedDict):
    """The newest runs of the flow, newest first, and the names of the rows."""

    runs: list[PastRun]
    rows: list[str]
    #: How many tasks have no row.
    left: int


class ComparedLine(TypedDict):
    """One thing in two runs; `kind` is what it is: ``parameter``, ``run``, ``task`` or ``artifact``."""

    kind: str
    name: str
    left: str
    right: str
    is_same: bool


class DeploymentLine(TypedDict):
    """One deployment of the notebook."""

    name: str
    version: int
    schedules: list[str]
    next: str
    is_paused: bool
    #: Its last runs, newest first: tone, word and id.
    runs: list[tuple[str, str, str]]
    #: Who is told what, without the secrets of the addresses.
    tells: list[str]


class PromoteForm(TypedDict):
    """What the form begins with."""

    name: str
    #: Which file would be promoted and when it was saved; or why none can be.
    notebook: str
    problem: str
    zones: list[str]
    zone: str
    parameters: list[ParameterInfo]
    deployments: list[DeploymentLine]
    has_worker: bool
    #: What people can be told, and what each means.
    facts: list[tuple[str, str]]
    #: What has just been done, or empty.
    said: str


class Preview(TypedDict):
    """A schedule in plain words, its next due times, and who will be told what."""

    words: str
    due: list[str]
    problem: str
    notice: str
    #: What is wrong with whom to tell, or empty.
    doubt: str


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


class Delta(TypedDict):
    """What changed since the last number: faces by the number of the task or node."""

    type: Literal["delta"]
    seq: int
    now: float
    run: RunFace | None
    controls: Controls
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
    """■: cancel the run."""

    type: Literal["cancel"]
    id: int


class Pause(TypedDict):
    """⏸: start nothing more for now."""

    type: Literal["pause"]
    id: int


class Resume(TypedDict):
    """Go on, with the answer that the run waits for."""

    type: Literal["resume"]
    id: int
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
