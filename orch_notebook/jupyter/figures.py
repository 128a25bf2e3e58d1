"""Figures of their own for every task.

pyplot keeps its figures in one list for the whole process, and showing takes them all.  While the extension is loaded
that list is chosen by context: each task has its own, and code outside of tasks keeps the one it had.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from orch_notebook.jupyter.imports import WhenImported
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


def _registry() -> Any:
    return getattr(_helpers.module, "Gcf", None)


def route_figures() -> None:
    """Let every task have its own figures, from the moment matplotlib is there."""
    registry = _registry()
    if registry is None:
        _helpers.wait()
    elif not isinstance(registry.figs, _Figures):
        registry.figs = _Figures(registry.figs)
    _parse_in_turn()


def _parse_in_turn() -> None:
    """Let formulas be read one at a time: all threads share one parser.  This stays, and nobody notices."""
    parser = getattr(_formulas.module, "MathTextParser", None)
    if parser is None:
        _formulas.wait()
    elif not hasattr(parser.parse, "in_turn"):
        parse, lock = parser.parse, threading.RLock()

        @functools.wraps(parse)
        def parse_in_turn(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return parse(*args, **kwargs)

        parse_in_turn.in_turn = True  # type: ignore[attr-defined]
        parser.parse = parse_in_turn


def unroute_figures() -> None:
    """Give pyplot its own list back."""
    _helpers.forget()
    _formulas.forget()
    registry = _registry()
    if registry is not None and isinstance(registry.figs, _Figures):
        registry.figs = registry.figs.outside


def show_figures(show: Callable[[Any], object]) -> None:
    """Hand each open figure of the running task to `show`, in the order in which they were made, and close them.

    Only where IPython shows figures at the end of a cell: ``%matplotlib notebook`` shows them while they are drawn, and
    after ``plt.ioff()`` only ``plt.show()`` shows any.
    """
    registry = _registry()
    if registry is None or not isinstance(registry.figs, _Figures) or not _shows_at_end():
        return
    for manager in sorted(registry.figs.values(), key=lambda manager: manager.num):
        show(manager.canvas.figure)
    close_figures()


def _shows_at_end() -> bool:
    matplotlib: Any = sys.modules.get("matplotlib")
    if matplotlib is None or "inline" not in str(matplotlib.rcParams["backend"]).lower():
        return False
    return bool(matplotlib.is_interactive())


def close_figures() -> None:
    """Close the figures of the running task."""
    registry = _registry()
    if registry is None or not isinstance(registry.figs, _Figures):
        return
    for number in list(registry.figs):
        registry.destroy(number)


#: The module that holds the list.
_helpers = WhenImported("matplotlib._pylab_helpers", route_figures)
_formulas = WhenImported("matplotlib.mathtext", _parse_in_turn)
