"""A run that this process performs, as whoever started it holds it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from orch_notebook.errors import FlowRunCancelled, FlowRunFailed
from orch_notebook.model.live import LiveRun
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.states import StateType
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.programs import CellProgram

__all__ = ["RunHandle", "check_outcome"]


class RunHandle:
    """A run that this process performs.

    Attributes
    ----------
    run_id : str
        Its id.
    error : BaseException or None
        Why it could not be recorded to its end.
    """

    def __init__(
        self, run: FlowRun, engine: Engine, program: CellProgram, ended: Callable[[RunHandle], object]
    ) -> None:
        self.run_id = run.run_id
        self.error: BaseException | None = None
        self._live = LiveRun(run)
        self._engine: Engine | None = engine
        self._program: CellProgram | None = program
        self._tell_ended = ended
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._perform, name=f"orch-run-{short_id(run.run_id)}", daemon=True)

    def _perform(self) -> None:
        assert self._engine is not None
        try:
            self._engine.run()
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits
            self.error = error
        finally:
            self._tell_ended(self)
            # They hold the bodies, and with them the data they worked on.
            program, self._engine, self._program = self._program, None, None
            self._ended.set()
            if program is not None:
                program.clear_away()

    @property
    def run(self) -> FlowRun:
        """The run as far as it is stored."""
        return self._live.run

    @property
    def is_over(self) -> bool:
        """Whether it has ended and its final state is stored."""
        return self._ended.is_set()

    @property
    def stuck(self) -> list[str]:
        """The tasks that are being performed right now."""
        engine = self._engine
        return engine.running if engine is not None else []

    def cancel(self) -> None:
        """Stop what runs, start nothing more; returns at once."""
        engine = self._engine
        if engine is not None:
            engine.cancel()

    def pause(self) -> None:
        """Let what runs come to its end and start nothing more until :meth:`resume`; returns at once."""
        engine = self._engine
        if engine is not None:
            engine.pause()

    def resume(self) -> None:
        """Go on after :meth:`pause`; returns at once."""
        engine = self._engine
        if engine is not None:
            engine.resume()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False if it has not come within `timeout` seconds."""
        return self._ended.wait(timeout)

    def result(self) -> FlowRun:
        """Wait for the end and return the run.

        Raises
        ------
        FlowRunFailed, FlowRunCancelled
            How it ended, if not well.
        StoreError
            It could not be recorded to its end.
        """
        self._ended.wait()
        if self.error is not None:
            raise self.error
        return check_outcome(self.run)


def check_outcome(run: FlowRun) -> FlowRun:
    """Return a run that ended well; raise how it ended otherwise."""
    if run.state.type is StateType.COMPLETED:
        return run
    if run.state.type is StateType.CANCELLED:
        raise FlowRunCancelled(f"Flow {run.flow!r} was cancelled.", run_id=run.run_id)
    failed = [task for task in run.tasks if task.state.type in (StateType.FAILED, StateType.CRASHED)]
    lines = [f"{run.state.message or run.state.name}"]
    lines += [
        f"  {task.name}: {task.details.get('error') or task.state.message or task.state.name}" for task in failed[:5]
    ]
    names = [task.name for task in failed]
    raise FlowRunFailed(
        f"Flow {run.flow!r} ended {run.state.name}. " + "\n".join(lines), run_id=run.run_id, tasks=names
    )
