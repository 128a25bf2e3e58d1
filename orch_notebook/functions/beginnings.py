"""How flow runs of functions begin: the row of a new run, what the store shows of its parameters, what came before it.

In: a flow's name and what it is called with; a run that repeats earlier ones.  Out: the run as it begins, and the
keeper that offers it what those have completed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from orch_notebook.functions.arguments import PLAIN
from orch_notebook.functions.given import INEXACT, inexact, is_plain
from orch_notebook.functions.keeping import Keeper
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.context import FlowScope, added_tags, flow_scope, task_scope
from orch_notebook.runtime.home import Home
from orch_notebook.runtime.redaction import redactor

if TYPE_CHECKING:
    from orch_notebook.functions.flow_runs import FlowCall

__all__ = ["Beginning", "beginning_of", "given_to", "keeper_of", "new_run", "shown"]

logger = logging.getLogger("orch_notebook")

#: Characters of a run's name that are kept.
LONGEST_NAME = 300


class Beginning(NamedTuple):
    """A run as it begins, who its code will say it is, what it is given, and what of that the store cannot show."""

    run: FlowRun
    scope: FlowScope
    given: Mapping[str, Any]
    lossy: Sequence[str]


def beginning_of(home: Home, call: FlowCall, outer: FlowScope | None) -> Beginning:
    """Return how the run of a flow's call begins, within the run whose code calls it, if any does."""
    flow, arguments = call.flow, call.bound.arguments
    tags = (*flow.options.tags, *added_tags.get())
    parameters = {name: shown(value) for name, value in arguments.items()}
    if call.claimed is None:
        parent = outer.run_id if outer else None
        run = new_run(home, flow.name, parameters=parameters, parent_run_id=parent, earlier=call.earlier)
    else:
        run, tags = replace(call.claimed[0], parameters=parameters), (*tags, *call.claimed[0].tags)
    about, given = flow.about, given_to(call)
    if lossy := inexact(given, parameters):
        about = {**about, INEXACT: ",".join(lossy)}
    run = replace(run, about=about, tags=tuple(dict.fromkeys(tags)))
    scope = FlowScope(
        run.run_id,
        f"{flow.name}-{short_id(run.run_id)}",
        flow.name,
        dict(arguments),
        run.tags,
        1,
        run.parent_run_id,
        run.deployment,
        run.due_at,
        is_async=flow.is_async,
    )
    if flow.options.flow_run_name is not None and (name := _name(call, scope)):
        scope.name = name
        run = replace(run, name=name)
    return Beginning(run, scope, given, lossy)


def given_to(call: FlowCall) -> dict[str, Any]:
    """Return what a run is given, as it would be given again: without what its flow is a method of."""
    arguments = list(call.bound.arguments.items())[call.flow.bound_first :]
    raw = {name: value for name, value in call.raw.items() if is_plain(value)}
    return {name: raw.get(name, value) for name, value in arguments}


def _name(call: FlowCall, scope: FlowScope) -> str:
    """Return the run's name as its flow makes it; empty if it cannot be made."""
    wanted = call.flow.options.flow_run_name
    # A function may ask the runtime about the run it names.
    tokens = flow_scope.set(scope), task_scope.set(None)
    try:
        return str(wanted() if callable(wanted) else str(wanted).format(**call.bound.arguments))[:LONGEST_NAME]
    except Exception:
        logger.exception("The name of a run of flow %r could not be made.", call.flow.name)
        return ""
    finally:
        flow_scope.reset(tokens[0])
        task_scope.reset(tokens[1])


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
