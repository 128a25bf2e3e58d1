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
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
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

    # `seen` holds names and objects that are being looked at: recursion comes back to them.

    def _of_environment(self, name: str, seen: set[object]) -> str:
        if name in seen or name not in self._environment:
            return ""
        seen.add(name)
        return self._of_value(name, self._environment[name], seen)

    def _of_value(self, name: str, value: Any, seen: set[object]) -> str:
        if isinstance(value, ModuleType):
            return f"module {value.__name__} {getattr(value, '__version__', '')}"
        if isinstance(value, FunctionType) and value.__module__ == "__main__":
            return self._of_function(value, seen)
        if isinstance(value, type) and value.__module__ == "__main__":
            return self._of_class(value, seen)
        if callable(value) and hasattr(value, "__qualname__"):
            return f"{value.__module__}.{value.__qualname__}"
        try:
            data = to_bytes(value)
        except Exception:  # noqa: BLE001 - pickling runs the value's own code
            raise Unknown(f"it reads {name!r}, whose value cannot be pickled.") from None
        if len(data) > SIZE_LIMIT:
            raise Unknown(f"it reads {name!r} from a plain cell, which is too big to compare; make it a task.")
        return hashlib.sha256(data).hexdigest()

    def _of_function(self, function: FunctionType, seen: set[object]) -> str:
        if id(function) in seen:
            return ""
        seen.add(id(function))
        digest = hashlib.sha256()
        names = _add_code(digest, function.__code__)
        carried = {f"default {number}": value for number, value in enumerate(function.__defaults__ or ())}
        carried |= function.__kwdefaults__ or {}
        for free, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                carried[free] = cell.cell_contents
            except ValueError:  # not bound yet
                pass
        for name, value in carried.items():
            digest.update(f"|{name}:{self._of_value(name, value, seen)}".encode())
        for name in sorted(names):
            if name in self._environment:
                digest.update(f"|{name}={self._of_environment(name, seen)}".encode())
        return digest.hexdigest()

    def _of_class(self, kind: type, seen: set[object]) -> str:
        if id(kind) in seen:
            return ""
        seen.add(id(kind))
        digest = hashlib.sha256(b"class")
        for base in kind.__bases__:
            digest.update(self._of_value(base.__name__, base, seen).encode())
        for name, member in sorted(vars(kind).items()):
            if name in OF_EVERY_CLASS or name.startswith("_abc_"):
                continue
            parts = _parts(member)
            digest.update(f"|{name}={[self._of_member(name, part, seen) for part in parts]}".encode())
        return digest.hexdigest()

    def _of_member(self, name: str, member: Any, seen: set[object]) -> str:
        if isinstance(member, FunctionType):
            return self._of_function(member, seen)
        if isinstance(member, MemberDescriptorType | GetSetDescriptorType):
            return "slot"
        return self._of_value(name, member, seen)


#: What stands in the namespace of every class and says nothing of what it does.
OF_EVERY_CLASS = frozenset(
    {"__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__"}
)


def _parts(member: Any) -> list[Any]:
    """Return the functions that a member of a class is made of, or the member itself."""
    if isinstance(member, staticmethod | classmethod):
        return [member.__func__]
    if isinstance(member, property):
        return [member.fget, member.fset, member.fdel]
    return [member]


def _add_code(digest: Any, code: CodeType) -> set[str]:
    # The instructions hold only positions in these lists: without the names `sum(v)` and `max(v)` are the same.
    digest.update(code.co_code + code.co_exceptiontable)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    digest.update(repr((counts, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)).encode())
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _add_code(digest, constant)
        else:
            # A set's order changes from process to process.
            members = sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
            digest.update(repr(members).encode())
    return names
