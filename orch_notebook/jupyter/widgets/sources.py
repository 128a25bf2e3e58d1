"""What a panel shows, and whom its buttons ask.

In: nothing; this is the contract.  Out: :class:`PanelSource`, whose subclasses know one flow, its runs and how to act
on them.  What a source cannot tell it leaves at the neutral answer, and the panel shows less.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.model.events import LogWritten, TaskStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.parameters import Parameter
from orch_notebook.model.runs import FlowRun

__all__ = ["Given", "Kept", "Page", "PanelSource", "Question"]

#: Answers what a page of the panel asks, on the panel's own thread: a question in, an answer out, both plain JSON.
Page = Callable[[Mapping[str, Any]], Mapping[str, Any]]

ONLY_SHOWS = "This panel only shows its flow."


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter of the flow and the value it has now, written as one would type it."""

    parameter: Parameter
    value: str


@dataclass(frozen=True, slots=True)
class Kept:
    """Something a task left: a value or an artifact, by name, kind (``DataFrame 200 × 3``) and a few lines of it."""

    name: str
    kind: str
    text: str = ""
    is_artifact: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What a run waits to be told: which one, of which flow, what its answer consists of, and until when it waits."""

    run_id: str
    flow: str
    fields: Sequence[Given]
    expires_at: datetime


class PanelSource(ABC):
    """One flow, as a panel sees it.  Every method may be called from any thread.

    What a kind of source does not define, it does not have or cannot do: it never changes, and only shows.

    Attributes
    ----------
    flow_name : str
        Name of the flow.
    kernel_id : str
        The kernel's id where its front end can be asked to interrupt it, else empty.
    is_open : bool
        Its tasks appear while it runs, so that it can be run though none are known.
    hint : str
        What a person reads where there are no tasks; code between backticks.
    """

    flow_name: str = ""
    kernel_id: str = ""
    is_open: bool = False
    hint: str = "No tasks yet: begin a cell with `%%task NAME`."

    # what is shown

    @abstractmethod
    def graph(self) -> Graph:
        """Return the flow as it is defined now."""

    @abstractmethod
    def current(self) -> FlowRun | None:
        """Return the latest run with its task runs, or ``None`` before the first."""

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every stored change, until what this returns is called."""
        return lambda: None

    def past(self, run_id: str) -> FlowRun | None:
        """Return one of the flow's earlier runs with its task runs, or ``None`` where there is none."""
        return None

    def log_tail(self, task: str, limit: int, run: FlowRun | None = None) -> list[LogWritten]:
        """Return the last lines that a task wrote in a run, by default the latest."""
        return []

    def states(self, task: str, run: FlowRun | None) -> Sequence[TaskStateChanged]:
        """Return every state a task has been in during a run, in order."""
        return ()

    def kept(self, task: str, run: FlowRun | None) -> Sequence[Kept]:
        """Return what a task left in a run."""
        return ()

    def usual(self) -> Mapping[str, float]:
        """Return how many seconds tasks usually take, by name, as far as earlier runs tell."""
        return {}

    def parameters(self) -> Sequence[Given]:
        """Return what the flow can be given, with the values it has now."""
        return ()

    def question(self, run: FlowRun | None) -> Question | None:
        """Return what a run, or one that it began, waits to be told; ``None`` where nothing waits."""
        return None

    def pages(self) -> Mapping[str, Page]:
        """Return who answers the questions of further pages, by the page's name."""
        return {}

    def told(self, run: FlowRun | None, graph: Graph) -> None:  # noqa: B027 - most sources have nobody else to tell
        """Take note of what the panel has just shown of the latest run; called on the panel's own thread."""

    # what is asked for

    def coming(self, select: tuple[str, ...] = ()) -> int | None:
        """Return how many tasks a run of this selection would perform; ``None`` where that cannot be said."""
        return None

    def is_waited_for(self) -> bool:
        """Whether a cell waits for the run, so that the kernel is busy with it."""
        return False

    def limits(self) -> Mapping[str, str]:
        """Return, by verb (``run``, ``part``, ``pause`` …), why this source can never do it."""
        return {}

    def start(
        self, select: tuple[str, ...], *, everything: bool = False, values: Mapping[str, str] | None = None
    ) -> None:
        """Start a run of what is stale, of what is selected, or of everything, and return at once.

        `values` are parameters as typed by a person; the source checks them.
        """
        raise UsageError(ONLY_SHOWS)

    def cancel(self, run_id: str = "") -> None:
        """Ask for a run to be cancelled, by default the latest, and return at once."""
        raise UsageError(ONLY_SHOWS)

    def pause(self) -> None:
        """Let what runs come to its end and start nothing more until :meth:`resume`."""
        raise UsageError(ONLY_SHOWS)

    def resume(self, answer: Mapping[str, str] | None = None, run_id: str = "") -> None:
        """Let a paused run go on, by default the latest, with the answer it waits for if it does."""
        raise UsageError(ONLY_SHOWS)

    def retry(self) -> None:
        """Run what failed, and what did not run because of it; return at once."""
        raise UsageError(ONLY_SHOWS)
