"""What ``orch doctor`` looks at, and what it advises."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from orch_notebook import __version__
from orch_notebook.errors import OrchError
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import iso
from orch_notebook.model.tasks import Task
from orch_notebook.model.views import dot
from orch_notebook.promotion.notebooks import check_kernel
from orch_notebook.runtime.layout import layout
from orch_notebook.runtime.owners import is_dead
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

__all__ = ["Finding", "diagnose"]

#: Bytes below which a disk is said to be nearly full.
LITTLE_SPACE = 500_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    is_well: bool
    text: str

    def to_json(self) -> dict[str, str | bool]:
        """Return plain values."""
        return {"subject": self.subject, "is_well": self.is_well, "text": self.text}


def diagnose(settings: Settings, open_store: Callable[[], Store], now: datetime) -> list[Finding]:
    """Look at everything that flows depend on; what is wrong comes with what to do about it.

    Parameters
    ----------
    settings : Settings
        Those in force.
    open_store : callable
        Opens the store; that it cannot be opened is a finding too.
    now : datetime
        The present instant.
    """
    found = [Finding("version", True, f"orch_notebook {__version__}")]
    found.append(Finding("home", True, str(settings.home)))
    try:
        store = open_store()
        about = store.describe()
    except OrchError as error:
        return [*found, Finding("store", False, str(error))]
    is_whole = about["check"] == "ok"
    text = f"{about['kind']}, schema {about['schema']}, {about['bytes'] / 1e6:.1f} MB"
    advice = "" if is_whole else f"; damaged ({about['check']}): move {about['place']} away, or restore a copy"
    found.append(Finding("store", is_whole, text + advice))
    found += [_disk(settings), _kernel(), _diagram(), _workers(store, now)]
    found += _schedules(store, now, settings.late)
    return found


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.home).free
    advice = "" if free > LITTLE_SPACE else "; free some space, or set ORCH_HOME elsewhere"
    return Finding("disk", free > LITTLE_SPACE, f"{free / 1e9:.1f} GB free{advice}")


def _kernel() -> Finding:
    try:
        return Finding("kernel", True, f"{check_kernel('python3')} is installed")
    except OrchError as error:
        return Finding("kernel", False, str(error))


def _diagram() -> Finding:
    try:
        layout(dot(Graph((Task("a"),))))
    except OrchError as error:
        return Finding("diagram", False, str(error))
    return Finding("diagram", True, "Graphviz lays out")


def _workers(store: Store, now: datetime) -> Finding:
    workers = store.workers()
    dead = [worker for worker in workers if is_dead(worker.owner) or (now - worker.heartbeat_at).total_seconds() > 60]
    for worker in dead:
        store.remove_worker(worker.owner)
    living = [worker for worker in workers if worker not in dead]
    is_needed = bool(store.schedules()) or store.next_due_at() is not None
    if not living:
        advice = "none; runs wait for one. Start it: orch worker" if is_needed else "none, and none is needed"
        return Finding("workers", not is_needed, advice)
    return Finding("workers", True, ", ".join(f"{worker.name} ({worker.slots} slots)" for worker in living))


def _schedules(store: Store, now: datetime, late: float) -> list[Finding]:
    due_at = store.next_due_at()
    if due_at is None:
        return [Finding("due runs", True, "none waits")]
    seconds = (now - due_at).total_seconds()
    if seconds > late:
        text = f"the oldest has been waiting since {iso(due_at)}; is a worker running, and are its slots enough?"
        return [Finding("due runs", False, text)]
    return [Finding("due runs", True, f"next at {iso(due_at)}")]
