"""What a task is made of, what is recorded of its last performance, and which versions are still to be had.

In: fingerprints and names that the runtime has found.  Out: values to compare; :mod:`~orch_notebook.model.freshness`
decides by them what must run again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

__all__ = ["Recipe", "Record", "Source", "Stock", "Version", "before", "difference"]

#: A name and the task whose version it is; empty for what a plain cell binds.
Version = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a task's outcome depends on, besides the versions that tasks give it.

    Parameters
    ----------
    parts : mapping
        Fingerprints by what they are of, in a person's words: ``its source``, ``function scale``, ``file data.csv``.
    shown : mapping
        For parts that are small constants, how they read.
    unkept : str
        Why it holds in this session only, or empty.
    """

    parts: Mapping[str, str] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    unkept: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A task's last performance.

    Parameters
    ----------
    recipe : Recipe
        What it was performed by.
    made_by : str
        The task run whose outcome it is.
    sources : mapping
        For every task it came from, the task run that had made it by then.
    made : frozenset of str
        The names it left bound: what it may bind and did not, nobody can have from it.
    """

    recipe: Recipe
    made_by: str
    sources: Mapping[str, str] = field(default_factory=dict)
    made: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Source:
    """Where a task gets a version from that is not at hand as it is.

    Parameters
    ----------
    copy : str
        Name of the kept copy.
    is_shared : bool
        Whether the rest of the run goes on from it; else it is this task's alone.
    """

    copy: str
    is_shared: bool


@dataclass(frozen=True, slots=True)
class Stock:
    """The versions that are to be had.

    Parameters
    ----------
    live : collection of Version
        Those in memory.
    spent : mapping
        For versions whose object tasks have changed in place since it was made, these tasks.
    copies : mapping
        By name, the versions that each kept copy holds and that are still the ones meant.
    writers : mapping
        For files that tasks have written, who wrote last.
    came : mapping
        For versions in memory the moment when they came there, counted, and whether they came from a copy.
    """

    live: Collection[Version] = frozenset()
    spent: Mapping[Version, tuple[str, ...]] = field(default_factory=dict)
    copies: Mapping[str, frozenset[Version]] = field(default_factory=dict)
    writers: Mapping[str, str] = field(default_factory=dict)
    came: Mapping[Version, tuple[int, bool]] = field(default_factory=dict)


def before(task: str) -> str:
    """Return the name of the copy of what a task is about to change in place."""
    return f"before {task}"


def difference(then: Recipe, now: Recipe) -> str:
    """Say what first differs between two recipes; empty if nothing does.

    Examples
    --------
    >>> difference(Recipe({"its source": "1", "n": "2"}, {"n": "3"}), Recipe({"its source": "1", "n": "5"}, {"n": "4"}))
    'n: 3 → 4'
    >>> difference(Recipe({"function scale": "1"}), Recipe({"function scale": "2"}))
    'function scale changed'
    """
    for part in [*now.parts, *then.parts]:
        if then.parts.get(part) == now.parts.get(part):
            continue
        if part in then.shown and part in now.shown:
            return f"{part}: {then.shown[part]} → {now.shown[part]}"
        return f"{part} changed"
    return ""
