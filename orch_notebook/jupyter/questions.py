"""Refuses what a task asks of a person: nobody may be there, and two tasks could ask at once.

``input()`` and ``getpass()`` of plain cells, and of the debugger, go where they always did.
"""

from __future__ import annotations

import builtins
import functools
import getpass
from collections.abc import Callable
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.runtime.capture import current

__all__ = ["QuestionRoutes"]

REFUSAL = (
    "{}() in a task: nobody may be there to answer when the flow runs, and two tasks could ask at once. "
    "Make the value a parameter of the notebook, or ask in a plain cell above and let the task read the name."
)


class QuestionRoutes:
    """Tells the questions of tasks from all others.

    Parameters
    ----------
    shell
        The IPython shell; its kernel, where it has one, puts functions of its own in place while a cell is executed.
    """

    def __init__(self, shell: Any) -> None:
        kernel = getattr(shell, "kernel", None)
        # The last two are what the kernel puts back when the cell that loads the extension has ended.
        names = [(kernel, name) for name in ("raw_input", "getpass", "_sys_raw_input", "_save_getpass")]
        places = [(builtins, "input"), (getpass, "getpass"), *names]
        self._places: list[tuple[Any, str]] = [(owner, name) for owner, name in places if hasattr(owner, name)]
        self._restores: list[Callable[[], None]] = []

    def open(self) -> None:
        """Begin to refuse."""
        if not self._restores:
            self._restores = [_route(owner, name) for owner, name in self._places]

    def close(self) -> None:
        """Put everything back as it was."""
        while self._restores:
            self._restores.pop()()


def _route(owner: Any, name: str) -> Callable[[], None]:
    usual = getattr(owner, name)
    was_own = name in vars(owner)
    called = "getpass" if "getpass" in name else "input"

    @functools.wraps(usual)
    def ask(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # IPython shows the question's own place
        if current.get() is not None:
            raise UsageError(REFUSAL.format(called), retriable=False)
        return usual(*args, **kwargs)

    setattr(owner, name, ask)

    def restore() -> None:
        if getattr(owner, name, None) is not ask:
            return
        if name in vars(owner) and not was_own:  # it hides a method of the kernel's class
            delattr(owner, name)
        else:
            setattr(owner, name, usual)

    return restore
