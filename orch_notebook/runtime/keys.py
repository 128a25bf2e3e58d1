"""The key of a task: the same key means that running it again would give the same.

A key is made of the source (as Python reads it, so comments and spacing do not count), the keys of the versions it
reads, and fingerprints of what it takes from the environment: functions with what they use, constants, parameters.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import CodeType, FunctionType, ModuleType
from typing import Any

from orch_notebook.model.flows import CellFlow
from orch_notebook.runtime.pickling import to_bytes

__all__ = ["Keys"]

SIZE_LIMIT = 50_000_000


class Unknown(Exception):
    """A value that has no fingerprint; the message names it."""


class Keys:
    """Computes the keys of one flow's tasks, each once.

    Parameters
    ----------
    flow : CellFlow
        The tasks.
    environment : Mapping
        The values of plain cells, as they stood when the run began.
    """

    def __init__(self, flow: CellFlow, environment: Mapping[str, Any]) -> None:
        self._flow = flow
        self._environment = environment
        self._found: dict[str, tuple[str | None, str]] = {}

    def age(self, made_at: datetime) -> float:
        """Return the seconds since `made_at`."""
        return (datetime.now(UTC) - made_at).total_seconds()

    def key(self, task: str) -> tuple[str | None, str]:
        """Return the key of a task, or None and the reason why it has none."""
        if task not in self._found:
            try:
                self._found[task] = self._compute(task), ""
            except Unknown as error:
                self._found[task] = None, f"Not kept, so it always runs: {error}"
        return self._found[task]

    def _compute(self, task: str) -> str:
        cell = self._flow[task]
        digest = hashlib.sha256(f"{sys.version_info[:2]}".encode())
        digest.update(ast.dump(ast.parse(cell.body)).encode())
        if self._flow.wiring.effects[task].opaque:
            raise Unknown(f"its source cannot be analysed ({self._flow.wiring.effects[task].opaque}).")
        for name, maker in sorted(self._flow.wiring.bindings[task].items()):
            if maker is None:
                part = self._of_environment(name, set())
            else:
                key, reason = self.key(maker)
                if key is None:
                    raise Unknown(f"it needs {maker!r}, which has no key. {reason}")
                part = f"{maker}:{key}"
            digest.update(f"|{name}={part}".encode())
        return digest.hexdigest()

    def _of_environment(self, name: str, seen: set[str]) -> str:
        if name in seen or name not in self._environment:
            return ""
        seen.add(name)
        return self._of_value(name, self._environment[name], seen)

    def _of_value(self, name: str, value: Any, seen: set[str]) -> str:
        if isinstance(value, ModuleType):
            return f"module {value.__name__} {getattr(value, '__version__', '')}"
        if isinstance(value, FunctionType) and value.__module__ == "__main__":
            return self._of_function(value, seen)
        if isinstance(value, type) and value.__module__ == "__main__":
            members = [member for _, member in sorted(vars(value).items()) if isinstance(member, FunctionType)]
            return "class " + " ".join(self._of_function(member, seen) for member in members)
        if callable(value) and hasattr(value, "__qualname__"):
            return f"{value.__module__}.{value.__qualname__}"
        try:
            data = to_bytes(value)
        except Exception:  # noqa: BLE001 - pickling runs the value's own code
            raise Unknown(f"it reads {name!r}, whose value cannot be pickled.") from None
        if len(data) > SIZE_LIMIT:
            raise Unknown(f"it reads {name!r} from a plain cell, which is too big to compare; make it a task.")
        return hashlib.sha256(data).hexdigest()

    def _of_function(self, function: FunctionType, seen: set[str]) -> str:
        digest = hashlib.sha256()
        names = _add_code(digest, function.__code__)
        digest.update(repr(function.__defaults__).encode())
        for name in sorted(names):
            if name in self._environment:
                digest.update(f"|{name}={self._of_environment(name, seen)}".encode())
        return digest.hexdigest()


def _add_code(digest: Any, code: CodeType) -> set[str]:
    digest.update(code.co_code)
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _add_code(digest, constant)
        else:
            # A set's order changes from process to process.
            members = sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
            digest.update(repr(members).encode())
    return names
