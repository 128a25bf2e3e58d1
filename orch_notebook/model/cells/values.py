"""What a name may stand for while source is read without running it.

A :data:`Value` is the set of objects an expression may give, written as atoms.  An atom is a base and whether anything
*inside* that base is meant too:

================  ==========================================================================
``("in", x)``     what the global ``x`` stood for when the body began
``("arg", p)``    what the caller gave for parameter ``p``
``("new", k)``    an object that the body makes itself
``("path", d)``   something of a library, by its dotted path (``numpy.random.seed``)
``("text", s)``   a string literal, kept because it may name a file
================  ==========================================================================

Numbers and other things that nobody can change in place have no atoms at all.  What a whole body does is a
:class:`Summary` in these terms; whoever knows the caller puts the caller's values in place of the bases.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "EMPTY",
    "NOTHING_KNOWN",
    "Access",
    "Atom",
    "Base",
    "ClassCode",
    "Entry",
    "FunctionCode",
    "Summary",
    "Tag",
    "Value",
    "join_texts",
    "union",
]

Base = tuple[str, Any]
Atom = tuple[Base, bool]
Value = frozenset[Atom]
#: What is known of an object: ``("function", code)``, ``("bound", code)`` of a method with its object inside,
#: ``("method", name)`` of a library's object inside, ``("class", code)``, ``("instance", code)``,
#: ``("resumes", code)`` of a generator, ``("type", "list")``, ``("stateful", "iterator")``,
#: ``("carries", "state:numpy.random")`` …
Tag = tuple[str, Any]

EMPTY: Value = frozenset()


class FunctionCode:
    """A function, lambda or generator expression of some cell; equal only to itself."""

    __slots__ = (
        "captured",
        "changes",
        "free",
        "globals",
        "has_defaults",
        "is_generator",
        "locals",
        "name",
        "node",
        "parameters",
    )

    def __init__(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.GeneratorExp,
        parameters: tuple[str, ...] = (),
        locals: frozenset[str] = frozenset(),
        captured: frozenset[str] = frozenset(),
        globals: frozenset[str] = frozenset(),
        changes: frozenset[str] = frozenset(),
        free: frozenset[str] = frozenset(),
        is_generator: bool = False,
    ) -> None:
        self.node = node
        self.name: str = getattr(node, "name", "<lambda>")
        self.parameters = parameters
        self.locals = locals
        self.captured = captured
        self.globals = globals
        self.changes = changes
        self.free = free
        self.is_generator = is_generator
        spec = getattr(node, "args", None)
        defaults = [*spec.defaults, *spec.kw_defaults] if spec else []
        #: Whether a default may be an object, which then lives as long as the function.
        self.has_defaults = any(not isinstance(node, ast.Constant | None) for node in defaults)

    def __repr__(self) -> str:
        return f"<code of {self.name}>"


class ClassCode:
    """A class of some cell, with the methods that its body binds; equal only to itself."""

    __slots__ = ("maker", "methods", "name", "node", "parents", "properties")

    def __init__(
        self,
        node: ast.ClassDef,
        parents: tuple[ClassCode, ...],
        methods: Mapping[str, FunctionCode],
        properties: frozenset[str],
        maker: ClassCode | None = None,
    ) -> None:
        self.node = node
        self.name = node.name
        self.parents = parents
        self.methods = methods
        self.properties = properties
        #: The class of this class, its own or inherited.
        self.maker: ClassCode | None = maker or next((each.maker for each in parents if each.maker), None)

    def __repr__(self) -> str:
        return f"<code of class {self.name}>"

    def method(self, name: str) -> FunctionCode | None:
        """Return the method of that name, its own or inherited."""
        found = self.methods.get(name)
        if found is None:
            for parent in self.parents:
                if (found := parent.method(name)) is not None:
                    break
        return found

    def after(self, name: str) -> FunctionCode | None:
        """Return the method of that name as ``super()`` finds it."""
        for parent in self.parents:
            if (found := parent.method(name)) is not None:
                return found
        return None

    def all_methods(self) -> dict[str, FunctionCode]:
        """Return every method, own ones before inherited ones."""
        found: dict[str, FunctionCode] = {}
        for parent in reversed(self.parents):
            found |= parent.all_methods()
        return found | dict(self.methods)

    def has_property(self, name: str) -> bool:
        """Whether loading that attribute runs code of the class."""
        return name in self.properties or any(parent.has_property(name) for parent in self.parents)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a global or an argument is known to be when a body begins.

    `direct` holds the library paths and texts it may be, `is_object` says whether it may be an object that can be
    shared, `tags` what is known of that object and `parts` of what is inside it.
    """

    direct: Value = EMPTY
    is_object: bool = True
    tags: frozenset[Tag] = frozenset()
    parts: frozenset[Tag] = frozenset()
    defined: bool | None = None


NOTHING_KNOWN = Entry()

#: ``"reset"`` puts back what others have changed, and does nothing where nobody has.
Access = Literal["read", "reset", "change"]


@dataclass(slots=True)
class Summary:
    """All that a body does, told in its own bases.

    Parameters
    ----------
    reads : dict
        Globals taken in before the body surely binds them; the value says whether the read is sure to need one
        (``True``) or merely falls back on it (``False``).
    writes : dict
        Globals that are bound at the end, with their value and whether that is sure.
    deletes : dict
        Globals that are unbound at the end, and whether that is sure.
    changed : set of Atom
        What is changed in place.
    contents : dict
        What was put inside which base.
    tags : dict
        What is known of the objects made here.
    returned : Value
        What a function gives back.
    states : dict
        Hidden state touched, ``"read"``, ``"reset"`` or ``"change"``.
    exclusive : set of str
        What only one task may use at a time.
    opaque : str
        Why nothing certain can be said, or empty.
    rebinds : bool
        Whether the opaque part may bind any name.
    needs : dict
        The entries this summary rests on.
    imports : set of str
        Modules and packages that are imported.
    stars : tuple of str
        Modules of which everything was imported, the latest last.
    indirect : set of str
        Globals named by functions that are made or called here, in class bodies and in comprehensions.
    in_place : bool
        Whether a cell executes text, asks for its names as a dictionary, or uses a library that looks in ``__main__``.
    """

    reads: dict[str, bool] = field(default_factory=dict)
    writes: dict[str, tuple[Value, bool]] = field(default_factory=dict)
    deletes: dict[str, bool] = field(default_factory=dict)
    changed: set[Atom] = field(default_factory=set)
    contents: dict[Base, set[Atom]] = field(default_factory=dict)
    tags: dict[Base, frozenset[Tag]] = field(default_factory=dict)
    returned: Value = EMPTY
    states: dict[str, Access] = field(default_factory=dict)
    exclusive: set[str] = field(default_factory=set)
    opaque: str = ""
    rebinds: bool = False
    needs: dict[str, Entry] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)
    stars: tuple[str, ...] = ()
    indirect: set[str] = field(default_factory=set)
    in_place: bool = False
    late: dict[str, frozenset[str]] = field(default_factory=dict)
    effects: Any = None
    kept: set[Base] = field(default_factory=set)


def union(values: Iterable[Value]) -> Value:
    """Return what any of several values may be."""
    found: set[Atom] = set()
    for value in values:
        found |= value
    return frozenset(found)


def join_texts(parts: Iterable[Value], between: str = "") -> Value:
    """Return the text that is put together from parts; ``*`` stands for what cannot be seen.

    Examples
    --------
    >>> [text for (_, text), _ in join_texts([frozenset({(("text", "data"), False)}), EMPTY], "/")]
    ['data/*']
    """
    words: list[str] = []
    is_seen = False
    for part in parts:
        texts = [base[1] for base, _ in part if base[0] == "text"]
        if len(texts) == 1 and len(part) == 1:
            words.append(texts[0])
            is_seen = True
        else:
            words.append("*")
    return frozenset({(("text", between.join(word for word in words if word)), False)}) if is_seen else EMPTY
