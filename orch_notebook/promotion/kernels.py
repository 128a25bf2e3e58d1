"""A kernel from its start to its end, for one execution.

In: the name of a kernel.  Out: a process that boots while others load what the execution takes, enters the folder and
environment of its run when that is known, and is gone, with all it was reached by, when the run has ended.

Importing this takes 0.2 s (jupyter_client), so only the process that executes does it; it comes before papermill there,
whose import then goes on while the kernel boots.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory
from typing import Any

import zmq
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_async, run_sync

__all__ = ["Kernel", "start_ahead"]

#: Lines a dying kernel leaves (a fault handler's traceback, the loader's complaint) that are worth showing.
MOST_LAST_WORDS = 30

#: Messages that may wait here to be read.  Beyond that the kernel keeps them, so a notebook that prints without end
#: runs out of its own memory, not ours.
MOST_WAITING = 100_000

#: Milliseconds between two tries to reach a kernel that boots; zmq's own 100 would be a tenth of a short execution.
KNOCK_EVERY = 10

#: Characters of a socket's path that every system takes, without the number behind it.
MOST_OF_A_PATH = 90

#: Seconds a kernel is given to end by itself, and again after a first signal.
LAST_SECONDS = 2.5

#: Run in a Python kernel before its first cell, as are the next two; as expressions, so that they leave no name.
#: A kernel drops what its reader has not taken: of 20,000 lines printed one by one up to a third were lost, sometimes
#: with the message that ends the cell.  This lifts that limit, in the thread that owns the socket.
KEEP_ALL = """\
(lambda thread: thread.schedule(lambda: thread.socket.setsockopt(__import__("zmq").SNDHWM, 0)))(
    get_ipython().kernel.iopub_thread)
"""

#: A crash in compiled code leaves a traceback in our log; by default it goes into a pipe that dies with the kernel.
#: That the file is open also tells which run a kernel works for, see :mod:`orch_notebook.promotion.launching`.
TELL_FAULTS = '__import__("faulthandler").enable(open({log!r}, "a"), all_threads=False)'

#: What a kernel that started before its run was known would else have been started with.
ENTER = """\
(lambda os: (os.environ.update({env!r}), os.chdir({cwd!r})))(__import__("os"))
(lambda shell, cwd: shell and setattr(shell, "starting_dir", cwd))(
    getattr(__import__("builtins"), "get_ipython", lambda: None)(), __import__("os").getcwd())
(lambda folders, cwd: folders and folders.__setitem__(0, type(folders[0])(cwd)))(
    globals().get("_dh"), __import__("os").getcwd())
"""

#: A module that is not there, or fails, is the notebook's to complain about.
PRELOAD = """\
exec("for name in names:\\n try: __import__(name)\\n except BaseException: pass", {{"names": {names!r}}})
"""


class Kernel:
    """A kernel process and the way to talk to it; :meth:`close` ends both.

    Parameters
    ----------
    name : str
        The name of the kernel's specification.
    cwd : path, optional
        Where it runs; by default in an empty folder, which :meth:`enter` leaves.
    env : mapping, optional
        All its environment variables; by default those of this process.
    preload : sequence of str, optional
        Modules that a Python kernel imports before anything else.

    Attributes
    ----------
    manager, client : jupyter_client's
        For who executes cells.
    info : mapping
        What the kernel said of itself, once it is ready.

    Raises
    ------
    OSError
        Its program cannot be started.
    """

    def __init__(
        self,
        name: str,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        preload: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.info: Mapping[str, Any] = {}
        self._folder = TemporaryDirectory(prefix="orch-kernel-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name) / "kernel.log"
        self._faults: Path | None = None
        self._is_asked_to_end = False
        self._is_closed = False
        self.manager = AsyncKernelManager(kernel_name=name)
        self._avoid_ports(Path(self._folder.name) / "kernel")
        self.manager.context.setsockopt(zmq.RCVHWM, MOST_WAITING)
        self.manager.context.setsockopt(zmq.RECONNECT_IVL, KNOCK_EVERY)
        try:
            self._start(cwd or Path(self._folder.name), dict(os.environ if env is None else env))
        except BaseException:
            self._clean()
            raise
        self._asked = self.client.kernel_info()
        if preload and self.is_python:
            self._say(PRELOAD.format(names=tuple(preload)))

    def _avoid_ports(self, place: Path) -> None:
        """Talk to it through sockets in a folder of its own, which nobody else can take or reach, if it can do so.

        A port is chosen before the kernel takes it, and any process may take it in between.  Only of a Python on this
        machine it is known that it finds the folder; another kernel may run in a container, or elsewhere.
        """
        program, *arguments = self.manager.kernel_spec.argv or [""]
        is_python_here = Path(program).name.startswith("python") and "ipykernel_launcher" in arguments
        if os.name == "posix" and is_python_here and len(str(place)) <= MOST_OF_A_PATH:
            self.manager.transport, self.manager.ip = "ipc", str(place)

    def _start(self, cwd: Path, env: Mapping[str, str]) -> None:
        # A history on disk would slow the kernel down, and belongs to people.
        history = ["--HistoryManager.hist_file=:memory:"] if self.manager.ipykernel else []
        with self._log.open("wb") as log:
            start = run_sync(self.manager.start_kernel)
            start(extra_arguments=history, cwd=str(cwd), env=dict(env), stdout=log, stderr=log)
        self.client = self.manager.client()
        # Nobody is there to be asked, and whether it lives is seen from its process.
        self.client.start_channels(stdin=False, hb=False)
        self.client.allow_stdin = False

    @property
    def is_python(self) -> bool:
        """Whether its language is Python."""
        return str(self.manager.kernel_spec.language).lower() == "python"

    @property
    def provisioner(self) -> Any:
        """Who holds the process, and takes signals for it."""
        return self.manager.provisioner

    def ready(self, timeout: float) -> None:
        """Return once it answers and is heard.

        Raises
        ------
        RuntimeError
            It died before, or takes longer than `timeout` seconds; with the last words it left, if any.
        """
        try:
            self.info = run_sync(self._ready)(time.monotonic() + timeout)
        except RuntimeError as error:
            words = self.last_words()
            raise RuntimeError(f"{error} ({words[-1]})" if words else str(error)) from None

    async def _ready(self, until: float) -> Mapping[str, Any]:
        while True:
            message = await self._reply(self._asked, until)
            with suppress(Empty):
                # What it publishes before it knows of its listener is lost: the first thing heard says that it does.
                await ensure_async(self.client.iopub_channel.get_msg(timeout=0.05))
                return dict(message["content"])
            self._asked = self.client.kernel_info()

    async def _reply(self, asked: str, until: float) -> Mapping[str, Any]:
        while True:
            try:
                message = await ensure_async(self.client.shell_channel.get_msg(timeout=0.5))
            except Empty:
                if not await self.manager.is_alive():
                    raise RuntimeError("Kernel died before replying to kernel_info") from None
                if time.monotonic() > until:
                    raise RuntimeError("Kernel did not respond in time") from None
            else:
                if message["parent_header"].get("msg_id") == asked:
                    return dict(message)

    def enter(self, cwd: Path, env: Mapping[str, str], timeout: float) -> None:
        """Have a kernel that started before its run was known work in a folder, with more environment variables.

        Raises
        ------
        RuntimeError
            It cannot.
        """
        asked = self._say(ENTER.format(env=dict(env), cwd=str(cwd)))
        reply = run_sync(self._reply)(asked, time.monotonic() + timeout)
        if reply["content"]["status"] != "ok":
            raise RuntimeError(f"It cannot work in {cwd}: {reply['content'].get('evalue')}")

    def prepare(self, faults: Path) -> None:
        """Have a Python kernel say all it prints, and a crash leave its traceback in a file."""
        self._faults = faults
        # A kernel of another make refuses; then it goes as it goes.
        self._say(KEEP_ALL)
        self._say(TELL_FAULTS.format(log=str(faults)))

    def _say(self, code: str) -> str:
        return str(self.client.execute(code, silent=True, store_history=False, stop_on_error=False))

    def last_words(self) -> list[str]:
        """Return the last lines it wrote outside of any cell; of a fault handler's, those about the cell's code."""
        lines = []
        for log in (self._log, self._faults):
            if log is not None and log.exists():
                lines += log.read_text(encoding="utf-8", errors="replace").splitlines()
        lines = [line for line in lines if line.strip() and not line.startswith("[IPKernelApp]")]
        fault = next((place for place, line in enumerate(lines) if line.startswith("Fatal Python error")), None)
        if fault is None:
            return lines[-MOST_LAST_WORDS:]
        shell = (place for place, line in enumerate(lines) if place > fault and "interactiveshell.py" in line)
        return lines[fault : next(shell, len(lines))][:MOST_LAST_WORDS]

    def ask_to_end(self) -> None:
        """Let it begin to end, while others still write down what it did."""
        if not self._is_asked_to_end:
            self._is_asked_to_end = True
            with suppress(Exception):  # it has died, and closing sees to the rest
                run_sync(self.manager.request_shutdown)()

    def close(self) -> None:
        """End it, kindly at first, and return when it is gone and nothing is left of it."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self.provisioner is not None and self.provisioner.has_process:
                self.ask_to_end()
                if not self._await_end():
                    run_sync(self.manager.shutdown_kernel)(now=True)
        finally:
            self._clean()

    def kill(self) -> None:
        """End it at once; it has done nothing for anybody."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            run_sync(self.manager.shutdown_kernel)(now=True)
        finally:
            self._clean()

    def _await_end(self) -> bool:
        """Wait for the end of the process, without asking again and again; whether it came."""
        process = getattr(self.provisioner, "process", None)
        if process is None:  # held by something else than this machine
            return False
        waiter = threading.Thread(target=process.wait, name="orch-kernel-end", daemon=True)
        waiter.start()
        waiter.join(LAST_SECONDS)
        if waiter.is_alive():
            process.terminate()
            waiter.join(LAST_SECONDS)
        if waiter.is_alive():
            return False
        run_sync(self.provisioner.wait)()
        return True

    def _clean(self) -> None:
        with suppress(Exception):
            run_sync(self.manager.cleanup_resources)()
        if hasattr(self, "client"):
            self.client.stop_channels()
        # Of a kernel that did not start nobody else closes what it would have talked through.
        self.manager.context.destroy(linger=0)
        self._folder.cleanup()
        if self._faults is not None:
            self._faults.unlink(missing_ok=True)


def start_ahead(name: str, preload: Sequence[str] = ()) -> Kernel | None:
    """Start a kernel for a run that is not known yet; None where that would not be as good as one started for it.

    Only a Python kernel can be told its folder and environment later.  What keeps a kernel from starting is said by
    whoever needs it.
    """
    try:
        spec = KernelSpecManager().get_kernel_spec(name)
        if spec.language.lower() != "python" or _looks_around(os.environ.get("PYTHONPATH", "")):
            return None
        return Kernel(name, preload=preload)
    except (NoSuchKernel, OSError, RuntimeError, ValueError):
        return None


def _looks_around(path: str) -> bool:
    """Whether a PYTHONPATH has places that depend on the folder where Python starts."""
    return any(not Path(place).is_absolute() for place in path.split(os.pathsep)) if path else False
