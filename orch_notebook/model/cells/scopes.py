"""What names stand for at one point of a body."""

from __future__ import annotations

from orch_notebook.model.cells.values import Value

__all__ = ["GONE", "Names"]

#: What a name stands for that has surely been deleted.
GONE: Value = frozenset({(("gone", ""), False)})


class Names:
    """What names stand for at one point of a body; forked at branches and joined after them."""

    __slots__ = ("globals", "gone", "locals", "unsure")

    def __init__(
        self, globals: dict[str, Value], locals: dict[str, Value], unsure: frozenset[str], gone: frozenset[str]
    ) -> None:
        self.globals = globals
        self.locals = locals
        #: Globals that may still be what they were when the body began.
        self.unsure = unsure
        #: Globals that may have been deleted; the value of those that surely are is GONE.
        self.gone = gone

    def fork(self) -> Names:
        """Return a copy that may go its own way."""
        return Names(dict(self.globals), dict(self.locals), self.unsure, self.gone)
