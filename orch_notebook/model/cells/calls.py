"""What a call does: functions of the notebook are followed, libraries looked up, the rest judged by the plain rule.

In: a frame, what is called and what it is given.  Out: what comes back; what the call did is noted in the frame.
"""

from __future__ import annotations

from dataclasses import replace

from orch_notebook.model.cells.following import Arguments, call_tagged, is_bound_to_class, is_static, run_code
from orch_notebook.model.cells.frame import Frame
from orch_notebook.model.cells.knowledge import OBJECT
from orch_notebook.model.cells.libraries import call_library, call_library_method, follow_rule, offer
from orch_notebook.model.cells.values import EMPTY, Atom, Value, union

__all__ = ["call_method", "call_value"]


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
            if tag == ("stateful", "cache"):
                frame.change(frozenset({atom}))
            if tag[0] == "method":
                results.append(call_library_method(frame, frame.element(frozenset({atom})), tag[1], given))
                is_known = True
                continue
            result = call_tagged(frame, tag, atom, given)
            if result is not None:
                results.append(result)
                is_known = True
    if is_known:
        return union(results)
    everything = given.everything
    offer(frame, called | everything, given)
    if given.is_discarded:
        frame.change(everything, deep=True)
    # An object of a library that is called may share itself with what it gives, as a network does with its outputs.
    objects = frozenset(atom for atom in called if OBJECT in frame.tags_of(atom))
    return frame.new(given.node, holds=everything | objects)


def call_method(frame: Frame, receiver: Value, name: str, given: Arguments) -> Value:
    """Call ``receiver.name(...)`` and return what may come back."""
    results: list[Value] = []
    others: set[Atom] = set()
    is_known = frame.knowledge.method(name) is not None
    for atom in receiver:
        base = atom[0]
        if base[0] == "path":
            results.append(call_library(frame, f"{base[1]}.{name}", given))
            continue
        if base[0] == "text":
            # A text itself does nothing, but it may be the path of a pathlib.Path.
            rule = frame.knowledge.functions.get(f"pathlib.Path.{name}")
            if rule is not None:
                path = (frozenset({atom}), *given.positional)
                results.append(follow_rule(frame, rule, EMPTY, replace(given, positional=path)))
            continue
        is_followed = False
        for kind, code in frame.tags_of(atom):
            method = code.method(name) if kind in ("instance", "class") else None
            if method is None:
                continue
            is_followed = True
            bound = frozenset({atom})
            if (kind == "class" and not is_bound_to_class(method)) or is_static(method):
                results.append(run_code(frame, method, EMPTY, given))
            else:
                results.append(run_code(frame, method, EMPTY, given, receiver=bound))
        # `def pop(self): return self.items.pop()`: what is inside an object need not be of the object's own class.
        if not is_followed or (is_known and atom[1]):
            others.add(atom)
    if others or not receiver:
        results.append(call_library_method(frame, frozenset(others), name, given))
    return union(results)
