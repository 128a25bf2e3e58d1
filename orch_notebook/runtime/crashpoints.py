"""Points at which a test may hold a process still, to kill it or another there and see what is left.

In: ``ORCH_CRASH_POINT``, read once when this is imported: ``NAME=FOLDER``.  Out: nothing, unless it is set.  Then the
first process to reach that point writes its id into the folder and goes on when there is a file ``go`` beside it, so
whoever set it decides which process dies, and everything before that point has really happened.

A name may say ``kernel:`` in front (only in a kernel that a worker started) and ``#3`` behind (the third time only).
Facts are recorded in groups that depend on who is quick, so those points do not count: they name the part of a run's
history that the group holds, the ``first``, the ``last``, or what is between.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from orch_notebook.model.events import Event, RunStateChanged

__all__ = ["part_of", "reach"]


class _Point:
    """The one point that is armed."""

    def __init__(self, text: str) -> None:
        name, _, folder = text.partition("=")
        name, _, number = name.partition("#")
        role, _, self.name = name.rpartition(":")
        self._is_of_kernels = role == "kernel"
        self._folder = Path(folder)
        self._number = int(number or 1)
        self._count = itertools.count(1)

    def hold(self) -> None:
        is_kernel = "ipykernel.kernelapp" in sys.modules  # the processes around one know of kernels, but are none
        if is_kernel != self._is_of_kernels or next(self._count) != self._number:
            return
        try:
            place = os.open(self._folder / "part", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:  # somebody was held here before
            return
        os.write(place, str(os.getpid()).encode())
        os.close(place)
        os.link(self._folder / "part", self._folder / "held")
        while not (self._folder / "go").exists():
            time.sleep(0.005)


_POINT = _Point(os.environ["ORCH_CRASH_POINT"]) if "=" in os.environ.get("ORCH_CRASH_POINT", "") else None


def part_of(events: Sequence[tuple[int, Event]]) -> str:
    """Return which part of a run's history a group of facts is.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from orch_notebook.model.states import State, StateType
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> begun, over = (RunStateChanged(at, State(kind)) for kind in (StateType.RUNNING, StateType.COMPLETED))
    >>> part_of([(1, begun)]), part_of([(2, begun)]), part_of([(2, begun), (3, over)])
    ('first', 'next', 'last')
    """
    if any(isinstance(event, RunStateChanged) and event.state.is_final for _, event in events[-2:]):
        return "last"
    return "first" if events and events[0][0] == 1 else "next"


def reach(name: str) -> None:
    """Say that a point has been reached; costs 50 ns where none is armed."""
    if _POINT is not None and _POINT.name == name:
        _POINT.hold()
