"""How a claimed run comes to be executed: each in a process group of its own on this machine.

In: the lease of a run.  Out: a :class:`Launch`, which says when that execution has ended and how, and can be told to
stop.  Whatever a process leaves behind when it dies is ended here too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from orch_notebook.runtime.crashpoints import reach
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease

__all__ = ["STARTING", "Launch", "Launcher", "Spare", "end_processes", "launch_process"]


#: Seconds that the process of a claimed run may take to begin; many that start at once share the processors.
STARTING = 60.0


class Launch:
    """A run that is being executed; ended by a process, or by whatever a test puts in its place.

    Parameters
    ----------
    lease : Lease
        The claim.
    stop : callable
        Asks for the end of the execution, which may take some seconds to tidy up.
    end : callable, optional
        Ends it at once; by default as `stop`.
    starting : float
        Seconds it may take to begin.
    """

    def __init__(
        self,
        lease: Lease,
        stop: Callable[[], None],
        end: Callable[[], None] | None = None,
        starting: float = STARTING,
    ) -> None:
        self.lease = lease
        self.stop = stop
        self.end = end or stop
        self.starting = starting
        self.ended = threading.Event()
        self.said = ""


#: Begins the execution of a claimed run, and calls the second argument when it has ended.
Launcher = Callable[[Lease, Callable[[], None]], Launch]


class Spare:
    """A process that loads what an execution takes, half a second's work, while it is made out which one it will be.

    Parameters
    ----------
    settings : Settings
        Those of the run that it will execute.
    """

    def __init__(self, settings: Settings) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):  # whoever launches a process next will say why there can be none
            self._process = _start(settings, [], subprocess.DEVNULL)

    def take(self, lease: Lease, log_path: Path) -> subprocess.Popen[bytes] | None:
        """Have it execute a claimed run; ``None`` if it did not live to be told."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return None
        try:
            process.stdin.write(
                json.dumps([lease.run_id, lease.owner, str(lease.token), str(log_path)]).encode() + b"\n"
            )
            process.stdin.flush()
        except OSError:
            _end(process)
            return None
        return process

    def close(self) -> None:
        """End it, if nobody took it."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with suppress(OSError):
        process.communicate()


def _start(settings: Settings, arguments: Sequence[str], output: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **settings.environment, "PYTHONUNBUFFERED": "1"}
    environment.pop("JPY_PARENT_PID", None)  # else a kernel would watch the worker's parent instead of its own
    return subprocess.Popen(
        [sys.executable, "-m", "orch_notebook.promotion.start", *arguments],
        stdin=subprocess.PIPE,  # stays open as long as this worker lives
        stdout=output,
        stderr=output,
        env=environment,
        start_new_session=True,
    )


def launch_process(settings: Settings, spare: Spare | None = None) -> Launcher:
    """Return the launcher that executes each run in a process group of its own, the first in the spare one."""

    def launch(lease: Lease, told: Callable[[], None]) -> Launch:
        folder = settings.folder("runs", lease.run_id)
        log_path = folder / "process.log"
        reach("launch.ready")
        with os.fdopen(os.open(log_path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600), "ab") as log:
            process = spare.take(lease, log_path) if spare is not None else None
            if process is None:
                process = _start(settings, [lease.run_id, lease.owner, str(lease.token)], log.fileno())
        reach("launch.started")

        def end() -> None:
            _end_group(process.pid)
            end_processes(lease.run_id)

        found = Launch(lease, process.terminate, end)

        def wait() -> None:
            code = process.wait()
            if process.stdin is not None:
                process.stdin.close()
            _end_group(process.pid)
            if code not in (0, 1):
                end_processes(lease.run_id)
            found.said = (
                f"ended by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
            )
            found.ended.set()
            told()

        threading.Thread(target=wait, name=f"orch-reap-{process.pid}", daemon=True).start()
        return found

    return launch


def _end_group(pid: int) -> None:
    """End what a run process left behind in its group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def end_processes(run_id: str) -> None:
    """End the kernel of a run, what it started, and the process that executes it, as far as they live on this machine.

    A kernel that waits in C code does not notice that its parent has died, and lives in a session of its own; a process
    that is stopped would go on some day.
    """
    mark = f"ORCH_RUN_ID={run_id}".encode()
    found = set()
    for place in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in place.read_bytes().split(b"\0"):
                found.add(int(place.parent.name))
                parent = place.with_name("stat").read_text("utf-8").rpartition(")")[2].split()[1]
                if b"orch_notebook.promotion.start" in (Path("/proc") / parent / "cmdline").read_bytes():
                    found.add(int(parent))
    for pid in found - {os.getpid()}:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
