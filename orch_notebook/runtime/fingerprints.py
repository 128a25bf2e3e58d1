"""What tells a value of the environment from another: fingerprints of constants, functions and classes.

In: a value.  Out: a fingerprint, the same in every process wherever the value can be compared across processes, and a
word on whether it can.  A function's covers what it uses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any, NamedTuple

from orch_notebook.runtime.pickling import write_to

__all__ = ["Fingerprint", "Fingerprints", "kind_of"]

#: A constant of more bytes is compared by identity: fingerprinting 50 MB takes 50 ms, and it is done once.
SIZE_LIMIT = 50_000_000
#: So many members of containers are looked at one by one; what is larger is pickled.
MEMBER_LIMIT = 10_000

ATOMS = (type(None), bool, int, float, complex, str, bytes)
TOOLS = (ModuleType, FunctionType, BuiltinFunctionType, type)


class Fingerprint(NamedTuple):
    """A fingerprint; `unkept` says why it means nothing to other kernels, or is empty."""

    digest: str
    unkept: str = ""


class Fingerprints:
    """Takes fingerprints, of each constant once.

    Notes
    -----
    A mutable constant that nobody can see changing keeps the fingerprint it was first given, so a task that changes a
    list of a plain cell does not change what it itself is made from.  Whoever sees a plain cell change one calls
    :meth:`forget`.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Fingerprint]] = {}
        self._count = 0

    def forget(self, values: Iterable[Any]) -> None:
        """Look at these values anew when they are next asked for."""
        for value in values:
            self._known.pop(id(value), None)

    def inherit(self, value: Any, origin: Any) -> None:
        """Give a copy the fingerprint that its original had."""
        found = self._known.get(id(origin))
        if found is not None and found[0] is origin:
            self._known[id(value)] = value, found[1]

    def prune(self, values: Iterable[Any]) -> None:
        """Keep nothing alive but these values."""
        alive = {id(value) for value in values}
        self._known = {key: found for key, found in self._known.items() if key in alive}

    def of(self, name: str, environment: Mapping[str, Any]) -> Fingerprint:
        """Return the fingerprint of a name's value."""
        return _Look(self, environment).value(name, environment[name])

    def function(self, function: FunctionType) -> Fingerprint:
        """Return the fingerprint of a function and of everything of its own project that it uses.

        Names are looked up in the globals of the function that reads them.  Other functions, classes and constants
        count, and installed libraries by name and version; what may be changed in place does not.
        """
        look = _Look(self, None)
        look.own = frozenset(("__main__", (function.__module__ or "").partition(".")[0]))
        return Fingerprint(look._function(function), look.unkept)

    def constant(self, name: str, value: Any) -> Fingerprint:
        """Return the fingerprint of a value that is no function, class or module."""
        found = self._known.get(id(value))
        if found is not None and found[0] is value:
            return found[1]
        fingerprint = self._take(name, value)
        if not isinstance(value, ATOMS):
            self._known[id(value)] = value, fingerprint
        return fingerprint

    def _take(self, name: str, value: Any) -> Fingerprint:
        digest = hashlib.sha256()
        try:
            _add_plain(digest, value, [MEMBER_LIMIT])
            return Fingerprint(digest.hexdigest())
        except _NotPlain:
            pass
        counter = _Counter()
        try:
            write_to(value, counter)
            return Fingerprint(counter.digest.hexdigest())
        except _TooLarge:
            why = f"it reads {name!r} from a plain cell, which is too big to compare; make it a task."
        except Exception:  # noqa: BLE001 - pickling runs the value's own code
            why = f"it reads {name!r}, whose value cannot be pickled."
        # Held by the table of what is known, so its number is its own.
        self._count += 1
        return Fingerprint(f"object {self._count}", why)


class _NotPlain(Exception):
    """A value that is more than plain data."""


class _TooLarge(Exception):
    """A value of too many bytes."""


class _Counter:
    """A file that keeps nothing but the fingerprint of what is written to it."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._size = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._size += size
        if self._size > SIZE_LIMIT:
            raise _TooLarge
        self.digest.update(data)
        return size


def _add_plain(digest: Any, value: Any, left: list[int]) -> None:
    """Add plain data to a digest: the same whatever shares parts and however sets are ordered in this process."""
    left[0] -= 1
    if left[0] < 0:
        raise _NotPlain
    kind = type(value)
    if kind in ATOMS:
        digest.update(f"{kind.__name__} {value!r};".encode("utf-8", "surrogatepass"))
    elif kind in (list, tuple):
        digest.update(f"{kind.__name__} {len(value)}:".encode())
        for member in value:
            _add_plain(digest, member, left)
    elif kind is dict:
        digest.update(f"dict {len(value)}:".encode())
        for key, member in value.items():
            _add_plain(digest, key, left)
            _add_plain(digest, member, left)
    elif kind in (set, frozenset):
        members = []
        for member in value:
            own = hashlib.sha256()
            _add_plain(own, member, left)
            members.append(own.digest())
        digest.update(f"{kind.__name__} {len(value)}:".encode() + b"".join(sorted(members)))
    else:
        raise _NotPlain


def kind_of(value: Any) -> str:
    """Return what people call a tool of this kind: ``function``, ``class``, ``module``; nothing for data."""
    if isinstance(value, ModuleType):
        return "module"
    if isinstance(value, type):
        return "class"
    return "function" if isinstance(value, TOOLS) else ""


class _Look:
    """One look at a value and all it uses."""

    def __init__(self, table: Fingerprints, environment: Mapping[str, Any] | None) -> None:
        self.table = table
        self.environment = environment  # None: each function's own globals
        self.own = frozenset(("__main__",))  # the packages whose code counts by what it says
        self.unkept = ""
        # Names and objects that are being looked at: recursion comes back to them.
        self.seen: set[object] = set()

    def value(self, name: str, value: Any) -> Fingerprint:
        digest = self._value(name, value)
        return Fingerprint(digest, self.unkept)

    def _value(self, name: str, value: Any) -> str:
        if isinstance(value, ModuleType):
            return f"module {value.__name__} {getattr(value, '__version__', '')}"
        if isinstance(value, FunctionType) and self._is_own(value):
            return self._function(value)
        if isinstance(value, type) and self._is_own(value):
            return self._class(value)
        wrapped = getattr(value, "__wrapped__", None)
        if isinstance(wrapped, FunctionType) and self._is_own(wrapped):  # by functools.cache, say
            return f"{type(value).__qualname__} of {self._function(wrapped)}"
        if callable(value) and hasattr(value, "__qualname__") and not self._is_own(value):
            return f"{value.__module__}.{value.__qualname__}"
        if self.environment is None and not isinstance(value, (*ATOMS, tuple, frozenset)):
            # What a global holds while it may be filled and changed is no part of what a function says.
            return f"a {type(value).__module__}.{type(value).__qualname__}"
        found = self.table.constant(name, value)
        self.unkept = self.unkept or found.unkept
        return found.digest

    def _is_own(self, value: Any) -> bool:
        return (getattr(value, "__module__", None) or "").partition(".")[0] in self.own

    def _function(self, function: FunctionType) -> str:
        if id(function) in self.seen:
            return ""
        self.seen.add(id(function))
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
            digest.update(f"|{name}:{self._value(name, value)}".encode())
        environment = function.__globals__ if self.environment is None else self.environment
        for name in sorted(names):
            place = name if self.environment is not None else (id(environment), name)
            if name in environment and place not in self.seen:
                self.seen.add(place)
                digest.update(f"|{name}={self._value(name, environment[name])}".encode())
        return digest.hexdigest()

    def _class(self, kind: type) -> str:
        if id(kind) in self.seen:
            return ""
        self.seen.add(id(kind))
        digest = hashlib.sha256(b"class")
        for base in kind.__bases__:
            digest.update(self._value(base.__name__, base).encode())
        for name, member in sorted(vars(kind).items()):
            if name in OF_EVERY_CLASS or name.startswith("_abc_"):
                continue
            parts = _parts(member)
            digest.update(f"|{name}={[self._member(name, part) for part in parts]}".encode())
        return digest.hexdigest()

    def _member(self, name: str, member: Any) -> str:
        if isinstance(member, FunctionType):
            return self._function(member)
        if isinstance(member, MemberDescriptorType | GetSetDescriptorType):
            return "slot"
        return self._value(name, member)


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
