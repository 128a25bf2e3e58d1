"""How flow runs of functions begin: the row of a new run, what the store shows of its parameters, what came before it.

In: a flow's name and what it is called with; a run that repeats earlier ones.  Out: the run as it begins, and the
keeper that offers it what those have completed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from orch_notebook.functions.arguments import PLAIN
from orch_notebook.functions.keeping import Keeper
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.home import Home
from orch_notebook.runtime.redaction import redactor

__all__ = ["keeper_of", "new_run", "shown"]


def new_run(
    home: Home,
    flow: str,
    *,
    tags: tuple[str, ...] = (),
    parameters: Mapping[str, Any] = MappingProxyType({}),
    parent_run_id: str | None = None,
    earlier: FlowRun | None = None,
    due: bool = False,
) -> FlowRun:
    """Return a run that begins now, in this process; or, when it is `due`, in a worker's."""
    now = home.clock.now()
    return FlowRun(
        run_id=new_run_id(now),
        flow=flow,
        tags=tags,
        state=State(StateType.SCHEDULED if due else StateType.PENDING),
        created_at=now,
        due_at=now if due else None,
        attempt=earlier.attempt + 1 if earlier else 1,
        parent_run_id=parent_run_id or home.settings.parent_run_id,
        retry_of=earlier.run_id if earlier else None,
        parameters=dict(parameters),
    )


def shown(value: Any) -> Any:
    """Return a parameter as the store keeps it for people: what JSON knows as it is, the rest as its repr."""
    return redactor.redact_all(_shown(value))


def _shown(value: Any) -> Any:
    if type(value) in PLAIN and not isinstance(value, bytes | complex):
        return value
    if isinstance(value, list | dict | tuple):
        try:
            if len(text := json.dumps(value)) <= 10_000:
                return json.loads(text)
        except (TypeError, ValueError, RecursionError):
            pass
    try:
        return repr(value)[:200]
    except Exception:  # noqa: BLE001 - the value's own code
        return f"<{type(value).__name__}>"


def keeper_of(home: Home, run: FlowRun) -> Keeper:
    """Return the keeper of a run's results, which offers it what the runs that it repeats have completed."""
    line: list[FlowRun] = []
    repeated = run.retry_of
    while repeated and (earlier := home.store.run(repeated)) is not None:
        line.append(earlier)
        repeated = earlier.retry_of
    keeper = Keeper(home, run, line[-1].run_id if line else run.run_id)
    again = _again(home, run, line[0]) if line else frozenset()
    for each in line:
        keeper.inherit(each, again)
    return keeper


def _again(home: Home, run: FlowRun, earlier: FlowRun) -> frozenset[str]:
    """Return the task runs of an earlier attempt that somebody wants to run again, and those that come from them."""
    plan, graph = home.store.plan(run.run_id), earlier.graph
    wanted = [name for name in (plan.again if plan is not None else ()) if name in graph.by_name]
    return frozenset(name for task in wanted for name in graph.reach(task, graph.successors))
