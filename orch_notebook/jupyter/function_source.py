"""What the panel shows of a function's flow, and whom its buttons ask.

In: a flow made by ``@flow``.  Out: its runs as the store tells them, whichever cell, thread or process performs them; a
run that the panel begins is performed by a thread of this kernel.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.functions.flows import FunctionFlow
from orch_notebook.functions.schemas import parameters_of
from orch_notebook.jupyter.records import RecordedSource, given, kernel_id
from orch_notebook.jupyter.standing import Standing
from orch_notebook.jupyter.widgets import Given
from orch_notebook.model.graph import Graph
from orch_notebook.model.live import LiveRun
from orch_notebook.model.parameters import check_parameters
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType
from orch_notebook.orchestrator import Orchestrator

__all__ = ["FunctionSource"]

logger = logging.getLogger("orch_notebook")

_WHOLE = "A function's flow runs as a whole: which tasks there are, its code decides as it runs."


class FunctionSource(RecordedSource):
    """The flow of a function.

    Parameters
    ----------
    orchestrator : Orchestrator
        Knows the runs.
    flow : FunctionFlow
        The flow.
    shell
        The IPython shell of this kernel.
    standing : Standing, optional
        The static view that stands in for the panel where none can be.
    """

    is_open = True
    hint = "No tasks yet: they stand here as soon as the flow runs them."

    def __init__(
        self,
        orchestrator: Orchestrator,
        flow: FunctionFlow[..., Any],
        shell: object,
        standing: Standing | None = None,
    ) -> None:
        super().__init__(orchestrator, flow.name, standing)
        self._flow = flow
        self.kernel_id = kernel_id(shell)
        self._live: LiveRun | None = None
        self._seen = 0
        self._lock = threading.Lock()
        # What a thread prints belongs to the cell whose context it has: the one that shows the panel.
        self._context = contextvars.copy_context()
        self._thread: threading.Thread | None = None

    def current(self) -> FlowRun | None:
        """Return the latest run with its task runs, or ``None`` before the first."""
        latest = self.orchestrator.store.runs(flow=self.flow_name, limit=1)
        if not latest:
            return None
        row = latest[0]
        with self._lock:
            if self._live is None or self._live.run.run_id != row.run_id:
                self._live, self._seen = LiveRun(replace(row, graph=Graph(), tasks=())), 0
            for number, event in self.orchestrator.events(row.run_id, self._seen):
                self._live.take([event])
                self._seen = number
            run = self._live.run
        # One that was lost is ended in its row, by others.
        return replace(run, state=row.state, started_at=row.started_at, ended_at=row.ended_at)

    def is_waited_for(self) -> bool:
        """Whether a cell of this kernel performs the latest run."""
        run = self.current()
        return run is not None and run.run_id in self.home.closing and not self._is_busy

    @property
    def _is_busy(self) -> bool:
        """Whether a thread of this panel performs a run."""
        return self._thread is not None and self._thread.is_alive()

    def graph(self) -> Graph:
        """Return the tasks that the latest run has had so far."""
        run = self.current()
        return run.graph if run is not None else Graph()

    def parameters(self) -> Sequence[Given]:
        """Return what the function takes."""
        return [given(each) for each in parameters_of(self._flow.fn)]

    def limits(self) -> Mapping[str, str]:
        """Return what cannot be done with a flow whose tasks only its code knows."""
        pause = "This flow pauses where its code says so: pause_flow_run()."
        return {"all": _WHOLE, "part": _WHOLE, "pause": pause}

    def coming(self, select: tuple[str, ...] = ()) -> int | None:
        """Return how many tasks a repetition is sure to run again; of a new run nobody knows."""
        return len(select) or None

    def start(
        self, select: tuple[str, ...], *, everything: bool = False, values: Mapping[str, str] | None = None
    ) -> None:
        """Begin a run with these parameters and return at once.

        Raises
        ------
        UsageError
            A part of it is asked for, or a run goes on.
        ParameterError
            A parameter is missing or ill-typed.
        """
        if select or everything:
            raise UsageError(_WHOLE)
        self._refuse_if_busy()
        checked = check_parameters(parameters_of(self._flow.fn), values or {}, "flow")
        self._begin(self._flow.prepared(checked, lambda run_id: None).run)

    def _refuse_if_busy(self) -> None:
        run = self.current()
        if self._is_busy or (run is not None and not run.state.is_final):
            raise UsageError(f"Flow {self.flow_name!r} is running already. Wait for it, or cancel it.")

    def _begin(self, perform: Callable[[], object]) -> None:
        before = self._thread

        def go() -> None:
            if before is not None:
                before.join()  # a run that was suspended a moment ago is still being laid down
            try:
                perform()
            except Exception:
                logger.exception("Flow %r could not be run.", self.flow_name)

        self._thread = threading.Thread(target=self._context.copy().run, args=(go,), name="orch-flow", daemon=True)
        self._thread.start()

    def cancel(self, run_id: str = "") -> None:
        """Ask for a run to be cancelled and return at once.

        Raises
        ------
        UsageError
            Nothing runs.
        """
        run = self.current()
        if not run_id and (run is None or run.state.is_final):
            raise UsageError("Nothing is running.")
        self.orchestrator.cancel(run_id or (run.run_id if run is not None else ""))

    def resume(self, answer: Mapping[str, str] | None = None, run_id: str = "") -> None:
        """Let a run that waits for an answer go on; one that was suspended goes on here."""
        run = self.orchestrator.show(run_id)
        if run.state.name != "Suspended" or self.orchestrator.store.plan(run.run_id) is not None:
            super().resume(answer, run.run_id)
            return
        checked = self._checked(run.run_id, answer or {})
        self._begin(lambda: self._flow.resume(run.run_id, checked, return_state=True))

    def _checked(self, run_id: str, answer: Mapping[str, str]) -> Any:
        """Return an answer as JSON knows it, or refuse it before anything goes on."""
        question = self.question(self.orchestrator.show(run_id))
        fields = [each.parameter for each in question.fields] if question is not None else []
        checked = check_parameters(fields, answer, "run")
        return checked["input"] if [each.name for each in fields] == ["input"] else checked

    def retry(self) -> None:
        """Perform the latest run again, without what completed in it; return at once.

        Raises
        ------
        UsageError
            It has not failed.
        """
        self._refuse_if_busy()
        run = self.current()
        if run is None or run.state.type not in (StateType.FAILED, StateType.CRASHED):
            raise UsageError("No run has failed.")
        self._begin(lambda: self._flow.retry(run.run_id, return_state=True))
