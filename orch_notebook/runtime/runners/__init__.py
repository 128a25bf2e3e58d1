"""How task runs are performed."""

from __future__ import annotations

from typing import Protocol

from orch_notebook.runtime.calls import Call

__all__ = ["Runner"]


class Runner(Protocol):
    """Performs calls, each in a place of its own; one contract for threads, processes and clusters."""

    @property
    def name(self) -> str:
        """By which tasks ask for it; empty for what nobody can ask for."""
        ...

    def start(self, call: Call) -> None:
        """Perform `call` as soon as there is room; returns at once."""
        ...

    def follows(self, call: Call, after: Call) -> bool:
        """Whether the place in which `after` ends may go straight on with `call`."""
        ...

    def stop(self, call: Call) -> bool:
        """Stop a call that is being performed; False when that cannot be said to it."""
        ...

    def close(self) -> None:
        """Let every place end once its call has ended."""
        ...
