"""Functions of the notebook, followed: what their bodies do happens to the caller's names and objects.

In: a frame, the code that is called and what it is given.  Out: what comes back; what was done is noted in the frame.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

from orch_notebook.model.cells.frame import CLOSURE, Frame
from orch_notebook.model.cells.values import EMPTY, Atom, Base, ClassCode, FunctionCode, Summary, Tag, Value, union

__all__ = [
    "Arguments",
    "bind_arguments",
    "call_special",
    "call_tagged",
    "is_bound_to_class",
    "is_static",
    "perform",
    "run_code",
]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a call is given: values by position and by keyword, `rest` from ``*`` and ``**``."""

    node: ast.AST
    positional: tuple[Value, ...] = ()
    keywords: Mapping[str, Value] = field(default_factory=dict)
    rest: Value = EMPTY
    constants: Mapping[str, object] = field(default_factory=dict)
    is_discarded: bool = False

    @property
    def everything(self) -> Value:
        """All that is given, however."""
        return union([*self.positional, *self.keywords.values(), self.rest])

    def pick(self, place: int | str) -> Value:
        """Return the argument at a position or of a keyword."""
        if isinstance(place, str):
            return self.keywords.get(place, EMPTY)
        if place < len(self.positional):
            return self.positional[place]
        return self.rest


def run_code(
    frame: Frame, code: FunctionCode, function: Value, given: Arguments, receiver: Value | None = None
) -> Value:
    """Call a function of the notebook: what it does happens here, with this caller's names."""
    if code.is_generator:
        # Nothing of the body runs before somebody asks for the first element.
        everything = given.everything | function | (receiver or EMPTY)
        return frame.new(given.node, ("stateful", "iterator"), ("resumes", code), holds=everything)
    arguments = bind_arguments(frame, code, given, receiver)
    if code.captured or code.changes:
        arguments[CLOSURE] = function
    if code.has_defaults:
        held = frame.element(function)
        for name in code.parameters:
            if not arguments.get(name):
                arguments[name] = held
    result = perform(frame, code, arguments, given.node)
    if isinstance(code.node, ast.AsyncFunctionDef):
        return result | frame.new(
            given.node, ("stateful", "coroutine"), ("resumes", code), holds=given.everything | result
        )
    return result


def bind_arguments(frame: Frame, code: FunctionCode, given: Arguments, receiver: Value | None) -> dict[str, Value]:
    """Return what each parameter gets."""
    node = code.node
    if isinstance(node, ast.GeneratorExp):
        return {}
    spec = node.args
    positional = [arg.arg for arg in [*spec.posonlyargs, *spec.args]]
    values = list(given.positional) if receiver is None else [receiver, *given.positional]
    bound = dict(zip(positional, values, strict=False))
    surplus = union(values[len(positional) :])
    extra: list[Value] = []
    named = {*positional, *(arg.arg for arg in spec.kwonlyargs)}
    for name, value in given.keywords.items():
        if name in named:
            bound[name] = value
        else:
            extra.append(value)
    for name in named:
        if name not in bound:
            # What is not given comes from a star, or is the default, which lives in the function object.
            bound[name] = given.rest
    if spec.vararg:
        bound[spec.vararg.arg] = frame.new(spec.vararg, ("type", "list"), holds=surplus | given.rest)
    if spec.kwarg:
        bound[spec.kwarg.arg] = frame.new(spec.kwarg, ("type", "dict"), holds=union(extra) | given.rest)
    return bound


def perform(frame: Frame, code: FunctionCode, arguments: dict[str, Value], site: ast.AST) -> Value:
    """Do what a body does when it is called with these arguments, and return what it returns."""
    described = {name: frame.describe(value) for name, value in arguments.items()}
    summary = frame.linker.summarise(code, described, frame)
    return apply(frame, summary, arguments, site)


def apply(frame: Frame, summary: Summary, arguments: Mapping[str, Value], site: ast.AST) -> Value:
    """Do in `frame` what a summary tells, with these arguments, and return what it returns."""
    here: dict[Base, Value] = {}
    for name, is_sure in summary.reads.items():
        if is_sure or name in frame.names.globals:
            here["in", name] = frame.load_global(name)
        else:
            known = frame.known(name)
            frame.summary.reads.setdefault(name, False)
            here["in", name] = frame.admit(("in", name), known)

    def new_here(base: Base) -> Base:
        # An object keeps the node that made it and the outermost call it came through: deeper chains would have no end.
        key = base[1]
        return "new", (site, key[1] if isinstance(key, tuple) else key)

    def place(base: Base) -> Value:
        found = here.get(base)
        if found is None:
            if base[0] == "arg":
                found = arguments.get(base[1], EMPTY)
            elif base[0] == "new":
                found = frozenset({(new_here(base), False)})
            elif base[0] == "in":
                found = frame.load_global(base[1])
            else:
                found = frozenset({(base, False)})
            here[base] = found
        return found

    def place_all(value: Value | set[Atom]) -> Value:
        found: set[Atom] = set()
        for base, inner in value:
            placed = place(base)
            found |= frame.inside(placed) if inner else placed
        return frozenset(found)

    for base, tags in summary.tags.items():
        made = new_here(base)
        frame.tags[made] = (tags | frame.tags[made][0], frozenset()) if made in frame.tags else (tags, frozenset())
    for base, held in summary.contents.items():
        frame.store(place(base), place_all(held))
    for base, inner in summary.changed:
        frame.change(place(base), deep=inner)
    for name in summary.deletes:
        if name not in summary.writes:
            frame.unbind_global(name)
    for name, (value, is_sure) in summary.writes.items():
        placed = place_all(value)
        if is_sure:
            frame.bind_global(name, placed)
        else:
            frame.maybe_bind(name, placed)
    for state, access in summary.states.items():
        frame.touch(state, access)
    frame.summary.exclusive |= summary.exclusive
    frame.summary.in_place |= summary.in_place
    frame.summary.imports |= summary.imports
    frame.summary.indirect |= summary.indirect.union(summary.reads, summary.writes, summary.deletes)
    if summary.opaque:
        frame.give_up(summary.opaque, summary.rebinds)
    return place_all(summary.returned)


def construct(frame: Frame, code: ClassCode, called: Value, given: Arguments) -> Value:
    """Make an instance of a class of the notebook."""
    made = frame.new(given.node, ("instance", code))
    frame.store(made, called)
    start = code.method("__init__")
    if code.maker is not None and (method := code.maker.method("__call__")) is not None:
        made |= run_code(frame, method, EMPTY, given, receiver=called)
    if (method := code.method("__new__")) is not None:
        # It may give an object that was there before.
        made |= run_code(frame, method, EMPTY, given, receiver=called)
    if (method := code.method("__post_init__")) is not None:
        run_code(frame, method, EMPTY, Arguments(given.node), receiver=made)
    if start is None:
        # A dataclass, a named tuple, or a library's constructor: it keeps what it is given, and may call what its class
        # holds, such as the factories of defaults.
        frame.store(made, given.everything)
        for atom in frame.inside(called):
            for kind, factory in frame.tags_of(atom):
                if kind == "function":
                    run_code(frame, factory, frozenset({atom}), Arguments(given.node))
    else:
        run_code(frame, start, EMPTY, given, receiver=made)
    return made


def call_special(frame: Frame, value: Value, name: str, node: ast.AST, *operands: Value) -> Value:
    """Call a special method such as ``__add__`` on what may be an instance of a class of the notebook."""
    results: list[Value] = []
    for atom in value:
        for kind, code in frame.tags_of(atom):
            if kind == "instance" and (method := code.method(name)) is not None:
                results.append(run_code(frame, method, EMPTY, Arguments(node, operands), receiver=frozenset({atom})))
    return union(results)


def is_static(method: FunctionCode) -> bool:
    """Whether a method takes neither its object nor its class."""
    return _is_decorated(method, "staticmethod")


def is_bound_to_class(method: FunctionCode) -> bool:
    """Whether a method takes its class in place of its object."""
    return _is_decorated(method, "classmethod")


def _is_decorated(method: FunctionCode, name: str) -> bool:
    decorators = getattr(method.node, "decorator_list", ())
    return any(isinstance(decorator, ast.Name) and decorator.id == name for decorator in decorators)


def call_tagged(frame: Frame, tag: Tag, atom: Atom, given: Arguments) -> Value | None:
    """Call what is known to be a function, a method or a class of the notebook; None if it is none of them."""
    kind, code = tag
    if kind == "function":
        return run_code(frame, code, frozenset({atom}), given)
    if kind == "bound":
        return run_code(frame, code, EMPTY, given, receiver=frame.element(frozenset({atom})))
    if kind == "class":
        return construct(frame, code, frozenset({atom}), given)
    if kind == "instance":
        for name in ("__call__", "forward", "call"):
            if (method := code.method(name)) is not None:
                return run_code(frame, method, EMPTY, given, receiver=frozenset({atom}))
    return None
