"""What one execution of a notebook tells, keeps and ends as.

In: what the client reports while cells run.  Out: progress for whoever follows, the executed notebook on disk, whole
each time and with true statuses in the end, and the :class:`Execution` that says how it ended.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from orch_notebook.errors import NotebookError
from orch_notebook.promotion.notebooks import notebook_bytes, tags_of
from orch_notebook.promotion.stopping import Watch
from orch_notebook.runtime.files import write_whole
from orch_notebook.runtime.redaction import redactor

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Execution", "Progress", "Quiet", "Recording"]

COMPLETED, FAILED, CRASHED, STOPPED = "completed", "failed", "crashed", "stopped"

#: Writing may take one part in so many of the time: a notebook of 50 MB is written less often than a small one.
PATIENCE = 20

MARKER = "papermill-error-cell-tag"


@dataclass(frozen=True, slots=True)
class Execution:
    """How one execution of a notebook ended.

    Parameters
    ----------
    kind : str
        ``completed``, ``failed`` (a cell raised), ``crashed`` (the kernel died), ``timed out`` or ``stopped``.
    output : Path
        The executed notebook.
    cell_index : int or None
        The cell in which it ended, counted over all cells of the original; ``None`` when completed or between cells.
    cell_id : str or None
        Its id.
    ename, evalue : str
        The exception's class and text; ``KernelDied``, ``TimedOut`` or ``Stopped`` where there was none.
    traceback : tuple of str
        As the kernel sent it, with colours.
    """

    kind: str
    output: Path
    cell_index: int | None = None
    cell_id: str | None = None
    ename: str = ""
    evalue: str = ""
    traceback: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every cell ran and none failed."""
        return self.kind == COMPLETED


class Progress(Protocol):
    """Who wants to know how an execution goes; indexes are those of the original notebook.

    The cell that injects parameters is not reported; a ``%flow run`` that was added comes after the last index.
    """

    def cell_started(self, index: int, cell_id: str) -> None:
        """Learn that a cell runs."""

    def cell_ended(self, index: int, cell_id: str, error: Mapping[str, Any] | None) -> None:
        """Learn that a cell ended; `error` bears ``ename``, ``evalue`` and ``traceback``."""

    def output(self, index: int, message: Mapping[str, Any]) -> None:
        """Take text a cell wrote: ``{"name": "stdout" or "stderr", "text": …}``."""


class Quiet:
    """Progress for those who only want the result."""

    def cell_started(self, index: int, cell_id: str) -> None:
        """Do nothing."""

    def cell_ended(self, index: int, cell_id: str, error: Mapping[str, Any] | None) -> None:
        """Do nothing."""

    def output(self, index: int, message: Mapping[str, Any]) -> None:
        """Do nothing."""


class Recording:
    """Follows one execution: reports progress, saves the notebook, and knows in the end what happened.

    Parameters
    ----------
    positions : mapping
        The index in the original of every cell id; cells that are not in it were injected and are not reported.
    output : Path
        Where the executed notebook goes.
    metadata : mapping
        What it bears under ``metadata.orch_notebook``.
    progress : Progress
        Who is told.
    watch : Watch
        Whose verdict ends the execution.
    clock : callable
        Seconds from anywhere.
    save_every : float
        Seconds between two writes, at least.
    """

    def __init__(
        self,
        positions: Mapping[str, int],
        output: Path,
        metadata: Mapping[str, Any],
        progress: Progress,
        watch: Watch,
        clock: Callable[[], float],
        save_every: float,
    ) -> None:
        self.notebook: NotebookNode | None = None
        self.reached = -1
        self.ended: Execution | None = None
        self._running: NotebookNode | None = None
        self._positions = positions
        self._output = output
        self._metadata = metadata
        self._progress = progress
        self._watch = watch
        self._clock = clock
        self._save_every = save_every
        self._next_save = clock()

    def follow(self, notebook: NotebookNode) -> None:
        """Take the notebook that papermill has prepared, and write it for the first time."""
        self.notebook = notebook
        notebook.metadata.papermill["input_path"] = self._metadata.get("source")
        notebook.metadata.papermill["output_path"] = str(self._output)
        self._write()

    def started(self, kernel: Any) -> None:
        """Learn that a kernel is ready."""
        self._watch.kernel_is(kernel)

    def admits(self, index: int) -> bool:
        """Whether the next cell may start: not after somebody asked to stop."""
        if verdict := self._watch.verdict:
            self._end(None, _error(verdict.ename, verdict.evalue), verdict.kind)
            return False
        self.reached = index
        return True

    def begin(self, index: int, cell: NotebookNode) -> None:
        """Learn that a code cell is about to run."""
        self._running = cell
        if cell.id in self._positions:
            self._progress.cell_started(self._positions[cell.id], cell.id)

    def end(self, index: int, cell: NotebookNode, error: Mapping[str, Any] | None) -> None:
        """Learn that a code cell has ended."""
        if error is not None:
            kind = FAILED
            if verdict := self._watch.verdict:
                # The KeyboardInterrupt that we caused stays above the words that explain it.
                error, kind = _show(cell, _error(verdict.ename, verdict.evalue, error["traceback"])), verdict.kind
            self._end(cell, error, kind)
        self._close(cell, error)

    def died(self, index: int, cell: NotebookNode, exit_code: int | None, words: Sequence[str]) -> None:
        """Learn that the kernel died while this cell ran, and what it last wrote outside of any cell."""
        if verdict := self._watch.verdict:
            error, kind = _error(verdict.ename, verdict.evalue), verdict.kind
        else:
            text = f"The kernel died while this cell ran{_how(exit_code)}."
            error, kind = _error("KernelDied", text, words), CRASHED
        self._end(cell, _show(cell, error, len(words) + 1), kind)
        self._close(cell, error)

    def stream(self, index: int, message: Mapping[str, Any]) -> None:
        """Take text that a cell wrote."""
        assert self.notebook is not None
        position = self._positions.get(self.notebook.cells[index].id)
        if position is not None:
            self._progress.output(position, message)

    def changed(self) -> None:
        """Write the notebook if that is due."""
        if self._clock() >= self._next_save:
            # A disk that is full now may have room at the end, when it counts and is said.
            with suppress(NotebookError):
                self._write()

    def give_up(self, error: BaseException) -> None:
        """Learn that executing itself failed, in the middle of whatever cell was running, and write what is known."""
        if self.notebook is None:
            return
        if isinstance(error, KeyboardInterrupt):
            known, kind = _error("Stopped", "The notebook was interrupted from the keyboard."), STOPPED
        else:
            lines = str(error).strip().splitlines() or [""]
            known, kind = _error(type(error).__name__, lines[0]), CRASHED
        if self._running is not None:
            _show(self._running, known)
        self._end(self._running, known, kind)
        with suppress(NotebookError):
            self.finish()

    def finish(self) -> Execution:
        """Make every status true, write the notebook and return how it ended.

        Raises
        ------
        NotebookError
            It cannot be written; ``error.execution`` says how it ended all the same.
        """
        assert self.notebook is not None
        ended = self.ended or Execution(COMPLETED, self._output)
        # papermill inserts two cells that say in red what the failed cell says already, and shifts every index.
        self.notebook.cells = [cell for cell in self.notebook.cells if MARKER not in tags_of(cell)]
        for index, cell in enumerate(self.notebook.cells):
            record = cell.metadata.setdefault("papermill", type(cell)())
            if index > self.reached:
                record.update(status="pending", exception=None, start_time=None, end_time=None, duration=None)
            else:
                failed = ended.cell_id == cell.id
                record.update(status="failed" if failed else "completed", exception=failed)
        self.notebook.metadata.papermill["exception"] = None if ended.ok else True
        error = {} if ended.ok else {"ename": ended.ename, "evalue": ended.evalue}
        self.notebook.metadata["orch_notebook"] = {**self._metadata, "outcome": ended.kind, **error}
        self._write(ended)
        return ended

    def _end(self, cell: NotebookNode | None, error: Mapping[str, Any], kind: str) -> None:
        if self.ended is None:
            cell_id = None if cell is None else cell.id
            position = self._positions.get(cell_id) if cell_id else None
            lines = tuple(error["traceback"])
            self.ended = Execution(kind, self._output, position, cell_id, error["ename"], error["evalue"], lines)

    def _close(self, cell: NotebookNode, error: Mapping[str, Any] | None) -> None:
        self._running = None
        if cell.id in self._positions:
            self._progress.cell_ended(self._positions[cell.id], cell.id, error)

    def _write(self, ended: Execution | None = None) -> None:
        before = self._clock()
        try:
            written = notebook_bytes(self.notebook)
            if redactor:
                written = redactor.redact(written.decode("utf-8")).encode("utf-8")
            write_whole(self._output, written)
        except OSError as error:
            reason = error.strerror or error
            message = f"The executed notebook cannot be written to {self._output}: {reason}."
            raise NotebookError(message, path=str(self._output), execution=ended) from None
        now = self._clock()
        self._next_save = now + max(self._save_every, PATIENCE * (now - before))


def _error(ename: str, evalue: str, before: Sequence[str] = ()) -> dict[str, Any]:
    return {"ename": ename, "evalue": evalue, "traceback": [*before, f"{ename}: {evalue}"]}


def _show(cell: NotebookNode, error: Mapping[str, Any], lines: int = 1) -> Mapping[str, Any]:
    """Show the last lines of an error that the kernel did not send in the cell, and return the error."""
    output = {"output_type": "error", "ename": error["ename"], "evalue": error["evalue"]}
    cell.outputs.append(type(cell)(output, traceback=error["traceback"][-lines:]))
    return error


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return ""
    if exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        return f": it was killed by {name}" + (", as happens when memory runs out" if name == "SIGKILL" else "")
    return f": it exited with code {exit_code}"
