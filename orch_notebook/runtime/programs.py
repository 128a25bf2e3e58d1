"""Performs the task cells of one flow run.

A version is one binding of a name by one task (``df@load``, ``df@clean``).  A body sees exactly the versions that
running the cells top to bottom would show it, whatever else runs meanwhile; what it binds becomes new versions when it
completes, and nothing does when it fails.  What it was about to change in place is put back as it was then.
"""

from __future__ import annotations

import builtins
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType
from typing import Any

from orch_notebook.errors import OrchError
from orch_notebook.model.cells import late_names
from orch_notebook.model.flows import CellFlow, CellTask
from orch_notebook.model.freshness import Plan
from orch_notebook.model.recipes import Version, before
from orch_notebook.runtime.attempts import Attempts
from orch_notebook.runtime.away import Away
from orch_notebook.runtime.calls import describe_failure
from orch_notebook.runtime.capture import Capture, capturing
from orch_notebook.runtime.context import within_cell
from orch_notebook.runtime.copies import NotCopied
from orch_notebook.runtime.generators import GENERATORS, put_generator, take_generator
from orch_notebook.runtime.history import History
from orch_notebook.runtime.hooks import CellHooks, PlainHooks, execute
from orch_notebook.runtime.keeping import Keeping
from orch_notebook.runtime.namespaces import ABSENT, Body, Namespaces
from orch_notebook.runtime.planning import Prepared
from orch_notebook.runtime.results import Results
from orch_notebook.runtime.runners.places import carrier
from orch_notebook.runtime.versions import Kept

__all__ = ["Around", "CellProgram"]

#: ``around(task, body, versions)`` is entered right before a body runs and left right after it; it is told what the
#: body runs over, and all versions that are alive.
Around = Callable[[CellTask, Body, Mapping[Version, Any]], AbstractContextManager[object]]


class CellProgram:
    """The bodies of one flow run.

    Parameters
    ----------
    flow : CellFlow
        As it stood when the run began.
    environment : dict
        The live namespace, where functions find their globals, and to which what tasks bind is published.
    prepared : Prepared
        What the run does, and what every task sees besides the versions it reads.  That is taken once for the whole
        run: a plain cell executed while it goes on must not change what its tasks see.
    kept : Kept
        What earlier runs of this session left; what this one leaves is added as it is made.
    line : callable
        ``line(task, attempt, level, text)`` records one line of output.
    hooks : CellHooks
        What the face adds.
    results : Results or None
        Where ``--cache`` keeps values.
    log_limit : int
        Characters of output kept per attempt.
    attempts : Attempts, optional
        What earlier attempts at the run have left; what this one leaves is added.
    notes : mapping
        For tasks about which something is to be noted when they complete, what.
    """

    def __init__(
        self,
        flow: CellFlow,
        environment: dict[str, Any],
        prepared: Prepared,
        kept: Kept,
        *,
        line: Callable[[str, int, int, str], object],
        run_id: str = "",
        hooks: CellHooks | None = None,
        results: Results | None = None,
        log_limit: int = 1_000_000,
        around: Around | None = None,
        attempts: Attempts | None = None,
        notes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._flow = flow
        self._around: Around = around or (lambda task, body, versions: nullcontext())
        self._wiring = flow.wiring
        self._environment = environment
        self._base = dict(prepared.base)
        self._plan: Plan = prepared.plan
        self._keys = prepared.keys
        self._kept = kept
        self._keeping = Keeping(flow, prepared.keys, kept, environment, results, attempts)
        self._line = line
        self._run_id = run_id
        self._hooks = hooks or PlainHooks()
        self._log_limit = log_limit
        self._notes = notes
        self._lock = threading.RLock()
        self._order = {task.name: order for order, task in enumerate(flow)}
        self._history = History(self._wiring, self._order)
        self._published: dict[str, int] = {}
        self._shared: set[str] = set()
        #: For tasks whose attempt has changed its inputs, why these could not be put back.
        self._spoilt: dict[str, str] = {}
        self._hopeless: set[int] = set()
        self._stands: dict[tuple[str, str], Any] = {}
        self._readers: Counter[Version] = Counter()
        for name in self._plan.runs:
            for version in self._bound(name):
                self._readers[version] += 1
        self._last = frozenset(self._plan.last)
        #: By name the tasks whose version may still be the last, in the order of the notebook.
        self._ends: dict[str, list[str]] = {}
        for name, maker in self._plan.last:
            self._ends.setdefault(name, []).append(maker)
        made = {name for task in flow for name in self._made(task.name)}
        floor = {name: self._base.get(name, ABSENT) for name in made if hasattr(builtins, name)}
        self._namespaces = Namespaces(environment, late_names(self._wiring, self._order), floor)
        self._unsettled = {*self._plan.runs, *self._plan.fresh}
        self._away = Away(flow, self._hooks)
        self._begin()

    def _begin(self) -> None:
        """Let go of what is made anew, and show what is not."""
        kept = self._kept
        copies = {source.copy for sources in self._plan.sources.values() for source in sources.values()}
        if kept.copies is not None:
            kept.copies.held = frozenset(copies)
        kept.begin(self._plan.runs, copies)
        for version in list(kept.versions):
            self._leave(version)
        try:
            for source in self._plan.sources.get("", {}).values():
                self._share(source.copy)
        except NotCopied as error:
            raise OrchError(f"What was kept of an earlier run is lost: {error}. Run the flow again.") from None
        shown = {}
        for name, maker in self._plan.last:
            if maker in self._plan.steady and (name, maker) in kept.versions:
                self._published[name] = self._order[maker]
                value = kept.versions[name, maker]
                if maker in self._plan.fresh and self._environment.get(name, self) is not value:
                    shown[name] = value
        # What no task makes any more is what the plain cell made it, and so is what perhaps none will make.
        effects = [self._wiring.effects[task] for task in self._order]
        taken = {name for name, ends in self._ends.items() if ends[0]}.union(*(each.deletes for each in effects))
        for name in self._base.keys() - taken:
            value = kept.versions.get((name, ""), self._base[name])
            if self._environment.get(name, self) is not value:
                shown[name] = value
        self._namespaces.publish(shown)
        kept.publish(shown)

    def _is_needed(self, version: Version) -> bool:
        return self._readers[version] > 0 or version[1] in self._ends.get(version[0], ())

    def _bound(self, task: str) -> list[Version]:
        """Return the versions a task is given."""
        return [(name, maker or "") for name, maker in self._wiring.bindings[task].items() if ":" not in name]

    def _made(self, task: str) -> list[str]:
        """Return the names of which a task makes a version."""
        effects = self._wiring.effects[task]
        return [name for name in sorted(effects.writes | effects.mutates) if ":" not in name]

    def perform(self, task: str, attempt: int) -> dict[str, Any] | None:
        """Run one attempt of a task; what it binds is published when it completes."""
        cell = self._flow[task]
        if attempt > 1 and task in self._spoilt:
            raise OrchError(
                f"Not tried again: {task!r} had begun to change what it starts from, and that could not be put back "
                f"({self._spoilt[task]}).",
                retriable=False,
            )
        capture = Capture(lambda level, text: self._line(task, attempt, level, text), self._log_limit)
        with capturing(capture), within_cell(self._run_id, task):
            self._kept.clear_away()
            # Nothing is put out then, so what an earlier performance left under the cell stays.
            if task in self._plan.loads and (loaded := self._load(cell)) is not None:
                return loaded
            is_kept = self._keeping.wants(cell)
            capture.history = [] if is_kept else None
            self._hooks.begin(cell, capture)
            try:
                made, note, seconds = self._run(cell, capture, attempt)
            except BaseException as error:
                capture.finish()
                self._hooks.end(cell, capture, error)
                if task in self._spoilt:
                    self._hopeless.add(id(error))
                raise
            capture.finish()
            self._hooks.end(cell, capture, None)
            details: dict[str, Any] = {}
            if is_kept:
                capture.take()  # what nobody has shown
                details = self._keeping.keep(cell, made, capture.history or [], self._made_by(task), seconds)
            if note := " ".join(filter(None, (self._notes.get(task), note, details.get("note")))):
                details["note"] = note
            return details or None

    def _made_by(self, task: str) -> str:
        return f"{self._run_id}/{task}"

    def _load(self, cell: CellTask) -> dict[str, Any] | None:
        """Put a kept outcome in place of a performance, and return what is recorded of that; None if there is none."""
        found = self._keeping.load(cell)
        if found is None:
            return None
        self._hooks.again(cell, found.outputs)
        self._show_again(self._keeping.put_back(cell, found))
        self._publish(cell.name, found.made, found.made_by, 0.0)
        return {"cached_from": found.made_by, "note": found.reason}

    def _run(self, cell: CellTask, capture: Capture, attempt: int) -> tuple[dict[str, Any], str, float]:
        """Run the body; return the versions it made, where it ran if that needs a word, and how long it took."""
        effects = self._wiring.effects[cell.name]
        alone, given = bool(effects.opaque), self._given(cell.name)
        self._put_generators(cell.name, attempt)
        with (
            self._changing(cell),
            self._namespaces.body(cell.name, given, in_place=effects.in_place, alone=alone) as body,
        ):
            began = time.monotonic()
            with self._around(cell, body, self._kept.versions):
                note = self._execute(cell, body, capture)
            made = body.all_bound() if effects.rebinds else body.bound(self._made(cell.name))
            seconds = time.monotonic() - began
            self._publish(cell.name, made, self._made_by(cell.name), seconds)
        given.clear()
        self._let_die(cell.name)
        return made, note, seconds

    def _let_die(self, task: str) -> None:
        """Let go at once of what a task has deleted, where the notebook says what is to happen then."""
        gone = self._wiring.effects[task].deletes
        with self._lock:
            for version in self._bound(task) if gone else ():
                value = self._kept.versions.get(version) if version[0] in gone and self._readers[version] == 1 else None
                if getattr(type(value), "__module__", "") == "__main__" and hasattr(value, "__del__"):
                    self._kept.leave(version, is_wanted=False)

    def _given(self, task: str) -> dict[str, Any]:
        """Return what a task takes in, by name: versions, and what the environment held when the run began."""
        given = {
            name: self._base[name]
            for name, maker in self._wiring.bindings[task].items()
            if maker is None and name in self._base
        }
        sources = self._plan.sources.get(task, {})
        borrowed: dict[str, dict[Version, Any]] = {}
        try:
            for version in self._bound(task):
                source = sources.get(version)
                if source is not None and not source.is_shared:
                    if source.copy not in borrowed:
                        borrowed[source.copy] = self._kept.borrow(source.copy)
                    given[version[0]] = borrowed[source.copy][version]
                    continue
                if source is not None:
                    self._share(source.copy)
                try:
                    given[version[0]] = self._kept.get(version)
                except KeyError:
                    pass  # perhaps it is bound, perhaps not: the body will say
        except NotCopied as error:
            raise OrchError(f"What {task!r} starts from was kept and is lost: {error}. Run the flow again.") from None
        return given

    def _share(self, copy: str) -> None:
        """Let the rest of the run go on from a copy."""
        with self._lock:
            if copy not in self._shared:
                self._shared.add(copy)
                task = copy.removeprefix("before ")
                self._show_again(self._kept.restore(copy, task, self._plan.restores.get(copy, ())))

    def _show_again(self, replaced: Mapping[Version, tuple[Any, Any]]) -> None:
        """Publish under its name what has taken a shown value's place."""
        with self._lock:
            for (name, _), (old, new) in replaced.items():
                is_published = self._kept.published(name, old)
                if old is not None and (is_published or self._environment.get(name, self) is old):
                    self._namespaces.publish({name: new})
                    if is_published:
                        self._kept.publish({name: new})

    @contextmanager
    def _changing(self, cell: CellTask) -> Iterator[None]:
        """Keep what a body is about to change in place, and put it back if the body fails."""
        task, effects = cell.name, self._wiring.effects[cell.name]
        touched = self._touched(task)
        if not touched:
            yield
            return
        copy, why = before(task), ""
        if effects.opaque:
            why = "its source does not tell what it changes"
        elif copy not in self._shared or not self._plan.restores.get(copy, frozenset()).issuperset(touched):
            why = self._kept.save(copy, touched, whatever=cell.header.retry.retries > 0)
            self._shared.add(copy)
        self._kept.spend(touched, task)
        try:
            yield
        except BaseException:
            if why:
                self._spoilt[task] = why
            else:
                try:
                    self._show_again(self._kept.restore(copy, task))
                except NotCopied as error:
                    self._spoilt[task] = str(error)
            raise

    def _touched(self, task: str) -> list[Version]:
        """Return the versions in memory that a task may change in place."""
        sharing = self._wiring.sharing
        if self._wiring.effects[task].opaque:
            return [version for version in self._bound(task) if version in self._kept.versions]
        bonds = sharing.changers.get(task, frozenset())
        place = self._order[task]
        return [
            version
            for version in list(self._kept.versions)
            if sharing.bonds.get(version) in bonds and self._order.get(version[1], -1) < place
        ]

    def _execute(self, cell: CellTask, body: Body, capture: Capture) -> str:
        """Run the body, here or where the runner's bodies belong; return what is to be noted of that."""
        place, is_done, note = carrier.get(), False, ""
        if place is not None:
            is_done, note = self._away.perform(place, cell, body, capture)
        if not is_done:
            with self._history.told(cell.name, body.locals):
                self._history.note(cell.name, execute(cell, body, self._hooks, capture))
        return note

    def _publish(self, task: str, made: Mapping[str, Any], made_by: str, seconds: float) -> None:
        order = self._order[task]
        kept, effects = self._kept, self._wiring.effects[task]
        with self._lock:
            for name, value in made.items():
                version = name, task
                if effects.rebinds or self._is_needed(version) or version in self._last:
                    kept.put(version, value, made_by)
                self._end(name, task)
                if not effects.rebinds:
                    self._leave(version)
            for state in effects.state_changes & GENERATORS.keys():
                kept.generators[state, task] = take_generator(state)
            kept.wrote(self._flow, task)
            # A task higher up that ends later must not cover what a lower one has published.
            shown = [name for name in made if order >= self._published.get(name, -1)]
            deletes = (
                {*effects.deletes, *(name for name, _ in self._bound(task))} if effects.rebinds else effects.deletes
            )
            gone = [name for name in deletes if name not in made and order >= self._published.get(name, -1)]
            self._published.update(dict.fromkeys([*shown, *gone], order))
            self._namespaces.publish({name: made[name] for name in shown}, gone)
            kept.publish({name: made[name] for name in shown}, gone)
            kept.complete(task, self._keys.recipe(task), made_by, self._keys.needs[task], made, seconds)

    def _end(self, name: str, task: str) -> None:
        """Let go of what would have been the last version of a name if this task had not made one."""
        ends = self._ends.get(name, [])
        if task in ends:
            self._ends[name] = ends[ends.index(task) :]
            for maker in ends[: ends.index(task)]:
                self._leave((name, maker))

    def _leave(self, version: Version) -> None:
        if version[1] and not self._is_needed(version):
            self._kept.leave(version, is_wanted=version not in self._wiring.sharing.bonds)

    def restore(self) -> list[str]:
        """Put what is kept in place of performances, without a run; return the tasks whose outcome is there then."""
        there = [task for task in self._order if task in self._plan.loads and self._load(self._flow[task]) is not None]
        for task in there:
            self.settled(task)
        self.clear_away()
        return there

    def clear_away(self) -> None:
        """Copy what the run has let go of and a later one may want."""
        self._namespaces.close()
        self._kept.clear_away()

    def describe(self, error: BaseException) -> dict[str, Any]:
        """Return what is recorded of a failure, with cells called as people call them."""
        found = describe_failure(error, self._hooks.label)
        if id(error) in self._hopeless:
            self._hopeless.discard(id(error))
            found["retriable"] = False  # it would begin with what this attempt has half changed
        return found

    def settled(self, task: str) -> None:
        """Free the versions that only this task still had to read; call it when no attempt will follow."""
        self._namespaces.leave(task)
        self._unsettled.discard(task)
        if not self._unsettled:
            self._namespaces.close()
        if task not in self._plan.runs:
            return
        with self._lock:
            for version in self._bound(task):
                self._readers[version] -= 1
                self._leave(version)

    # Hidden generators

    def _put_generators(self, task: str, attempt: int) -> None:
        """Let random generators go on from where the tasks above left them."""
        effects = self._wiring.effects[task]
        for state in (effects.state_changes | effects.state_reads) & GENERATORS.keys():
            above = [
                other
                for other, order in self._order.items()
                if order < self._order[task] and state in self._wiring.effects[other].state_changes
            ]
            if above and (state, above[-1]) in self._kept.generators:
                put_generator(state, self._kept.generators[state, above[-1]])
            elif attempt == 1:
                self._stands[state, task] = take_generator(state)
            else:
                put_generator(state, self._stands.get((state, task)))
