"""What the next run of a flow of cells would do: the facts are gathered here, the model decides.

In: the flow, the environment, what earlier runs left, the result store.  Out: a plan, and the keys it rests on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.model.flows import CellFlow
from orch_notebook.model.freshness import Plan, decide
from orch_notebook.model.graph import Graph
from orch_notebook.model.needs import depending, outline
from orch_notebook.runtime.attempts import Attempts
from orch_notebook.runtime.files import file_fingerprint
from orch_notebook.runtime.keys import Keys, own_files
from orch_notebook.runtime.results import Results
from orch_notebook.runtime.versions import Kept

__all__ = ["Prepared", "check", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run before it begins: what it does, on what that rests, and what it shows."""

    plan: Plan
    keys: Keys
    graph: Graph
    base: Mapping[str, Any]


def prepare(
    flow: CellFlow,
    base: Mapping[str, Any],
    kept: Kept,
    results: Results | None,
    *,
    select: Collection[str] = (),
    only_stale: bool = False,
    everything: bool = False,
    attempts: Attempts | None = None,
) -> Prepared:
    """Decide what a run of a flow does.

    Parameters
    ----------
    flow : CellFlow
        The tasks.
    base : Mapping
        What plain cells define.
    kept : Kept
        What earlier runs left.
    results : Results or None
        Where ``--cache`` keeps values.
    select : collection of str
        As :meth:`Graph.select` takes it; what it names runs, fresh or not.  None means what is stale.
    only_stale : bool
        Of what `select` names, run what is stale.
    everything : bool
        Run it all.
    attempts : Attempts, optional
        What earlier attempts at the run have left.

    Raises
    ------
    UnknownTask
        A selector matches none.
    """
    base = kept.see(dict(base), flow.wiring)
    kept.fingerprints.prune(base.values())
    keys = Keys(flow, base, kept.fingerprints)
    again = depending(keys.needs, attempts.again) if attempts is not None else frozenset()
    plan = decide(
        outline(flow),
        recipes=keys.recipes(),
        records=kept.records,
        stock=kept.stock(),
        flaws=kept.flaws(flow),
        stored=_stored(flow, keys, results) - again if results is not None else (),
        done=_done(flow, keys, attempts, kept) - again if attempts is not None else (),
        select=flow.graph.select(select).by_name if select else None,
        only_stale=only_stale,
        everything=everything,
    )
    return Prepared(plan, keys, flow.graph.restrict({*plan.runs, *plan.fresh}), base)


def check(plan: Plan) -> None:
    """Raise what keeps a plan from being carried out.

    Raises
    ------
    UsageError
        A task cannot have what it needs.
    """
    for sentence in plan.lacks.values():
        raise UsageError(sentence)


def _done(flow: CellFlow, keys: Keys, attempts: Attempts, kept: Kept) -> set[str]:
    """Return the tasks that an earlier attempt has completed and this one has not performed itself."""
    found = {task.name: key for task in flow if (key := keys.key(task.name)[0]) is not None and attempts.has(key)}
    records = kept.records
    found = {
        task: key
        for task, key in found.items()
        if task not in records or records[task].made_by == attempts.left[key].made_by
    }
    coming = [task.name for task in flow if task.name not in records]
    files = {task: attempts.left[key].details.get("files", {}) for task, key in found.items()}
    # The last one who wrote a file left it as it is now, unless a task has that is to run yet and writes it too.
    last = {path: mark for marks in files.values() for path, mark in marks.items()}
    to_come = {path for task in coming if task not in found for path in own_files(flow, task)}
    changed = {path for path, mark in last.items() if path not in to_come and file_fingerprint(path) != mark}
    return {task for task, marks in files.items() if changed.isdisjoint(marks)}


def _stored(flow: CellFlow, keys: Keys, results: Results) -> set[str]:
    found = set()
    for task in flow:
        limit = task.header.cache
        if not limit:
            continue
        key, _ = keys.key(task.name)
        made_at = results.kept_at(key) if key is not None else None
        if made_at is not None and (limit is True or keys.age(made_at) <= limit):
            found.add(task.name)
    return found
