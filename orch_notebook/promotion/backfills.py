"""Backfills: one deployment run over a grid of parameters, a few at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from orch_notebook.errors import NotFound, UsageError
from orch_notebook.model.backfills import latest_attempts
from orch_notebook.model.grids import choose_points, points_of, read_grid
from orch_notebook.model.parameters import Parameter, check_parameters
from orch_notebook.model.policies import Overlap
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType
from orch_notebook.promotion.deployments import find
from orch_notebook.promotion.due import run_of
from orch_notebook.promotion.following import values_of
from orch_notebook.promotion.terms import Given, read_given
from orch_notebook.promotion.upkeep import cancel
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.store import Store

__all__ = ["Backfill", "begin_backfill", "cancel_backfill", "find_backfill", "plan_backfill", "results_of", "runs_of"]

#: The runs of a deployment that are looked at to see what was run before.
EARLIER = 1_000_000


@dataclass(frozen=True, slots=True)
class Backfill:
    """A backfill before it begins.

    Parameters
    ----------
    deployment : str
        What runs.
    points : tuple of mapping
        The parameters of each run to make, in the order in which they begin.
    left : tuple of (mapping, FlowRun)
        The points that were run before, each with that run.
    """

    deployment: str
    points: tuple[Mapping[str, Any], ...]
    left: tuple[tuple[Mapping[str, Any], FlowRun], ...]


def plan_backfill(
    store: Store,
    name: str,
    axes: Sequence[str],
    parameters: Given,
    *,
    reprocess: str = "none",
    is_reversed: bool = False,
) -> Backfill:
    """Return what a backfill would run.

    Parameters
    ----------
    axes : sequence of str
        ``name=values`` words; see :func:`~orch_notebook.model.grids.read_axis`.
    parameters : mapping or sequence of str
        What all its runs are given besides.
    reprocess : str
        Which points run again that were run before: ``none``, ``failed`` or ``all``.
    is_reversed : bool
        Whether the last point runs first.

    Raises
    ------
    NotFound
        There is no such deployment.
    ParameterError
        An axis or a value is not right; every point is checked before anything runs.
    """
    deployment = find(store, name)
    schema = tuple(Parameter.from_json(parameter) for parameter in deployment.schema)
    grid = read_grid(axes)
    if not grid:
        raise UsageError("A backfill needs an axis: --param day=2026-01-01..2026-01-31.")
    standing = {**deployment.parameters, **_given(schema, parameters, grid)}
    points = [check_parameters(schema, {**standing, **point}) for point in points_of(grid)]
    chosen, left = choose_points(points, store.runs(deployment=name, limit=EARLIER), reprocess)
    return Backfill(name, tuple(reversed(chosen) if is_reversed else chosen), tuple(left))


def _given(schema: Sequence[Parameter], parameters: Given, grid: Mapping[str, Any]) -> dict[str, Any]:
    # What the grid gives need not be given besides, even where it is required.
    others = [parameter for parameter in schema if parameter.name not in grid]
    twice = [word for word in parameters if word.partition("=")[0].strip() in grid]
    if twice:
        raise UsageError(f"{twice[0].partition('=')[0].strip()!r} is an axis of the grid already.")
    return read_given([replace(parameter, required=False) for parameter in others], parameters)


def begin_backfill(store: Store, now: datetime, backfill: Backfill, *, at_once: int = 4) -> str:
    """Make the runs of a backfill and return its id; workers execute up to `at_once` of them at a time.

    Raises
    ------
    UsageError
        There is nothing to run, or `at_once` is not positive.
    """
    if at_once < 1:
        raise UsageError("At least one run at a time must be allowed: --max-active 1.")
    if not backfill.points:
        raise UsageError("Nothing to run: every point was run before. --reprocess all runs them again.")
    deployment = find(store, backfill.deployment)
    backfill_id = new_run_id(now)
    # Its runs wait for each other, whatever the deployment's own runs do.
    plan = replace(deployment.plan, concurrency=at_once, overlap=Overlap.QUEUE)
    runs = [run_of(deployment, point, now, due_at=now) for point in backfill.points]
    # In the order of the points: all are due at once, and then the ids decide.
    ids = sorted(run.run_id for run in runs)
    made = [replace(run, run_id=run_id, backfill=backfill_id) for run, run_id in zip(runs, ids, strict=True)]
    store.create_runs([(run, plan) for run in made])
    return backfill_id


def cancel_backfill(store: Store, owner: str, now: datetime, backfill_id: str) -> int:
    """Cancel what is left of a backfill, the waiting first; return how many runs that were.

    Raises
    ------
    NotFound
        There is no such backfill.
    """
    left = [run for run in runs_of(store, backfill_id) if not run.state.is_final]
    for run in sorted(left, key=lambda run: run.state.type is not StateType.SCHEDULED):
        with suppress(UsageError):  # it has ended meanwhile
            cancel(store, run, owner, now)
    return len(left)


def find_backfill(store: Store, part: str) -> str:
    """Return the id of a backfill, which is given whole or by so much of its beginning or end as is unique.

    Raises
    ------
    NotFound
        There is no such backfill, or several are called like this.
    """
    ids = store.backfills_like(part) if part and not set(part.lower()) - set("0123456789abcdef-") else []
    if len(ids) != 1:
        what = f"Several backfills begin or end with {part!r}; give more of the id." if ids else ""
        raise NotFound(what or f"There is no backfill {part!r}. 'orch backfills' lists them.", backfill=part)
    return ids[0]


def results_of(store: Store, backfill_id: str) -> list[FlowRun]:
    """Return the last attempt of each point of a backfill, in its order, with what it recorded.

    Raises
    ------
    NotFound
        There is no such backfill.
    """
    recorded = store.recorded(backfill=backfill_id)
    found = latest_attempts(runs_of(store, backfill_id))
    # What an attempt took over from the one before stands as that one recorded it.
    return [
        replace(run, values=values_of(store, run) if run.retry_of else recorded.get(run.run_id, {})) for run in found
    ]


def runs_of(store: Store, backfill_id: str) -> list[FlowRun]:
    """Return the runs of a backfill, every attempt, in its order.

    Raises
    ------
    NotFound
        There is no such backfill.
    """
    found = store.runs(backfill=backfill_id, limit=EARLIER)
    if not found:
        raise NotFound(f"There is no backfill {backfill_id!r}.", backfill=backfill_id)
    return sorted(found, key=lambda run: run.run_id)
