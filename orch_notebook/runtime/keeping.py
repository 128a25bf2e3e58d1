"""What a task's outcome consists of, kept for later and put back in place of a performance.

In: a task that has completed, with the versions it made.  Out: values under its key, in the result store where
``--cache`` asks for that, and with the attempts at the run, so that the next one need not make them again.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orch_notebook.model.flows import CellFlow, CellTask
from orch_notebook.model.lines import first_line
from orch_notebook.model.recipes import Version
from orch_notebook.runtime.ambient import CARRIED, OUTSIDE, put_states, take_states
from orch_notebook.runtime.attempts import Attempts, reason
from orch_notebook.runtime.copies import check_faithful
from orch_notebook.runtime.files import file_fingerprint
from orch_notebook.runtime.generators import GENERATORS
from orch_notebook.runtime.keys import Keys, own_files
from orch_notebook.runtime.results import Results
from orch_notebook.runtime.versions import Kept

__all__ = ["Keeping", "Outcome"]

#: Under this name a result holds what the task put out; no name of Python's has a colon.
OUTPUTS = "outputs:"

NOT_KEPT = "Not kept, so it always runs: "

SAME = "Same source and same inputs as when it was kept."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task has left when it completed.

    Parameters
    ----------
    made : mapping
        The versions it made, by name.
    changed : mapping
        The versions of other tasks that share memory with these, or that it has changed in place.
    states : mapping
        Hidden state as it left it.
    outputs : list of dict
        What it put out.
    made_by : str
        The task run.
    reason : str
        Why it may take the place of a performance.
    """

    made: Mapping[str, Any]
    changed: Mapping[Version, Any]
    states: Mapping[str, Any]
    outputs: list[dict[str, Any]]
    made_by: str
    reason: str


class Keeping:
    """Keeps and loads the outcomes of one flow run's tasks.

    Parameters
    ----------
    flow : CellFlow
        The tasks.
    keys : Keys
        What they depend on.
    kept : Kept
        The versions in memory.
    namespace : dict
        What functions of the notebook are built over.
    results : Results or None
        Where ``--cache`` keeps values.
    attempts : Attempts or None
        Where a run keeps them for its next attempt.
    """

    def __init__(
        self,
        flow: CellFlow,
        keys: Keys,
        kept: Kept,
        namespace: dict[str, Any],
        results: Results | None,
        attempts: Attempts | None,
    ) -> None:
        self._flow = flow
        self._keys = keys
        self._kept = kept
        self._namespace = namespace
        self._results = results
        self._attempts = attempts
        self._order = {task.name: place for place, task in enumerate(flow)}

    def wants(self, cell: CellTask) -> bool:
        """Whether the outcome of a task is to be kept."""
        return self._attempts is not None or bool(cell.header.cache and self._results is not None)

    def load(self, cell: CellTask) -> Outcome | None:
        """Return the outcome that takes the place of a performance; None if it cannot be read."""
        key, _ = self._keys.key(cell.name)
        if key is None:
            return None
        if self._attempts is not None and (values := self._attempts.load(key, self._namespace)) is not None:
            left = self._attempts.left[key]
            return _outcome(values, left.made_by, reason(left))
        found = self._results.load(key) if self._results is not None else None
        return None if found is None else _outcome(found.values, found.made_by, SAME)

    def keep(
        self, cell: CellTask, made: Mapping[str, Any], outputs: list[dict[str, Any]], made_by: str, seconds: float
    ) -> dict[str, Any]:
        """Keep an outcome; return what is to be recorded of that."""
        key, why = self._keys.key(cell.name)
        if key is None:
            return {"note": why} if cell.header.cache else {"lost": why}
        # A file that was closed is of no use to anybody, and would keep all else from being kept.
        made = {name: value for name, value in made.items() if not (isinstance(value, io.IOBase) and value.closed)}
        changed = {version: self._kept.versions[version] for version in self._shared(cell.name, made)}
        effects = self._flow.wiring.effects[cell.name]
        files = {path: file_fingerprint(path) for path in own_files(self._flow, cell.name)}
        values: dict[str, Any] = {**made, **{"@".join(version): value for version, value in changed.items()}}
        values[OUTPUTS] = outputs
        details: dict[str, Any] = {}
        try:
            bonds = self._flow.wiring.sharing.bonds
            bound = {(name, cell.name): value for name, value in made.items()}
            if len(changed) + len(bonds.keys() & bound.keys()) > 1:
                check_faithful({**bound, **changed})
        except Exception as error:  # noqa: BLE001 - what cannot be kept is no failure: the task always runs
            lost = {"key": key, "lost": first_line(error)}
            return {"note": f"{NOT_KEPT}{first_line(error)}", **lost} if cell.header.cache else lost
        if self._attempts is not None:
            if lasting := sorted(state for state in effects.state_changes if not _is_carried(state)):
                details = {"key": key, "lost": f"it changes {lasting[0].partition(':')[2]}, which only running it does"}
            else:
                values |= self._generators(cell.name)
                values |= take_states(effects.state_changes & CARRIED.keys() - GENERATORS.keys(), everything=False)
                by_chance = not GENERATORS.keys().isdisjoint(effects.state_changes)
                details = self._attempts.keep(key, values, seconds, files, whatever=by_chance)
        if cell.header.cache and self._results is not None:
            values |= self._generators(cell.name)
            try:
                self._results.keep(key, values, made_by, files)
            except Exception as error:  # noqa: BLE001 - as above
                details["note"] = f"{NOT_KEPT}{first_line(error)}"
        return details

    def _generators(self, task: str) -> dict[str, Any]:
        """Return where hidden random generators stood after a task that moved them."""
        moved = self._flow.wiring.effects[task].state_changes & GENERATORS.keys()
        return {state: self._kept.generators.get((state, task)) for state in moved}

    def _shared(self, task: str, made: Mapping[str, Any]) -> list[Version]:
        """Return the versions of tasks above that share memory with what a task has made or changed."""
        if self._flow.wiring.effects[task].opaque:
            return []
        sharing, place = self._flow.wiring.sharing, self._order[task]
        bonds = {sharing.bonds.get((name, task)) for name in made} | set(sharing.changers.get(task, ()))
        return [
            version
            for version in list(self._kept.versions)
            if (bond := sharing.bonds.get(version)) is not None
            and bond in bonds
            and self._order.get(version[1], -1) < place
        ]

    def put_back(self, cell: CellTask, outcome: Outcome) -> dict[Version, tuple[Any, Any]]:
        """Put hidden state and changed versions as an outcome has them; return what was there and what is now."""
        for state in outcome.states.keys() & GENERATORS.keys():
            self._kept.generators[state, cell.name] = outcome.states[state]
        put_states(outcome.states)
        sharing, replaced = self._flow.wiring.sharing, {}
        changes = sharing.changers.get(cell.name, frozenset())
        for version, value in outcome.changed.items():
            if version in self._kept.versions:
                replaced[version] = self._kept.versions[version], value
                self._kept.replace(version, value, cell.name if sharing.bonds.get(version) in changes else "")
        return replaced


def _outcome(values: Mapping[str, Any], made_by: str, why: str) -> Outcome:
    made, changed, states = {}, {}, {}
    for name, value in values.items():
        if name.startswith("state:"):
            states[name] = value
        elif "@" in name:
            changed[name.partition("@")[0], name.partition("@")[2]] = value
        elif name != OUTPUTS:
            made[name] = value
    return Outcome(made, changed, states, values.get(OUTPUTS, []), made_by, why)


def _is_carried(state: str) -> bool:
    """Whether a changed state can be kept with an outcome, or need not be."""
    # The environment of a process holds more than what the task has put there.
    return state.startswith("file:") or state in OUTSIDE or (state in CARRIED and state != "state:environ")
