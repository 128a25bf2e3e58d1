"""What statements do to names and objects, one after the other, branches joined where they meet.

In: a frame and a list of statements.  Out: whether the end is reached; all else is noted in the frame.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import Any

from orch_notebook.model.cells.definitions import define_class, define_function, import_from, import_module
from orch_notebook.model.cells.expressions import assign, evaluate, evaluate_call, note_change, parts_of_turn
from orch_notebook.model.cells.following import call_special
from orch_notebook.model.cells.frame import Frame
from orch_notebook.model.cells.libraries import advance
from orch_notebook.model.cells.operators import operate
from orch_notebook.model.cells.scopes import Names
from orch_notebook.model.cells.syntax import (
    as_load,
    jumps,
    may_swallow,
    names_guarded,
    runs_at_least_once,
    unpacks_evenly,
)
from orch_notebook.model.cells.values import union

__all__ = ["execute"]


def execute(frame: Frame, body: Iterable[ast.stmt]) -> bool:
    """Read statements in order; return False if the end of them is surely not reached."""
    return all(EXECUTORS[type(statement)](frame, statement) is not False for statement in body)


def do_expression(frame: Frame, node: ast.Expr) -> None:
    value = node.value
    inner = value.value if isinstance(value, ast.Await) else value
    if isinstance(inner, ast.Call):
        found = evaluate_call(frame, inner, is_discarded=True)
        if inner is not value:
            advance(frame, found, value)
    else:
        found = evaluate(frame, value)
    if frame.tags and frame.code is None:
        # It may be the cell's last expression, and then it is shown.
        for kind, what in frame.known_of(found):
            if kind == "exclusive":
                frame.summary.exclusive.add(what)
        for name in SHOWING:
            call_special(frame, found, name, node)


#: Methods that IPython calls to show a value.
SHOWING = ("__repr__", "__str__", "_repr_html_", "_repr_mimebundle_", "_repr_svg_", "_repr_png_", "_ipython_display_")


def do_assign(frame: Frame, node: ast.Assign) -> None:
    targets = node.targets
    if (
        len(targets) == 1
        and isinstance(targets[0], ast.Name)
        and targets[0].id == "_"
        and isinstance(node.value, ast.Call)
    ):
        assign(frame, targets[0], evaluate_call(frame, node.value, is_discarded=True))
        return
    if len(targets) == 1 and unpacks_evenly(targets[0], node.value):
        # `a, b = b, a` keeps each value with its own name.
        values = [evaluate(frame, element) for element in node.value.elts]  # type: ignore[attr-defined]
        for target, value in zip(targets[0].elts, values, strict=True):  # type: ignore[attr-defined]
            assign(frame, target, value)
        return
    value = evaluate(frame, node.value)
    for target in targets:
        assign(frame, target, value)


def do_annotated(frame: Frame, node: ast.AnnAssign) -> None:
    if node.simple == 0 or frame.code is None:
        evaluate(frame, node.annotation)
    if node.value is not None:
        assign(frame, node.target, evaluate(frame, node.value))


def do_augmented(frame: Frame, node: ast.AugAssign) -> None:
    target = node.target
    added = evaluate(frame, node.value)
    before = evaluate(frame, as_load(target))
    objects = frozenset(atom for atom in before if atom[0][0] not in ("text", "path"))
    if not objects:
        result = operate(frame, target, node.op, before, added)
    else:
        # A list or an array changes in place; a number or a text is replaced.  Both may be so.
        frame.change(objects)
        frame.store(objects, frame.element(added) | added)
        special = call_special(frame, objects, f"__i{type(node.op).__name__.lower()}__", node, added)
        result = objects | special
    if isinstance(target, ast.Name):
        assign(frame, target, result)
    else:
        receiver = evaluate(frame, target.value)
        note_change(frame, receiver, getattr(target, "attr", ""))
        frame.store(receiver, result)


def do_delete(frame: Frame, node: ast.Delete) -> None:
    for target in node.targets:
        for part in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
            if isinstance(part, ast.Name):
                call_special(frame, evaluate(frame, as_load(part)), "__del__", node)
                frame.unbind(part.id)
            elif isinstance(part, ast.Attribute | ast.Subscript):
                receiver = evaluate(frame, part.value)
                if isinstance(part, ast.Subscript):
                    evaluate(frame, part.slice)
                    call_special(frame, receiver, "__delitem__", part)
                note_change(frame, receiver, getattr(part, "attr", ""))


def do_if(frame: Frame, node: ast.If) -> bool:
    evaluate(frame, node.test)
    before = frame.names.fork()
    reached: list[Names] = []
    if execute(frame, node.body):
        reached.append(frame.names)
    frame.names = before
    if execute(frame, node.orelse):
        reached.append(frame.names)
    frame.join(reached)
    return bool(reached)


def do_for(frame: Frame, node: ast.For | ast.AsyncFor) -> None:
    source = evaluate(frame, node.iter)
    runs_surely = runs_at_least_once(node.iter)
    before = frame.names.fork()
    skipped = [] if runs_surely else [before]
    # Twice, because the second turn meets what the first one left.
    for _ in range(2):
        element = advance(frame, source, node)
        parts = parts_of_turn(frame, node.target, node.iter)
        for inner, part in parts or [(node.target, element)]:
            assign(frame, inner, part)
        turn = frame.names.fork() if jumps(node.body) else None
        execute(frame, node.body)
        if turn is not None:
            frame.join([turn, frame.names])
    frame.join([*skipped, frame.names])
    if node.orelse:
        done = frame.names.fork()
        execute(frame, node.orelse)
        if jumps(node.body):
            frame.join([done, frame.names])


def do_while(frame: Frame, node: ast.While) -> None:
    evaluate(frame, node.test)
    before = frame.names.fork()
    for _ in range(2):
        turn = frame.names.fork() if jumps(node.body) else None
        execute(frame, node.body)
        if turn is not None:
            frame.join([turn, frame.names])
        evaluate(frame, node.test)
    if not (isinstance(node.test, ast.Constant) and node.test.value):
        frame.join([before, frame.names])
    execute(frame, node.orelse)


def do_with(frame: Frame, node: ast.With | ast.AsyncWith) -> bool | None:
    before = frame.names.fork()
    swallows = False
    for item in node.items:
        value = evaluate(frame, item.context_expr)
        entered = union([call_special(frame, value, "__enter__", node), call_special(frame, value, "__aenter__", node)])
        # A context may be made of a generator.
        advance(frame, frozenset(a for a in value if not any(k == "instance" for k, _ in frame.tags_of(a))), node)
        call_special(frame, value, "__exit__", node)
        call_special(frame, value, "__aexit__", node)
        if item.optional_vars is not None:
            assign(frame, item.optional_vars, value | entered)
        swallows = swallows or may_swallow(item.context_expr)
    reached = execute(frame, node.body)
    if swallows:
        frame.join([before, frame.names])
        return None
    return reached


def do_try(frame: Frame, node: ast.Try | ast.TryStar) -> bool:
    before = frame.names.fork()
    guarded = names_guarded(node)
    reached: list[Names] = []
    known_reads = dict(frame.summary.reads)
    is_whole = execute(frame, node.body)
    for name in guarded:
        # `try: x` / `except NameError:` asks whether the name is there.
        if name in frame.summary.reads and name not in known_reads:
            frame.summary.reads[name] = False
    after_body = frame.names.fork()
    if is_whole and execute(frame, node.orelse):
        reached.append(frame.names)
    for handler in node.handlers:
        frame.names = before.fork()
        frame.join([before.fork(), after_body.fork()])
        if handler.type is not None:
            evaluate(frame, handler.type)
        overlay = {handler.name: frame.new(handler)} if handler.name else {}
        # The exception's name is gone after its handler, so it is nobody's but the handler's; what it hid is gone, too.
        frame.overlays.append((overlay, False))
        try:
            goes_on = execute(frame, handler.body)
        finally:
            frame.overlays.pop()
        if handler.name and frame.code is None and frame.peek(handler.name).defined:
            frame.read_if_there(handler.name)
            frame.unbind_global(handler.name)
        if goes_on:
            reached.append(frame.names)
    if node.finalbody:
        if reached:
            frame.join(reached)
        else:
            frame.names = after_body
        return execute(frame, node.finalbody) and bool(reached)
    frame.join(reached)
    return bool(reached)


def do_match(frame: Frame, node: ast.Match) -> bool:
    subject = evaluate(frame, node.subject)
    element = subject | frame.inside(subject)
    before = frame.names.fork()
    reached: list[Names] = []
    is_total = False
    for case in node.cases:
        frame.names = before.fork()
        for part in ast.walk(case.pattern):
            name = part.rest if isinstance(part, ast.MatchMapping) else getattr(part, "name", None)
            if name:
                frame.bind(name, subject if part is case.pattern else element)
            if isinstance(part, ast.MatchValue):
                evaluate(frame, part.value)
            elif isinstance(part, ast.MatchClass):
                evaluate(frame, part.cls)
        # A case that is tried and not taken may have bound its names all the same.
        before = frame.names.fork()
        if case.guard is not None:
            evaluate(frame, case.guard)
        elif isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None:
            is_total = True
        if execute(frame, case.body):
            reached.append(frame.names)
    if not is_total:
        reached.append(before)
    frame.join(reached)
    return bool(reached)


def do_class(frame: Frame, node: ast.ClassDef) -> None:
    define_class(frame, node, execute)


def do_return(frame: Frame, node: ast.Return) -> bool:
    frame.summary.returned |= evaluate(frame, node.value)
    frame.exits.append(frame.names.fork())
    return False


def do_raise(frame: Frame, node: ast.Raise) -> bool:
    evaluate(frame, node.exc)
    evaluate(frame, node.cause)
    return False


def do_assert(frame: Frame, node: ast.Assert) -> None:
    evaluate(frame, node.test)
    evaluate(frame, node.msg)


def do_nothing(frame: Frame, node: ast.AST) -> None:
    pass


EXECUTORS: dict[type[ast.AST], Callable[[Frame, Any], bool | None]] = {
    ast.Expr: do_expression,
    ast.Assign: do_assign,
    ast.AnnAssign: do_annotated,
    ast.AugAssign: do_augmented,
    ast.Delete: do_delete,
    ast.If: do_if,
    ast.For: do_for,
    ast.AsyncFor: do_for,
    ast.While: do_while,
    ast.With: do_with,
    ast.AsyncWith: do_with,
    ast.Try: do_try,
    ast.TryStar: do_try,
    ast.Match: do_match,
    ast.FunctionDef: define_function,
    ast.AsyncFunctionDef: define_function,
    ast.ClassDef: do_class,
    ast.Return: do_return,
    ast.Raise: do_raise,
    ast.Assert: do_assert,
    ast.Import: import_module,
    ast.ImportFrom: import_from,
    ast.Global: do_nothing,
    ast.Nonlocal: do_nothing,
    ast.Pass: do_nothing,
    ast.Break: do_nothing,
    ast.Continue: do_nothing,
}
