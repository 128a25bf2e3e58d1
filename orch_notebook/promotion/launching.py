"""How a claimed run comes to be executed: each in a process group of its own on this machine.

In: the lease of a run.  Out: a :class:`Launch`, which says when that execution has ended and how, and can be told to
stop.  Whatever a process leaves behind when it dies is ended here too.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from orch_notebook.promotion.booting import Spare
from orch_notebook.promotion.spares import Spares, environment_of_run
from orch_notebook.runtime.crashpoints import reach
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease, Store

__all__ = ["STARTING", "Launch", "Launcher", "end_processes", "launch_process"]


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


def launch_process(settings: Settings, store: Store, spares: Spares | None = None) -> Launcher:
    """Return the launcher that executes each run in a process group of its own.

    Parameters
    ----------
    settings : Settings
        Those of the runs.
    store : Store
        Knows what executing them takes.
    spares : Spares, optional
        Processes that wait for runs already.
    """

    def launch(lease: Lease, told: Callable[[], None]) -> Launch:
        folder = settings.folder("runs", lease.run_id)
        log_path = folder / "process.log"
        environment = environment_of_run(store, lease.run_id)
        reach("launch.ready")
        spare = spares.take(environment) if spares is not None else None
        if spare is None or not spare.tell(lease, log_path):
            with os.fdopen(os.open(log_path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600), "ab") as log:
                spare = Spare(settings.environment, environment, log.fileno())
            spare.tell(lease, log_path)  # if it has ended already, that is found out below
        process = spare.process
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
    for place in Path("/proc").glob("[0-9]*"):
        if int(place.name) != os.getpid() and _works_for(place, run_id):
            with suppress(OSError):
                os.kill(int(place.name), signal.SIGKILL)


def _works_for(place: Path, run_id: str) -> bool:
    """Whether a process, given as its folder in /proc, executes a run, is its kernel, or was started by that.

    A kernel that starts before its run is known has the run's id in its environment too late for others to see; it,
    and the process that executes the run, are known by the logs they write to in the run's folder.
    """
    try:
        if f"ORCH_RUN_ID={run_id}".encode() in (place / "environ").read_bytes().split(b"\0"):
            return True
        for descriptor in (place / "fd").iterdir():
            folder, _, name = str(descriptor.readlink()).rpartition("/")
            is_log = name.endswith("kernel.log") or (name == "process.log" and descriptor.name == "1")
            if is_log and folder.endswith(f"/runs/{run_id}") and descriptor.lstat().st_mode & stat.S_IWUSR:
                return True
    except OSError:  # it has ended meanwhile, or is somebody else's
        pass
    return False
