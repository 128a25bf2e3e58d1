"""Progress bars of their own for every task.

tqdm keeps all bars that are open in one set for the whole process, and draws each new one a line below those before.
Two tasks that run at once have a cell each, so the bars of one begin at its first line, whatever the other draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from orch_notebook.jupyter.imports import WhenImported
from orch_notebook.runtime.capture import Capture, current

__all__ = ["route_bars", "unroute_bars"]


class _Bars(WeakSet[Any]):
    """Looks like tqdm's set of open bars, and is the one of the task whose code is running."""

    def __init__(self, outside: WeakSet[Any]) -> None:
        super().__init__()
        self.outside = outside
        self.by_task: WeakKeyDictionary[Capture, WeakSet[Any]] = WeakKeyDictionary()

    def own(self) -> WeakSet[Any]:
        capture = current.get()
        return self.outside if capture is None else self.by_task.setdefault(capture, WeakSet())


def _pass_on(name: str) -> Callable[..., Any]:
    def method(self: _Bars, *args: Any) -> Any:
        return getattr(self.own(), name)(*args)

    return method


for _name in ("__contains__", "__iter__", "__len__", "add", "clear", "copy", "discard", "pop", "remove"):
    setattr(_Bars, _name, _pass_on(_name))


def route_bars(*, as_text: bool = False) -> None:
    """Let every task have its own bars, from the moment tqdm is there.

    Parameters
    ----------
    as_text : bool
        ``tqdm.auto`` draws with characters, since nobody is there to see widgets and nothing of them is kept.
    """
    if as_text and _auto.module is None:
        _auto.wait()
    if _tqdm.module is None:
        _tqdm.wait()
        return
    kind = getattr(_tqdm.module, "tqdm", None)
    # Bars are made one at a time; before the first there is no set at all.
    bars = getattr(kind, "_instances", None)
    if kind is not None and not isinstance(bars, _Bars):
        kind._instances = _Bars(WeakSet() if bars is None else bars)


def unroute_bars() -> None:
    """Give tqdm its own set back."""
    _tqdm.forget()
    _auto.forget()
    kind = getattr(_tqdm.module, "tqdm", None)
    if isinstance(bars := getattr(kind, "_instances", None), _Bars):
        kind._instances = bars.outside  # type: ignore[union-attr]


def _draw_as_text() -> None:
    for name in ("tqdm", "trange"):
        setattr(_auto.module, name, getattr(_tqdm.module, name))


_tqdm = WhenImported("tqdm.std", route_bars)
#: Where ``tqdm.auto`` takes its bars from, once, when it is imported.
_auto = WhenImported("tqdm.autonotebook", _draw_as_text)
