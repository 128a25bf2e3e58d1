"""What is no longer needed goes: runs beyond their retention, and files that nothing refers to any more.

In: the store, the folders beside it and the rules.  Out: what may go, with its size; and its removal.  What a run that
goes on needs, or one that may be repeated from where it failed, is never among it.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orch_notebook.errors import StoreError
from orch_notebook.model.retention import Retention
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType
from orch_notebook.runtime.clock import Clock
from orch_notebook.runtime.owners import is_dead
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

__all__ = ["Cleanup", "Keeper", "Pile", "clean_up", "plan_cleanup"]

logger = logging.getLogger("orch_notebook.worker")

#: Seconds for which a file that nothing refers to yet is left alone: somebody may be about to.
YOUNG = 3600.0
#: Seconds between two cleanings of a worker.
CLEAN_EVERY = 3600.0
#: The key that signs results lies among them.
KEY = "key"


@dataclass(frozen=True, slots=True)
class Pile:
    """Things of one kind that may go: how many, and about how many bytes."""

    kind: str
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What may go.

    Parameters
    ----------
    runs : tuple of str
        Runs to forget.
    paths : tuple of (str, Path)
        Files and folders to remove, each with its kind.
    piles : tuple of Pile
        All of it by kind.
    """

    runs: tuple[str, ...]
    paths: tuple[tuple[str, Path], ...]
    piles: tuple[Pile, ...]


def plan_cleanup(store: Store, settings: Settings, now: datetime, keep: Retention | None = None) -> Cleanup:
    """Return what may go.

    Parameters
    ----------
    keep : Retention, optional
        In place of the rules of deployments and settings.
    """
    runs = _superfluous(store, settings, now, keep)
    gone = {run.run_id for run in runs}
    left = store.run_ids() - gone
    home = settings.home
    used = store.snapshots_used(gone)
    age = (keep or settings.keep).age
    found: list[tuple[str, Path]] = []
    found += [("executed notebooks", path) for path in _entries(home / "runs") if path.name not in left]
    found += [("results of tasks", path) for path in _entries(home / "attempts") if path.name not in left]
    found += [("pinned notebooks", path) for path in _entries(home / "snapshots") if not _is_used(path, used)]
    found += [
        ("copies of sessions", path) for path in _entries(home / "copies") if is_dead(path.name.replace(",", ":"))
    ]
    if age is not None:
        found += [("cached results", path) for path in _entries(home / "results") if path.name != KEY]
    # A home in which another store lies, too, has files that this one knows nothing of.
    is_alone = settings.database_url is None or not settings.database.exists()
    found = [(kind, path) for kind, path in found if is_alone or path.name in gone]
    # What belongs to a run that goes now may go however young it is.
    paths = [
        (kind, path)
        for kind, path in found
        if path.name in gone or _age(path, now) > (age if kind == "cached results" and age is not None else YOUNG)
    ]
    piles = [Pile("runs", len(runs), sum(store.run_bytes(run.run_id) for run in runs))]
    by_kind: dict[str, list[Path]] = defaultdict(list)
    for kind, path in paths:
        by_kind[kind].append(path)
    piles += [Pile(kind, len(each), sum(map(_size, each))) for kind, each in by_kind.items()]
    return Cleanup(tuple(run.run_id for run in runs), tuple(paths), tuple(piles))


def _superfluous(store: Store, settings: Settings, now: datetime, keep: Retention | None) -> list[FlowRun]:
    rules = {deployment.name: deployment.keep for deployment in store.deployments() if deployment.keep != Retention()}
    groups: dict[str, list[tuple[FlowRun, bool]]] = defaultdict(list)
    for run, may_go in store.whole_runs():
        groups[f"deployment {run.deployment}" if run.deployment else f"flow {run.flow}"].append((run, may_go))
    gone: dict[str, FlowRun] = {}
    kept: list[FlowRun] = []
    for group in groups.values():
        newest = group[0][0]
        rule = keep or rules.get(newest.deployment or "", settings.keep)
        beyond = {run.run_id for run in rule.superfluous((run for run, _ in group), now)}
        # The newest may be repeated from where it failed, and the newest that completed from any of its tasks.
        completed = next((run.run_id for run, _ in group if run.state.type is StateType.COMPLETED), None)
        for run, may_go in group:
            if may_go and run.run_id in beyond and run.run_id not in (newest.run_id, completed):
                gone[run.run_id] = run
            else:
                kept.append(run)
    # A run that is kept rests on what those that it repeats have left.
    while kept:
        earlier = kept.pop().retry_of
        if earlier in gone:
            kept.append(gone.pop(earlier))
    return list(gone.values())


def _entries(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from folder.iterdir()


def _is_used(path: Path, used: Iterable[str]) -> bool:
    return any(Path(each) == path or path in Path(each).parents for each in used)


def _age(path: Path, now: datetime) -> float:
    try:
        return (now - datetime.fromtimestamp(path.stat().st_mtime, UTC)).total_seconds()
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    total = 0
    with suppress(OSError):
        parts = path.rglob("*") if path.is_dir() else (path,)
        total = sum(part.stat().st_size for part in parts if part.is_file())
    return total


def clean_up(store: Store, cleanup: Cleanup) -> int:
    """Remove what may go; return how many runs were forgotten.  What has begun again meanwhile is left."""
    left: set[str] = set()
    for run_id in cleanup.runs:
        if not store.forget_run(run_id):
            left.add(run_id)
    for _, path in cleanup.paths:
        if path.name in left:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(cleanup.runs) - len(left)


class Keeper:
    """Cleans up now and then beside a worker's runs, in a thread of its own, if some rule says that anything may go.

    Parameters
    ----------
    store : Store
        Where the runs are.
    settings : Settings
        The rule for runs of deployments that have none of their own.
    clock : Clock
        The time.
    """

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._cleaned_at: datetime | None = None
        self._thread: threading.Thread | None = None

    def look(self, now: datetime) -> None:
        """Begin to clean up, if it is time to."""
        if self._cleaned_at is not None and now - self._cleaned_at < timedelta(seconds=CLEAN_EVERY):
            return
        self._cleaned_at = now
        rules = [self._settings.keep, *(deployment.keep for deployment in self._store.deployments())]
        if any(rule != Retention() for rule in rules):
            self._thread = threading.Thread(target=self._clean, name="orch-housekeeping", daemon=True)
            self._thread.start()

    def wait(self, patience: float = 10.0) -> None:
        """Wait until it is done."""
        if self._thread is not None:
            self._thread.join(patience)

    def _clean(self) -> None:
        try:
            cleanup = plan_cleanup(self._store, self._settings, self._clock.now())
            if clean_up(self._store, cleanup):
                total = sum(pile.bytes for pile in cleanup.piles)
                logger.info("Forgot %d runs beyond their retention (%.1f MB).", len(cleanup.runs), total / 1e6)
        except (StoreError, OSError) as error:
            logger.warning("Could not clean up: %s", error)
