"""The namespace of a body: the environment, the versions it is bound to, and functions that see both.

In: what every task of a run sees, and the versions that one task is given.  Out: the names its body runs over.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any

__all__ = ["make_namespace"]


def make_namespace(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that a body runs over.

    Parameters
    ----------
    base : Mapping
        The environment.
    given : Mapping
        The versions the task reads, by name.

    Examples
    --------
    >>> make_namespace({"x": 1, "y": 2}, {"x": 3})
    {'x': 3, 'y': 2}
    """
    namespace = {**base, **given}
    _rebind(namespace, set(given))
    return namespace


def _rebind(namespace: dict[str, Any], given: set[str]) -> None:
    """Let functions of the notebook see the versions that this task was given.

    A function reads its globals when it is called.  Those of the notebook's functions are another namespace than the
    task's, so every function that reads a given name, or calls one that does, is rebuilt over this namespace.
    """
    names = set(given)
    functions = {
        name: value
        for name, value in namespace.items()
        if isinstance(value, FunctionType) and value.__globals__.get("__name__") == "__main__"
    }
    found = True
    while found:
        found = False
        for name, function in list(functions.items()):
            if _global_names(function.__code__) & names:
                namespace[name] = _over(function, namespace)
                names.add(name)
                del functions[name]
                found = True


def _global_names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names


def _over(function: FunctionType, namespace: dict[str, Any]) -> FunctionType:
    twin = FunctionType(function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__)
    twin.__kwdefaults__ = function.__kwdefaults__
    twin.__annotations__ = function.__annotations__
    twin.__dict__.update(function.__dict__)
    twin.__doc__, twin.__module__, twin.__qualname__ = function.__doc__, function.__module__, function.__qualname__
    return twin
