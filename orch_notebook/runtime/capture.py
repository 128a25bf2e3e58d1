"""What a task writes while it runs, kept apart from what every other task writes.

A context variable says whose code is running.  Streams, log records and rich outputs are routed by it, so nothing is
redirected globally: code outside of tasks writes where it always did, and two tasks never mix lines.  Threads and pool
work that a task starts belong to the task.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import logging
import sys
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from orch_notebook.runtime import descriptors
from orch_notebook.runtime.imports import import_one_at_a_time
from orch_notebook.runtime.lines import LINE_LIMIT, Lines

__all__ = ["Capture", "Routes", "capturing", "current", "route_values", "showing"]

#: The capture of the task whose code is running here, if any.
current: contextvars.ContextVar[Capture | None] = contextvars.ContextVar("orch_capture", default=None)
#: What shows a value for that task.
showing: contextvars.ContextVar[Callable[[Any], object] | None] = contextvars.ContextVar("orch_showing", default=None)


class Capture:
    """Everything one attempt of a task puts out.

    Parameters
    ----------
    line : callable
        ``line(level, text)`` is told each complete line as it comes.
    limit : int
        Characters kept; what goes beyond is counted, and a note says so.

    Examples
    --------
    >>> lines = []
    >>> capture = Capture(lambda level, text: lines.append(text))
    >>> with capturing(capture):
    ...     _ = capture.write("stdout", "one\\ntw")
    ...     _ = capture.write("stdout", "o")
    >>> lines
    ['one', 'two']
    >>> capture.take()
    [{'output_type': 'stream', 'name': 'stdout', 'text': 'one\\ntwo'}]
    """

    def __init__(self, line: Callable[[int, str], object], limit: int = 1_000_000) -> None:
        self._line = line
        self._lines = Lines(line)
        self._limit = limit
        self._lock = threading.RLock()
        self._outputs: list[dict[str, Any]] = []
        self._kept = 0
        self.dropped = 0
        #: What has been taken, where somebody wants all of it at the end.
        self.history: list[dict[str, Any]] | None = None

    def write(self, stream: str, text: str) -> int:
        """Take text written to ``"stdout"`` or ``"stderr"``."""
        size = len(text)
        if not size:
            return 0
        with self._lock:
            room = self._limit - self._kept
            if room < size:
                self.dropped += size - max(0, room)
                text = text[: max(0, room)]
                if not text:
                    return size
            self._kept += len(text)
            self._add(stream, text)
            self._lines.write(stream, text)
        return size

    def _add(self, stream: str, text: str) -> None:
        last = self._outputs[-1] if self._outputs else None
        if last is not None and last["output_type"] == "stream" and last["name"] == stream:
            last["parts"].append(text)
        else:
            self._outputs.append({"output_type": "stream", "name": stream, "parts": [text]})

    def log(self, record: logging.LogRecord, shown: str) -> None:
        """Take a log record; `shown` is how it reads under the cell."""
        with self._lock:
            if self._kept >= self._limit:
                self.dropped += len(shown)
                return
            self._kept += len(shown)
            self._add("stderr", shown)
            self._line(record.levelno, record.getMessage()[:LINE_LIMIT])

    def tell(self, level: int, text: str) -> None:
        """Take a line for the log alone; nothing of it is shown."""
        self._line(level, text)

    def put(self, output: Mapping[str, Any]) -> None:
        """Take a rich output, in the notebook format (``display_data``, ``execute_result``, ``error`` …)."""
        with self._lock:
            self._outputs.append(dict(output))

    def take(self) -> list[dict[str, Any]]:
        """Return what came since the last call, adjacent text of one stream joined; forget it here."""
        with self._lock:
            taken, self._outputs = self._outputs, []
        found = [
            {"output_type": "stream", "name": output["name"], "text": "".join(output["parts"])}
            if output["output_type"] == "stream"
            else output
            for output in taken
        ]
        if self.history is not None:
            self.history += found
        return found

    def finish(self) -> None:
        """Complete the last lines, and say how much was not kept."""
        with self._lock:
            self._lines.finish()
            if self.dropped:
                note = (
                    f"… {self.dropped:,} more characters were not kept "
                    f"(limit {self._limit:,}; ORCH_LOG_LIMIT sets another)."
                )
                self._add("stderr", f"\n{note}\n")
                self._line(logging.WARNING, note)
                self.dropped = 0


@contextmanager
def capturing(capture: Capture) -> Iterator[Capture]:
    """Give everything this context puts out to `capture`; complete its lines at the end."""
    token = current.set(capture)
    descriptors.begin(capture)
    try:
        yield capture
    finally:
        descriptors.end(capture, sys.stdout, sys.stderr)
        current.reset(token)
        capture.finish()


class _Routed:
    """A stream in front of another: inside a task it writes to the task's capture, else to the stream."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, text: str) -> int:
        capture = current.get()
        return self._stream.write(text) if capture is None else capture.write(self._name, text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _routed_class(base: type, name: str) -> type:
    """Return a subclass of a stream's class whose ``write`` is routed.

    IPython's tee puts its own ``write`` on the stream object at the start of a cell and takes it off at the end, which
    would remove ours if it were put on in the same way; a property of the class stands above both.
    """

    def get(stream: Any) -> Callable[[str], int]:
        # Bound here and not at the call: a tee keeps what it got and calls it from what it puts in its place.
        inner: Callable[[str], int] = stream.__dict__.get("_orch_inner") or base.write.__get__(stream)  # type: ignore[attr-defined]

        def write(text: str) -> int:
            capture = current.get()
            if capture is None and descriptors.is_read(stream):
                return descriptors.deliver(stream, text, name, inner)
            return inner(text) if capture is None else capture.write(name, text)

        write.inner = inner  # type: ignore[attr-defined]
        return write

    def put(stream: Any, write: Any) -> None:
        write = getattr(write, "inner", write)
        is_plain = getattr(write, "__func__", None) is base.write  # type: ignore[attr-defined]
        stream.__dict__["_orch_inner"] = None if is_plain else write

    def remove(stream: Any) -> None:
        stream.__dict__["_orch_inner"] = None

    return type(base.__name__, (base,), {"write": property(get, put, remove), "__module__": base.__module__})


class _LastResort(logging.Handler):
    """Gives a task's log records to its capture where nobody else shows them.

    It stands in for Python's own last resort.  A handler on the root logger would make the ``logging.basicConfig`` of
    the user do nothing; as it is, what that sets up writes to a stream, and a task's streams are captured anyway.
    """

    def __init__(self, usual: logging.Handler) -> None:
        super().__init__(usual.level)
        self._usual = usual
        # As Python's own: the message alone.
        self.setFormatter(usual.formatter or logging.Formatter())

    def createLock(self) -> None:
        """Do without: a capture has a lock of its own, and a task stopped inside ``acquire`` would keep this one."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        capture = current.get()
        if capture is None:
            self._usual.handle(record)
            return
        try:
            capture.log(record, self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - as every handler of logging: a bad format string must not fail the task
            self.handleError(record)


#: What is routed in this process, by what it is: how many hold it, and the way back.
_held: dict[Hashable, tuple[int, Callable[[], None]]] = {}
_holding = threading.Lock()


class Routes:
    """The routing of a process's streams, log records and threads.

    Several may be open at once, and may be closed in any order: everything is put back with the last one.
    """

    def __init__(self) -> None:
        self._keys: list[Hashable] = []

    @property
    def is_open(self) -> bool:
        """Whether routing is in place."""
        return bool(self._keys)

    def open(self) -> None:
        """Begin to route; does nothing if it is open."""
        if self.is_open:
            return
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None:
                plain = stream._stream if isinstance(stream, _Routed) else stream
                self._hold((name, id(plain)), partial(_route_stream, name, plain))
        self._hold("logs", _route_logs)
        self._hold("values", _route_values)
        self._hold("threads", _follow_threads)
        self._hold("imports", import_one_at_a_time)

    def close(self) -> None:
        """Put everything back as it was, unless somebody else needs it still."""
        with _holding:
            while self._keys:
                key = self._keys.pop()
                count, restore = _held.pop(key)
                if count > 1:
                    _held[key] = count - 1, restore
                else:
                    restore()

    def _hold(self, key: Hashable, route: Callable[[], Callable[[], None]]) -> None:
        with _holding:
            count, restore = _held.get(key) or (0, route())
            _held[key] = count + 1, restore
            self._keys.append(key)


def _route_stream(name: str, stream: Any) -> Callable[[], None]:
    base = type(stream)
    try:
        # Swapping the class also reaches whoever keeps the stream object, such as a logging handler.
        stream.__class__ = _routed_class(base, name)
    except TypeError:  # a stream written in C, as in a plain script
        routed = _Routed(stream, name)
        setattr(sys, name, routed)

        def restore() -> None:
            if getattr(sys, name) is routed:
                setattr(sys, name, stream)

        return restore

    if (tee := stream.__dict__.pop("write", None)) is not None:  # put on before us, as within a cell of IPython
        stream.__dict__["_orch_inner"] = tee

    def restore_class() -> None:
        inner = stream.__dict__.pop("_orch_inner", None)
        stream.__class__ = base
        if inner is not None:
            stream.write = inner

    return restore_class


def route_values(usual: Callable[[Any], object]) -> Callable[[Any], object]:
    """Return what stands in for a ``sys.displayhook``: a task's values are shown where the task shows its own."""

    def show(value: Any) -> None:
        (showing.get() or usual)(value)

    return show


def _route_values() -> Callable[[], None]:
    usual = sys.displayhook
    sys.displayhook = ours = route_values(usual)

    def restore() -> None:
        if sys.displayhook is ours:
            sys.displayhook = usual

    return restore


def _route_logs() -> Callable[[], None]:
    usual = logging.lastResort
    if usual is None:  # the user wants silence
        return lambda: None
    logging.lastResort = ours = _LastResort(usual)

    def restore() -> None:
        if logging.lastResort is ours:
            logging.lastResort = usual

    return restore


def _follow_threads() -> Callable[[], None]:
    start, submit = threading.Thread.start, concurrent.futures.ThreadPoolExecutor.submit

    @functools.wraps(start)  # whoever looks meanwhile finds the docstring and signature of the original
    def start_in_context(thread: threading.Thread) -> None:
        if current.get() is not None:
            context, run = contextvars.copy_context(), thread.run
            thread.run = lambda: context.run(run)  # type: ignore[method-assign]
        start(thread)

    @functools.wraps(submit)  # type: ignore[arg-type]
    def submit_in_context(pool: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        # Also outside of tasks: the thread that takes it may have been started by one.
        return submit(pool, contextvars.copy_context().run, fn, *args, **kwargs)

    threading.Thread.start = start_in_context  # type: ignore[method-assign,assignment]
    concurrent.futures.ThreadPoolExecutor.submit = submit_in_context  # type: ignore[method-assign]

    def restore() -> None:
        if threading.Thread.start is start_in_context:
            threading.Thread.start = start  # type: ignore[method-assign]
        if concurrent.futures.ThreadPoolExecutor.submit is submit_in_context:
            concurrent.futures.ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]

    return restore
