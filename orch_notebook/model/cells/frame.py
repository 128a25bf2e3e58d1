"""The state of one body while it is read: its names, the objects behind them, and what has been done to them.

In: what the names of the surroundings are known to be.  Out: a :class:`~orch_notebook.model.cells.values.Summary`.
Expressions and statements are read by their own modules, which call the verbs here.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Protocol

from orch_notebook.model.cells.knowledge import state_of
from orch_notebook.model.cells.rules import Knowledge
from orch_notebook.model.cells.scopes import GONE, Names
from orch_notebook.model.cells.values import (
    EMPTY,
    Access,
    Atom,
    Base,
    ClassCode,
    Entry,
    FunctionCode,
    Summary,
    Tag,
    Value,
    union,
)

__all__ = ["CLOSURE", "Frame", "Linker"]

#: The parameter that stands for the function object itself, which holds defaults and captured names.
CLOSURE = "<function>"
NO_TAGS: frozenset[Tag] = frozenset()


class Linker(Protocol):
    """Who reads the bodies of functions, sources inside sources, and classes."""

    #: How much was looked at so far for this cell.
    effort: int

    def summarise(self, code: FunctionCode, given: Mapping[str, Entry], caller: Frame) -> Summary:
        """Return what a function does when called so."""

    def function_code(self, node: ast.AST, enclosing: frozenset[str]) -> FunctionCode:
        """Return the one code of that node."""

    def class_code(
        self,
        node: ast.ClassDef,
        parents: tuple[ClassCode, ...],
        methods: Mapping[str, FunctionCode],
        properties: frozenset[str],
        maker: ClassCode | None = None,
    ) -> ClassCode:
        """Return the one code of that class with those parents."""

    def read_source(self, frame: Frame, source: str) -> None:
        """Read Python text as if it stood in the frame's body."""


class Frame:
    """One body being read.

    Parameters
    ----------
    linker : Linker
        Reads function bodies.
    knowledge : Knowledge
        What is known of libraries.
    entry : callable
        Tells what a global is known to be when the body begins.
    code : FunctionCode, optional
        The function whose body this is; a cell has none.
    given : mapping
        What its parameters are known to be.
    """

    __slots__ = (
        "captured", "code", "depth", "entry", "exits", "knowledge", "linker", "locals_known", "names", "offered",
        "overlays", "reached", "summary", "tags",
    )  # fmt: skip

    def __init__(
        self,
        linker: Linker,
        knowledge: Knowledge,
        entry: Callable[[str], Entry],
        code: FunctionCode | None = None,
        given: Mapping[str, Entry] | None = None,
        depth: int = 0,
    ) -> None:
        self.linker = linker
        self.knowledge = knowledge
        self.entry = entry
        self.code = code
        self.depth = depth
        self.summary = Summary()
        self.tags: dict[Base, tuple[frozenset[Tag], frozenset[Tag]]] = {}
        self.names = Names({}, {}, frozenset(), frozenset())
        #: Class bodies and comprehensions, innermost last: their names, and whether it is a class body.
        self.overlays: list[tuple[dict[str, Value], bool]] = []
        #: Functions that a library was handed, with what it could call them with.
        self.offered: set[tuple[FunctionCode | ClassCode | str, Atom, Value]] = set()
        #: What can be reached from a value, as long as nothing is put anywhere.
        self.reached: dict[Value, Value] = {}
        #: The names as they stood at each ``return``.
        self.exits: list[Names] = []
        self.locals_known = code.locals if code else frozenset()
        self.captured = code.captured if code else frozenset()
        for name, known in (given or {}).items():
            self.names.locals[name] = self.admit(("arg", name), known)

    def admit(self, base: Base, known: Entry) -> Value:
        """Return the value of a base of which this is known."""
        if not known.is_object:
            return known.direct
        if known.tags or known.parts:
            self.tags[base] = (known.tags, known.parts)
        return known.direct | {(base, False)}

    # Names.

    def load(self, name: str) -> Value:
        """Return what a name stands for here, and note the read if it comes from outside."""
        for overlay, _ in reversed(self.overlays):
            if name in overlay:
                return overlay[name]
        if self.code is not None:
            if name in self.locals_known:
                return self.names.locals.get(name, EMPTY)
            if name in self.captured:
                return frozenset({(("arg", CLOSURE), True)})
        if self.overlays:
            self.summary.indirect.add(name)
        return self.load_global(name)

    def load_global(self, name: str) -> Value:
        """Return what a global stands for here, and note the read if it comes from outside."""
        names = self.names
        found = names.globals.get(name)
        if found is None:
            known = self.known(name)
            if known.defined is not False or not known.direct:
                self.summary.reads[name] = True
            value = self.admit(("in", name), known)
            if self.summary.stars and known.defined is None:
                value |= {(("path", f"{module}.{name}"), False) for module in self.summary.stars}
            return value
        if name in names.unsure:
            self.summary.reads.setdefault(name, False)
        if found is GONE or name in names.gone:
            self.summary.indirect.add(name)  # what the notebook has under this name must not be found instead
        return EMPTY if found is GONE else found

    def peek(self, name: str) -> Entry:
        """Return what a global is known to be here, without reading it."""
        found = self.names.globals.get(name)
        if found is None:
            return self.known(name)
        return self.describe(EMPTY if found is GONE else found)

    def known(self, name: str) -> Entry:
        """Return what a global was known to be when the body began."""
        needs = self.summary.needs
        found = needs.get(name)
        if found is None:
            found = needs[name] = self.entry(name)
        return found

    def binds(self, name: str) -> bool:
        """Whether this body has bound a name so far."""
        names = self.names
        return name in names.globals or name in names.locals or any(name in overlay for overlay, _ in self.overlays)

    def read_if_there(self, name: str) -> None:
        """Note that a name is taken in where something defines it."""
        if name not in self.names.globals:
            self.known(name)
            self.summary.reads.setdefault(name, False)

    def bind(self, name: str, value: Value) -> None:
        """Let a name stand for a value from here on."""
        if self.overlays and self.overlays[-1][1]:
            self.overlays[-1][0][name] = value
        elif self.code is not None and name in self.locals_known:
            self.names.locals[name] = value
        elif self.code is not None and name in self.code.changes:
            closure: Value = frozenset({(("arg", CLOSURE), False)})
            self.change(closure)
            self.store(closure, value)
        else:
            if self.overlays:
                self.summary.indirect.add(name)
            self.bind_global(name, value)

    def bind_global(self, name: str, value: Value) -> None:
        """Let a global surely stand for a value, or surely be gone."""
        names = self.names
        names.globals[name] = value
        if name in names.unsure:
            names.unsure -= {name}
        if name in names.gone:
            names.gone -= {name}

    def unbind(self, name: str) -> None:
        """Take a name away."""
        if self.code is not None and name in self.locals_known:
            self.names.locals.pop(name, None)
        elif self.overlays and self.overlays[-1][1]:
            self.overlays[-1][0].pop(name, None)
        else:
            if name not in self.names.globals or name in self.names.unsure:
                self.load_global(name)
            self.bind_global(name, GONE)

    def unbind_global(self, name: str) -> None:
        """Take a global away, as a function that declares it does."""
        self.bind_global(name, GONE)

    def maybe_bind(self, name: str, value: Value) -> None:
        """Let a global stand for a value or still for what it stood for."""
        names = self.names
        found = names.globals.get(name)
        if found is None:
            found = self.admit(("in", name), self.known(name))
            names.unsure |= {name}
        elif found is GONE:
            found = EMPTY
            names.gone |= {name}
        names.globals[name] = found | value

    def join(self, branches: list[Names]) -> None:
        """Go on from where several branches meet."""
        if not branches:
            return
        first = branches[0]
        if len(branches) == 1:
            self.names = first
            return
        globals = dict(first.globals)
        unsure = first.unsure.union(*(branch.unsure for branch in branches[1:]))
        gone = first.gone.union(*(branch.gone for branch in branches[1:]))
        for name in {name for branch in branches for name in branch.globals}:
            values = [branch.globals.get(name) for branch in branches]
            if all(value is values[0] for value in values):
                continue
            if any(value is None for value in values):
                unsure |= {name}
                values.append(self.admit(("in", name), self.known(name)))
            if any(value is GONE for value in values):
                gone |= {name}
            globals[name] = union(value for value in values if value is not None and value is not GONE)
        locals = dict(first.locals)
        for branch in branches[1:]:
            for name, found in branch.locals.items():
                locals[name] = locals.get(name, EMPTY) | found
        self.names = Names(globals, locals, unsure, gone)

    # Objects.

    def new(self, node: ast.AST, *tags: Tag, holds: Value = EMPTY) -> Value:
        """Return an object made at `node`, with what is known of it and what is inside."""
        base: Base = ("new", node)
        if tags:
            self.tags[base] = (self.tags.get(base, (NO_TAGS, NO_TAGS))[0].union(tags), NO_TAGS)
        if holds:
            self._put(base, holds)
        return frozenset({(base, False)})

    def tags_of(self, atom: Atom) -> frozenset[Tag]:
        """Return what is known of one object, or for an inner atom of what is inside it."""
        known = self.tags.get(atom[0])
        if known is None:
            return NO_TAGS
        return known[0] | known[1] if atom[1] else known[0]

    def known_of(self, value: Value) -> frozenset[Tag]:
        """Return all that is known of what a value may be."""
        known = self.tags
        if not known:
            return NO_TAGS
        found = NO_TAGS
        for atom in value:
            if atom[0] in known and (tags := self.tags_of(atom)) and tags is not NO_TAGS:
                found |= tags
        return found

    def contents(self, value: Value) -> Value:
        """Return what this body has put right inside a value."""
        return union(frozenset(self.summary.contents.get(base, ())) for base, _ in value)

    def inside(self, value: Value) -> Value:
        """Return everything that can be reached from a value."""
        known = self.reached.get(value)
        if known is not None:
            return known
        contents = self.summary.contents
        found = {(base, True) for base, _ in value if base[0] in ("in", "arg", "new")}
        todo = [base for base, _ in value if base in contents]
        seen = set(todo)
        effort = len(found)
        while todo:
            held = contents[todo.pop()]
            effort += len(held)
            for base, _ in held:
                found.add((base, base[0] in ("in", "arg", "new")))
                if base in contents and base not in seen:
                    seen.add(base)
                    todo.append(base)
        self.linker.effort += effort
        known = self.reached[value] = frozenset(found)
        return known

    def classes_of(self, value: Value) -> Value:
        """Return the classes of the notebook whose instance a value may be."""
        if not self.tags:
            return EMPTY
        return frozenset(a for a in self.inside(value) if any(kind == "class" for kind, _ in self.tags_of(a)))

    def element(self, value: Value) -> Value:
        """Return what may be taken out of a value: its parts, or a view of it."""
        found: set[Atom] = set()
        for base, inner in value:
            if base[0] in ("text", "path", "gone"):
                continue
            held = self.summary.contents.get(base)
            if held:
                found |= held
            # A list made here gives its elements; of anything else the part may share the whole's memory.
            if base[0] != "new" or inner or not self._is_plain_container(base):
                found.add((base, True))
        return frozenset(found)

    def _is_plain_container(self, base: Base) -> bool:
        own = self.tags.get(base, (NO_TAGS, NO_TAGS))[0]
        return ("type", "list") in own or ("type", "dict") in own or ("stateful", "iterator") in own

    def describe(self, value: Value) -> Entry:
        """Return what a value is known to be, as the body that it is given to will see it."""
        direct = frozenset(atom for atom in value if atom[0][0] in ("text", "path"))
        objects = value - direct
        if not objects:
            return Entry(direct, False, defined=True)
        tags = parts = NO_TAGS
        contents = self.summary.contents
        for atom in objects:
            base, inner = atom
            own, within = self.tags.get(base, (NO_TAGS, NO_TAGS))
            tags = (tags | own | within) if inner else (tags | own)
            parts |= within
            if base in contents:
                for deep in self.inside(frozenset({atom})):
                    if deep[0] != base:
                        both = self.tags.get(deep[0], (NO_TAGS, NO_TAGS))
                        parts |= both[0] | both[1]
        return Entry(direct, True, tags, parts, True)

    # What is done.

    def change(self, value: Value, deep: bool = False) -> None:
        """Note that what a value stands for is changed in place, with all that is inside if `deep`."""
        changed = self.summary.changed
        for base, inner in value:
            kind = base[0]
            if kind in ("in", "arg"):
                changed.add((base, inner or deep))
            elif kind == "path":
                self.touch(state_of(base[1]), "change")
            if (inner or deep) and base in self.summary.contents:
                for within in self.inside(frozenset({(base, False)})):
                    if within[0][0] in ("in", "arg"):
                        changed.add(within)

    def store(self, container: Value, value: Value) -> None:
        """Note that a value was put inside a container."""
        held = frozenset(atom for atom in value if atom[0][0] != "gone")
        if not held:
            return
        for base, _ in container:
            if base[0] in ("in", "arg", "new"):
                self._put(base, held)

    def _put(self, base: Base, held: Value) -> None:
        found = self.summary.contents.setdefault(base, set())
        before = len(found)
        found |= held
        if len(found) != before:
            self.reached.clear()

    def touch(self, state: str, access: Access = "change") -> None:
        """Note that hidden state is read, put back or changed."""
        found = self.summary.states.get(state)
        if found is None or access == "change" or (access == "reset" and found == "read"):
            self.summary.states[state] = access

    def reach_around(self) -> None:
        """Note that names are found or bound here in another way than by being named."""
        self.summary.in_place |= self.code is None

    def give_up(self, reason: str, rebinds: bool = False) -> None:
        """Note that nothing certain can be said of this body."""
        self.summary.opaque = self.summary.opaque or reason
        self.summary.rebinds = self.summary.rebinds or rebinds

    def finish(self) -> Summary:
        """Return what the body did, now that it has been read to its end."""
        summary = self.summary
        names = self.names
        for name, value in names.globals.items():
            if value is GONE:
                summary.deletes[name] = True
                continue
            if name in names.gone:
                summary.deletes[name] = False
            summary.writes[name] = (value, name not in names.unsure and name not in names.gone)
        self._forget_what_is_lost()
        for base, (own, parts) in self.tags.items():
            if base[0] == "new" and (own or parts) and base in summary.kept:
                summary.tags[base] = own | parts
        return summary

    def _forget_what_is_lost(self) -> None:
        """Drop what was put inside objects that nobody can reach any more."""
        summary = self.summary
        contents = summary.contents
        todo = [base for base in contents if base[0] != "new"]
        todo += [atom[0] for value, _ in summary.writes.values() for atom in value]
        todo += [atom[0] for atom in summary.returned]
        kept = summary.kept
        while todo:
            base = todo.pop()
            if base not in kept:
                kept.add(base)
                todo += [atom[0] for atom in contents.get(base, ())]
        summary.contents = {base: held for base, held in contents.items() if base in kept}
