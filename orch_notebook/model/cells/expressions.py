"""What an expression reads, does and may give.

In: a frame and a node.  Out: the value it may have; reads and changes are noted in the frame.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from orch_notebook.model.cells.calls import call_method, call_value
from orch_notebook.model.cells.following import Arguments, call_special, run_code
from orch_notebook.model.cells.frame import Frame
from orch_notebook.model.cells.knowledge import PLAIN_ATTRIBUTES, SAME_MEMORY, state_of
from orch_notebook.model.cells.libraries import advance, carry, offer
from orch_notebook.model.cells.magics import call_ipython
from orch_notebook.model.cells.names import target_names
from orch_notebook.model.cells.operators import OPERATORS, is_plain, operate
from orch_notebook.model.cells.specials import call_builtin, call_super
from orch_notebook.model.cells.syntax import is_call_of, is_namespace, makes_copy, namespace_key
from orch_notebook.model.cells.values import EMPTY, Value, join_texts, union

__all__ = ["assign", "evaluate", "evaluate_call", "make_function", "note_change", "operate", "parts_of_turn"]

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
#: Names inside a query string that mean variables of the caller.
CALLER_NAMES = re.compile(r"@\s*([A-Za-z_]\w*)")
HISTORY = frozenset(("Out", "In", "_", "__", "___", "_oh", "_ih"))


def evaluate(frame: Frame, node: ast.AST | None) -> Value:
    """Return what an expression may give."""
    if node is None:
        return EMPTY
    reader = READERS.get(type(node))
    if reader is not None:
        return reader(frame, node)
    # Slices, f-strings, formatted values and whatever else only looks at its parts.
    for child in ast.iter_child_nodes(node):
        evaluate(frame, child)
    return EMPTY


def read_name(frame: Frame, node: ast.Name) -> Value:
    value = frame.load(node.id)
    name = node.id
    if name in HISTORY and not frame.binds(name) and frame.known(name).defined is not True:
        frame.give_up(f"it reads {name!r}, the history of outputs")
    return value


def read_constant(frame: Frame, node: ast.Constant) -> Value:
    value = node.value
    if type(value) is str and 0 < len(value) < 200 and "\n" not in value:
        return frozenset({(("text", value), False)})
    return EMPTY


def read_display(frame: Frame, node: Any) -> Value:
    """A list, tuple or set that is written out."""
    held = union([evaluate(frame, element) for element in node.elts])
    return frame.new(node, ("type", "list"), holds=held)


def read_dict(frame: Frame, node: ast.Dict) -> Value:
    held = [evaluate(frame, key) for key in node.keys if key]
    for key, value in zip(node.keys, node.values, strict=True):
        found = evaluate(frame, value)
        held.append(found if key else frame.element(found))
    return frame.new(node, ("type", "dict"), holds=union(held))


def read_starred(frame: Frame, node: ast.Starred) -> Value:
    return advance(frame, evaluate(frame, node.value), node)


def read_attribute(frame: Frame, node: ast.Attribute) -> Value:
    value = evaluate(frame, node.value)
    name = node.attr
    found: list[Value] = []
    for atom in value:
        if atom[0][0] == "path":
            path = f"{atom[0][1]}.{name}"
            root = path.partition(".")[0]
            if root not in frame.knowledge.roots or state_of(path) != "state:" + root:
                frame.touch(state_of(path), "read")
            found.append(frozenset({(("path", path), False)}))
            continue
        for kind, code in frame.tags_of(atom):
            if kind not in ("instance", "class"):
                continue
            method = code.method(name)
            if method is None:
                continue
            if kind == "instance" and code.has_property(name):
                found.append(run_code(frame, method, EMPTY, Arguments(node), receiver=frozenset({atom})))
            else:
                kind = "bound" if kind == "instance" else "function"
                found.append(frame.new(node, (kind, method), holds=frozenset({atom})))
    if name == "__class__":
        return frame.classes_of(value)
    if name in PLAIN_ATTRIBUTES:
        return union(found)
    if name in ("user_ns", "user_global_ns", "user_module"):
        frame.give_up(f"it uses get_ipython().{name}", rebinds=True)
    rule = frame.knowledge.method(name)
    if rule is not None and "self" in rule.changes:
        # `add = xs.append`: whoever calls it later changes `xs`.
        return frame.new(node, ("method", name), holds=value) | union(found)
    if name in SAME_MEMORY:
        # An object of the notebook's own class has an attribute like any other.
        own = frozenset(atom for atom in value if any(kind == "instance" for kind, _ in frame.tags_of(atom)))
        return (value - own) | frame.element(own) | union(found)
    return frame.element(value) | union(found)


def read_subscript(frame: Frame, node: ast.Subscript) -> Value:
    if (name := namespace_key(node)) is not None:
        frame.reach_around()
        return frame.load_global(name)
    value = evaluate(frame, node.value)
    index = node.slice
    evaluate(frame, index)
    if frame.tags:
        special = call_special(frame, value, "__getitem__", node, EMPTY)
        special |= call_special(frame, value, "__missing__", node, EMPTY)
        kinds = {kind for kind, _ in frame.known_of(value)}
        if "stateful" in kinds:
            advance(frame, value, node)
        elif "filling" in kinds:
            frame.change(value)
            offer(frame, value, Arguments(node))
    else:
        special = EMPTY
    if makes_copy(index):
        return frame.new(node, ("type", "frame"))
    return frame.element(value) | special


def read_call(frame: Frame, node: ast.Call) -> Value:
    return evaluate_call(frame, node)


def evaluate_call(frame: Frame, node: ast.Call, *, is_discarded: bool = False) -> Value:
    """Return what a call may give; a call whose value nobody takes is judged more severely."""
    function = node.func
    if isinstance(function, ast.Attribute) and (
        (is_direct := is_call_of(function.value, "get_ipython"))
        or function.attr in ("run_line_magic", "run_cell_magic", "run_cell")
    ):
        if not is_direct:
            evaluate(frame, function.value)
        return call_ipython(frame, function.attr, node)
    receiver: Value | None = None
    called = EMPTY
    name = ""
    if isinstance(function, ast.Attribute):
        name = function.attr
        if is_call_of(function.value, "super"):
            receiver = receiver_of_super(frame, function.value)
        else:
            receiver = evaluate(frame, function.value)
    else:
        called = evaluate(frame, function)
    positional: list[Value] = []
    rest = EMPTY
    constants: dict[str, object] = {}
    for place, argument in enumerate(node.args):
        if isinstance(argument, ast.Starred):
            rest |= read_starred(frame, argument)
        elif isinstance(argument, ast.GeneratorExp):
            # It is used up by this very call, so its body runs now.
            positional.append(read_comprehension(frame, argument))
        else:
            positional.append(evaluate(frame, argument))
            if isinstance(argument, ast.Constant):
                constants[str(place)] = argument.value
    keywords: dict[str, Value] = {}
    for keyword in node.keywords:
        value = evaluate(frame, keyword.value)
        if keyword.arg is None:
            rest |= frame.element(value)
        else:
            keywords[keyword.arg] = value
            if isinstance(keyword.value, ast.Constant):
                constants[keyword.arg] = keyword.value.value
    given = Arguments(node, tuple(positional), keywords, rest, constants, is_discarded)
    if receiver is None:
        if (
            isinstance(function, ast.Name)
            and (special := call_builtin(frame, function.id, called, node, given)) is not None
        ):
            return special
        return call_value(frame, called, given)
    if isinstance(function, ast.Attribute) and is_call_of(function.value, "super"):
        return call_super(frame, receiver, name, given)
    if name in ("query", "eval"):
        text = constants.get("0")
        for variable in CALLER_NAMES.findall(text) if isinstance(text, str) else ():
            evaluate(frame, ast.Name(variable, ast.Load()))
    if name == "__subclasses__":
        frame.give_up("it asks for the subclasses of a class")
    return call_method(frame, receiver, name, given)


def receiver_of_super(frame: Frame, node: Any) -> Value:
    """Return the object on which ``super()`` or ``super(Class, object)`` calls a method."""
    if node.args:
        return [evaluate(frame, argument) for argument in node.args][-1]
    if frame.code is not None and frame.code.parameters:
        return frame.names.locals.get(frame.code.parameters[0], EMPTY)
    return EMPTY


def read_comprehension(frame: Frame, node: Comprehension) -> Value:
    overlay: dict[str, Value] = {}
    frame.overlays.append((overlay, False))
    try:
        for generator in node.generators:
            element = advance(frame, evaluate(frame, generator.iter), generator)
            assign_overlay(frame, overlay, generator.target, element)
            for inner, part in parts_of_turn(frame, generator.target, generator.iter):
                assign_overlay(frame, overlay, inner, part)
            for condition in generator.ifs:
                evaluate(frame, condition)
        if isinstance(node, ast.DictComp):
            held = evaluate(frame, node.key) | evaluate(frame, node.value)
        else:
            held = evaluate(frame, node.elt)
    finally:
        frame.overlays.pop()
    if isinstance(node, ast.GeneratorExp):
        return frame.new(node, ("stateful", "iterator"), holds=held)
    return frame.new(node, ("type", "dict" if isinstance(node, ast.DictComp) else "list"), holds=held)


def parts_of_turn(frame: Frame, target: ast.AST, source: ast.AST) -> list[tuple[ast.AST, Value]]:
    """Return which target takes which part, where a loop over ``zip``, ``enumerate`` or ``.items()`` shows it.

    Everywhere else each target may take any part of what the loop draws from.  Keys and numbers are plain values.
    """
    if not isinstance(target, ast.Tuple | ast.List) or not isinstance(source, ast.Call):
        return []
    if any(isinstance(node, ast.Starred) for node in (*target.elts, *source.args)):
        return []
    drawn: list[ast.expr | None] = []
    if isinstance(source.func, ast.Attribute) and source.func.attr == "items" and not source.args:
        drawn = [None, source]
    elif isinstance(source.func, ast.Name) and source.args:
        called = evaluate(frame, source.func)
        if called == frozenset({(("path", "builtins.zip"), False)}):
            drawn = list(source.args)
        elif called == frozenset({(("path", "builtins.enumerate"), False)}):
            drawn = [None, source.args[0]]
    if len(drawn) != len(target.elts):
        return []
    parts = [EMPTY if node is None else frame.element(evaluate(frame, node)) for node in drawn]
    if drawn[-1] is source:
        parts[-1] |= frame.element(parts[-1])  # what ``.items()`` holds are pairs
    return list(zip(target.elts, parts, strict=True))


def assign_overlay(frame: Frame, overlay: dict[str, Value], target: ast.AST, value: Value) -> None:
    """Bind the targets of a comprehension."""
    value = value if isinstance(target, ast.Name) else value | frame.element(value)
    for name in target_names(target):
        overlay[name] = value


def read_generator(frame: Frame, node: ast.GeneratorExp) -> Value:
    made = read_comprehension(frame, node)
    code = frame.linker.function_code(node, enclosing_names(frame))
    return made | frame.new(node, ("resumes", code))


def enclosing_names(frame: Frame) -> frozenset[str]:
    """Return the local names that a function defined here may capture."""
    inner = frozenset(name for overlay, is_class in frame.overlays if not is_class for name in overlay)
    return frame.locals_known | frame.captured | inner


def read_lambda(frame: Frame, node: ast.Lambda) -> Value:
    return make_function(frame, node)


def make_function(frame: Frame, node: ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef) -> Value:
    """Return a function object: its defaults and what it captures are inside it."""
    spec = node.args
    held = union([evaluate(frame, default) for default in [*spec.defaults, *spec.kw_defaults] if default])
    code = frame.linker.function_code(node, enclosing_names(frame))
    frame.summary.indirect |= code.free | code.globals
    held |= union([frame.load(name) for name in code.captured if name != code.name])
    return frame.new(node, ("function", code), holds=held)


def read_named(frame: Frame, node: ast.NamedExpr) -> Value:
    value = evaluate(frame, node.value)
    frame.bind(node.target.id, value)
    return value


def read_binary(frame: Frame, node: ast.BinOp) -> Value:
    return operate(frame, node, node.op, evaluate(frame, node.left), evaluate(frame, node.right))


def read_joined(frame: Frame, node: ast.JoinedStr) -> Value:
    """An f-string: a pattern of what can be seen of it."""
    return join_texts([evaluate(frame, part) for part in node.values])


def read_formatted(frame: Frame, node: ast.FormattedValue) -> Value:
    value = evaluate(frame, node.value)
    evaluate(frame, node.format_spec)
    call_special(frame, value, "__format__", node)
    call_special(frame, value, "__str__", node)
    return value if is_plain(value) else EMPTY


def read_unary(frame: Frame, node: ast.UnaryOp) -> Value:
    value = evaluate(frame, node.operand)
    if not value or isinstance(node.op, ast.Not):
        return EMPTY
    return call_special(frame, value, f"__{OPERATORS[type(node.op)]}__", node) | frame.new(node)


def read_compare(frame: Frame, node: ast.Compare) -> Value:
    values = [evaluate(frame, node.left)]
    for operator, comparator in zip(node.ops, node.comparators, strict=True):
        if (
            isinstance(operator, ast.In | ast.NotIn)
            and is_namespace(comparator)
            and isinstance(node.left, ast.Constant)
        ):
            frame.reach_around()
            frame.read_if_there(str(node.left.value))
            continue
        value = evaluate(frame, comparator)
        if frame.tags:
            if isinstance(operator, ast.In | ast.NotIn):
                advance(frame, value, node)
            name = OPERATORS.get(type(operator))
            if name:
                call_special(frame, values[-1], f"__{name}__", node, value)
                call_special(frame, value, f"__{name}__", node, values[-1])
        values.append(value)
    if any(atom[0][0] != "text" for value in values for atom in value):
        return frame.new(node)
    return EMPTY


def read_choice(frame: Frame, node: ast.IfExp) -> Value:
    evaluate(frame, node.test)
    before = frame.names.fork()
    value = evaluate(frame, node.body)
    after = frame.names
    frame.names = before
    value |= evaluate(frame, node.orelse)
    frame.join([after, frame.names])
    return value


def read_boolean(frame: Frame, node: ast.BoolOp) -> Value:
    values = [evaluate(frame, node.values[0])]
    has_walrus = any(isinstance(child, ast.NamedExpr) for value in node.values[1:] for child in ast.walk(value))
    before = frame.names.fork() if has_walrus else frame.names
    values += [evaluate(frame, value) for value in node.values[1:]]
    if has_walrus:
        frame.join([before, frame.names])
    return union(values)


def read_await(frame: Frame, node: ast.Await) -> Value:
    value = evaluate(frame, node.value)
    return value | advance(frame, value, node)


def read_yield(frame: Frame, node: ast.Yield) -> Value:
    frame.summary.returned |= evaluate(frame, node.value)
    return EMPTY


def read_yield_from(frame: Frame, node: ast.YieldFrom) -> Value:
    frame.summary.returned |= advance(frame, evaluate(frame, node.value), node)
    return EMPTY


def assign(frame: Frame, target: ast.AST, value: Value) -> None:
    """Store a value into a name, an attribute, an element, or several of them."""
    if isinstance(target, ast.Name):
        frame.bind(target.id, value)
    elif isinstance(target, ast.Tuple | ast.List):
        element = advance(frame, value, target)
        for inner in target.elts:
            if isinstance(inner, ast.Starred):
                assign(frame, inner.value, frame.new(inner, ("type", "list"), holds=element))
            else:
                assign(frame, inner, element)
    elif isinstance(target, ast.Attribute):
        receiver = evaluate(frame, target.value)
        if is_call_of(target.value, "get_ipython"):
            frame.touch("state:display")
        note_change(frame, receiver, target.attr)
        frame.store(receiver, value)
    elif isinstance(target, ast.Subscript):
        if (name := namespace_key(target)) is not None:
            frame.reach_around()
            frame.bind_global(name, value)
            return
        receiver = evaluate(frame, target.value)
        index = evaluate(frame, target.slice)
        note_change(frame, receiver)
        if ("type", "frame") not in frame.known_of(receiver):
            frame.store(receiver, value | index)
        if frame.tags:
            call_special(frame, receiver, "__setitem__", target, EMPTY, value)
    elif isinstance(target, ast.Starred):
        assign(frame, target.value, value)


def note_change(frame: Frame, receiver: Value, attribute: str = "") -> None:
    """Note that an attribute or element of a value is set or deleted."""
    for atom in receiver:
        if atom[0][0] == "path":
            state = state_of(f"{atom[0][1]}.{attribute}" if attribute else atom[0][1])
            frame.touch(state)
            if state == "state:" + atom[0][1].partition(".")[0]:
                # Whatever the library does afterwards may follow it, also through objects it gave before.
                frame.touch("state:settings")
    carry(frame, receiver)
    frame.change(frozenset(atom for atom in receiver if atom[0][0] != "path"))


READERS: dict[type[ast.AST], Callable[[Frame, Any], Value]] = {
    ast.Name: read_name,
    ast.Constant: read_constant,
    ast.JoinedStr: read_joined,
    ast.FormattedValue: read_formatted,
    ast.Attribute: read_attribute,
    ast.Subscript: read_subscript,
    ast.Call: read_call,
    ast.List: read_display,
    ast.Tuple: read_display,
    ast.Set: read_display,
    ast.Dict: read_dict,
    ast.Starred: read_starred,
    ast.ListComp: read_comprehension,
    ast.SetComp: read_comprehension,
    ast.DictComp: read_comprehension,
    ast.GeneratorExp: read_generator,
    ast.Lambda: read_lambda,
    ast.NamedExpr: read_named,
    ast.BinOp: read_binary,
    ast.UnaryOp: read_unary,
    ast.Compare: read_compare,
    ast.IfExp: read_choice,
    ast.BoolOp: read_boolean,
    ast.Await: read_await,
    ast.Yield: read_yield,
    ast.YieldFrom: read_yield_from,
}
