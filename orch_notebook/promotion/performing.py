"""Performs a claimed run: executes its notebook, or its flow of a module, and records all of it.

In: the lease of a run, and its plan in the store.  Out: the run's history, and its final state.  Nothing but this
writes that history, under the token of the lease; once another process has taken the run over, its writes are refused
and it stops.
"""

from __future__ import annotations

import logging
import re
import threading
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from orch_notebook.errors import FlowRunFailed, LeaseLost, OrchError, StoreError
from orch_notebook.model.deployments import Plan
from orch_notebook.model.events import RunCreated, RunStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.headers import split_task_cell
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.promotion.execution import Execution, Stop, execute
from orch_notebook.promotion.journaling import ENDINGS, RunRecord, end_cells, graph_of_cells
from orch_notebook.promotion.kernels import Kernel
from orch_notebook.promotion.mending import mend_notebook
from orch_notebook.promotion.modules import perform_flow
from orch_notebook.promotion.notebooks import code_cells, read_notebook
from orch_notebook.promotion.upkeep import sweep
from orch_notebook.runtime.attempts import forget_attempts
from orch_notebook.runtime.clock import Clock, SystemClock
from orch_notebook.runtime.crashpoints import reach
from orch_notebook.runtime.ledger import Journal, Ledger
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease, Store
from orch_notebook.runtime.store.enduring import GONE, endure
from orch_notebook.runtime.vault import learn_secrets

__all__ = ["perform_run"]

logger = logging.getLogger("orch_notebook")

CANCELLED = "cancelled by request"


def perform_run(
    store: Store,
    settings: Settings,
    lease: Lease,
    *,
    clock: Clock | None = None,
    stop: Stop | None = None,
    ahead: Kernel | None = None,
) -> State:
    """Execute a claimed run and record all of it; return its final state.

    Parameters
    ----------
    store : Store
        Where the run is.
    settings : Settings
        Where the executed notebook goes.
    lease : Lease
        The claim; it is kept until the caller releases it.
    clock : Clock, optional
        The time.
    stop : Stop, optional
        Through which the caller may end the execution.
    ahead : Kernel, optional
        One that has been started for it already.

    Raises
    ------
    LeaseLost
        Another process has taken the run over.
    """
    clock, stop = clock or SystemClock(), stop or Stop()
    reach("execute.begun")
    run, plan = endure(partial(_take_up, store, settings, lease, clock), lambda away_at: away_at + GONE)
    if plan.entrypoint:
        return perform_flow(run, plan, lease, stop)
    ledger = Ledger(store, clock=clock, lease_seconds=settings.lease)

    def lost(error: StoreError) -> None:
        logger.error("Run %s is given up, and its kernel ended: %s", run.run_id, error)
        # Somebody else may execute it already, so nothing may still be at work here.
        stop.request(str(error), grace=0.0)

    journal = ledger.open(lease, lost, store.last_seq(run.run_id))
    ended = threading.Event()
    requests = threading.Thread(target=_heed_requests, args=(store, run.run_id, clock, stop, ended), daemon=True)
    requests.start()
    try:
        state = _execute(store, settings, run, plan, journal, clock, stop, ahead)
    finally:
        ended.set()
        requests.join(timeout=5.0)
        ledger.close_journal(journal, release=False)
        ledger.close()
    if journal.error is not None:
        raise journal.error
    reach("execute.recorded")
    _tidy_up(store, settings, run, state, clock)
    reach("execute.done")
    return state


def _take_up(store: Store, settings: Settings, lease: Lease, clock: Clock) -> tuple[FlowRun, Plan]:
    """Renew the lease of a run and return it, with how it is executed."""
    if not store.renew(lease, clock.now() + timedelta(seconds=settings.lease)):
        raise LeaseLost(f"Run {lease.run_id} is owned by another process now.", run_id=lease.run_id)
    run, plan = store.run(lease.run_id), store.plan(lease.run_id)
    if run is None or plan is None:
        raise OrchError(f"Run {lease.run_id} has no notebook to execute.")
    return run, plan


def _tidy_up(store: Store, settings: Settings, run: FlowRun, state: State, clock: Clock) -> None:
    """End what the kernel left unfinished before anybody looks; what its run leaves for the next is not needed now."""
    try:
        sweep(store, this_owner(), clock.now())
        if state.type is StateType.COMPLETED:
            forget_attempts(store, settings, run)
        elif (found := store.run(run.run_id)) is not None:
            mend_notebook(store, found, clock.now())
    except StoreError as error:  # the end is stored, and workers sweep every second
        logger.warning("Not all was tidied up after run %s: %s", run.run_id, error)


def _heed_requests(store: Store, run_id: str, clock: Clock, stop: Stop, ended: threading.Event) -> None:
    while not ended.wait(0.5):
        try:
            if "cancel" in store.take_requests(run_id, clock.now()):
                stop.request(CANCELLED)
        except StoreError as error:
            logger.warning("Could not look for requests: %s", error)


def _execute(
    store: Store,
    settings: Settings,
    run: FlowRun,
    plan: Plan,
    journal: Journal,
    clock: Clock,
    stop: Stop,
    ahead: Kernel | None,
) -> State:
    output = settings.folder("runs", run.run_id) / Path(plan.notebook).name
    learn_secrets(store, settings)
    try:
        notebook = read_notebook(plan.snapshot)
        graph = graph_of_cells(notebook)
    except OrchError as error:
        state = State(StateType.FAILED, "Failed", str(error))
        journal.record(RunCreated(run.created_at, run.flow, Graph(), run.parameters))
        journal.record(RunStateChanged(clock.now(), State(StateType.RUNNING)))
        journal.record(RunStateChanged(clock.now(), state))
        return state
    journal.record(RunCreated(run.created_at, run.flow, graph, run.parameters))
    journal.record(RunStateChanged(clock.now(), State(StateType.RUNNING)))
    reach("execute.ready")
    by_index = {task.cell_index: task.name for task in graph.tasks if task.cell_index is not None}
    task_cells = {index for index, cell in code_cells(notebook) if split_task_cell(str(cell.source)) is not None}

    def note_notebook() -> None:
        # Noted early, so that a run whose process is killed shows how far it came, and again at the end, should the
        # store have been away.
        with suppress(StoreError):
            store.set_executed_notebook(journal.lease, str(output))

    record = RunRecord(journal, clock, by_index, task_cells, len(notebook.cells), settings.log_limit, note_notebook)
    try:
        ended = execute(
            plan.snapshot,
            output=output,
            parameters=run.parameters,
            cwd=plan.folder,
            progress=record,
            kernel=plan.kernel,
            timeout=plan.timeout,
            memory=plan.memory or settings.memory,
            env={
                **plan.env,
                **settings.environment,
                "ORCH_RUN_ID": run.run_id,
                "ORCH_NOTEBOOK": plan.notebook,
            },
            metadata={"run_id": run.run_id, "deployment": run.deployment, "attempt": run.attempt},
            stop=stop,
            ahead=ahead,
        )
        state = _state_of(ended, stop)
        note_notebook()
    except OrchError as error:
        state = State(StateType.FAILED, "Failed", str(error))
    reach("execute.over")
    for event in end_cells(graph, record, state, clock):
        journal.record(event)
    journal.record(RunStateChanged(clock.now(), state))
    return state


def _state_of(ended: Execution, stop: Stop) -> State:
    if ended.ok:
        return State(StateType.COMPLETED)
    where = "" if ended.cell_index is None else f"Cell {ended.cell_index + 1}: "
    what = f"{ended.ename}: {ended.evalue}" if ended.ename and ended.kind == "failed" else ended.evalue
    if ended.ename == FlowRunFailed.__name__:
        # The tasks say what went wrong and where; the cell that ran them (often one we added) says nothing more.
        where, what = "", re.sub(r"^Flow .*? ended \w+\. ", "", ended.evalue)
    message = (where + (what.splitlines()[0] if what else ended.kind))[:500]
    if ended.kind == "stopped":
        if stop.reason == CANCELLED:
            return State(StateType.CANCELLED, "Cancelled", "Cancelled by request.")
        return State(StateType.CRASHED, "Crashed", message)
    kind, name = ENDINGS[ended.kind]
    return State(kind, name, message)
