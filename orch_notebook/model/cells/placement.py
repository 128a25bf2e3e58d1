"""One cell's summary put among the regions of a flow: which memory it reads, changes and shares.

In: the summary, the versions its reads are bound to, and whom to tell of accesses.  Out: the versions it makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from orch_notebook.model.cells.regions import Region, Version, reach
from orch_notebook.model.cells.values import Atom, Base, Summary

__all__ = ["Placement", "Watcher"]


class Watcher(Protocol):
    """Who keeps the order of accesses to memory."""

    versions: dict[str, Version]
    #: Every version there ever was.
    made: list[Version]
    #: Counts changes to what lies in regions that were there before.
    epoch: int

    def read_region(self, region: Region, task: str, name: str) -> None:
        """Let a task read a region, by way of a name."""

    def change_region(self, region: Region, task: str, name: str) -> None:
        """Let a task change a region, by way of a name."""


class Placement:
    """One cell's summary put among the regions of the flow."""

    def __init__(self, wirer: Watcher, task: str | None, summary: Summary, bound: Mapping[str, Version]) -> None:
        self.wirer = wirer
        self.task = task
        self.summary = summary
        self.bound = bound
        self.made: dict[Base, tuple[Region, ...]] = {}

    def roots(self, base: Base) -> tuple[Region, ...]:
        """Return the regions of memory that something a cell takes in or makes stands for."""
        kind, key = base
        if kind == "in":
            version = self.bound.get(key)
            if version is None:
                # Only carried over by a write that may not happen.
                version = self.wirer.versions.get(key)
            return version.roots if version is not None else ()
        if kind == "new":
            found = self.made.get(base)
            if found is None:
                found = self.made[base] = (Region(self.summary.tags.get(base, frozenset())),)
            return found
        return ()

    def place(self, value: Iterable[Atom]) -> dict[Region, None]:
        """Return the regions a value may be in, each once, in a fixed order."""
        found: dict[Region, None] = {}
        for base, is_deep in value:
            roots = self.roots(base)
            found.update(reach(roots) if is_deep else dict.fromkeys(roots))
        return found

    def perform(self) -> None:
        """Let the summary happen to the regions: what is put where, what is changed, what is bound and deleted."""
        summary, task, wirer = self.summary, self.task, self.wirer
        for base, held in summary.contents.items():
            inside = self.place(held)
            for region in self.roots(base):
                before = len(region.parts)
                region.parts.update(inside)
                region.parts.pop(region, None)
                if base[0] == "in" and len(region.parts) != before:
                    wirer.epoch += 1
        if task is not None:
            for name in summary.reads:
                if (version := self.bound.get(name)) is not None:
                    for region in reach(version.roots):
                        wirer.read_region(region, task, name)
        changed_names: dict[str, None] = {}
        for base, is_deep in sorted(summary.changed, key=str):
            if base[0] != "in":
                continue
            changed_names[base[1]] = None
            if task is not None:
                for region in self.place([(base, is_deep)]):
                    wirer.change_region(region, task, base[1])
        self._bind(changed_names)

    def _bind(self, changed_names: Iterable[str]) -> None:
        summary, task, versions = self.summary, self.task, self.wirer.versions
        made: dict[str, Version] = {}
        for name, (value, is_sure) in summary.writes.items():
            direct = frozenset(atom for atom in value if atom[0][0] in ("path", "text"))
            roots = tuple(self.place(value - direct if direct else value))
            earlier = None if is_sure else versions.get(name)
            if earlier is not None and earlier.is_deleted:
                earlier = None
            made[name] = Version(name, task, roots, direct, earlier)
        for name in changed_names:
            version = versions.get(name)
            # A plain cell runs when it is executed, so what it changes still is its producer's version.
            if name not in made and version is not None and task is not None:
                made[name] = Version(name, task, version.roots, version.direct)
        for name, is_sure in summary.deletes.items():
            if is_sure:
                made[name] = Version(name, task, is_deleted=True)
        versions.update(made)
        self.wirer.made.extend(made.values())
