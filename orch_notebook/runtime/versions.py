"""What the runs of a session have left of one flow: versions, copies of those that were changed since, records.

In: what tasks make and change, as the program of a run tells it.  Out: the stock from which the next run is planned.
A version stays in memory while some task of the run can still read it and if it is the last of its name.  What goes is
copied to disk where that is cheaper than making it again; what a task is about to change in place is copied before.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from itertools import count
from typing import Any

from orch_notebook.model.cells import Wiring
from orch_notebook.model.flows import CellFlow
from orch_notebook.model.recipes import Recipe, Record, Stock, Version
from orch_notebook.runtime.copies import Copies, NotCopied
from orch_notebook.runtime.files import file_fingerprint
from orch_notebook.runtime.fingerprints import Fingerprints
from orch_notebook.runtime.keys import own_files

__all__ = ["Kept"]

#: A copy may always take so many bytes, and more where making the value took long: a disk writes 100 MB in a second.
ALWAYS = 32_000_000
PER_SECOND = 100_000_000


class Kept:
    """What the runs of one flow have left in this session.

    Parameters
    ----------
    copies : Copies, optional
        Where copies are kept; without it, what is gone is made again.
    fingerprints : Fingerprints, optional
        Those of the session.
    is_lasting : bool
        Whether further runs may follow; else copies only serve retries.

    Attributes
    ----------
    versions : dict
        The versions in memory.
    records : dict
        For every task that has completed, its last performance.
    generators : dict
        Where hidden random generators stood after each task that moved them.
    """

    def __init__(
        self, copies: Copies | None = None, fingerprints: Fingerprints | None = None, *, is_lasting: bool = True
    ) -> None:
        self.copies = copies
        self.is_lasting = is_lasting
        self.fingerprints = fingerprints or Fingerprints()
        self.lock = threading.RLock()
        self.versions: dict[Version, Any] = {}
        self.records: dict[str, Record] = {}
        self.generators: dict[tuple[str, str], Any] = {}
        self._tokens: dict[Version, str] = {}
        self._spent: dict[Version, tuple[str, ...]] = {}
        #: For every copy, who had changed what is in it by then.
        self._actors: dict[str, frozenset[str]] = {}
        self._doomed: set[str] = set()
        #: When each version came into memory, and whether from a copy.
        self._came: dict[Version, tuple[int, bool]] = {}
        #: For every name of the environment where its object lies, and since when.
        self._stood: dict[str, tuple[int, int]] = {}
        #: By path its fingerprint when a task had last written it, that task, and what its source calls the file.
        self._files: dict[str, tuple[str, str, str]] = {}
        self._seconds: dict[str, float] = {}
        self._published: dict[str, Any] = {}
        self._removed: set[str] = set()
        self._spoiled: dict[str, str] = {}
        self._leaving: dict[Version, Any] = {}
        self._numbers = count(1)

    # The environment.

    def see(self, base: dict[str, Any], wiring: Wiring) -> dict[str, Any]:
        """Return the environment as the plain cells left it, whatever tasks have published or changed since."""
        made, bonds = _made(wiring), wiring.sharing.bonds
        found = dict(base)
        with self.lock:
            for name in _plain_names(wiring) | {each for each, maker in self.versions if not maker}:
                version = (name, "")
                is_ours = self.published(name, base.get(name))
                is_meant = name in made or version in bonds or version in self._spent or is_ours
                moment = self._noticed(name, base.get(name))
                if name not in base or not is_meant:
                    self._drop(version)
                    continue
                held = self.versions.get(version, self)
                if held is not self and (base[name] is held or is_ours or name in self._removed):
                    found[name] = held
                else:
                    self.put(version, base[name], f"cell {next(self._numbers)}")
                    self._came[version] = moment, False
        return found

    def _noticed(self, name: str, value: Any) -> int:
        """Return since when a name of the environment stands for what it does, whether anybody needed it or not."""
        address, moment = self._stood.get(name, (0, 0))
        if address != id(value):
            moment = next(self._numbers)
            self._stood[name] = id(value), moment
        return moment

    def publish(self, names: Mapping[str, Any], removed: Collection[str] = ()) -> None:
        """Take note of what the live namespace was given, and of what was taken away from it."""
        self._published.update(names)
        self._removed.difference_update(names)
        self._removed.update(removed)
        for name in removed:
            self._published.pop(name, None)

    def missing(self) -> dict[str, Any]:
        """Return what plain cells have bound and tasks have taken away from the live namespace."""
        return {name: self.versions[name, ""] for name in self._removed if (name, "") in self.versions}

    def published(self, name: str, value: Any) -> bool:
        """Whether a value is what tasks last published under a name."""
        return self._published.get(name, self) is value

    # Versions.

    def put(self, version: Version, value: Any, token: str) -> None:
        """Take in a version; `token` tells it from others of the same name and task."""
        with self.lock:
            self.versions[version] = value
            self._tokens[version] = token
            self._came[version] = next(self._numbers), False
            self._spent.pop(version, None)

    def _drop(self, version: Version) -> None:
        self.versions.pop(version, None)
        self._tokens.pop(version, None)
        self._came.pop(version, None)
        self._spent.pop(version, None)

    def begin(self, tasks: Collection[str], used: Collection[str] = ()) -> None:
        """Forget what these tasks left: they are about to be performed again, from these copies among others."""
        with self.lock:
            for task in tasks:
                self.records.pop(task, None)
                self._spoiled.pop(task, None)
            for version in [version for version in self._tokens if version[1] in tasks]:
                self._drop(version)
            # Copies of what these tasks have changed hold what will never have been.
            for name in [name for name, actors in self._actors.items() if not actors.isdisjoint(tasks)]:
                if name in used:
                    self._doomed.add(name)  # good for this run
                else:
                    self._forget(name)

    def _forget(self, name: str) -> None:
        self._actors.pop(name, None)
        self._doomed.discard(name)
        if self.copies is not None:
            self.copies.forget(name)

    def get(self, version: Version) -> Any:
        """Return a version in memory.

        Raises
        ------
        KeyError
            It is not there.
        """
        with self.lock:
            if version in self._leaving:
                self.versions[version] = self._leaving.pop(version)
            return self.versions[version]

    def leave(self, version: Version, *, is_wanted: bool) -> None:
        """Let go of a version in memory; `is_wanted` says that a copy of it may be of use to a later run."""
        with self.lock:
            value = self.versions.pop(version, self)
            is_wanted = is_wanted and self.is_lasting and not self._spent.get(version)
            if value is self or self.copies is None or not is_wanted:
                return
            if version not in self.copies.good(self._tokens).get("@".join(version), ()):
                # Pickled by the next thread that has time for it: whoever calls holds the engine's lock.
                self._leaving[version] = value

    def clear_away(self) -> None:
        """Copy the versions that have been let go of, and forget them."""
        while self._leaving:
            with self.lock:
                if not self._leaving:
                    return
                version, value = self._leaving.popitem()
            try:
                assert self.copies is not None
                self.copies.keep("@".join(version), {version: value}, self._tokens, self._worth([version]))
            except NotCopied:
                pass  # who made it runs again when somebody needs it
            del value

    def _worth(self, versions: Collection[Version]) -> float:
        """Return how many bytes a copy of these may take: more than that is quicker made again."""
        makers = {maker for _, maker in versions}
        if "" in makers:
            return float("inf")
        return ALWAYS + PER_SECOND * sum(self._seconds.get(maker, 0.0) for maker in makers)

    # Changes in place.

    def spend(self, versions: Collection[Version], task: str) -> None:
        """Take note that a task begins to change these in place."""
        with self.lock:
            for version in versions:
                if task not in self._spent.get(version, ()):
                    self._spent[version] = (*self._spent.get(version, ()), task)

    def replace(self, version: Version, value: Any, task: str = "") -> None:
        """Put another object in a version's place, which a task has changed in place if one is named."""
        with self.lock:
            self.versions[version] = value
            self._came[version] = next(self._numbers), False
            if task:
                self.spend([version], task)

    def save(self, name: str, versions: Collection[Version], *, whatever: bool = False) -> str:
        """Copy versions as they are now, together; return why that could not be done, or nothing.

        `whatever` it costs: a retry has nothing else to start from.
        """
        if self.copies is None or not (self.is_lasting or whatever):
            return "no copies are kept here"
        with self.lock:
            values = {version: self.versions[version] for version in versions if version in self.versions}
            tokens = dict(self._tokens)
            self._doomed.discard(name)
            self._actors[name] = frozenset(task for version in values for task in self._spent.get(version, ()))
        try:
            self.copies.keep(name, values, tokens, float("inf") if whatever else self._worth(versions))
        except NotCopied as error:
            return str(error)
        return ""

    def restore(
        self, name: str, task: str = "", only: Collection[Version] | None = None
    ) -> dict[Version, tuple[Any, Any]]:
        """Put the versions of a copy in the place of those in memory; return what was there and what is now.

        Parameters
        ----------
        name : str
            The copy.
        task : str
            Whose changes, and those of everybody after it, are undone; by default everybody's.
        only : collection of Version, optional
            Leave the others as they are.

        Raises
        ------
        NotCopied
            It is gone, or cannot be read.
        """
        assert self.copies is not None
        loaded = self.copies.load(name)
        found: dict[Version, tuple[Any, Any]] = {}
        with self.lock:
            moment = next(self._numbers)
            good = self.copies.good(self._tokens).get(name, frozenset())
            for version in good & loaded.keys() & (loaded.keys() if only is None else set(only)):
                found[version] = self.versions.get(version), loaded[version]
                self.versions[version] = loaded[version]
                self._came[version] = moment, True
                if not version[1]:  # it is made from what the plain cell gave, whatever becomes of it
                    self.fingerprints.inherit(found[version][1], found[version][0])
                spent = self._spent.pop(version, ())
                if task in spent and (earlier := spent[: spent.index(task)]):
                    self._spent[version] = earlier
        return found

    def borrow(self, name: str) -> dict[Version, Any]:
        """Return the versions of a copy for one task alone.

        Raises
        ------
        NotCopied
            It is gone, or cannot be read.
        """
        assert self.copies is not None
        return self.copies.load(name)

    # Records.

    def has_run(self, task: str) -> bool:
        """Whether a task has completed in this session, whatever became of it since."""
        return task in self._seconds

    def complete(
        self, task: str, recipe: Recipe, made_by: str, needs: Collection[str], made: Collection[str], seconds: float
    ) -> None:
        """Record that a task has completed."""
        with self.lock:
            # What gave names to the same memory need not have ended before; it runs in the same run then.
            run_id = made_by.rpartition("/")[0]
            sources = {
                source: self.records[source].made_by if source in self.records else f"{run_id}/{source}"
                for source in needs
            }
            self.records[task] = Record(recipe, made_by, sources, frozenset(made))
            self._spoiled.pop(task, None)
            self._seconds[task] = seconds

    def wrote(self, flow: CellFlow, task: str) -> dict[str, str]:
        """Take note of the files a task has written; return their fingerprints by path."""
        called = own_files(flow, task)
        found = {path: file_fingerprint(path) for path in called}
        with self.lock:
            self._files |= {path: (fingerprint, task, called[path]) for path, fingerprint in found.items()}
        return found

    def spoil(self, values: Collection[Any], by: str) -> None:
        """Take note that somebody outside the flow has changed these values in place."""
        changed = {id(value) for value in values}
        self.fingerprints.forget(values)
        with self.lock:
            for version in [each for each, value in self.versions.items() if id(value) in changed]:
                name, maker = version
                self._drop(version)
                if maker:
                    self._spoiled[maker] = f"{name!r} was changed by {by}"

    # What a plan is made from.

    def stock(self) -> Stock:
        """Return which versions are to be had."""
        with self.lock:
            for name in tuple(self._doomed):
                self._forget(name)
            copies = self.copies.good(self._tokens) if self.copies is not None else {}
            live = frozenset(self.versions) | frozenset(self._leaving)
            writers = {called: task for _, task, called in self._files.values()}
            return Stock(live, dict(self._spent), copies, writers, dict(self._came))

    def flaws(self, flow: CellFlow) -> dict[str, str]:
        """Return for tasks whose outcome is not any more as they left it what happened to it."""
        with self.lock:
            found, files = dict(self._spoiled), dict(self._files)
        for task in flow:
            if task.name not in self.records:
                continue
            for path, called in own_files(flow, task.name).items():
                left = files.get(path)
                if left is None or (now := file_fingerprint(path)) == left[0]:
                    continue
                found[task.name] = f"file {called} is gone" if now == "gone" else f"file {called} was changed"
        return found


def _made(wiring: Wiring) -> set[str]:
    """Return the names that tasks bind, change or take away."""
    effects = [wiring.effects[task] for task in wiring.bindings]
    return {name for each in effects for name in each.writes | each.mutates | each.deletes}


def _plain_names(wiring: Wiring) -> set[str]:
    """Return the names that tasks have from the environment, and those that plain cells bind."""
    read = {name for bound in wiring.bindings.values() for name, maker in bound.items() if maker is None}
    plain = [effects for cell, effects in wiring.effects.items() if cell not in wiring.bindings]
    return read.union(*(each.writes for each in plain))
