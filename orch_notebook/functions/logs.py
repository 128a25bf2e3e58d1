"""The log of a run: a logger for its code, and what its code prints.

In: log records and printed lines of a flow or task.  Out: lines in the store, under the task run they belong to, and
where the user looks anyway: the terminal, or the cell.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from orch_notebook.errors import MissingContext
from orch_notebook.runtime.capture import Routes, current
from orch_notebook.runtime.context import flow_scope, task_scope
from orch_notebook.runtime.lines import LINE_LIMIT, Lines
from orch_notebook.runtime.redaction import redactor

__all__ = ["RunLogger", "get_run_logger", "logging_prints", "not_logging_prints"]


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records belong to the run that asked for it."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run to a record."""
        kwargs["extra"] = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, kwargs


class _Recorder(logging.Handler):
    """Gives records of runs to the store, and shows them."""

    def createLock(self) -> None:
        """Do without: a task stopped inside ``acquire`` would keep it."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        performance = getattr(record, "performance", None)
        if performance is None:
            return
        try:
            said = record.getMessage()
            if record.exc_info:
                said += "\n" + (self.formatter or logging.Formatter()).formatException(record.exc_info)
            performance.log(record.task, record.attempt, record.levelno, said[:LINE_LIMIT])  # type: ignore[attr-defined]
            said = redactor.redact(said)
            at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
            sys.stderr.write(f"{at} | {record.levelname:<7} | {record.who} - {said}\n")  # type: ignore[attr-defined]
        except Exception:  # noqa: BLE001 - as every handler of logging: a bad format string must not fail the task
            self.handleError(record)


def _logger(name: str) -> logging.Logger:
    logger = logging.getLogger(f"orch_notebook.{name}")
    if not logger.handlers:
        logger.addHandler(_Recorder())
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger


def get_run_logger(context: Any = None, **extra: Any) -> RunLogger:
    """Return the logger of the task run, or flow run, whose code asks.

    Raises
    ------
    MissingContext
        No run's code is running here.
    """
    flow, task = flow_scope.get(), task_scope.get()
    if flow is None:
        raise MissingContext("get_run_logger() tells about a run, and no flow or task is running here.")
    if task is not None:
        who, name, attempt, of = f"Task run {task.name!r}", task.name, task.attempt, "task_runs"
    else:
        who, name, attempt, of = f"Flow run {flow.name!r}", "", flow.attempt, "flow_runs"
    facts = {"performance": flow.performance or flow.recorder, "task": name, "attempt": attempt, "who": who, **extra}
    return RunLogger(_logger(of), facts)


class _Prints:
    """Takes what a run prints: into its log, and on to where it would have gone."""

    def __init__(self, performance: Any, task: str, attempt: int, outer: Any) -> None:
        self._lines = Lines(partial(performance.log, task, attempt))
        self._outer = outer

    def write(self, stream: str, text: str) -> int:
        if stream == "stdout":
            self._lines.write(stream, text)
        self._pass_on(stream, text)
        return len(text)

    def log(self, record: logging.LogRecord, shown: str) -> None:
        self._pass_on("stderr", shown)

    def finish(self) -> None:
        self._lines.finish()

    def _pass_on(self, stream: str, text: str) -> None:
        if self._outer is not None:
            self._outer.write(stream, text)
            return
        token = current.set(None)
        try:
            getattr(sys, stream).write(text)
        finally:
            current.reset(token)


def _outer() -> Any:
    """Return what takes output here but for the logs of runs: who is part of a run does not print into its log too."""
    outer = current.get()
    return outer._outer if isinstance(outer, _Prints) else outer


@contextmanager
def not_logging_prints() -> Iterator[None]:
    """Keep what is printed within the block out of the log of the run that this is part of."""
    token = current.set(_outer())
    try:
        yield
    finally:
        current.reset(token)


@contextmanager
def logging_prints(performance: Any, task: str, attempt: int) -> Iterator[None]:
    """Put what is printed within the block into a run's log too."""
    routes = Routes()
    routes.open()
    prints = _Prints(performance, task, attempt, _outer())
    token = current.set(prints)  # type: ignore[arg-type]
    try:
        yield
    finally:
        current.reset(token)
        prints.finish()
        routes.close()
