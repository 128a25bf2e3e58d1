"""The process that performs bodies for another: what it is told, and how it ends.

In: jobs over a pipe, one at a time.  Out: what a body puts out, while it runs, and what it made.  The main thread runs
the bodies, so that signals, event loops and libraries find what they expect; another one listens, so that a stop is
heard and the end of the parent noticed.
"""

from __future__ import annotations

import _thread
import gc
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from types import FrameType, ModuleType
from typing import Any

from orch_notebook.runtime.calls import TaskStopped, describe_failure, was_shown
from orch_notebook.runtime.capture import Capture, Routes
from orch_notebook.runtime.lines import LINE_LIMIT
from orch_notebook.runtime.parcels import Parcel
from orch_notebook.runtime.pickling import from_bytes, to_bytes
from orch_notebook.runtime.pipes import receive, send

__all__ = ["SentCapture", "replay", "serve"]

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

    def tell(self, level: int, text: str) -> None:
        """Send a line for the log."""
        self._act("tell", level, text)

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
            case ("tell", level, text):
                capture.tell(level, text)
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
