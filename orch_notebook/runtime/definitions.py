"""What functions, classes, modules and generators are made of: their code, and what they carry."""

from __future__ import annotations

import dis
import functools
import re
import types
from typing import Any

from orch_notebook.runtime.tokens import Budget, Inside, digest, put, shown, token

__all__ = ["KEPT_FOR_LATER", "look_at_definition"]

#: Attributes in which objects keep what they could compute again.
KEPT_FOR_LATER = re.compile(r"cache|memo|lazy|lock|weakref", re.IGNORECASE)


def look_at_definition(value: Any, budget: Budget) -> Inside | None:
    """Return what a function, method, class, module, partial or generator consists of; None for anything else."""
    for kinds, looking in LOOKS:
        if isinstance(value, kinds):
            found: Inside = looking(value, budget)
            return found
    return None


def _look_at_function(value: types.FunctionType, budget: Budget) -> Inside:
    found = Inside("function", own={"code": code_token(value.__code__)})
    carried: list[tuple[str, Any]] = [(f" default {n}", item) for n, item in enumerate(value.__defaults__ or ())]
    carried += [(f" default {name}", item) for name, item in (value.__kwdefaults__ or {}).items()]
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
        try:
            carried.append((f" {name}", cell.cell_contents))
        except ValueError:  # not bound yet
            pass
    carried += [(f".{name}", item) for name, item in vars(value).items() if not KEPT_FOR_LATER.search(name)]
    put(found, carried, budget)
    return found


@functools.lru_cache(maxsize=4096)
def code_token(code: types.CodeType) -> bytes:
    """Return a token of what a function does, however much of its cell was compiled together with it.

    Python 3.11 compiles ``np.array(…)`` otherwise where the import stands in the same text, and IPython compiles the
    statements of a plain cell one by one.
    """
    consts = [code_token(each) if isinstance(each, types.CodeType) else shown(each) for each in code.co_consts]
    places: dict[int, int] = {}
    kept: list[dis.Instruction] = []
    for step in dis.get_instructions(code):
        places[step.offset] = len(kept)
        if step.opname not in BESIDE_CALLS:
            kept.append(step)
    steps = [f"{CALLED.get(step.opname, step.opname)} {_used(step, places)}" for step in kept]
    return digest("\n".join(steps), repr((code.co_names, code.co_varnames, code.co_freevars)), *consts)


#: How the same call is spelled in two ways.
CALLED = {"LOAD_METHOD": "LOAD_ATTR", "CALL_METHOD": "CALL_FUNCTION"}
BESIDE_CALLS = frozenset({"PUSH_NULL", "PRECALL", "CACHE", "NOP"})


def _used(step: dis.Instruction, places: dict[int, int]) -> str:
    """Return what an instruction is about: a name, a number, or a place; constants are compared as values."""
    if step.opcode in dis.hasjabs or step.opcode in dis.hasjrel:
        return str(places.get(step.argval, -1))
    return "" if step.opcode in dis.hasconst else str(step.argval)


def _look_at_method(value: types.MethodType, budget: Budget) -> Inside:
    found = Inside("method")
    put(found, [("", value.__func__), (".__self__", value.__self__)], budget)
    return found


def _look_at_builtin_method(value: types.BuiltinMethodType, budget: Budget) -> Inside:
    found = Inside("method", own={"name": digest(value.__name__)})
    put(found, [(".__self__", value.__self__)], budget)
    return found


def _look_at_class(value: type, budget: Budget) -> Inside:
    found = Inside("class", own={"name": digest(value.__qualname__)})
    hidden = {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__static_attributes__"}
    members = [(f".{name}", item) for name, item in vars(value).items() if name not in hidden and "_abc" not in name]
    plain = [
        (label, item)
        for label, item in members
        if not isinstance(item, types.MemberDescriptorType | types.GetSetDescriptorType)
    ]
    put(
        found,
        [(label, item.__func__ if isinstance(item, staticmethod | classmethod) else item) for label, item in plain],
        budget,
    )
    return found


def _look_at_module(value: types.ModuleType, budget: Budget) -> Inside:
    found = Inside("module", own={"name": digest(value.__name__)})
    data = [
        (f".{name}", item)
        for name, item in sorted(vars(value).items())
        if not name.startswith("__") and not isinstance(item, types.ModuleType)
    ]
    put(found, data, budget)
    return found


def _look_at_partial(value: Any, budget: Budget) -> Inside:
    found = Inside("partial")
    put(found, [("", value.func), (" arguments", value.args), (" keywords", value.keywords)], budget)
    return found


def _look_at_generator(value: types.GeneratorType[Any, Any, Any], budget: Budget) -> Inside:
    frame = value.gi_frame
    found = Inside("generator", own={"code": code_token(value.gi_code)})
    found.own["place"] = token(-2 if frame is None else frame.f_lasti) or b""
    if frame is not None and not value.gi_running:
        put(found, ((f" {name}", item) for name, item in sorted(frame.f_locals.items())), budget)
    return found


LOOKS: tuple[tuple[Any, Any], ...] = (
    (types.FunctionType, _look_at_function),
    (types.MethodType, _look_at_method),
    ((types.BuiltinMethodType, types.MethodWrapperType), _look_at_builtin_method),
    (type, _look_at_class),
    (types.ModuleType, _look_at_module),
    (types.GeneratorType, _look_at_generator),
    (functools.partial, _look_at_partial),
)
