"""What a task and a flow made of a function have in common: the function, what it is like, and how it is a method."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from orch_notebook.functions.options import FlowOptions, TaskOptions, seconds_of

__all__ = ["Wrapped"]

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
