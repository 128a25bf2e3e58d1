"""What a task and a flow made of a function have in common: the function, what it is like, and how it is a method."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Generic, ParamSpec, TypeVar

from orch_notebook.functions.arguments import bind
from orch_notebook.functions.loops import loops
from orch_notebook.functions.options import FlowOptions, TaskOptions, seconds_of

__all__ = ["Wrapped", "named"]

P = ParamSpec("P")
R = TypeVar("R")


class Wrapped(Generic[P, R]):
    """A function with options, which runs in another way than it was written.

    Parameters
    ----------
    function : callable
        Also what ``staticmethod`` and ``classmethod`` make.
    options : TaskOptions or FlowOptions
        Its name, description and timeout are told from here, where they are given.
    prefix : tuple
        Arguments that come before those of a call: what a method belongs to.
    """

    def __init__(self, function: Callable[P, R], options: TaskOptions | FlowOptions, prefix: tuple[Any, ...]) -> None:
        self._kind: type | None = None
        if isinstance(function, staticmethod | classmethod):
            self._kind = type(function)
            function = function.__func__
        if not callable(function):
            word = "task" if isinstance(options, TaskOptions) else "flow"
            raise TypeError(f"@{word} makes a {word} of a function, not of {function!r}.")
        functools.update_wrapper(self, function)  # type: ignore[arg-type]  # the subclasses can be called
        self.fn = function
        self.name: str = options.name or str(getattr(function, "__name__", type(function).__name__))
        self.description = options.description or inspect.cleandoc(getattr(function, "__doc__", None) or "")
        self.timeout = seconds_of(options.timeout_seconds)
        self.is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        self._is_generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        self._prefix = prefix

    def _belongs_to(self, instance: Any, owner: type | None) -> tuple[Any, ...]:
        """Return what comes before the arguments where it is got from an object or a class; nothing if nothing does."""
        if self._kind is staticmethod or (instance is None and self._kind is None):
            return ()
        return (owner if self._kind is classmethod else instance,)

    @property
    def bound_first(self) -> int:
        """How many arguments come before those of a call."""
        return len(self._prefix)

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return arguments by parameter; as far as they go, if they do not fit."""
        try:
            return bind(self.fn, args, kwargs)
        except TypeError:
            return dict(kwargs)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function; what is asynchronous runs in a loop of its own, what yields is drained."""
        if self.is_async:
            return loops().run(self._await(args, kwargs))
        value = self.fn(*args, **kwargs)
        return list(value) if self._is_generator else value  # type: ignore[call-overload]

    async def _await(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        value: Any = self.fn(*args, **kwargs)
        return await loops().drain(value) if self._is_generator else await value

    def __reduce_ex__(self, protocol: Any) -> Any:
        # As functions do: what a module holds under its name is imported where it arrives, and is not taken apart.
        if named(self) is self:
            return imported, (self.__module__, self.__qualname__)
        return super().__reduce_ex__(protocol)


def named(part: Any) -> Any:
    """Return what stands in its module under the name of a function, task or flow; None if nothing does."""
    module, path = getattr(part, "__module__", None), getattr(part, "__qualname__", "")
    return None if module == "__main__" or module not in sys.modules or "<" in path else _reach(module, path)


def _reach(module: str, path: str) -> Any:
    found: Any = sys.modules[module]
    for step in path.split("."):
        found = getattr(found, step, None)
    return found


def imported(module: str, path: str) -> Any:
    """Return what stands in a module under a name."""
    import_module(module)
    return _reach(module, path)
