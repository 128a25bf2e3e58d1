"""What lies behind names across a whole flow: versions, the memory they share, and who touched it last.

Used by the wiring only.  A version is one binding of a name; a region is a piece of memory that versions may share.
"""

from __future__ import annotations

from collections.abc import Iterable

from orch_notebook.model.cells.values import EMPTY, Entry, Tag, Value

__all__ = ["Region", "Version", "describe", "reach"]


class Region:
    """A piece of memory: what is inside it, who changed it last and who has read it since.

    Whoever made it is not noted: to know of it, one must have got it from its maker, by some way.
    """

    __slots__ = ("parts", "readers", "tags", "writer")

    def __init__(self, tags: frozenset[Tag] = frozenset()) -> None:
        self.writer: str | None = None
        self.readers: dict[str, str] = {}
        self.tags = tags
        self.parts: dict[Region, None] = {}


class Version:
    """One binding of a name: who made it, and what lies behind it."""

    __slots__ = ("direct", "entry", "epoch", "is_deleted", "is_pending", "name", "previous", "producer", "roots")

    def __init__(
        self,
        name: str,
        producer: str | None,
        roots: tuple[Region, ...] = (),
        direct: Value = EMPTY,
        previous: Version | None = None,
        is_deleted: bool = False,
    ) -> None:
        self.name = name
        self.producer = producer
        self.roots = roots
        self.direct = direct
        #: The version it falls back on when its producer does not bind the name after all.
        self.previous = previous
        self.is_pending = previous is not None
        self.is_deleted = is_deleted
        self.entry: Entry | None = None
        self.epoch = -1


def reach(roots: Iterable[Region]) -> dict[Region, None]:
    """Return these regions and all that is inside them, in a steady order."""
    found = dict.fromkeys(roots)
    todo = [region for region in found if region.parts]
    while todo:
        for part in todo.pop().parts:
            if part not in found:
                found[part] = None
                if part.parts:
                    todo.append(part)
    return found


def describe(version: Version, epoch: int) -> Entry:
    """Return what a version is known to be; `epoch` counts changes to regions that were there before."""
    if version.entry is not None and version.epoch == epoch:
        return version.entry
    roots = version.roots
    if not roots:
        found = Entry(version.direct, False, defined=True)
    else:
        tags: frozenset[Tag] = frozenset().union(*(region.tags for region in roots))
        own = set(roots)
        parts: frozenset[Tag] = frozenset().union(*(region.tags for region in reach(roots) if region not in own))
        found = Entry(version.direct, True, tags, parts, True)
    if found != version.entry:
        version.entry = found
    version.epoch = epoch
    return version.entry or found
