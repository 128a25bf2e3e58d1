"""The thread in which a flow run of functions takes its course, from its first event to its stored end.

In: an engine.  Out: its run's final state, or what broke it; whoever waits for either is told.  A process that ends
first ends the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from orch_notebook.model.runs import short_id
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.home import Home

__all__ = ["Course"]

#: Seconds that a process which ends leaves to a flow that is cancelled because of that.
LAST_SECONDS = 2.0


class Course:
    """The thread of one flow run.

    Parameters
    ----------
    engine : Engine
        Of the run.
    home : Home
        Closed by a process that ends; the run has ended before.
    run_id : str
        The run.
    is_awaited : bool
        A process that ends waits for it, however long it takes; else it is cancelled.
    after : callable
        Called in the thread when the engine has stopped.
    """

    def __init__(
        self, engine: Engine, home: Home, run_id: str, *, is_awaited: bool, after: Callable[[], object]
    ) -> None:
        self._engine = engine
        self._home = home
        self._run_id = run_id
        self._is_awaited = is_awaited
        self._after = after
        self._is_over = False
        self._broken: BaseException | None = None
        self._lock = threading.Lock()
        self._told: list[Callable[[], object]] = []
        self._thread = threading.Thread(target=self._go, name=f"orch-run-{short_id(run_id)}", daemon=True)

    def start(self) -> None:
        """Let the engine go on; returns at once."""
        self._home.closing[self._run_id] = self._finish
        self._thread.start()

    def _go(self) -> None:
        try:
            self._engine.run()
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits
            self._broken = error
        self._after()
        self._home.closing.pop(self._run_id, None)
        with self._lock:
            self._is_over = True
            told, self._told = self._told, []
        for tell in told:
            tell()

    def _finish(self) -> None:
        """End it, because the process does: what was submitted outside of flows is waited for, a flow is cancelled."""
        if not self._is_awaited:
            self._engine.cancel("Its process ended.")
            self._engine.close()
        self._thread.join(None if self._is_awaited else LAST_SECONDS)
        if self._thread.is_alive():
            self._engine.give_up(State(StateType.CANCELLED, message="Its process ended while a thread was at work."))
            self._thread.join(LAST_SECONDS)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the run's end is stored, or `timeout` seconds have passed.

        Raises
        ------
        StoreError
            It could not be recorded to its end.
        """
        self._thread.join(timeout)
        if not self._thread.is_alive() and self._broken is not None:
            raise self._broken

    def tell_end(self, callback: Callable[[], object]) -> bool:
        """Have `callback` called when the run has ended; False if it has."""
        with self._lock:
            if self._is_over:
                return False
            self._told.append(callback)
            return True
