"""The process that performs bodies for another: what it is told, and how it ends.

In: jobs over a pipe, one at a time.  Out: what a body puts out, while it runs, and what it made.  The main thread runs
the bodies, so that signals, event loops and libraries find what they expect; another one listens, so that a stop is
heard and the end of the parent noticed.
"""

from __future__ import annotations

import _thread
import gc
import linecache
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from types import FrameType, ModuleType
from typing import Any

from orch_notebook.model.flows import CellTask
from orch_notebook.runtime.ambient import put_states, take_states
from orch_notebook.runtime.calls import TaskStopped, describe_as, describe_failure, was_shown
from orch_notebook.runtime.capture import LINE_LIMIT, Capture, Routes, capturing
from orch_notebook.runtime.hooks import CellHooks, execute
from orch_notebook.runtime.namespaces import Body
from orch_notebook.runtime.pickling import from_bytes, to_bytes
from orch_notebook.runtime.pipes import receive, send
from orch_notebook.runtime.shipping import Parcel, Receiver

__all__ = ["Answer", "CellJob", "replay", "serve"]

#: A line goes out at once, so that it is heard whatever becomes of the process; of a flood, one message in so many
#: seconds.  Text without an end of line waits as long for one.
PAUSE = 0.02

#: Messages that may go out at once before it counts as a flood.
BURST = 50

#: Seconds between two looks whether the parent lives; its end is also heard through the pipe.
WATCH = 1.0

#: Bytes from which on a body's data is worth looking for what nobody needs any more (some 20 ms).
LARGE = 1_000_000

#: Seconds without a job after which a process gives its memory back.
IDLE = 300.0


@dataclass(frozen=True, slots=True)
class CellJob:
    """One body to be performed.

    Parameters
    ----------
    cell : CellTask
        Its source and name.
    hooks : CellHooks
        What the face adds, in a form that travels.
    makes : tuple of str
        The names whose values are wanted.
    wanted : frozenset of str
        Those of them that other tasks read.
    states : mapping
        Hidden state that it depends on.
    changes : frozenset of str
        Hidden state that it changes and that is wanted back.
    left_out : mapping
        Names that functions may read and that could not come, with the reason.
    files : mapping
        For the code that comes along: by file name what people call the cell, and its lines.
    """

    cell: CellTask
    hooks: CellHooks
    makes: tuple[str, ...]
    wanted: frozenset[str]
    states: Mapping[str, Any]
    changes: frozenset[str] = frozenset()
    left_out: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, tuple[str, list[str]]] = field(default_factory=dict)

    def perform(self, parcel: Parcel, capture: Capture) -> Answer:
        """Run the body over the names of the parcel.

        Raises
        ------
        BaseException
            Whatever the body raises.
        """
        # As in a notebook the names are those of the main module: dataclasses, pickle and type hints look there.
        main = ModuleType("__main__")
        sys.modules["__main__"] = main
        for filename, (_, lines) in self.files.items():
            linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)
        put_states(self.states)
        receiver = Receiver(main.__dict__)
        with capturing(capture):
            self.hooks.begin(self.cell, capture)
            try:
                receiver.unpack(parcel)
                execute(self.cell, Body(main.__dict__, main.__dict__, (), ()), self.hooks, capture)
            except BaseException as error:
                self._explain(error)
                self.hooks.end(self.cell, capture, error)
                describe_as(error, self._describe(error), is_shown=True)
                raise
            self.hooks.end(self.cell, capture, None)
        made = {name: main.__dict__[name] for name in self.makes if name in main.__dict__}
        return Answer(receiver.pack(made, self.wanted), take_states(self.changes, everything=False))

    def _explain(self, error: BaseException) -> None:
        name = str(getattr(error, "name", ""))
        if isinstance(error, NameError) and name in self.left_out:
            error.add_note(f"{name!r} could not be sent to this process: {self.left_out[name]} Try --runner threads.")

    def _describe(self, error: BaseException) -> dict[str, Any]:
        return describe_failure(error, lambda filename: self.files.get(filename, ("", ()))[0])


@dataclass(frozen=True, slots=True)
class Answer:
    """What a body made, and hidden state that it changed."""

    parcel: Parcel
    states: Mapping[str, Any] = field(default_factory=dict)


class SentCapture(Capture):
    """Sends what a body puts out to where it is shown and kept.

    Parameters
    ----------
    tell : callable
        ``tell(acts)`` sends a list of what was done, for :func:`replay`.
    """

    def __init__(self, tell: Callable[[list[tuple[Any, ...]]], object]) -> None:
        super().__init__(lambda level, text: None)
        self._tell = tell
        self._acts: list[tuple[Any, ...]] = []
        self._told_at = monotonic()
        self._allowed = float(BURST)
        self._waiting: threading.Timer | None = None

    def write(self, stream: str, text: str) -> int:
        """Send text."""
        if text:
            self._act("write", stream, text)
        return len(text)

    def log(self, record: logging.LogRecord, shown: str) -> None:
        """Send a log record."""
        self._act("log", record.levelno, record.getMessage()[:LINE_LIMIT], shown)

    def put(self, output: Mapping[str, Any]) -> None:
        """Send a rich output."""
        self._act("put", dict(output))

    def _act(self, *act: Any) -> None:
        with self._lock:
            last = self._acts[-1] if self._acts else None
            if last is not None and act[0] == "write" and last[:2] == act[:2] and len(last[2]) < LINE_LIMIT:
                self._acts[-1] = (*act[:2], last[2] + act[2])
            else:
                self._acts.append(act)
            is_whole = act[0] != "write" or "\n" in act[2]
            if is_whole and self._may_tell():
                self._flush()
            elif self._waiting is None:
                self._waiting = threading.Timer(PAUSE, self.finish)
                self._waiting.daemon = True
                self._waiting.start()

    def _may_tell(self) -> bool:
        now = monotonic()
        self._allowed = min(BURST, self._allowed + (now - self._told_at) / PAUSE)
        self._told_at = now
        self._allowed -= self._allowed >= 1
        return self._allowed >= 1

    def _flush(self) -> None:
        acts, self._acts = self._acts, []
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if acts:
            self._tell(acts)

    def finish(self) -> None:
        """Send what is left."""
        with self._lock:
            self._flush()


def replay(acts: list[tuple[Any, ...]], capture: Capture) -> None:
    """Do to a capture what was done to the one in the other process."""
    for act in acts:
        match act:
            case ("write", stream, text):
                capture.write(stream, text)
            case ("log", level, message, shown):
                capture.log(logging.makeLogRecord({"levelno": level, "msg": message}), shown)
            case ("put", output):
                capture.put(output)


class _Child:
    """The loop of one process."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._number = 0
        self._is_stopped = False

    def run(self) -> None:
        signal.signal(signal.SIGINT, self._interrupted)
        routes = Routes()
        routes.open()
        threading.Thread(target=self._listen, name="orch-listen", daemon=True).start()
        while True:
            try:
                number, job, parcel = self._jobs.get(timeout=IDLE)
            except queue.Empty:
                return
            size = parcel.size
            size += self._perform(number, job, parcel)
            del job, parcel
            # What the body worked on goes when the answer is out: functions and their globals hold each other.
            sys.modules["__main__"] = ModuleType("__main__")
            if size > LARGE:
                gc.collect()

    def _perform(self, number: int, job: Any, parcel: Parcel) -> int:
        """Perform a job and answer; return how many bytes the answer had."""
        self._is_stopped, self._number = False, number
        capture = SentCapture(lambda acts: self._send("acts", number, acts))
        try:
            try:
                self._send("begun", number)
                answer = from_bytes(job).perform(parcel, capture)
                capture.finish()
                self._send("done", number, answer.states, parcel=answer.parcel)
                return int(answer.parcel.size)
            finally:
                self._number = 0
        except BaseException as error:  # noqa: BLE001 - whatever a body raises is its outcome
            self._number = 0
            capture.finish()
            self._send("failed", number, _as_bytes(error), describe_failure(error), was_shown(error))
        return 0

    def _send(self, kind: str, number: int, *content: Any, parcel: Parcel | None = None) -> None:
        with self._sending:
            send(self._pipe, (kind, number, *content), parcel)

    # the other thread

    def _listen(self) -> None:
        parent = os.getppid()
        try:
            while True:
                while not self._pipe.poll(WATCH):
                    if os.getppid() != parent:
                        _end()
                (kind, number, *content), parcel = receive(self._pipe)
                if kind == "job":
                    self._jobs.put((number, *content, parcel))
                elif kind == "stop" and number == self._number:
                    self._stop()
        except (EOFError, OSError):
            _end()

    def _stop(self) -> None:
        self._is_stopped = True
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # also breaks time.sleep
        else:
            _thread.interrupt_main()

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self._is_stopped and self._number:
            self._is_stopped = False  # raised once: what the body does now is clean up
            raise TaskStopped


def _as_bytes(error: BaseException) -> bytes | None:
    """Return an error as bytes, or None if it would not survive the journey."""
    try:
        data = to_bytes(error.with_traceback(None))
        from_bytes(data)
    except Exception:  # noqa: BLE001 - many errors cannot be made again from their message
        return None
    return data


def _end() -> None:
    """End this process, with what the body has started."""
    with suppress(OSError):
        if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)
    os._exit(1)


def serve(pipe: Any) -> None:
    """Perform jobs until the pipe closes."""
    with suppress(OSError, AttributeError):
        os.setsid()  # what a terminal sends to its group is not for us; what a body starts can be ended with us
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=pipe.close)  # else our end would not be noticed while a fork of ours lives
    sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123 - nobody can answer here
    _Child(pipe).run()
