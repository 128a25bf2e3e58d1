"""What the further pages of a panel are answered: the history of the flow and the form that promotes the notebook.

The types are one schema with those of ``js/src/messages.ts``; see :mod:`.faces`.
"""

from __future__ import annotations

from typing import TypedDict

from orch_notebook.jupyter.widgets.faces import ParameterInfo

__all__ = [
    "ComparedLine",
    "DeploymentLine",
    "History",
    "PastRun",
    "Preview",
    "PromoteForm",
]


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
