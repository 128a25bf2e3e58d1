"""The function of a task as a job, which is performed in another process.

In: one attempt of a task run, with its arguments.  Out: what the function returned, as if it had been called here.  The
function, the arguments and the result travel by cloudpickle, so what is defined in a notebook or a script comes along;
what is defined in a module is imported there.  What is around the function stays here: kept results, hooks,
transactions, slots.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from orch_notebook.errors import NotPicklable
from orch_notebook.functions.futures import Future
from orch_notebook.functions.options import TaskOptions
from orch_notebook.functions.wrapping import Wrapped, named
from orch_notebook.runtime.calls import describe_as, describe_failure
from orch_notebook.runtime.capture import Capture, capturing
from orch_notebook.runtime.context import FlowScope, TaskScope, flow_scope, task_scope
from orch_notebook.runtime.home import finish_runs
from orch_notebook.runtime.parcels import Answer, Parcel
from orch_notebook.runtime.pickling import from_parts, to_parts
from orch_notebook.runtime.runners.places import Carrier

__all__ = ["FunctionJob", "perform_elsewhere"]

WAY_OUT = 'Run it where its caller is: @task(runner="threads").'

#: Parameters of a flow go along with each of its tasks up to this many bytes, else as the store shows them.
SMALL = 100_000


@dataclass(frozen=True, slots=True)
class FunctionJob:
    """One call of a function.

    Parameters
    ----------
    flow : FlowScope
        The flow run that it is part of.
    name, task : str
        The names of the task run and of the task.
    attempt : int
        Counted from 1.
    tags : tuple of str
        The task run's.
    environment : mapping
        Where the store is found, should the function ask for it.
    lines : mapping
        By file name the lines of code that stands in no file.
    resources : mapping
        What the function needs where it runs.
    assets : tuple of str
        The keys of the assets that it makes.
    """

    flow: FlowScope
    name: str
    task: str
    attempt: int
    tags: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, list[str]] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    assets: tuple[str, ...] = ()

    def perform(self, parcel: Parcel, capture: Capture) -> Answer:
        """Call the function.

        Raises
        ------
        BaseException
            Whatever the function raises.
        """
        os.environ.update(self.environment)
        for filename, lines in self.lines.items():
            linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)
        self.flow.recorder = _Recorder(capture)
        function, args, kwargs = from_parts(parcel.data, parcel.buffers)
        work = Wrapped(function, TaskOptions(), ())
        scope = TaskScope(self.name, self.task, self.attempt, self.tags, lambda: work.named(args, kwargs))
        scope.assets = {key: {} for key in self.assets}
        tokens = flow_scope.set(self.flow), task_scope.set(scope)
        try:
            with capturing(capture):
                value = work.run(args, kwargs)
                if type(value) is Future:  # of a task that the function has submitted itself
                    value = value.result()
        except BaseException as error:
            describe_as(error, describe_failure(error), is_shown=False)
            raise
        finally:
            flow_scope.reset(tokens[0])
            task_scope.reset(tokens[1])
            finish_runs()  # of tasks that the function has called: nobody here waits for them later
        return Answer(_pack_result(value), scope.assets)


class _Recorder:
    """Takes the lines that a function writes to the log of its run."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def log(self, task: str, attempt: int, level: int, text: str) -> None:
        """Take a line."""
        self._capture.tell(level, text)


class _Echo(Capture):
    """Puts out what a function puts out elsewhere."""

    def write(self, stream: str, text: str) -> int:
        """Write text where the function would have written it here."""
        getattr(sys, stream).write(text)
        return len(text)

    def log(self, record: Any, shown: str) -> None:
        """Show a log record that nobody there has shown."""
        sys.stderr.write(shown)


def perform_elsewhere(
    carrier: Carrier, future: Future, args: tuple[Any, ...], kwargs: dict[str, Any], say: Callable[[int, str], object]
) -> Any:
    """Have the function of a task run called elsewhere, and return what it returned.

    Parameters
    ----------
    carrier : Carrier
        Who takes it there.
    future : Future
        The task run, in its present attempt.
    say : callable
        ``say(level, text)`` takes a line for its log.

    Raises
    ------
    NotPicklable
        The function, an argument or the result cannot travel.
    BaseException
        What the function raised, or what became of its process.
    """
    task, scope = future.task, flow_scope.get()
    files: set[str] = set()
    parcel = _pack_call(task, args, kwargs, files)
    lines = {name: found for name in files if (found := _lines_of(name)) is not None}
    assert scope is not None
    job = FunctionJob(
        _sent(scope, future),
        future.name,
        task.name,
        future.attempt,
        future.tags,
        future.performance.home.settings.environment,
        lines,
        dict(task.resources),
        task.asset_keys,
    )
    try:
        back, said = carrier.carry(future.name, job, parcel, _Echo(say))
    except BaseException as error:
        _tell_where(error)
        raise
    if task.assets and (here := task_scope.get()) is not None:
        for key, metadata in here.assets.items():
            metadata.update(said.get(key, {}))
    return from_parts(back.data, back.buffers)


def _sent(scope: FlowScope, future: Future) -> FlowScope:
    """Return what a function elsewhere is told of its flow run."""
    shown = future.performance.run.parameters
    parameters: Mapping[str, Any] = shown
    if scope.parameters:
        try:
            data, buffers = to_parts(dict(scope.parameters))
            if not buffers and len(data) <= SMALL:
                parameters = scope.parameters
        except Exception:  # noqa: BLE001 - pickling runs the value's own code
            parameters = shown
    return FlowScope(
        scope.run_id,
        scope.name,
        scope.flow,
        dict(parameters),
        scope.tags,
        scope.attempt,
        scope.parent_run_id,
        scope.deployment,
        scope.due_at,
    )


def _lines_of(filename: str) -> list[str] | None:
    """Return the lines of code that stands in no file, such as a cell's; None if a file has them."""
    entry: Any = linecache.cache.get(filename)
    return list(entry[2]) if entry is not None and len(entry) == 4 and entry[1] is None else None


def _reduce(files: set[str]) -> Callable[[Any], Any]:
    """Return how functions travel: those of a module by its name, also where the name there is a task's."""

    def reduce(part: Any) -> Any:
        if type(part) is not FunctionType:
            return NotImplemented
        found = named(part)
        if isinstance(found, Wrapped) and found.fn is part:
            return _function_of, (found,)
        if found is not part:
            files.add(part.__code__.co_filename)
        return NotImplemented

    return reduce


def _function_of(wrapped: Wrapped[..., Any]) -> Any:
    return wrapped.fn


def _pack_call(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], files: set[str]) -> Parcel:
    try:
        return Parcel(*to_parts((task.fn, args, kwargs), _reduce(files)))
    except Exception as error:  # noqa: BLE001 - pickling runs the value's own code
        raise _explain(task, args, kwargs, error) from None


def _explain(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception) -> NotPicklable:
    """Return an error that names what cannot be pickled."""
    for name, value in task.named(args, kwargs).items():
        if (reason := _reason(value)) is not None:
            return NotPicklable(
                f"Its argument {name!r} ({type(value).__name__}) cannot be sent to another process: {reason} {WAY_OUT}",
                name=name,
                retriable=False,
            )
    globals_ = getattr(task.fn, "__globals__", {})
    for name in getattr(getattr(task.fn, "__code__", None), "co_names", ()):
        if name in globals_ and (reason := _reason(globals_[name])) is not None:
            kind = type(globals_[name]).__name__
            return NotPicklable(
                f"It uses {name!r} ({kind}), which cannot be sent to another process: {reason} {WAY_OUT}",
                name=name,
                retriable=False,
            )
    return NotPicklable(
        f"Its function cannot be sent to another process: {_first_line(error)} {WAY_OUT}", retriable=False
    )


def _reason(value: Any) -> str | None:
    """Return why a value cannot be pickled; None if it can."""
    try:
        to_parts(value, _reduce(set()))
    except Exception as error:  # noqa: BLE001 - pickling runs the value's own code
        return _first_line(error)
    return None


def _pack_result(value: Any) -> Parcel:
    try:
        return Parcel(*to_parts(value, _reduce(set())))
    except Exception as error:  # noqa: BLE001 - pickling runs the value's own code
        raise NotPicklable(
            f"It returns a {type(value).__name__}, which cannot be sent back from its process: "
            f"{_first_line(error)} {WAY_OUT}",
            retriable=False,
        ) from None


def _first_line(error: BaseException) -> str:
    said: Sequence[str] = str(error).strip().splitlines() or [type(error).__name__]
    return said[0] if said[0].endswith((".", "!", "?")) else f"{said[0]}."


def _tell_where(error: BaseException) -> None:
    """Note on an error where it was raised: its own traceback has stayed there."""
    lines = describe_failure(error).get("traceback", ())
    if lines and not getattr(error, "__notes__", None):
        error.add_note("Where it was raised, in its process:\n" + "\n".join(lines[1:-1]))
