"""Tokens for what nobody can change, and the form in which everything else is described.

In: any value.  Out: a token of a few bytes, the same for the same value in every process, or None: then the value is
looked into, and what is found there is an :class:`Inside`.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import marshal
import os
import pathlib
import re
import sys
import types
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "MOST_PARTS",
    "PLAIN",
    "SCALARS",
    "Budget",
    "Inside",
    "counted",
    "digest",
    "is_ours",
    "put",
    "shown",
    "token",
]

#: What marshal writes alike whenever it is asked.
SCALARS = frozenset({bool, int, float, complex, str, bytes, type(None), type(...)})
#: What nobody can change, and whose text tells all of it.
PLAIN = (
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction, uuid.UUID,
    pathlib.PurePath, re.Pattern, range, slice, enum.Enum,
)  # fmt: skip
MOST_PARTS = 50_000


@dataclass
class Budget:
    """How much may be read of everything together; what goes beyond is read in samples.

    Attributes
    ----------
    size : int
        Bytes of arrays that may still be read whole.
    is_exceeded : bool
        Whether something was read in samples only.
    """

    size: int = 2_000_000_000
    is_exceeded: bool = False

    def take(self, size: int) -> bool:
        """Whether so many bytes may be read."""
        self.size -= size
        if self.size < 0:
            self.is_exceeded = True
        return self.size >= 0


@dataclass(slots=True)
class Inside:
    """What a value consists of.

    Parameters
    ----------
    kind : str
        What people call it: ``list``, ``frame``, ``Ridge``.
    size : str
        How big it is, in words: ``3 items``.
    own : dict
        Tokens of what cannot change by itself, by label.
    parts : dict
        Values that can, by label.
    spans : tuple
        Where its memory lies, if it may share it: pairs of start and end.
    is_library : bool
        Whether its class comes from a library, which may keep there what it has computed.
    is_closed : bool
        Whether it cannot be looked into.
    """

    kind: str
    size: str = ""
    own: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    spans: tuple[tuple[int, int], ...] = ()
    is_library: bool = False
    is_closed: bool = False


def token(value: Any) -> bytes | None:
    """Return a token for a value that nobody can change; None for others.

    Examples
    --------
    >>> token(1) == token(True), token((1, "a")) == token((1, "a")), token([1])
    (False, True, None)
    """
    kind = type(value)
    if kind in SCALARS:
        return marshal.dumps(value, 2)
    if kind in (tuple, frozenset):
        if set(map(type, value)) <= SCALARS:
            items = value if kind is tuple else sorted(marshal.dumps(item, 2) for item in value)
            return digest(kind.__name__, marshal.dumps(list(items), 2))
        return None
    if isinstance(value, PLAIN) or (
        kind.__module__ == "numpy" and isinstance(value, _numpy("generic", "dtype", "ufunc"))
    ):
        return digest(kind.__qualname__, repr(value))
    if isinstance(value, types.CodeType):
        return digest("code", value.co_code, repr((value.co_names, value.co_varnames)))
    if isinstance(value, type) and not is_ours(value.__module__):
        return digest("class", f"{value.__module__}.{value.__qualname__}")
    if isinstance(value, types.BuiltinFunctionType) and isinstance(value.__self__, types.ModuleType | None):
        return digest("function", f"{value.__module__}.{value.__qualname__}")
    if isinstance(value, types.FunctionType) and not is_ours(value.__module__) and not value.__closure__:
        return digest("function", f"{value.__module__}.{value.__qualname__}")
    if isinstance(value, types.ModuleType) and not is_ours(value.__name__):
        return digest("module", value.__name__)
    if kind.__module__.startswith("pandas") and kind.__name__ in (
        "Timestamp",
        "Timedelta",
        "Period",
        "NaTType",
        "NAType",
    ):
        return digest(kind.__name__, repr(value))
    return None


def digest(*parts: str | bytes) -> bytes:
    """Return a token for some texts in order."""
    found = hashlib.blake2b(digest_size=12)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        found.update(b"%d:" % len(data))
        found.update(data)
    return found.digest()


def _numpy(*names: str) -> tuple[type, ...]:
    module = sys.modules.get("numpy")
    return tuple(getattr(module, name) for name in names) if module is not None else ()


def is_ours(module: str | None) -> bool:
    """Whether a module belongs to the notebook: itself, one made by hand, or a file in the working directory."""
    if module == "__main__":
        return True
    found = sys.modules.get(module or "")
    if found is None or module == "builtins":
        return False
    file = getattr(found, "__file__", None)
    if file is None:
        return getattr(found, "__spec__", None) is None
    return _is_beside(file, os.getcwd())  # noqa: PTH109 - asked for every object, and a tenth of the time


@functools.lru_cache(maxsize=4096)
def _is_beside(file: str, here: str) -> bool:
    folder = str(pathlib.Path(file).absolute().parent)
    return (folder == here or folder.startswith(here + os.sep)) and "site-packages" not in folder


def shown(value: Any) -> bytes:
    """Return what people may be shown of a key or a member, without addresses."""
    # A key or member that is an object: its class must do, for its text may hold its address.
    kind = type(value)
    shown = repr(value) if kind in SCALARS or kind is tuple or isinstance(value, PLAIN) else f"<{kind.__qualname__}>"
    return shown[:80].encode("utf-8", "surrogatepass")


def put(found: Inside, items: Iterable[tuple[str, Any]], budget: Budget) -> None:
    """Put labelled values where they belong: their token, or themselves as parts."""
    for number, (label, item) in enumerate(items):
        if number >= MOST_PARTS:
            budget.is_exceeded = True
            return
        if (known := token(item)) is not None:
            found.own[label] = known
        else:
            found.parts[label] = item


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
