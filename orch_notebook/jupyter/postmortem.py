"""What went wrong last, left where ``%debug``, ``%tb`` and ``sys.last_value`` look for it.

A failed run raises one error of its own in the cell that ran it.  What people want to look at is the task's.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from IPython.core import interactiveshell

from orch_notebook.runtime.calls import users_frames

__all__ = ["Postmortem"]


class Postmortem:
    """The errors of one run, until one of them is left to the debugger.

    Parameters
    ----------
    shell
        The IPython shell.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._errors: dict[str, BaseException] = {}

    def begin(self, task: str) -> None:
        """Take note that an attempt begins: what the one before died of no longer matters."""
        self._errors.pop(task, None)

    def failed(self, task: str, error: BaseException) -> None:
        """Take note that an attempt has failed."""
        self._errors[task] = error

    def clear(self) -> None:
        """Forget the last run's errors, and with them the namespaces that their frames hold."""
        self._errors.clear()

    def leave(self) -> None:
        """Leave the first task's error to the debugger, with the frames of the notebook's code; forget the others."""
        if not self._errors:
            return
        task, error = next(iter(self._errors.items()))
        self._errors = {task: error}
        trace = _below_ipython(users_frames(error.__traceback__))
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error.with_traceback(trace), trace
        sys.last_exc = error  # type: ignore[attr-defined,unused-ignore]  # the only one from Python 3.14 on
        self._shell.InteractiveTB.tb = trace


def _below_ipython(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback with a frame above the user's that IPython takes for its own: it leaves the first one out."""
    if trace is None or trace.tb_frame.f_code is _IPYTHON:
        return trace
    frames: dict[str, Any] = {"_getframe": sys._getframe}
    exec(_IPYTHON, frames)  # noqa: S102 - a constant text, and the only way to a frame that seems to be of that file
    return TracebackType(trace, frames["frame"], 0, 1)


_IPYTHON = compile("__tracebackhide__ = True; frame = _getframe()", interactiveshell.__file__, "exec")
