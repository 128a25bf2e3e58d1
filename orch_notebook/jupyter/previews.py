"""What a task left, in a few lines: the head of a frame, the shape of an array, the beginning of anything else.

In: live values and artifacts.  Out: text, bounded however large the value is.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Mapping, Sized
from typing import Any

from orch_notebook.jupyter.widgets import Kept
from orch_notebook.runtime.store.shelves import Artifact

__all__ = ["artifact_preview", "value_preview"]

#: Characters of a preview.
MOST = 1500
#: Values of more elements than this are not written in full before they are cut: a repr may take seconds.
LARGE = 10_000

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 400
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxdict = 12


def value_preview(name: str, value: Any) -> Kept:
    """Return a value's type, its size and its first lines; a value that cannot be shown says so.

    Examples
    --------
    >>> value_preview("days", [1, 2, 3])
    Kept(name='days', kind='list, 3', text='[1, 2, 3]', is_artifact=False)
    """
    kind = type(value).__name__
    try:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            kind += " " + " × ".join(str(side) for side in shape)
            if (dtype := getattr(value, "dtype", None)) is not None:
                kind += f", {dtype}"
        elif isinstance(value, Sized) and not isinstance(value, type):
            kind += f", {len(value)}"
        return Kept(name, kind, _text(value)[:MOST])
    except Exception as error:  # noqa: BLE001  code of the person's
        return Kept(name, kind, f"It cannot be shown: {type(error).__name__}: {error}"[:MOST])


def _text(value: Any) -> str:
    if callable(head := getattr(value, "head", None)) and hasattr(value, "columns"):
        rows = head(5)
        return str(rows.to_string(max_cols=8) if hasattr(rows, "to_string") else rows)
    if isinstance(value, str):
        return value[:MOST]
    is_large = (isinstance(value, Sized) and len(value) > LARGE) or isinstance(value, bytes | bytearray)
    is_plain = isinstance(value, list | tuple | dict | set | frozenset | bytes | bytearray)
    return _SHORT.repr(value) if is_large or is_plain else repr(value)


def artifact_preview(artifact: Artifact) -> Kept:
    """Return an artifact's kind and the beginning of what it holds."""
    data, name = artifact.data, artifact.name or artifact.kind
    match artifact.kind:
        case "link" if isinstance(data, Mapping):
            text = str(data.get("link", ""))
        case "progress":
            text = f"{data:g} %"
        case "table":
            text = "\n".join(json.dumps(row, default=str)[:200] for row in _rows(data))
        case _:
            text = data if isinstance(data, str) else json.dumps(data, default=str)
    kind = f"{artifact.kind} · {artifact.description}" if artifact.description else artifact.kind
    return Kept(name, kind, text[:MOST], is_artifact=True)


def _rows(table: Any, most: int = 6) -> Iterable[Any]:
    if isinstance(table, Mapping):
        columns = list(table)
        return [columns, *list(zip(*(table[name] for name in columns), strict=False))[:most]]
    return table[:most] if isinstance(table, list) else [table]
