"""A flow of a module, performed in this process and watched."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout

from orch_notebook.cli.app import app, columns, console, print_json
from orch_notebook.cli.tables import run_view
from orch_notebook.cli.watching import follow
from orch_notebook.model.states import StateType
from orch_notebook.orchestrator import Orchestrator, open_orchestrator

__all__ = ["app", "perform"]


class _Following:
    """Shows a run from a thread of its own, while this one performs it."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, run_id: str) -> None:
        """Begin to show a run."""
        self._thread = threading.Thread(target=self._follow, args=(run_id,), name="orch-follow", daemon=True)
        self._thread.start()

    def _follow(self, run_id: str) -> None:
        follow(self._orchestrator, run_id, lambda run: self._is_over.is_set())

    def end(self) -> None:
        """Show how it ended, and no more."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()


@contextmanager
def _following(orchestrator: Orchestrator) -> Iterator[_Following]:
    found = _Following(orchestrator)
    try:
        yield found
    finally:
        found.end()


def perform(flow: str, parameters: Sequence[str], timeout: float | None, as_json: bool) -> int:
    """Perform a flow of a module in this process, show it, and return the exit code."""
    is_interrupted = False
    ids: list[str] = []
    with open_orchestrator() as orchestrator:
        with _following(orchestrator) as following:

            def begun(run_id: str) -> None:
                ids.append(run_id)
                if not as_json:
                    following.begin(run_id)

            # What the flow prints must not get between the JSON.
            try:
                with redirect_stdout(sys.stderr) if as_json else nullcontext():
                    orchestrator.perform(flow, parameters, timeout=timeout, begun=begun)
            except KeyboardInterrupt:
                is_interrupted = True
                if not ids:
                    raise
                sys.stderr.write("Cancelled.\n")
        ended = orchestrator.show(ids[0])
        if as_json:
            print_json(ended.to_json(with_tasks=True))
        else:
            console.print(run_view(ended, orchestrator.clock.now(), columns()))
    return 0 if ended.state.type is StateType.COMPLETED else 130 if is_interrupted else 1
