"""What ``orch doctor`` looks at, and what it advises."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from orch_notebook import __version__
from orch_notebook.errors import OrchError, ScheduleError
from orch_notebook.model.durations import interval_words
from orch_notebook.model.graph import Graph
from orch_notebook.model.notices import hide
from orch_notebook.model.runs import iso
from orch_notebook.model.schedules import schedule_from_json
from orch_notebook.model.tasks import Task
from orch_notebook.model.views import dot
from orch_notebook.promotion.notebooks import check_kernel, kernel_of, read_notebook
from orch_notebook.runtime.clock import SystemClock
from orch_notebook.runtime.layout import layout
from orch_notebook.runtime.owners import is_dead
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

__all__ = ["Finding", "diagnose"]

#: Bytes below which a disk is said to be nearly full.
LITTLE_SPACE = 500_000_000
#: Seconds by which this machine's clock may differ from the store's before it is worth a word.
TOLERATED = 5.0


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
    is_folder = settings.home.is_dir() or not settings.home.exists()
    found.append(Finding("home", is_folder, f"{settings.home}{'' if is_folder else ' is no folder; set ORCH_HOME'}"))
    try:
        store = open_store()
        about = store.describe()
    except OrchError as error:
        return [*found, Finding("store", False, str(error))]
    is_whole = about["check"] == "ok"
    text = f"{about['kind']}, schema {about['schema']}, {about['bytes'] / 1e6:.1f} MB"
    advice = "" if is_whole else f"; damaged ({about['check']}): move {about['place']} away, or restore a copy"
    found.append(Finding("store", is_whole, text + advice))
    found += [_clock(store), _disk(settings), _kernel(), _diagram(), _workers(store, now)]
    found += [_schedules(store, now, settings.late), _due(store, now, settings.late), *_deployments(store)]
    return [*found, _messages(store)]


def _clock(store: Store) -> Finding:
    ahead = (SystemClock().now() - store.now()).total_seconds()
    if abs(ahead) <= TOLERATED:
        return Finding("clock", True, "as the store's")
    text = f"this machine's is {interval_words(round(abs(ahead)))} {'ahead of' if ahead > 0 else 'behind'} the store's"
    return Finding("clock", False, f"{text}, by which runs are due; set it, by NTP at best")


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


def _schedules(store: Store, now: datetime, late: float) -> Finding:
    rows = store.schedules()
    paused = len({row.deployment for row in rows if row.is_paused})
    text = f"{len(rows)} of {len({row.deployment for row in rows})} deployments"
    text += f", {paused} paused" if paused else ""
    overdue = [row for row in store.schedules_due(now) if row.next_at is not None]
    waits = [(now - row.next_at).total_seconds() for row in overdue if row.next_at is not None]
    if max(waits, default=0.0) > late:
        names = ", ".join(sorted({row.deployment for row in overdue})[:3])
        return Finding("schedules", False, f"{text}; nobody looks at those that are due ({names}). Start: orch worker")
    bad = [row.deployment for row in rows if not _is_readable(row.rule)]
    if bad:
        return Finding("schedules", False, f"{', '.join(sorted(set(bad)))}: this machine does not know the time zone")
    return Finding("schedules", True, text if rows else "none")


def _is_readable(rule: Mapping[str, Any]) -> bool:
    try:
        schedule_from_json(rule)
    except ScheduleError:
        return False
    return True


def _deployments(store: Store) -> list[Finding]:
    """Look at what each deployment stands on: its notebook, its kernel, and what it starts after."""
    deployments = store.deployments()
    names = {each.name for each in deployments}
    problems = []
    for each in deployments:
        plan = each.plan
        if not Path(plan.snapshot).exists():
            problems.append(f"{each.name}: {plan.snapshot} is gone; promote it again")
        elif not plan.entrypoint:
            try:
                check_kernel(plan.kernel or kernel_of(read_notebook(plan.snapshot)))
            except OrchError as error:
                problems.append(f"{each.name}: {error}")
        if not Path(plan.folder).is_dir():
            problems.append(f"{each.name}: its folder {plan.folder} is gone")
        gone = [rule.deployment for rule in each.starts_after if rule.deployment not in names]
        problems += [
            f"{each.name}: starts after {name!r}, which there is not; promote one of them again" for name in gone
        ]
    if not problems:
        return [Finding("deployments", True, f"{len(deployments)}, all can run here" if deployments else "none")]
    return [Finding("deployments", False, problem) for problem in problems]


def _messages(store: Store) -> Finding:
    """Look at whether people can be told, and were."""
    needs_library = any(
        not notice.to.startswith("command:") for deployment in store.rules() for notice in deployment.notices
    )
    if needs_library and find_spec("apprise") is None:
        return Finding("messages", False, "apprise is not installed: pip install 'orch_notebook[notify]'")
    unsent = [message for message in store.messages(limit=200) if message.state != "sent" and message.error]
    if unsent:
        newest = unsent[0]
        return Finding(
            "messages", False, f"{len(unsent)} not sent; {hide(newest.to)}: {newest.error} See: orch notify list"
        )
    return Finding("messages", True, "none is stuck")


def _due(store: Store, now: datetime, late: float) -> Finding:
    due_at = store.next_due_at()
    if due_at is None:
        return Finding("due runs", True, "none waits")
    seconds = (now - due_at).total_seconds()
    if seconds > late:
        text = f"the oldest has been waiting since {iso(due_at)}; is a worker running, and are its slots enough?"
        return Finding("due runs", False, text)
    return Finding("due runs", True, f"next at {iso(due_at)}")
