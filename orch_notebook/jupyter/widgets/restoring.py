"""Brings what stands below cells up to date on pages that the kernel's own messages do not reach any more.

A page that is loaded again in the midst of a run begins with the outputs as they were saved; JupyterLab drops what the
kernel sends for the cells that an earlier page executed.  Widget models come back, though: this one has no view, so it
leaves nothing in the notebook, and through it a page hears what stands where.

In: every message that the outlet sends to a cell below which a badge, a summary or a panel stands.  Out: those cells'
outputs, to pages that did not execute them.  A page that hears of the kernel also hides the marks that say as of when
something holds (:func:`orch_notebook.model.views.as_of`); every other reader sees them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from threading import Event, Lock, Thread
from time import perf_counter
from typing import Any

from orch_notebook.jupyter.outlets import Address
from orch_notebook.jupyter.widgets.messages import CellOutputs
from orch_notebook.jupyter.widgets.surface import Surface, open_restorer

__all__ = ["Restorer"]

#: Seconds between two messages.
INTERVAL = 0.5
#: The thread rests this many times as long as a message took to make: outputs may be large.
RESTS = 9
#: Cells in one message.
MOST = 100
#: Seconds after which the kernel speaks first: where a cell blocks it, it hears the page's greeting only at its end.
KNOCKS = (0.3, 0.7, 1.5, 3.0, 6.0, 12.0)

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Below:
    """What stands below one cell: the output that bears the mark, and what its task put out."""

    cell: str
    #: The page that executed the cell, whom the kernel's own messages reach.
    page: str
    mark: str
    first: dict[str, Any] = field(default_factory=dict)
    others: list[dict[str, Any]] = field(default_factory=list)
    #: Whether the next output replaces the others.
    clears: bool = False


class Restorer:
    """Knows what stands below the cells of a notebook, and tells pages that were loaded again.

    Parameters
    ----------
    connect : callable, optional
        Opens the way to the pages; a test's own.

    Attributes
    ----------
    kernel : str
        The name by which pages know whose marks to hide.
    """

    def __init__(
        self,
        connect: Callable[[Callable[[Mapping[str, Any]], None], Callable[[], None]], Surface] = open_restorer,
    ) -> None:
        self.kernel = token_hex(4)
        self._connect = connect
        self._surface: Surface | None = None
        self._lock = Lock()
        self._below: dict[tuple[str, str], _Below] = {}
        self._of_display: dict[str, _Below] = {}
        #: The pages that have come.
        self._pages: set[str] = set()
        self._pending: dict[tuple[str, str], _Below] = {}
        self._greeted = False
        self._wake = Event()
        self._ended = Event()
        self._thread: Thread | None = None

    def open(self) -> None:
        """Begin to serve pages, on a thread of its own: the widgets' library takes a moment to import."""
        with self._lock:
            if self._thread is None and not self._ended.is_set():
                self._thread = Thread(target=self._run, name="orch-restore", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Serve no more; pages take that for the kernel's end."""
        self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self._surface is not None:
            self._surface.close()

    # what stands where

    def note(self, kind: str, content: Mapping[str, Any], to: Address, display_id: str = "") -> None:
        """Take note of a message that the outlet has sent.

        Parameters
        ----------
        kind, content
            Its type and content.
        to : Address
            The cell it was sent to.
        display_id : str
            The badge of the task whose it is; empty for what is of no task.
        """
        own = str(content.get("transient", {}).get("display_id", ""))
        key, cell = display_id or own, to.cell_id
        if not key or not cell:
            return
        with self._lock:
            if kind == "display_data" and own == key:
                below = self._new(key, cell, str(to.parent.get("header", {}).get("session", "")), content)
            elif (found := self._of_display.get(key)) is None:
                return
            else:
                below = found
                _change(below, kind, content, own == key)
            if any(page != below.page for page in self._pages):
                self._pending[below.cell, below.mark] = below
                self._wake.set()

    def _new(self, key: str, cell: str, page: str, content: Mapping[str, Any]) -> _Below:
        mark = next(iter(content.get("metadata", {}).get("orch_notebook", {})), "")
        below = self._below[cell, mark] = _Below(cell, page, mark, _output("display_data", content))
        self._of_display = {
            name: each for name, each in self._of_display.items() if (each.cell, each.mark) != (cell, mark)
        }
        self._of_display[key] = below
        return below

    # pages

    def _receive(self, message: Mapping[str, Any]) -> None:
        """Take what a page says; on ipykernel 7 this may be a subshell's thread."""
        if message.get("type") != "hello":
            return
        page = str(message.get("page", ""))
        with self._lock:
            self._pages.add(page)
            self._greeted = True
            self._pending.update({key: below for key, below in self._below.items() if below.page != page})
        self._wake.set()

    def flush(self) -> None:
        """Tell the pages what changed, and a page that has just come that the kernel lives."""
        while True:
            with self._lock:
                greeted, self._greeted = self._greeted, False
                taken = [self._pending.pop(key) for key in list(self._pending)[:MOST]]
                cells: list[CellOutputs] = [
                    {
                        "cell": each.cell,
                        "page": each.page,
                        "mark": each.mark,
                        "outputs": [each.first, *(_output(other["output_type"], other) for other in each.others)],
                    }
                    for each in taken
                ]
            if not (greeted or cells) or self._surface is None:
                return
            self._surface.send({"type": "restore", "kernel": self.kernel, "cells": cells})

    def _run(self) -> None:
        try:
            self._surface = self._connect(self._receive, self._ended.set)
        except Exception:
            # Where no widgets can be, the marks say as of when things hold.
            log.debug("Pages that are loaded again cannot be brought up to date.", exc_info=True)
            return
        knocks = iter(KNOCKS)
        while True:
            if not self._wake.wait(None if self._pages else next(knocks, None)):
                self._surface.send({"type": "restore", "kernel": self.kernel, "cells": []})
                continue
            self._wake.clear()
            if self._ended.is_set():
                return
            began = perf_counter()
            try:
                self.flush()
            except Exception:
                log.exception("What stands below the cells could not be told.")
            self._ended.wait(max(INTERVAL, RESTS * (perf_counter() - began)))


def _output(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as the notebook format has it."""
    return {"output_type": kind, **{name: value for name, value in content.items() if name != "transient"}}


def _change(below: _Below, kind: str, content: Mapping[str, Any], is_own: bool) -> None:
    if kind == "clear_output":
        below.clears = bool(content.get("wait"))
        if not below.clears:
            below.others = []
        return
    if below.clears:
        below.clears, below.others = False, []
    if kind != "update_display_data":
        below.others.append({**_output(kind, content), "transient": content.get("transient", {})})
    elif is_own:
        below.first = _output("display_data", content)
    else:
        # A task's own display, which it changes itself.
        changed = content.get("transient", {}).get("display_id")
        for place, other in enumerate(below.others):
            if other.get("transient", {}).get("display_id") == changed:
                below.others[place] = {**other, "data": content["data"], "metadata": content.get("metadata", {})}
