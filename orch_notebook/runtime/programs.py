"""Performs the task cells of one flow run.

A version is one binding of a name by one task (``df@load``, ``df@clean``).  A body sees exactly the versions that
running the cells top to bottom would show it, whatever else runs meanwhile; what it binds becomes new versions when it
completes, and nothing does when it fails.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from orch_notebook.model.cells import Wiring, late_names
from orch_notebook.model.flows import CellFlow, CellTask
from orch_notebook.runtime.away import Away
from orch_notebook.runtime.calls import describe_failure
from orch_notebook.runtime.capture import Capture, capturing
from orch_notebook.runtime.hooks import CellHooks, PlainHooks, execute
from orch_notebook.runtime.keys import Keys
from orch_notebook.runtime.namespaces import Body, Namespaces
from orch_notebook.runtime.results import Results
from orch_notebook.runtime.runners.places import carrier

__all__ = ["CellProgram", "Version"]

Version = tuple[str, str]


class CellProgram:
    """The bodies of one flow run.

    Parameters
    ----------
    flow : CellFlow
        As it stood when the run began.
    environment : dict
        The live namespace, where functions find their globals, and to which what tasks bind is published.
    base : dict
        What every task sees besides the versions it reads.  Taken once for the whole run: a plain cell executed while
        it goes on must not change what its tasks see.
    selected : collection of str
        The tasks that run; the others' versions come from `kept`.
    kept : Mapping
        Versions that earlier runs of this session left.
    line : callable
        ``line(task, attempt, level, text)`` records one line of output.
    hooks : CellHooks
        What the face adds.
    results : Results or None
        Where ``--cache`` keeps values.
    log_limit : int
        Characters of output kept per attempt.
    """

    def __init__(
        self,
        flow: CellFlow,
        environment: dict[str, Any],
        base: dict[str, Any],
        *,
        selected: frozenset[str],
        kept: Mapping[Version, Any],
        line: Callable[[str, int, int, str], object],
        run_id: str = "",
        hooks: CellHooks | None = None,
        results: Results | None = None,
        log_limit: int = 1_000_000,
    ) -> None:
        self._flow = flow
        self._wiring: Wiring = flow.wiring
        self._base = base
        self._line = line
        self._run_id = run_id
        self._hooks = hooks or PlainHooks()
        self._log_limit = log_limit
        self._lock = threading.Lock()
        self._order = {task.name: order for order, task in enumerate(flow)}
        self._published: dict[str, int] = {}
        self._readers: Counter[Version] = Counter()
        for name in selected:
            for version in self._bound(name).values():
                self._readers[version] += 1
        last: dict[str, str] = {}
        for task in flow:
            for written in self._made(task.name):
                last[written] = task.name
        self._last = frozenset(last.items())
        #: The versions that are alive: those some task can still read, and the last of each name.
        self.versions: dict[Version, Any] = dict(kept)
        self._namespaces = Namespaces(environment, late_names(self._wiring, self._order))
        self._away = Away(flow, self._hooks)
        self._keys = Keys(flow, self._base)
        self._results = results

    def _bound(self, task: str) -> dict[str, Version]:
        """Return the versions a task is given, by name."""
        return {
            name: (name, maker)
            for name, maker in self._wiring.bindings[task].items()
            if maker is not None and ":" not in name
        }

    def _made(self, task: str) -> list[str]:
        """Return the names of which a task makes a version."""
        effects = self._wiring.effects[task]
        return [name for name in sorted(effects.writes | effects.mutates) if ":" not in name]

    def perform(self, task: str, attempt: int) -> dict[str, Any] | None:
        """Run one attempt of a task; what it binds is published when it completes."""
        cell = self._flow[task]
        capture = Capture(lambda level, text: self._line(task, attempt, level, text), self._log_limit)
        with capturing(capture):
            self._hooks.begin(cell, capture)
            try:
                details = self._run(cell, capture)
            except BaseException as error:
                capture.finish()
                self._hooks.end(cell, capture, error)
                raise
            capture.finish()
            self._hooks.end(cell, capture, None)
            return details

    def _run(self, cell: CellTask, capture: Capture) -> dict[str, Any] | None:
        key, note = self._key(cell)
        if key is not None and (found := self._reuse(cell, key)) is not None:
            return found
        effects = self._wiring.effects[cell.name]
        alone, given = bool(effects.opaque), self._given(cell.name)
        with self._namespaces.body(cell.name, given, in_place=effects.in_place, alone=alone) as body:
            place = self._execute(cell, body, capture)
            made = body.all_bound() if effects.rebinds else body.bound(self._made(cell.name))
            if key is not None:
                note = self._keep(cell, key, made)
            self._publish(cell.name, made)
        notes = " ".join(filter(None, (place, note)))
        return {"note": notes} if notes else None

    def _given(self, task: str) -> dict[str, Any]:
        """Return what a task takes in, by name: versions, and what the environment held when the run began."""
        given = {
            name: self._base[name]
            for name, maker in self._wiring.bindings[task].items()
            if maker is None and name in self._base
        }
        with self._lock:
            for name, version in self._bound(task).items():
                if version in self.versions:
                    given[name] = self.versions[version]
        return given

    def _execute(self, cell: CellTask, body: Body, capture: Capture) -> str:
        """Run the body, here or where the runner's bodies belong; return why it was here if it belongs elsewhere."""
        place, note = carrier.get(), ""
        if place is not None:
            why = self._away.perform(place, cell, body, capture)
            if not why:
                return ""
            note = f"Run in a thread: {why}."
        execute(cell, body, self._hooks, capture)
        return note

    def _publish(self, task: str, made: Mapping[str, Any]) -> None:
        order = self._order[task]
        with self._lock:
            rebinds = self._wiring.effects[task].rebinds
            alive = [name for name in made if rebinds or self._readers[(name, task)] or (name, task) in self._last]
            self.versions.update({(name, task): made[name] for name in alive})
            # A task higher up that ends later must not cover what a lower one has published.
            shown = [name for name in made if order >= self._published.get(name, -1)]
            self._published.update(dict.fromkeys(shown, order))
            gone = [
                name
                for name in self._wiring.effects[task].deletes
                if name not in made and order >= self._published.get(name, -1)
            ]
            self._published.update(dict.fromkeys(gone, order))
            self._namespaces.publish({name: made[name] for name in shown}, gone)

    def describe(self, error: BaseException) -> dict[str, Any]:
        """Return what is recorded of a failure, with cells called as people call them."""
        return describe_failure(error, self._hooks.label)

    def settled(self, task: str) -> None:
        """Free the versions that only this task still had to read; call it when no attempt will follow."""
        self._namespaces.leave(task)
        with self._lock:
            for version in self._bound(task).values():
                self._readers[version] -= 1
                if self._readers[version] <= 0 and version not in self._last:
                    self.versions.pop(version, None)

    # What --cache keeps

    def _key(self, cell: CellTask) -> tuple[str | None, str]:
        if not cell.header.cache or self._results is None:
            return None, ""
        return self._keys.key(cell.name)

    def _reuse(self, cell: CellTask, key: str) -> dict[str, Any] | None:
        assert self._results is not None
        found = self._results.load(key)
        limit = cell.header.cache
        if found is None or (limit is not True and limit is not None and self._keys.age(found.made_at) > limit):
            return None
        self._publish(cell.name, found.values)
        return {"cached_from": found.made_by, "note": "Same source and same inputs as when it was kept."}

    def _keep(self, cell: CellTask, key: str, made: Mapping[str, Any]) -> str:
        assert self._results is not None
        try:
            self._results.keep(key, made, f"{self._run_id}/{cell.name}")
        except Exception as error:  # noqa: BLE001 - what cannot be kept is no failure: the task always runs
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            return f"Not kept, so it always runs: {reason[:200]}"
        return ""
