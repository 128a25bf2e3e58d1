"""Keeps the values of secrets out of everything that is stored or shown.

In: values that must not be seen, and texts on their way into the store, a notebook or a log.  Out: the texts with
``***`` in the place of each value, in whatever way it is usually written: as it is, a line of it, quoted as Python,
JSON, HTML or a URL write it, or in base64, also within something longer.  While no secret is known, nothing is done.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from orch_notebook.errors import SecretExposed

__all__ = ["MASK", "SHORTEST", "Redactor", "redactor"]

MASK = "***"

#: Shorter values cannot be told from ordinary text.
SHORTEST = 4

#: Of a piece of a value (a line of several, the part of its base64 that does not depend on what is around it).
SHORTEST_PART = 6


class Redactor:
    """The values that are kept out.

    Examples
    --------
    >>> hides = Redactor()
    >>> hides.add("s3cr3t!")
    >>> hides.redact("token=s3cr3t! or s3cr3t%21, czNjcjN0IQ==")
    'token=*** or ***, ***=='
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._bytes: tuple[bytes, ...] = ()
        self._lock = threading.Lock()
        self._told: list[Callable[[], object]] = []
        self._keys: set[Any] = set()

    def __bool__(self) -> bool:
        return self._pattern is not None

    def add(self, value: Any) -> None:
        """Keep a value out from now on: a text, or the texts in a list or mapping."""
        with self._lock:
            found = {text for text in _texts(value) if len(text) >= SHORTEST}
            if found <= self._known:
                return
            self._known |= found
            forms = sorted({form for text in self._known for form in _forms(text)}, key=lambda form: (-len(form), form))
            self._bytes = tuple(form.encode("utf-8", "surrogatepass") for form in forms)
            is_first = self._pattern is None
            self._pattern = re.compile("|".join(map(re.escape, forms)))
            told = self._told if is_first else []
        for tell in tuple(told):
            tell()

    def knows(self, key: Any) -> bool:
        """Whether what `key` stands for has been added; from now on it has."""
        if key in self._keys:
            return True
        self._keys.add(key)
        return False

    def when_first(self, callback: Callable[[], object]) -> None:
        """Have `callback` called once there is something to keep out; at once if there is."""
        with self._lock:
            self._told.append(callback)
            is_late = self._pattern is not None
        if is_late:
            callback()

    def forget(self) -> None:
        """Know of nothing any more."""
        with self._lock:
            self._known, self._pattern, self._bytes = set(), None, ()
            self._keys.clear()

    def redact(self, text: str) -> str:
        """Return a text without the values."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def redact_all(self, value: Any) -> Any:
        """Return a structure of lists, mappings and texts without the values; the same object if it has none."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self._pattern.sub(MASK, value)
        if isinstance(value, Mapping):
            return {self.redact_all(key): self.redact_all(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self.redact_all(each) for each in value]) if type(value) in (list, tuple) else value
        return value

    def check(self, *parts: Any) -> None:
        """Refuse bytes that hold a value.

        Raises
        ------
        SecretExposed
            They do.
        """
        for part in parts if self._bytes else ():
            data = bytes(part)
            if any(form in data for form in self._bytes):
                raise SecretExposed("it holds the value of a secret, which would lie open in a file.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _forms(text: str) -> Iterator[str]:
    """Yield the ways in which a text is usually written."""
    yield text
    if "\n" in text:
        lines = [line.strip() for line in text.splitlines()]
        yield from (form for line in lines if len(line) >= SHORTEST_PART for form in _forms(line))
    quoted = [repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
    quoted += [quote(text, safe=""), quote(text), quote_plus(text), html.escape(text), html.escape(text, quote=False)]
    # What is quoted twice: a repr or JSON within a JSON, as in the details of an event.
    quoted += [json.dumps(form)[1:-1] for form in quoted[:2]]
    yield from (form for form in quoted if len(form) >= SHORTEST)
    data = text.encode("utf-8", "surrogatepass")
    for shift in range(3):  # what stands before it decides how its bytes fall into base64's groups
        coded = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
        # The first and last characters also bear bits of what is around it.
        core = coded[(0, 2, 3)[shift] : len(coded) if (len(data) + shift) % 3 == 0 else -1]
        if len(core) >= SHORTEST_PART:
            yield core
            yield core.replace("+", "-").replace("/", "_")


#: The one of this process.
redactor = Redactor()
