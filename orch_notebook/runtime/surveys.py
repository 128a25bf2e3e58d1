"""Surveys of values: what is in a namespace now, what has changed since, and whether two values are alike.

A :class:`Survey` walks everything that can be reached from some roots, each object once.  Two surveys of one process
tell which objects have changed in place; two digests, of this process or of another, whether values are equal in
structure and content, whatever their addresses.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orch_notebook.runtime.insides import look
from orch_notebook.runtime.tokens import Budget, Inside, token

__all__ = ["Change", "Node", "Survey", "fingerprint"]

#: Objects in one survey.  Beyond that only what was found by then is compared, and a note says so.
MOST_NODES = 300_000


@dataclass(slots=True)
class Node:
    """One object as a survey found it."""

    value: Any
    inside: Inside

    def tokens(self) -> dict[str, bytes | int]:
        """Return its own content and which objects its parts are, by label."""
        return {**self.inside.own, **{label: id(part) for label, part in self.inside.parts.items()}}


@dataclass(frozen=True, slots=True)
class Change:
    """One object that is not what it was.

    Parameters
    ----------
    value
        The object.
    path : str
        How it is reached from a name: ``rows[0]``.
    name : str
        That name.
    what : str
        What kind of change it is: ``3 → 4 items``.
    spans : tuple
        Where its memory lies, if it may share it.
    """

    value: Any
    name: str
    path: str
    what: str
    spans: tuple[tuple[int, int], ...] = ()


class Survey:
    """Everything that can be reached from some values, as it stands now.

    Parameters
    ----------
    roots : mapping
        Values by name; those named first give their names to what several reach.

    Notes
    -----
    It holds on to the objects it found, so that no other takes the place of one in memory.

    Examples
    --------
    >>> rows = [[1], [2]]
    >>> before = Survey({"rows": rows})
    >>> rows[0].append(3)
    >>> [(change.path, change.what) for change in before.changes(Survey({"rows": rows}))]
    [('rows[0]', '1 item → 2 items')]
    """

    def __init__(self, roots: Mapping[str, Any], budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.roots = dict(roots)
        self.nodes: dict[int, Node] = {}
        self.add(self.roots.values())

    @property
    def closed(self) -> set[str]:
        """The kinds of objects that could not be looked into."""
        return {node.inside.kind for node in self.nodes.values() if node.inside.is_closed}

    def add(self, values: Iterable[Any]) -> None:
        """Look at further values, as they stand now."""
        todo = deque(value for value in values if token(value) is None)
        while todo:
            value = todo.popleft()
            if id(value) in self.nodes:
                continue
            if len(self.nodes) >= MOST_NODES:
                self.budget.is_exceeded = True
                return
            inside = look(value, self.budget)
            self.nodes[id(value)] = Node(value, inside)
            todo.extend(part for part in inside.parts.values() if id(part) not in self.nodes)

    def reach(self, values: Iterable[Any]) -> set[int]:
        """Return the ids of all objects of this survey that can be reached from some values."""
        found: set[int] = set()
        todo = [id(value) for value in values]
        while todo:
            here = todo.pop()
            if here in found or here not in self.nodes:
                continue
            found.add(here)
            todo.extend(id(part) for part in self.nodes[here].inside.parts.values())
        return found

    def spans(self, ids: Collection[int]) -> list[tuple[int, int]]:
        """Return where the memory of some objects lies."""
        return [span for each in ids for span in self.nodes[each].inside.spans]

    def changes(self, later: Survey, names: Mapping[str, Any] | None = None) -> Iterator[Change]:
        """Yield the objects of this survey that a later one found changed in place.

        Parameters
        ----------
        later : Survey
            Of the same process.
        names : mapping, optional
            The names that people know, before those of the roots.
        """
        different = {
            each: what
            for each, node in self.nodes.items()
            if (after := later.nodes.get(each)) is not None
            and (what := difference(node.inside, after.inside, node, after))
        }
        if not different:
            return
        paths = self._paths(self.roots, different)
        paths |= self._paths(names or {}, different)
        for each, (name, path) in paths.items():
            node = self.nodes[each]
            spans = node.inside.spans + later.nodes[each].inside.spans
            yield Change(node.value, name, path, different[each], spans)

    def _paths(self, roots: Mapping[str, Any], wanted: Collection[int]) -> dict[int, tuple[str, str]]:
        """Return the shortest way to each of some objects: the name it begins with, and all of it."""
        found: dict[int, tuple[str, str]] = {}
        seen: set[int] = set()
        todo = deque((id(value), name, name) for name, value in roots.items())
        while todo and len(found) < len(wanted):
            here, name, path = todo.popleft()
            if here in seen or here not in self.nodes:
                continue
            seen.add(here)
            if here in wanted:
                found[here] = name, path
            parts = self.nodes[here].inside.parts
            todo.extend(
                (id(part), name, path + label.replace(" ", " of ", 1) if label[:1] == " " else path + label)
                for label, part in parts.items()
            )
        return found

    def digest(self, value: Any) -> str:
        """Return a fingerprint of a value that this survey has found: of its structure and content, not its address.

        Notes
        -----
        What a library keeps under a name with an underscore may be an address or a time, and does not count; neither
        does what cannot be looked into.
        """
        known = token(value)
        if known is not None:
            return known.hex()
        found = hashlib.blake2b(digest_size=16)
        numbers: dict[int, int] = {}
        todo = [value]
        while todo:
            part = todo.pop()
            if (known := token(part)) is not None:
                found.update(known)
                continue
            if id(part) in numbers:
                found.update(b"again %d;" % numbers[id(part)])
                continue
            numbers[id(part)] = len(numbers)
            node = self.nodes.get(id(part))
            if node is None:
                if len(self.nodes) >= MOST_NODES:
                    continue
                node = Node(part, look(part, self.budget))
            inside = node.inside
            found.update(inside.kind.encode() + b"(")
            labels = [label for label in inside.parts if not _is_private(inside, label)]
            for label in sorted(inside.own):
                if not _is_private(inside, label):
                    found.update(label.encode("utf-8", "replace") + b"=" + inside.own[label])
            found.update("|".join(labels).encode("utf-8", "replace") + b")")
            todo.extend(inside.parts[label] for label in reversed(labels))
        return found.hexdigest()


#: How libraries call the times they note in what they return: ``cv_results_["mean_fit_time"]``.
TIMED = re.compile(r"\['\w*_(time|seconds|elapsed|duration)'\]")


def _is_private(inside: Inside, label: str) -> bool:
    if inside.is_closed or (inside.is_library and label.startswith("._")):
        return True
    return TIMED.fullmatch(label) is not None


def difference(before: Inside, after: Inside, node: Node, later: Node) -> str:
    """Return in words how an object has changed, nothing if it has not."""
    same_labels = before.own == after.own and before.parts.keys() == after.parts.keys()
    if same_labels and all(part is after.parts[label] for label, part in before.parts.items()):
        return ""
    was, now = node.tokens(), later.tokens()
    labels = [label for label in {**was, **now} if was.get(label) != now.get(label)]
    # What a library computes when it is asked for, it keeps under names of its own.
    if before.is_library:
        labels = [label for label in labels if not label.startswith("._")]
    if not labels or before.is_closed or after.is_closed:
        return ""
    if before.size != after.size:
        return f"{before.size} → {after.size}" if before.size and after.size else "another size"
    return _in_words(labels, was, now)


def _in_words(labels: list[str], was: Mapping[str, object], now: Mapping[str, object]) -> str:
    told = []
    for label in labels:
        if label in ("items", "values", "place", "state", "drawing", "type"):
            told.append(
                {"items": "other items", "values": "other values", "drawing": "more is drawn"}.get(label, "moved on")
            )
        elif label.startswith(" ") and label[1:] in ("order", "index", "columns"):
            told.append(f"another {label[1:]}")
        else:
            how = "is new" if label not in was else "is gone" if label not in now else "is another"
            told.append(f"{label.strip()} {how}")
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return ", ".join(told[:3]) + more


def fingerprint(value: Any) -> str:
    """Return a fingerprint of a value: of its structure and content.

    Examples
    --------
    >>> fingerprint([1, [2]]) == fingerprint([1, [2]]), fingerprint([1, [2]]) == fingerprint([1, [3]])
    (True, False)
    """
    return Survey({"": value}).digest(value)
