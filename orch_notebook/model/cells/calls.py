"""What a call does: functions of the notebook are followed, libraries looked up, the rest judged by the plain rule.

In: a frame, what is called and what it is given.  Out: what comes back; what the call did is noted in the frame.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orch_notebook.model.cells.frame import CLOSURE, Frame, union
from orch_notebook.model.cells.knowledge import DRAWS, FIGURE_NAMES
from orch_notebook.model.cells.rules import Rule
from orch_notebook.model.cells.values import EMPTY, Atom, Base, ClassCode, FunctionCode, Summary, Tag, Value

__all__ = ["Arguments", "advance", "call_method", "call_special", "call_value", "run_code"]


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


def call_value(frame: Frame, called: Value, given: Arguments) -> Value:
    """Call what `called` may be and return what may come back."""
    results: list[Value] = []
    is_known = False
    for atom in called:
        base = atom[0]
        if base[0] == "path":
            results.append(call_library(frame, base[1], given))
            is_known = True
            continue
        for tag in frame.tags_of(atom):
            result = _call_tagged(frame, tag, atom, given)
            if result is not None:
                results.append(result)
                is_known = True
    if is_known:
        return union(results)
    everything = given.everything
    _offer(frame, called | everything, given)
    if given.is_discarded:
        frame.change(everything, deep=True)
    return frame.new(given.node, holds=everything)


def _call_tagged(frame: Frame, tag: Tag, atom: Atom, given: Arguments) -> Value | None:
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
    result = _perform(frame, code, arguments, given.node)
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


def _perform(frame: Frame, code: FunctionCode, arguments: dict[str, Value], site: ast.AST) -> Value:
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
    if summary.opaque:
        frame.give_up(summary.opaque, summary.rebinds)
    return place_all(summary.returned)


def construct(frame: Frame, code: ClassCode, called: Value, given: Arguments) -> Value:
    """Make an instance of a class of the notebook."""
    made = frame.new(given.node, ("instance", code))
    frame.store(made, called)
    start = code.method("__init__")
    for name in ("__new__", "__post_init__"):
        if (method := code.method(name)) is not None:
            run_code(frame, method, EMPTY, given if name == "__new__" else Arguments(given.node), receiver=made)
    if start is None:
        # A dataclass, a named tuple, or a library's constructor: it keeps what it is given.
        frame.store(made, given.everything)
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


def call_method(frame: Frame, receiver: Value, name: str, given: Arguments) -> Value:
    """Call ``receiver.name(...)`` and return what may come back."""
    results: list[Value] = []
    others: set[Atom] = set()
    for atom in receiver:
        base = atom[0]
        if base[0] == "path":
            results.append(call_library(frame, f"{base[1]}.{name}", given))
            continue
        if base[0] == "text":
            # A text itself does nothing, but it may be the path of a pathlib.Path.
            rule = frame.knowledge.function(f"pathlib.Path.{name}")
            if rule is not None and (rule.reads_file is not None or rule.writes_file is not None):
                results.append(_follow_rule(frame, rule, EMPTY, replace(given, positional=(frozenset({atom}),))))
            continue
        is_followed = False
        for kind, code in frame.tags_of(atom):
            method = code.method(name) if kind in ("instance", "class") else None
            if method is None:
                continue
            is_followed = True
            bound = frozenset({atom})
            if (kind == "class" and not _is_bound_to_class(method)) or _is_static(method):
                results.append(run_code(frame, method, EMPTY, given))
            else:
                results.append(run_code(frame, method, EMPTY, given, receiver=bound))
        if not is_followed:
            others.add(atom)
    if others or not receiver:
        results.append(_call_library_method(frame, frozenset(others), name, given))
    return union(results)


def _is_static(method: FunctionCode) -> bool:
    return _is_decorated(method, "staticmethod")


def _is_bound_to_class(method: FunctionCode) -> bool:
    return _is_decorated(method, "classmethod")


def _is_decorated(method: FunctionCode, name: str) -> bool:
    decorators = getattr(method.node, "decorator_list", ())
    return any(isinstance(decorator, ast.Name) and decorator.id == name for decorator in decorators)


def call_library(frame: Frame, path: str, given: Arguments) -> Value:
    """Call something of a library by its dotted path."""
    rule = frame.knowledge.function(path)
    everything = given.everything
    _offer(frame, everything, given)
    if rule is None:
        module = path.partition(".")[0]
        if given.is_discarded:
            # Nobody calls a function for nothing: it changes what it is given, or its module.
            frame.change(everything, deep=True)
            if "." in path:
                frame.touch("state:" + module)
        elif "." in path:
            frame.touch("state:" + module, "read")
        return frame.new(given.node, holds=everything)
    return _follow_rule(frame, rule, EMPTY, given)


def _call_library_method(frame: Frame, receiver: Value, name: str, given: Arguments) -> Value:
    rule = frame.knowledge.method(name)
    known = frame.known_of(receiver)
    for kind, what in known:
        if kind == "exclusive":
            frame.summary.exclusive.add(what)
    everything = given.everything
    _offer(frame, receiver | everything, given)
    if given.constants.get("inplace") is True:
        frame.change(receiver)
        return EMPTY
    if any(kind == "stateful" for kind, _ in known):
        advance(frame, receiver, given.node)
    if rule is not None:
        if rule.changes:
            _carry(frame, known)
        return _follow_rule(frame, rule, receiver, given)
    if ("exclusive", "pyplot") in known:
        return _follow_rule(frame, DRAWS, receiver, given)
    if given.is_discarded:
        frame.change(receiver, deep=True)
        frame.store(receiver, everything)
        _carry(frame, known)
    return frame.new(given.node, holds=frame.element(receiver) | receiver | everything)


def _carry(frame: Frame, known: frozenset[Tag]) -> None:
    for kind, what in known:
        if kind == "carries":
            frame.touch(what)


def _follow_rule(frame: Frame, rule: Rule, receiver: Value, given: Arguments) -> Value:
    everything = given.everything
    for place in rule.changes:
        if place == "self":
            frame.change(receiver, deep=rule.gives == "self")
        elif place == "figure":
            # `x.plot()` draws on `x` if that is a part of a figure; of a frame it draws a picture and changes nothing.
            if any(_is_figure(frame, atom) for atom in receiver):
                frame.change(receiver)
        else:
            frame.change(everything if place == "*" else given.pick(place), deep=True)
    if rule.stores:
        frame.store(receiver or given.pick(0), everything)
    if "out" in given.keywords:
        frame.change(given.keywords["out"])
    is_settled = bool(rule.unless) and (rule.unless in given.keywords or bool(given.rest))
    carries = tuple(tag for tag in rule.kind if tag[0] != "carries" or not is_settled)
    if not is_settled:
        for state in rule.state:
            frame.touch(state)
    for state in rule.sees:
        frame.touch(state, "read")
    if rule.exclusive:
        frame.summary.exclusive.add(rule.exclusive)
    if rule.reads_file is not None:
        touch_files(frame, given, rule.reads_file, is_write=opens_for_writing(given))
    if rule.writes_file is not None:
        touch_files(frame, given, rule.writes_file, is_write=True)
    if rule.opaque:
        frame.give_up(rule.opaque)
    # Whoever is handed an iterator, a file or a generator moves it on.
    for kind, _ in frame.known_of(everything):
        if kind == "stateful" and rule.gives != "holder":
            advance(frame, everything, given.node)
            break
    source = receiver or given.pick(0) or given.rest
    if rule.gives == "plain":
        return EMPTY
    if rule.gives == "self":
        return receiver
    if rule.gives == "first":
        return given.pick(0)
    if rule.gives == "view":
        return frame.element(receiver or everything)
    if rule.gives == "either":
        return frame.element(receiver) | everything
    if rule.gives == "drawing":
        # A drawing belongs to its axes; the data it shows are its own copies.
        return frame.new(given.node, *carries) | frame.element(receiver) | given.keywords.get("ax", EMPTY)
    if rule.gives == "copy":
        return frame.new(given.node, *carries, holds=frame.element(union([receiver, everything])))
    if rule.gives == "path":
        return frozenset(atom for atom in source if atom[0][0] == "text")
    return frame.new(given.node, *carries, holds=receiver | everything if rule.gives == "holder" else EMPTY)


def _is_figure(frame: Frame, atom: Atom) -> bool:
    tags = frame.tags_of(atom)
    if tags:
        return ("exclusive", "pyplot") in tags
    return atom[0][0] in ("in", "arg") and atom[0][1].startswith(FIGURE_NAMES)


def opens_for_writing(given: Arguments) -> bool:
    """Whether an ``open`` call says that it writes."""
    mode = given.constants.get("mode", given.constants.get("1", "r"))
    return not isinstance(mode, str) or any(letter in mode for letter in "wax+")


def touch_files(frame: Frame, given: Arguments, place: int, *, is_write: bool) -> None:
    """Note that a file is read or written; a path that cannot be seen may be any file."""
    value = given.pick(place)
    texts = [atom[0][1] for atom in value if atom[0][0] == "text"]
    for text in texts or ["*"]:
        frame.touch("file:" + text, "change" if is_write else "read")


def advance(frame: Frame, value: Value, node: ast.AST) -> Value:
    """Iterate over a value: what is an iterator moves on, and a generator runs its body.  Return its elements."""
    if frame.tags:
        _move_on(frame, value, node, set())
    return frame.element(value)


def _move_on(frame: Frame, value: Value, node: ast.AST, seen: set[Base]) -> None:
    for atom in value:
        base = atom[0]
        tags = frame.tags_of(atom)
        if not tags or base in seen:
            continue
        seen.add(base)
        if any(kind == "stateful" for kind, _ in tags):
            frame.change(frozenset({atom}))
            # A zip, map or generator moves on what it draws from, and calls what it was made to call.
            _offer(frame, frozenset({atom}), Arguments(node))
            _move_on(frame, frozenset(frame.summary.contents.get(base, ())), node, seen)
        for kind, code in tags:
            if kind == "resumes":
                inner = frame.element(frozenset({atom}))
                given = dict.fromkeys([*code.parameters, CLOSURE], inner)
                frame.store(frozenset({atom}), _perform(frame, code, given, node))
            elif kind == "instance":
                for name in ("__iter__", "__next__", "__getitem__", "__len__"):
                    call_special(frame, frozenset({atom}), name, node)


def _offer(frame: Frame, values: Value, given: Arguments) -> None:
    """Let a library call the functions and methods of the notebook that it is handed."""
    if not frame.tags:
        return
    reachable = values | frame.inside(values)
    everything: Value | None = None
    for atom in reachable:
        for kind, code in frame.tags_of(atom):
            if kind in ("function", "bound"):
                if everything is None:
                    everything = frame.inside(given.everything | values)
                # Offering the same function the same things again tells nothing new.
                if (code, atom, everything) not in frame.offered:
                    frame.offered.add((code, atom, everything))
                    _call_tagged(frame, (kind, code), atom, Arguments(given.node, rest=everything))
            elif kind == "instance":
                for method in code.all_methods().values():
                    _consult(frame, method, atom, given.node)


def _consult(frame: Frame, method: FunctionCode, atom: Atom, node: ast.AST) -> None:
    """Count what a method reads, without counting what it changes: a library may look at any object."""
    arguments = bind_arguments(frame, method, Arguments(node), frozenset({atom}))
    described = {name: frame.describe(value) for name, value in arguments.items()}
    summary = frame.linker.summarise(method, described, frame)
    for name in summary.reads:
        frame.read_if_there(name)
        if name in frame.names.globals:
            frame.load_global(name)
    for state, access in summary.states.items():
        frame.touch(state, access)
