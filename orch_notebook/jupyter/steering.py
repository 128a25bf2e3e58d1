"""The run or the check that goes on in a session: one at a time, steered by whoever is at the notebook.

In: the handle of a run, and what people ask of it.  Out: the errors that say why they cannot have it; the end of the
run, or of the waiting for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orch_notebook.errors import FlowRunCancelled, UsageError
from orch_notebook.model.states import StateType
from orch_notebook.runtime.handles import RunHandle

__all__ = ["Steering"]

#: Seconds that an interrupted cell waits for its run to end.
GRACE = 2.0


class Steering:
    """What goes on in a session.

    Attributes
    ----------
    handle : RunHandle or None
        The latest run.
    is_waiting : bool
        Whether a cell waits for the run, so that the kernel is busy with it.
    lock : RLock
        Held while something begins, and while is looked at what must not begin meanwhile.
    """

    def __init__(self) -> None:
        self.handle: RunHandle | None = None
        self.is_waiting = False
        self.lock = threading.RLock()
        self._is_checking = False

    @property
    def running(self) -> RunHandle | None:
        """The run that goes on, if one does."""
        return self.handle if self.handle is not None and not self.handle.is_over else None

    def refuse_if_busy(self) -> None:
        """Raise if a run or a check is under way.

        Raises
        ------
        UsageError
            It is.
        """
        if self._is_checking:
            raise UsageError("The flow is being checked. Wait for it, or interrupt the cell that does it.")
        if (handle := self.running) is not None:
            raise UsageError(
                f"Flow {handle.run.flow!r} is running already. Wait for it, or cancel it with '%flow cancel'."
            )

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Let nothing else begin while this context goes on.

        Raises
        ------
        UsageError
            A run or a check is under way.
        """
        with self.lock:
            self.refuse_if_busy()
            self._is_checking = True
        try:
            yield
        finally:
            self._is_checking = False

    def wait(self, handle: RunHandle) -> None:
        """Wait for the end of a run; an interrupt cancels it.

        Raises
        ------
        FlowRunCancelled
            It was interrupted, and a task cannot be.
        """
        self.is_waiting = True
        try:
            while not handle.wait(0.2):
                pass
        except KeyboardInterrupt:
            _interrupted(handle)
        finally:
            self.is_waiting = False

    def cancel(self) -> None:
        """Ask for the run to be cancelled and return at once.

        Raises
        ------
        UsageError
            Nothing runs.
        """
        self._going().cancel()

    def pause(self) -> None:
        """Let what runs come to its end and start nothing more until :meth:`resume`.

        Raises
        ------
        UsageError
            Nothing runs.
        """
        self._going().pause()

    def resume(self) -> None:
        """Let a paused run go on.

        Raises
        ------
        UsageError
            No run is paused.
        """
        handle = self.running
        if handle is None or handle.run.state.type is not StateType.PAUSED:
            raise UsageError("No run is paused.")
        handle.resume()

    def _going(self) -> RunHandle:
        if (handle := self.running) is None:
            raise UsageError("Nothing is running.")
        return handle


def _interrupted(handle: RunHandle) -> None:
    handle.cancel()
    try:
        ended = handle.wait(GRACE)
    except KeyboardInterrupt:  # somebody impatient pressed stop once more
        ended = handle.is_over
    if not ended:
        # The badges are kept up to date until the run has really ended.
        names = ", ".join(repr(name) for name in handle.stuck) or "a task"
        raise FlowRunCancelled(
            f"Flow {handle.run.flow!r} is being cancelled, but {names} is inside a call that cannot be "
            f"interrupted; it stops when that call returns. Nothing new is started.",
            run_id=handle.run_id,
        )
