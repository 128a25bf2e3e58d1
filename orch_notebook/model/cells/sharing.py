"""Which versions share memory that some task changes: what must be kept, put back and handed on together.

In: the versions of a flow and what each task changes in place.  Out: their *bonds*.  Two versions are bound to each
other when they reach one piece of memory that somebody changes; what nobody changes may be shared or not, no one can
tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from orch_notebook.model.cells.regions import Region, Version, reach

__all__ = ["Sharing"]


class Sharing:
    """The bonds between the versions of one flow.

    Parameters
    ----------
    made : sequence of Version
        Every version, in the order in which they were made.
    count : int
        So many of them count: later ones belong to cells that were added since.
    changed : mapping
        For every task the memory it changes.
    tasks : collection of str
        The tasks there are.

    Notes
    -----
    Nothing is worked out before somebody asks: a flow that is only defined and drawn needs none of this.
    """

    def __init__(
        self,
        made: Sequence[Version] = (),
        count: int = 0,
        changed: Mapping[str, Mapping[Region, None]] | None = None,
        tasks: frozenset[str] = frozenset(),
    ) -> None:
        self._made = made
        self._count = count
        self._changed = changed or {}
        self._tasks = tasks

    @cached_property
    def _bonds(self) -> tuple[dict[tuple[str, str], int], dict[str, frozenset[int]]]:
        changed = {task: regions for task, regions in self._changed.items() if task in self._tasks}
        ever = {region for regions in changed.values() for region in regions}
        # A union-find over the regions that somebody changes.
        parent = {region: region for region in ever}

        def root(region: Region) -> Region:
            while parent[region] is not region:
                parent[region] = parent[parent[region]]
                region = parent[region]
            return region

        touched: dict[tuple[str, str], Region] = {}
        for version in self._made[: self._count]:
            first: Region | None = None
            for region in reach(version.roots) if ever else ():
                if region not in ever:
                    continue
                if first is None:
                    first = root(region)
                else:
                    parent[root(region)] = first = root(first)
            if first is not None:
                key = (version.name, version.producer or "")
                if key in touched:
                    parent[root(touched[key])] = root(first)
                touched[key] = first
        numbers: dict[Region, int] = {}
        bonds = {key: numbers.setdefault(root(region), len(numbers)) for key, region in touched.items()}
        changers = {
            task: frozenset(numbers.setdefault(root(region), len(numbers)) for region in regions)
            for task, regions in changed.items()
        }
        return bonds, changers

    @property
    def bonds(self) -> Mapping[tuple[str, str], int]:
        """For every version (name and producer, empty for a plain cell) that has one, the number of its bond.

        Examples
        --------
        >>> from orch_notebook.model.cells import Cell, wire
        >>> cells = [Cell("make", "rows = [1]; table = {'rows': rows}; n = [0]"), Cell("grow", "rows.append(2)")]
        >>> sorted(wire(cells).sharing.bonds)
        [('rows', 'grow'), ('rows', 'make'), ('table', 'make')]
        """
        return self._bonds[0]

    @property
    def changers(self) -> Mapping[str, frozenset[int]]:
        """For every task that changes something in place, the bonds it changes."""
        return self._bonds[1]
