"""What tasks write: kept apart, in lines, within limits; and everything put back afterwards."""

from __future__ import annotations

import concurrent.futures
import contextvars
import io
import logging
import multiprocessing.pool
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import wraps

import pytest
from tqdm import tqdm

from orch_notebook.runtime.capture import Capture, Routes, capturing, current

PATIENCE = 20.0


class Lines(list):
    """The lines a capture tells, with their level."""

    def __call__(self, level, text):
        self.append((level, text))

    @property
    def texts(self):
        return [text for _, text in self]


class Outlet(io.StringIO):
    """A stream written in Python, like that of a kernel; its class can be swapped."""


@contextmanager
def streams(kind):
    """Have streams of this kind, written in Python or in C, in the place of stdout and stderr."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = kind(), kind()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def routed(test):
    """Perform a test with routes open over streams like those of a plain script.

    A fixture could not: pytest puts its own streams and log handlers in place after the fixtures are made.
    """

    @wraps(test)
    def perform(*arguments, **options):
        routes, root = Routes(), logging.getLogger()
        with streams(io.StringIO):
            handlers, root.handlers[:] = root.handlers[:], []
            routes.open()
            try:
                return test(*arguments, **options)
            finally:
                routes.close()
                root.handlers[:] = handlers

    return perform


def captured(work, **options):
    """Do some work as a task, and return its lines and outputs."""
    lines = Lines()
    capture = Capture(lines, **options)

    def run():
        with capturing(capture):
            work()

    contextvars.copy_context().run(run)
    return lines, capture.take()


WRITTEN = {
    "one line": (["a\n"], ["a"]),
    "a line in pieces": (["a", "b", "c\n"], ["abc"]),
    "several at once": (["a\nb\nc"], ["a", "b", "c"]),
    "blank lines are no lines": (["\n \n\na\n"], ["a"]),
    "a progress bar shows its last state": (["\r10%", "\r50%", "\r100%\n"], ["100%"]),
    "one that ends with a return": (["10%\r", "50%\r", "100%\r", "\n"], ["100%"]),
    "one that never ends": (["10%\r", "50%\r"], ["50%"]),
    "a bar after other text": (["begin", "\r10%", "\r20%\ndone\n"], ["20%", "done"]),
    "a return in the middle": (["abc\rde\n"], ["de"]),
    "windows' ends of lines": (["a\r\nb\r\n"], ["a", "b"]),
}


@pytest.mark.parametrize("texts, expected", WRITTEN.values(), ids=WRITTEN)
@routed
def test_what_is_written_is_told_in_lines(texts, expected) -> None:
    """However it comes, whole lines are told; the output keeps every character."""
    lines, outputs = captured(lambda: [sys.stdout.write(text) for text in texts])
    assert lines.texts == expected
    assert "".join(output["text"] for output in outputs) == "".join(texts)


@routed
def test_streams_and_logs_keep_their_order_and_level() -> None:
    """Text of one stream is joined, that of two stays in order; levels are those of logging."""

    def work():
        print("one")
        print("two", file=sys.stderr)
        logging.getLogger("mine").error("three %s", 3)
        print("five")

    lines, outputs = captured(work)
    assert lines == [(20, "one"), (30, "two"), (40, "three 3"), (20, "five")]
    assert outputs == [
        {"output_type": "stream", "name": "stdout", "text": "one\n"},
        {"output_type": "stream", "name": "stderr", "text": "two\nthree 3\n"},
        {"output_type": "stream", "name": "stdout", "text": "five\n"},
    ]


SCRIPT = """
import logging, sys, warnings
from orch_notebook.runtime.capture import Capture, Routes, capturing
routes = Routes()
routes.open()
with capturing(Capture(lambda level, text: sys.__stdout__.write(f"{level} {text}\\n"))):
    warnings.warn("careful")
    logging.getLogger("mine").warning("watch out")
    logging.basicConfig(level="INFO")
    logging.info("said on a stream of its own")
routes.close()
warnings.warn("outside")
logging.error("outside")
"""


def test_a_script_loses_neither_warnings_nor_logs() -> None:
    """In a task they are the task's, before and after logging is set up; outside they go where they always did."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "30 <string>:7: UserWarning: careful",
        "30 watch out",
        "30 INFO:root:said on a stream of its own",
    ]
    assert done.stderr.splitlines() == ["<string>:12: UserWarning: outside", "ERROR:root:outside"]


@routed
def test_tasks_that_run_at_once_never_mix_lines() -> None:
    """Eight tasks write pieces of lines in turns; each finds only its own, whole."""
    gate = threading.Barrier(8)
    kept = {}

    def work(name):
        gate.wait(PATIENCE)
        for number in range(300):
            sys.stdout.write(f"{name} ")
            sys.stdout.write(f"{number}\n")

    def task(name):
        kept[name], _ = captured(lambda: work(name))

    threads = [threading.Thread(target=task, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for name, lines in kept.items():
        assert lines.texts == [f"{name} {number}" for number in range(300)]
    assert sys.stdout.getvalue() == ""


def in_thread():
    thread = threading.Thread(target=print, args=("child",))
    thread.start()
    thread.join()


def in_timer():
    timer = threading.Timer(0, print, ("child",))
    timer.start()
    timer.join()


def in_executor():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pool.submit(print, "child").result(PATIENCE)


def in_pool():
    with multiprocessing.pool.ThreadPool(2) as pool:
        pool.apply(print, ("child",))


def in_grandchild():
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()


@pytest.mark.parametrize("work", [in_thread, in_timer, in_executor, in_pool, in_grandchild])
@routed
def test_what_a_tasks_threads_write_is_the_tasks(work) -> None:
    """Threads, pools and what they start belong to the task that started them."""
    lines, _ = captured(work)
    assert lines.texts == ["child"]


@routed
def test_a_pool_that_tasks_share_mixes_nothing() -> None:
    """Work belongs to who submitted it, not to who happened to start the thread; outside of tasks to nobody."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first, _ = captured(lambda: pool.submit(print, "first").result(PATIENCE))
        second, _ = captured(lambda: pool.submit(print, "second").result(PATIENCE))
        pool.submit(print, "outside").result(PATIENCE)
    assert (first.texts, second.texts) == (["first"], ["second"])
    assert sys.stdout.getvalue() == "outside\n"


@routed
def test_a_progress_bar_leaves_one_line() -> None:
    """tqdm rewrites its line thousands of times; the log shows how it ended."""
    lines, _ = captured(lambda: [None for _ in tqdm(range(2000), miniters=1, mininterval=0, ascii=True)])
    assert len(lines) == 1 and "2000/2000" in lines.texts[0]


@routed
def test_a_hundred_megabytes_are_capped_with_a_note() -> None:
    """What is beyond the limit is counted, and the count is shown; memory stays small."""
    chunk = "x" * 99 + "\n"

    def work():
        for _ in range(1000):
            sys.stdout.write(chunk * 1000)

    lines, outputs = captured(work, limit=100_000)
    assert sum(len(output["text"]) for output in outputs) < 100_300
    note = "… 99,900,000 more characters were not kept (limit 100,000; ORCH_LOG_LIMIT sets another)."
    assert lines.texts[-1] == note and note in outputs[-1]["text"]


@routed
def test_a_million_pieces_of_one_line_are_no_trouble() -> None:
    """Dots without a newline cost each the same, however many came before."""
    lines, _ = captured(lambda: [sys.stdout.write(".") for _ in range(300_000)])
    assert len(lines) == 1 and lines.texts[0].startswith("....") and lines.texts[0].endswith(" …")


@routed
def test_log_records_count_towards_the_limit() -> None:
    """A task that logs without end is capped like one that prints."""
    lines, _ = captured(lambda: [logging.getLogger("mine").warning("x" * 50) for _ in range(100)], limit=500)
    assert len(lines) < 20 and "were not kept" in lines.texts[-1]


@routed
def test_a_bad_log_call_does_not_fail_the_task() -> None:
    """A format string that does not fit is reported by logging itself, as in any program."""
    lines, _ = captured(lambda: logging.getLogger("mine").warning("%d files", "three"))
    assert any("Logging error" in text for text in lines.texts)


@routed
def test_outside_of_tasks_nothing_changes() -> None:
    """Code that belongs to no task writes where it always did."""
    print("plain")
    assert sys.stdout.getvalue() == "plain\n" and current.get() is None


class Tee:
    """What IPython does around a cell: its own `write` goes on the stream object, and comes off again."""

    def __init__(self, stream):
        self.stream, self.seen, self.old = stream, [], stream.write
        stream.write = self.write

    def write(self, text):
        self.seen.append(text)
        return self.old(text)

    def restore(self):
        self.stream.write = self.old


@streams(Outlet)
def test_ipythons_tee_may_come_and_go() -> None:
    """A tee put on while routes are open, or before, sees what is no task's, and leaves the routing in place."""
    early = Tee(sys.stdout)
    routes = Routes()
    routes.open()
    tee = Tee(sys.stdout)
    print("plain")
    lines, _ = captured(lambda: print("task"))
    tee.restore()
    again, _ = captured(lambda: print("again"))
    routes.close()
    early.restore()
    print("after")
    assert (lines.texts, again.texts) == (["task"], ["again"])
    assert "".join(early.seen) == "plain\n" and sys.stdout.getvalue() == "plain\nafter\n"


def world():
    streams = [(stream, type(stream)) for stream in (sys.stdout, sys.stderr)]
    submit = concurrent.futures.ThreadPoolExecutor.submit
    return streams, threading.Thread.start, submit, list(logging.getLogger().handlers)


@pytest.mark.parametrize("order", ["first first", "last first"])
@streams(Outlet)
def test_closed_routes_leave_everything_as_it_was(order) -> None:
    """Streams, threads, pools and log handlers; also if several were open, and whoever closes first."""
    before = world()
    first, second = Routes(), Routes()
    for routes in (first, second, second):
        routes.open()
    for routes in (first, second) if order == "first first" else (second, first):
        lines, _ = captured(lambda: print("task"))
        assert lines.texts == ["task"]
        routes.close()
        routes.close()
    assert world() == before
    lines, _ = captured(lambda: print("plain"))
    assert lines == [] and sys.stdout.getvalue() == "plain\n"
