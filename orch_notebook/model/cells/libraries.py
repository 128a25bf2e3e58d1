"""Calls of libraries, by the rules that are known of them or else by the plain rule.

In: a frame, what is called and what it is given.  Out: what may come back; what the call does is noted in the frame.
"""

from __future__ import annotations

import ast
import re

from orch_notebook.model.cells.following import Arguments, bind_arguments, call_special, call_tagged, perform
from orch_notebook.model.cells.frame import CLOSURE, Frame
from orch_notebook.model.cells.knowledge import (
    DRAWING_WORDS,
    DRAWS,
    FIGURE_NAMES,
    FILE_KEYWORDS,
    LOOKING_VERBS,
    LOOKS_IN_MAIN,
    OBJECT,
    SETTING_VERBS,
    STYLE,
    state_of,
)
from orch_notebook.model.cells.rules import Rule
from orch_notebook.model.cells.values import EMPTY, Atom, Base, Entry, FunctionCode, Tag, Value, join_texts, union

__all__ = ["advance", "call_library", "call_library_method", "carry", "follow_rule", "offer"]


IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
#: Names of ``__main__`` in a text: ``from __main__ import a, b as c``, ``__main__.a.b``.
IN_MAIN = re.compile(r"from __main__ import ([\w, ]+)|\b__main__\.([A-Za-z_]\w*)")


def call_library(frame: Frame, path: str, given: Arguments) -> Value:
    """Call something of a library by its dotted path."""
    rule = frame.knowledge.function(path)
    everything = given.everything
    if path.startswith(LOOKS_IN_MAIN):
        everything |= _look_in_main(frame, everything)
    # Whoever gives back a plain number or text calls the special methods at most, and those are seen to elsewhere.
    offer(frame, everything, given, is_curious=rule is None or rule.gives != "plain")
    if rule is None:
        if given.is_discarded:
            # Nobody calls a function for nothing: it changes what it is given, or its module, or it draws.
            frame.change(everything, deep=True)
            frame.summary.exclusive.add("pyplot")
            if "." in path:
                frame.touch(state_of(path))
            if path.rpartition(".")[2].startswith(SETTING_VERBS):
                frame.touch("state:settings")
        elif "." in path:
            frame.touch(state_of(path), "read")
        last = path.rpartition(".")[2]
        if any(word.startswith(DRAWING_WORDS) for word in last.lower().split("_")):
            frame.summary.exclusive.add("pyplot")
            frame.touch(STYLE, "read")
        made = (OBJECT,) if last[:1].isupper() else ()
        return frame.new(given.node, *made, holds=everything)
    return follow_rule(frame, rule, EMPTY, given)


def _look_in_main(frame: Frame, values: Value) -> Value:
    """Let a library look up in ``__main__`` what it is handed; the names that this body binds must be there, too.

    Returns what the texts among the values name there.
    """
    named_there: list[Value] = []
    frame.summary.in_place = True
    for kind, code in frame.known_of(values | frame.inside(values)):
        if kind in ("function", "class", "instance"):
            frame.read_if_there(code.name)
            frame.summary.indirect.add(code.name)
    for base, _ in values:
        if base[0] == "text":
            for named in IN_MAIN.finditer(base[1]):
                for part in (named[1] or named[2]).split(","):
                    name = part.split()[0] if part.split() else ""
                    if name:
                        named_there.append(frame.load(name))
                        frame.summary.indirect.add(name)
    return union(named_there)


def call_library_method(frame: Frame, receiver: Value, name: str, given: Arguments) -> Value:
    """Call a method of an object that no cell defines, as far as the table of knowledge tells what it does."""
    known = frame.known_of(receiver)
    rule = frame.knowledge.method(name, [what for kind, what in known if kind == "type"])
    for kind, what in known:
        if kind == "exclusive":
            frame.summary.exclusive.add(what)
    everything = given.everything
    offer(frame, receiver | everything, given)
    if given.constants.get("inplace") is True:
        frame.change(receiver)
        return EMPTY
    if any(kind == "stateful" for kind, _ in known):
        advance(frame, receiver, given.node)
    if ("stateful", "rng") in known:
        # What is drawn is new, or an element of what was given; only shuffling changes that.
        if name == "shuffle":
            frame.change(given.pick(0))
        return frame.new(given.node, ("type", "frame"), holds=frame.contents(everything))
    if rule is not None:
        if rule.changes:
            carry(frame, receiver)
        return follow_rule(frame, rule, receiver, given)
    if ("exclusive", "pyplot") in known:
        return follow_rule(frame, DRAWS, receiver, given)
    if given.is_discarded:
        frame.change(receiver, deep=True)
        frame.store(receiver, everything)
        carry(frame, receiver)
    elif not name.startswith(LOOKING_VERBS):
        # An object of an unknown class has a state, and calling it to give something may well move that on.
        objects = frozenset(atom for atom in receiver if OBJECT in frame.tags_of(atom))
        if objects:
            frame.change(objects)
            frame.store(objects, everything)
            carry(frame, objects)
    return frame.new(given.node, holds=frame.element(receiver) | receiver | everything)


def carry(frame: Frame, value: Value) -> None:
    """Touch the hidden state that a value, or anything inside it, draws from."""
    if frame.tags:
        for kind, what in frame.known_of(value | frame.inside(value)):
            if kind == "carries":
                frame.touch(what)


def follow_rule(frame: Frame, rule: Rule, receiver: Value, given: Arguments) -> Value:
    """Do what a rule of the table says a call does, and return what it returns."""
    everything = given.everything
    for place in rule.changes:
        if place == "self":
            frame.change(receiver, deep=rule.deep)
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
    is_settled = is_settled or bool(rule.when and rule.when not in given.keywords and not given.rest)
    carries = tuple(tag for tag in rule.kind if tag[0] != "carries" or not is_settled)
    if not is_settled:
        for state in rule.state:
            frame.touch(state)
    for state in rule.sees:
        frame.touch(state, "read")
    if rule.exclusive:
        frame.summary.exclusive.add(rule.exclusive)
    if rule.reads_file is not None:
        carries += touch_files(frame, given, rule.reads_file, is_write=opens_for_writing(rule, given))
    if rule.writes_file is not None:
        # A file that stays open, or a database, is changed by whoever uses what comes back.
        # Frames give a text where no file is named.
        is_written = not receiver or names_a_file(given, rule.writes_file)
        opened = touch_files(frame, given, rule.writes_file, is_write=True) if is_written else ()
        carries += opened if any(kind == "stateful" for kind, _ in rule.kind) else ()
    if rule.quotes:
        texts = [base[1] for base, _ in everything if base[0] == "text"]
        # Also what a text is made of, as in "x < %f" % limit.
        parts = [part.value for part in ast.walk(given.node) if isinstance(part, ast.Constant)]
        for text in dict.fromkeys([*texts, *(part for part in parts if isinstance(part, str))]):
            for name in IDENTIFIER.findall(text):
                frame.read_if_there(name)
    if not receiver and rule.gives == "new":
        # It runs what it is given: cross-validation fits the estimators.
        carry(frame, everything)
    if rule.binds:
        bind_listed(frame, given)
    if rule.opaque:
        frame.give_up(rule.opaque)
    # Whoever is handed an iterator, a file or a generator moves it on.
    for kind, code in frame.known_of(everything):
        is_moved = kind == "stateful" or (kind == "instance" and code.method("__next__") is not None)
        if is_moved and rule.gives != "holder":
            advance(frame, everything, given.node)
            break
    if rule.gives == "plain":
        return EMPTY
    if rule.gives == "self":
        return receiver
    if rule.gives == "live":
        return receiver | frame.element(receiver)
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
        return join_texts([receiver, *given.positional] if receiver else given.positional, "/")
    return frame.new(given.node, *carries, holds=receiver | everything if rule.gives == "holder" else EMPTY)


def bind_listed(frame: Frame, given: Arguments) -> None:
    """Bind the globals that a text lists, as ``sympy.var("x y")`` does."""
    texts = [what for (kind, what), _ in given.pick(0) if kind == "text"]
    names = [name for text in texts for name in re.split(r"[\s,]+", text) if name]
    if names and all(name.isidentifier() for name in names):
        for name in names:
            frame.bind_global(name, EMPTY)
        frame.reach_around()
    else:
        frame.give_up("it binds names that its source does not tell", rebinds=True)


def _is_figure(frame: Frame, atom: Atom) -> bool:
    tags = frame.tags_of(atom)
    if tags:
        return ("exclusive", "pyplot") in tags
    return atom[0][0] in ("in", "arg") and atom[0][1].startswith(FIGURE_NAMES)


def opens_for_writing(rule: Rule, given: Arguments) -> bool:
    """Whether a call that opens a file may write to it."""
    value = given.keywords.get("mode", given.positional[1] if len(given.positional) > 1 else EMPTY)
    modes = [what for (kind, what), _ in value if kind == "text"]
    if not modes:
        return bool(value) and any(kind == "stateful" for kind, _ in rule.kind)  # the mode is made elsewhere
    return any(set(mode) <= set("rwaxbtcU+") and set(mode) & set("wax+") for mode in modes)


def names_a_file(given: Arguments, place: int) -> bool:
    """Whether a call is given a file."""
    return place < len(given.positional) or bool(given.rest) or not given.keywords.keys().isdisjoint(FILE_KEYWORDS)


def touch_files(frame: Frame, given: Arguments, place: int, *, is_write: bool) -> tuple[Tag, ...]:
    """Note that a file is read or written; a path that cannot be seen may be any file."""
    value = given.pick(place) or union(given.keywords.get(name, EMPTY) for name in FILE_KEYWORDS)
    texts = [atom[0][1] for atom in value if atom[0][0] == "text"]
    for text in texts or ["*"]:
        frame.touch("file:" + text, "change" if is_write else "read")
        if text.endswith(".log"):
            frame.touch("state:logging")  # whoever logs may write to it
    # What was opened for writing goes on to change its file.
    return tuple(("carries", "file:" + text) for text in texts) if is_write else ()


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
            offer(frame, frozenset({atom}), Arguments(node))
            _move_on(frame, frozenset(frame.summary.contents.get(base, ())), node, seen)
        for kind, code in tags:
            if kind == "carries":
                frame.touch(code)
            elif kind == "resumes":
                inner = frame.element(frozenset({atom}))
                given = dict.fromkeys([*code.parameters, CLOSURE], inner)
                frame.store(frozenset({atom}), perform(frame, code, given, node))
            elif kind == "instance":
                for name in ("__iter__", "__next__", "__getitem__", "__len__"):
                    call_special(frame, frozenset({atom}), name, node)


def offer(frame: Frame, values: Value, given: Arguments, *, is_curious: bool = True) -> None:
    """Let a library call the functions of the notebook that it is handed, and if curious the methods of objects."""
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
                    call_tagged(frame, (kind, code), atom, Arguments(given.node, rest=everything))
            elif kind == "method":
                if (code, atom, values) not in frame.offered:
                    frame.offered.add((code, atom, values))
                    call_library_method(frame, frame.element(frozenset({atom})), code, Arguments(given.node))
            elif kind == "instance" and is_curious and (code, atom, values) not in frame.offered:
                frame.offered.add((code, atom, values))
                call_special(frame, frozenset({atom}), "__call__", given.node, frame.inside(given.everything | values))
                for method in code.all_methods().values():
                    _consult(frame, method, atom, given.node)


def _consult(frame: Frame, method: FunctionCode, atom: Atom, node: ast.AST) -> None:
    """Count what a method does to globals: a library may call any method of what it is handed."""
    arguments = bind_arguments(frame, method, Arguments(node), frozenset({atom}))
    # What is inside the object is offered by itself, so all objects of a class look alike here: that is read once.
    looks = Entry(tags=frozenset(tag for tag in frame.tags_of(atom) if tag[0] == "instance"), defined=True)
    described = {name: looks if value else frame.describe(value) for name, value in arguments.items()}
    summary = frame.linker.summarise(method, described, frame)
    frame.summary.indirect |= summary.indirect.union(summary.reads)
    for name in summary.reads:
        frame.read_if_there(name)
        if name in frame.names.globals:
            frame.load_global(name)
    for base, is_deep in summary.changed:
        if base[0] == "in":
            frame.change(frame.load_global(base[1]), deep=is_deep)
    for state, access in summary.states.items():
        frame.touch(state, access)
