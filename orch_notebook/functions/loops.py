"""The one door to what needs an event loop: asyncio takes 15 to 40 ms to load, and most flows never need it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import ModuleType
from typing import Any

__all__ = ["AsyncCall", "loops"]


def loops() -> ModuleType:
    """Return :mod:`orch_notebook.functions.awaiting`, loaded when it is first needed."""
    from orch_notebook.functions import awaiting

    return awaiting


class AsyncCall(Coroutine[Any, Any, Any]):
    """A call of an ``async def`` task or flow: to be awaited, or run to its end with :meth:`run`.

    Notes
    -----
    It is a coroutine to everything that takes one (``await``, ``asyncio.run``, ``gather``), and nothing happens before
    it is awaited.  Unlike a bare coroutine it says so when a cell shows it.
    """

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, Any]], what: str) -> None:
        self._begin = begin
        self._what = what
        self._coroutine: Coroutine[Any, Any, Any] | None = None

    def _begun(self) -> Coroutine[Any, Any, Any]:
        if self._coroutine is None:
            self._coroutine = self._begin()
        return self._coroutine

    def run(self) -> Any:
        """Run it to its end and return the result; also where an event loop runs already, as in a notebook."""
        return loops().run_anywhere(self)

    def send(self, value: Any) -> Any:
        """Go on, as every coroutine does."""
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:
        """Raise an error where it stands, as every coroutine does."""
        return self._begun().throw(*error)

    def close(self) -> None:
        """End it, as every coroutine does."""
        if self._coroutine is not None:
            self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._begun().__await__()

    def __repr__(self) -> str:
        if self._coroutine is not None:
            return f"<{self._what}, begun>"
        return f"<{self._what} has not run: write 'await' before it, or .run() behind it>"
