"""A real IPython kernel for tests: code goes in, what a notebook would show comes out.

:class:`Kernel` starts one through jupyter_client and keeps it; :meth:`Kernel.run` executes a cell and returns an
:class:`Outcome` with the outputs in the notebook format, after every clear and every update by ``display_id``.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

__all__ = ["Kernel", "Outcome"]


@dataclass
class Outcome:
    """What one cell left behind.

    Parameters
    ----------
    status : str
        ``ok``, ``error``, ``aborted``, or ``dead`` when the kernel died under it.
    outputs : list of dict
        Outputs as a notebook would keep them.
    messages : list of dict
        Every message of the kernel about this cell, in order.
    """

    status: str = "ok"
    outputs: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)

    def stream(self, name: str = "stdout") -> str:
        """Return what was written to ``stdout`` or ``stderr``."""
        texts = (out["text"] for out in self.outputs if out["output_type"] == "stream" and out["name"] == name)
        return "".join(texts)

    def data(self, mime: str = "text/plain") -> list[Any]:
        """Return what was displayed or left as last value, in this form, in order."""
        bundles = (out["data"] for out in self.outputs if "data" in out)
        return [bundle[mime] for bundle in bundles if mime in bundle]

    @property
    def error(self) -> str:
        """The error as ``Name: message``, or an empty text."""
        for out in self.outputs:
            if out["output_type"] == "error":
                return f"{out['ename']}: {out['evalue']}"
        return ""

    @property
    def traceback(self) -> str:
        """The traceback as the notebook shows it, colours included, or an empty text."""
        return "\n".join(line for out in self.outputs for line in out.get("traceback", ()))


class Kernel:
    """One running kernel; a context manager that ends it.

    Parameters
    ----------
    cwd : Path
        Where it runs.
    env : mapping
        Its whole environment.
    """

    def __init__(self, cwd: Path, env: Mapping[str, str]) -> None:
        #: Outputs by their display_id: a later cell may still change what an earlier one showed.
        self.shown: dict[str, list[dict[str, Any]]] = {}
        self._answers: list[str] = []
        for is_last in (False, False, True):
            self.manager = KernelManager(kernel_name="python3")
            self.manager.start_kernel(cwd=str(cwd), env=dict(env))
            self.client = self.manager.blocking_client()
            self.client.start_channels()
            try:
                self.client.wait_for_ready(timeout=60)
                return
            except RuntimeError:
                # Its ports are chosen before it takes them; where many processes look for some, another may come first.
                self.shutdown()
                if is_last:
                    raise

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()

    def run(self, code: str, timeout: float = 60, answers: Sequence[str] = ()) -> Outcome:
        """Execute a cell and return its :class:`Outcome`; a cell that raises is an outcome, not an exception.

        Whatever the cell asks gets the next of `answers`, as if somebody typed it; without any, nobody is there.

        Raises
        ------
        TimeoutError
            The cell is still running after `timeout` seconds.
        """
        return self.wait(self.start(code, answers), timeout)

    def start(self, code: str, answers: Sequence[str] = ()) -> str:
        """Begin to execute a cell without waiting for it; :meth:`wait` takes the returned id."""
        self._answers = list(answers)
        return self.client.execute(code, allow_stdin=bool(answers), stop_on_error=False)

    def wait(self, message_id: str, timeout: float = 60) -> Outcome:
        """Wait for the cell that :meth:`start` began."""
        outcome, clear = Outcome(), False
        until = time.monotonic() + timeout
        while True:
            message = self._next(until, outcome)
            if message is None:
                return outcome
            if message["parent_header"].get("msg_id") != message_id:
                continue
            outcome.messages.append(message)
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            if kind == "clear_output":
                clear = content["wait"]
                if not clear:
                    outcome.outputs.clear()
            elif kind == "update_display_data":
                for out in self.shown.get(content["transient"]["display_id"], ()):
                    out["data"], out["metadata"] = content["data"], content["metadata"]
            elif kind in ("stream", "display_data", "execute_result", "error"):
                if clear:
                    outcome.outputs.clear()
                    clear = False
                output = {"output_type": kind, **content}
                outcome.outputs.append(output)
                if display_id := content.get("transient", {}).get("display_id"):
                    self.shown.setdefault(display_id, []).append(output)
        reply = self.client.get_shell_msg(timeout=max(1.0, until - time.monotonic()))
        while reply["parent_header"].get("msg_id") != message_id:
            reply = self.client.get_shell_msg(timeout=max(1.0, until - time.monotonic()))
        outcome.status = reply["content"]["status"]
        return outcome

    def _next(self, until: float, outcome: Outcome) -> dict[str, Any] | None:
        """Return the kernel's next message, or ``None`` when it is dead."""
        while True:
            if self._answers and self.client.stdin_channel.msg_ready():
                self.client.get_stdin_msg(timeout=1)
                self.client.input(self._answers.pop(0))
            try:
                return self.client.get_iopub_msg(timeout=0.5)
            except queue.Empty:
                if not self.manager.is_alive():
                    outcome.status = "dead"
                    return None
                if time.monotonic() > until:
                    raise TimeoutError(f"The cell is still running; so far it said {outcome.outputs!r}") from None

    def interrupt(self) -> None:
        """Do what the stop button does."""
        self.manager.interrupt_kernel()

    def shutdown(self) -> None:
        """End the kernel and close every socket to it."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
