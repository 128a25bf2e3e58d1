"""Several runners as one: every task is performed by the one it names."""

from __future__ import annotations

from collections.abc import Callable

from orch_notebook.runtime.calls import Call
from orch_notebook.runtime.runners import Runner

__all__ = ["MixedRunner"]


class MixedRunner:
    """Performs each call by the runner that its task names.

    Parameters
    ----------
    name_of : callable
        ``name_of(task)`` is the name of its runner.
    make : callable
        ``make(name)`` makes a runner; called when the first of its tasks starts.
    """

    name = ""

    def __init__(self, name_of: Callable[[str], str], make: Callable[[str], Runner]) -> None:
        self._name_of = name_of
        self._make = make
        self._runners: dict[str, Runner] = {}

    def _runner(self, call: Call) -> Runner:
        # Asked by the engine alone, which does one thing at a time.
        name = self._name_of(call.task)
        found = self._runners.get(name)
        if found is None:
            found = self._runners[name] = self._make(name)
        return found

    def start(self, call: Call) -> None:
        """Perform `call` where it belongs."""
        self._runner(call).start(call)

    def follows(self, call: Call, after: Call) -> bool:
        """Whether both belong to one runner, and that one lets its places go straight on."""
        runner = self._runner(call)
        return runner is self._runner(after) and runner.follows(call, after)

    def stop(self, call: Call) -> bool:
        """Stop a call where it is performed."""
        return self._runner(call).stop(call)

    def close(self) -> None:
        """Let every place of every runner end."""
        for runner in self._runners.values():
            runner.close()
