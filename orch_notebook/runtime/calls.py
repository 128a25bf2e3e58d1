"""One attempt of one task, ready to be performed, and what is told of a failure."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import OrchError, TaskError
from orch_notebook.runtime.trees import making_trees

if TYPE_CHECKING:
    from orch_notebook.runtime.places import Place
    from orch_notebook.runtime.runners import Runner

__all__ = [
    "Call",
    "TaskStopped",
    "describe_as",
    "describe_failure",
    "users_frames",
    "was_shown",
    "without_ours",
]

#: Where bodies of cells are evaluated; told by its place, because loading it takes asyncio and the analysis along.
BODIES = str(Path(__file__).resolve().with_name("bodies.py"))
PACKAGE = str(Path(__file__).resolve().parents[1])
TRACEBACK_LINES = 200


class TaskStopped(BaseException):
    """Raised inside a task that must stop; not an Exception, so that ``except Exception`` lets it pass."""


class Call:
    """One attempt of one task.

    Parameters
    ----------
    task : str
        Its name.
    attempt : int
        Counted from 1.
    begin : callable
        ``begin(call)`` says that it is being performed now; False means that it is no longer wanted.
    perform : callable
        ``perform(task, attempt)`` does the work, and returns what else is known of the outcome, or None.
    end : callable
        ``end(call, details, error)`` takes the outcome, and may return a call to be performed next in the same place.
    """

    __slots__ = ("attempt", "begin", "end", "has_begun", "is_told", "perform", "place", "runner", "stop_reason", "task")

    def __init__(
        self,
        task: str,
        attempt: int,
        begin: Callable[[Call], bool],
        perform: Callable[[str, int], Mapping[str, Any] | None],
        end: Callable[[Call, Mapping[str, Any] | None, BaseException | None], Call | None],
    ) -> None:
        self.task = task
        self.attempt = attempt
        self.begin = begin
        self.perform = perform
        self.end = end
        self.has_begun = False
        self.is_told = False  # its stop has been raised
        self.stop_reason = ""
        self.place: Place | None = None  # where it is performed; None before and after
        self.runner: Runner | None = None  # who performs it

    def __repr__(self) -> str:
        return f"Call({self.task!r}, attempt={self.attempt})"


def describe_failure(error: BaseException, label: Callable[[str], str] = lambda filename: "") -> dict[str, Any]:
    """Return what is recorded of a failure: one line, and the traceback without our own frames.

    Parameters
    ----------
    error : BaseException
        What was raised.
    label : callable
        For the file name that a cell's code bears, what people call the cell; for others, nothing.

    Examples
    --------
    >>> describe_failure(ValueError("no rows"))["error"]
    'ValueError: no rows'
    """
    if (known := getattr(error, DESCRIBED, None)) is not None:
        return dict(known[0])
    if isinstance(error, TaskError):  # found by us: where in our code helps nobody
        retriable = {} if error.details.get("retriable", True) else {"retriable": False}
        return {"error": str(error), "traceback": [], **retriable}
    if isinstance(error, SystemExit):
        said = f"The task called sys.exit({error.code!r})." if error.code is not None else "The task called sys.exit()."
        return {"error": said, "traceback": [], "retriable": True}
    line = "".join(traceback.format_exception_only(error)).strip()
    frames = users_frames(error.__traceback__)
    with making_trees:
        lines = "".join(traceback.format_exception(type(error), error, frames)).splitlines()
    lines = [_FRAME.sub(lambda found: _place(found, label), line) for line in lines]
    if len(lines) > TRACEBACK_LINES:
        middle = [f"… {len(lines) - TRACEBACK_LINES} lines left out …"]
        lines = lines[: TRACEBACK_LINES // 2] + middle + lines[-TRACEBACK_LINES // 2 :]
    details: dict[str, Any] = {"error": line[:2000], "traceback": lines}
    if isinstance(error, OrchError) and error.details.get("retriable") is False:
        details["retriable"] = False
    return details


#: Where an error keeps what was said of it where it was raised.
DESCRIBED = "_orch_described"


def describe_as(error: BaseException, details: Mapping[str, Any], *, is_shown: bool) -> None:
    """Let an error that comes from another process be described as it was there, where its frames were.

    Parameters
    ----------
    error : BaseException
        What was raised.
    details : mapping
        What :func:`describe_failure` returned there.
    is_shown : bool
        Whether it was shown under its cell already.
    """
    with suppress(AttributeError):  # some errors take no attributes; they are described without their frames
        setattr(error, DESCRIBED, (dict(details), is_shown))


def was_shown(error: BaseException) -> bool:
    """Whether an error was shown where it was raised."""
    known = getattr(error, DESCRIBED, None)
    return known is not None and bool(known[1])


_FRAME = re.compile(r'^( +(?:[|+] *)*)File "(.+)", line (\d+), in (.+)$')


def _place(found: re.Match[str], label: Callable[[str], str]) -> str:
    """Return a traceback's line that tells a place, by the cell's label if it lies in one."""
    margin, filename, line, name = found.groups()
    cell = label(filename)
    return f"{margin}{cell}, line {line}" + ("" if name == "<module>" else f", in {name}") if cell else found[0]


def users_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that is the user's: without our frames above it, and without those below it.

    Ours stand below where a task asked us for something that we refuse; all of it is returned if none of it is theirs.
    """
    steps: list[TracebackType] = []
    while trace is not None:
        steps.append(trace)
        trace = trace.tb_next
    # A body may run a part of itself by way of us, as below %%time: what counts is the innermost part.
    bodies = [number for number, step in enumerate(steps) if _is_evaluate(step.tb_frame.f_code)]
    start = bodies[-1] + 1 if bodies else 0
    theirs = [number for number, step in enumerate(steps) if number >= start and not is_ours(step)]
    if not theirs:
        return steps[0] if steps else None
    if theirs[-1] == len(steps) - 1:
        return steps[theirs[0]]
    found: TracebackType | None = None
    for step in reversed(steps[theirs[0] : theirs[-1] + 1]):
        found = TracebackType(found, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return found


def without_ours(error: BaseException) -> BaseException:
    """Take our frames out of an error's traceback, as far as there are others; return the error, to be raised again."""
    theirs = []
    step = error.__traceback__
    while step is not None:
        if not is_ours(step):
            theirs.append(step)
        step = step.tb_next
    if theirs:
        found: TracebackType | None = None
        for step in reversed(theirs):
            found = TracebackType(found, step.tb_frame, step.tb_lasti, step.tb_lineno)
        error.__traceback__ = found
    return error


def is_ours(step: TracebackType) -> bool:
    """Whether a traceback's first frame is code of this package."""
    return step.tb_frame.f_code.co_filename.startswith(PACKAGE)


def _is_evaluate(code: CodeType) -> bool:
    return code.co_name == "evaluate" and code.co_filename == BODIES
