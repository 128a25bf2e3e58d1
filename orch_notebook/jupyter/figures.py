"""Figures of their own for every task.

pyplot keeps its figures in one list for the whole process, and showing takes them all.  While the extension is loaded
that list is chosen by context: each task has its own, and code outside of tasks keeps the one it had.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from orch_notebook.runtime.capture import Capture, current

__all__ = ["close_figures", "route_figures", "show_figures"]


class _Figures(OrderedDict[int, Any]):
    """Looks like pyplot's list of figures, and is the one of the task whose code is running."""

    def __init__(self, outside: OrderedDict[int, Any]) -> None:
        super().__init__()
        self.outside = outside
        self.by_task: WeakKeyDictionary[Capture, OrderedDict[int, Any]] = WeakKeyDictionary()

    def own(self) -> OrderedDict[int, Any]:
        capture = current.get()
        if capture is None:
            return self.outside
        return self.by_task.setdefault(capture, OrderedDict())


def _pass_on(name: str) -> Callable[..., Any]:
    def method(self: _Figures, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.own(), name)(*args, **kwargs)

    return method


for _name in (
    "__contains__", "__delitem__", "__getitem__", "__iter__", "__len__", "__reversed__", "__setitem__", "clear", "get",
    "items", "keys", "move_to_end", "pop", "popitem", "setdefault", "update", "values",
):  # fmt: skip
    setattr(_Figures, _name, _pass_on(_name))


#: The module that holds the list.
_MODULE = "matplotlib._pylab_helpers"


def _registry() -> Any:
    return getattr(sys.modules.get(_MODULE), "Gcf", None)


class _WhenImported(MetaPathFinder):
    """Waits for the list to come into being: a task may be the first to import pyplot, and draw at once."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _MODULE or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_route(module: ModuleType) -> None:
                execute(module)
                route_figures()

            spec.loader.exec_module = execute_and_route  # type: ignore[method-assign]
        return spec


_when_imported = _WhenImported()


def route_figures() -> None:
    """Let every task have its own figures, from the moment matplotlib is there."""
    registry = _registry()
    if registry is None:
        if _when_imported not in sys.meta_path:
            sys.meta_path.insert(0, _when_imported)
    elif not isinstance(registry.figs, _Figures):
        registry.figs = _Figures(registry.figs)


def unroute_figures() -> None:
    """Give pyplot its own list back."""
    if _when_imported in sys.meta_path:
        sys.meta_path.remove(_when_imported)
    registry = _registry()
    if registry is not None and isinstance(registry.figs, _Figures):
        registry.figs = registry.figs.outside


def show_figures(show: Callable[[Any], object]) -> None:
    """Hand each open figure of the running task to `show`, in the order in which they were made, and close them."""
    registry = _registry()
    if registry is None or not isinstance(registry.figs, _Figures):
        return
    for manager in sorted(registry.figs.values(), key=lambda manager: manager.num):
        show(manager.canvas.figure)
    close_figures()


def close_figures() -> None:
    """Close the figures of the running task."""
    registry = _registry()
    if registry is None or not isinstance(registry.figs, _Figures):
        return
    for number in list(registry.figs):
        registry.destroy(number)
