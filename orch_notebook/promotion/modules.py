"""Flows of modules that run by themselves: how they are planned, and how a claimed run of one is performed.

In: the place of a flow, or a run that a worker has claimed.  Out: the plan with a pinned copy of the module's file, or
the run's end.  The run that was claimed is the flow's own run: there is no second one inside it, as a notebook has.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from orch_notebook.errors import FlowRunCancelled, OrchError, StoreError, UsageError
from orch_notebook.functions.background import TaskCall
from orch_notebook.functions.entrypoints import Entrypoint, pin, read_entrypoint
from orch_notebook.functions.flow_runs import FlowCall
from orch_notebook.functions.flows import FunctionFlow
from orch_notebook.functions.loading import load
from orch_notebook.functions.schemas import check_given, parameters_of
from orch_notebook.model.deployments import Plan
from orch_notebook.model.events import RunCreated, RunStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.parameters import Parameter
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.promotion.memory import guard_memory
from orch_notebook.promotion.stopping import Stop
from orch_notebook.promotion.terms import Given, Terms, read_given
from orch_notebook.runtime.hiding import hidden_output
from orch_notebook.runtime.home import Home, close_homes, open_home
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease
from orch_notebook.runtime.vault import learn_secrets

__all__ = ["INTERRUPTED", "Planned", "perform_flow", "perform_here", "perform_now", "place_of", "plan_flow"]

logger = logging.getLogger("orch_notebook")

#: How the message of a run begins that ended itself because its worker did; it has called its hooks.
INTERRUPTED = "It was interrupted"


@dataclass(frozen=True, slots=True)
class Planned:
    """A flow that was loaded to be promoted: how its runs are executed, and what it takes."""

    flow: FunctionFlow[..., Any]
    plan: Plan
    schema: tuple[Parameter, ...]

    def check(self, given: Mapping[str, Any]) -> None:
        """Check values by pydantic.

        Raises
        ------
        ParameterError
            One is not what its annotation says.
        """
        check_given(self.flow.fn, given, self.flow.name)


def plan_flow(settings: Settings, place: Entrypoint, terms: Terms) -> Planned:
    """Load a flow and pin its module.

    Raises
    ------
    ModuleError
        The module cannot be loaded or copied, or has no such flow.
    UsageError
        The terms name a kernel.
    """
    if terms.kernel is not None:
        raise UsageError(f"A kernel executes notebooks; {place.file.name}:{place.name} runs in Python itself.")
    flow = load(place)
    if not place.name:
        place = Entrypoint(place.file, place.module, flow.fn.__name__)
    pinned = place.file if terms.track else pin(place.file, settings.folder("snapshots"))
    plan = terms.plan(place.file, pinned, place.text, place.folder)
    plan = replace(plan, has_crash_hooks=bool(flow.options.on_crashed))
    return Planned(flow, plan, parameters_of(flow.fn))


def place_of(plan: Plan) -> Entrypoint:
    """Return the place of the flow that a plan executes."""
    module, _, name = plan.entrypoint.rpartition(":")
    return Entrypoint(Path(plan.notebook), module, name)


def perform_now(
    settings: Settings, flow: str, parameters: Given, timeout: float | None, begun: Callable[[str], object]
) -> str:
    """Perform a flow of a module in this thread, which tells `begun` its run's id; return that id when it has ended.

    Its module is pinned, so that the run can be repeated from where it failed.

    Raises
    ------
    ModuleError, ParameterError
        There is no such flow, its module cannot be loaded, or a parameter is not what it takes.
    """
    planned = plan_flow(settings, read_entrypoint(flow), Terms(timeout=timeout))
    given = read_given(planned.schema, parameters, taker="flow")
    found = planned.flow if timeout is None else planned.flow.with_options(timeout_seconds=timeout)
    home = open_home()
    # Who repeats it does so where it ran, not in the module's folder.
    plan = replace(planned.plan, folder=str(Path.cwd()))
    ids: list[str] = []

    def tell(run_id: str) -> None:
        ids.append(run_id)
        home.store.plan_run(Lease(run_id, this_owner(), 1, home.clock.now()), plan)
        begun(run_id)

    found.prepared(given, tell).run()
    return ids[0]


def perform_flow(run: FlowRun, plan: Plan, lease: Lease, stop: Stop) -> State:
    """Perform a claimed run of functions in this thread and process, and return its final state.

    Raises
    ------
    StoreError
        The run could not be recorded any further.
    """
    # Runs that its code makes where no scope reaches, and processes that it starts, belong to it too.
    os.environ.update(plan.env)
    os.environ["ORCH_RUN_ID"] = run.run_id
    home = open_home()
    learn_secrets(home.store, home.settings)
    try:
        with hidden_output():
            return _perform(home, run, plan, lease, stop)
    finally:
        close_homes()


def _perform(home: Home, run: FlowRun, plan: Plan, lease: Lease, stop: Stop) -> State:
    try:
        os.chdir(plan.folder)
        call = _call(home, run, plan, lease)
    except OSError as error:
        return _fail(home, run, lease, f"{plan.folder} cannot be entered: {error.strerror or error}.")
    except OrchError as error:
        return _fail(home, run, lease, str(error))
    # In a thread of its own: a wish may come in a signal handler, in the midst of anything.
    stop.listen(lambda: threading.Thread(target=_give_up, args=(call, stop), daemon=True).start())

    def exceeded(words: str) -> None:
        logger.error("%s", words)
        call.give_up(State(StateType.FAILED, "Failed", f"MemoryExceeded: {words}"))

    try:
        with guard_memory(plan.memory or home.settings.memory, exceeded):
            state: State = call.run().to_state()
    except FlowRunCancelled:
        if call.given_up is None:
            raise
        state = call.given_up
    return state


def _call(home: Home, run: FlowRun, plan: Plan, lease: Lease) -> FlowCall | TaskCall:
    if plan.entrypoint.startswith(":"):
        return TaskCall(home, run, lease)
    flow: FunctionFlow[..., Any] = load(place_of(plan), Path(plan.snapshot))
    if plan.timeout is not None:
        flow = flow.with_options(timeout_seconds=plan.timeout)
    return flow.claimed(run, lease)


def perform_here(home: Home, run: FlowRun, lease: Lease) -> None:
    """Perform a claimed call of a task in this thread, beside whatever else this process does."""
    try:
        TaskCall(home, run, lease).run()
    except StoreError as error:
        logger.error("Run %s is given up: %s", run.run_id, error)
    except OrchError as error:
        _fail(home, run, lease, str(error))


def _give_up(call: FlowCall | TaskCall, stop: Stop) -> None:
    """End the run, because its worker does: whoever repeats it must find nobody at work."""
    call.give_up(State(StateType.CRASHED, "Crashed", f"{INTERRUPTED}: {stop.reason}."))


def _fail(home: Home, run: FlowRun, lease: Lease, why: str) -> State:
    """Record that a run failed before anything of it ran."""
    now: datetime = home.clock.now()
    state = State(StateType.FAILED, message=why[:500])
    journal = home.ledger.open(lease, lambda error: None, home.store.last_seq(run.run_id))
    journal.record(RunCreated(now, run.flow, Graph(), run.parameters))
    journal.record(RunStateChanged(now, State(StateType.RUNNING)))
    journal.record(RunStateChanged(now, state))
    home.ledger.close_journal(journal, release=False)
    logger.error("%s", why)
    return state
