"""The body of a task cell, performed in another process as if it were performed here.

In: a cell, the namespaces it would run over here, and a carrier.  Out: those namespaces as the body would have left
them.  What cannot be kept exact on the way is found beforehand; the body then runs here, and a note says why.
"""

from __future__ import annotations

import linecache
from collections import Counter
from collections.abc import Mapping

from orch_notebook.errors import NotPicklable
from orch_notebook.model.cells import Effects
from orch_notebook.model.cells.knowledge import AMBIENT
from orch_notebook.model.flows import CellFlow, CellTask
from orch_notebook.runtime.ambient import CARRIED, OUTSIDE, put_states, take_states
from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.celljobs import CellJob
from orch_notebook.runtime.hooks import CellHooks
from orch_notebook.runtime.namespaces import Body
from orch_notebook.runtime.originals import Unfit
from orch_notebook.runtime.runners.places import Carrier
from orch_notebook.runtime.shipping import WAY_OUT, Sender, Stayed

__all__ = ["Away"]


class Away:
    """The bodies of one flow, as far as they can be performed elsewhere.

    Parameters
    ----------
    flow : CellFlow
        As it stood when the run began.
    hooks : CellHooks
        What the face adds.
    """

    def __init__(self, flow: CellFlow, hooks: CellHooks) -> None:
        self._flow = flow
        self._hooks = hooks
        #: For every task the names that others get from it.
        self._wanted: dict[str | None, set[str]] = {}
        for bound in flow.wiring.bindings.values():
            for name, maker in bound.items():
                self._wanted.setdefault(maker, set()).add(name)
        found = flow.wiring.effects.values()
        #: How many cells change and read each hidden state that cannot be taken along.
        self._changed = Counter(state for each in found for state in each.state_changes if is_kept(state))
        self._seen = Counter(state for each in found for state in each.state_reads if is_kept(state))

    def unfit(self, task: str) -> str:
        """Return why a body has to run in this process, as its source tells; nothing if it need not."""
        effects = self._flow.wiring.effects[task]
        if effects.in_place:
            return "it executes text"
        if effects.opaque:
            return f"its source cannot be analysed ({effects.opaque})"
        # What is in no process (files, the clock) is the same for all; what can be taken along, goes along.
        if kept := self._shared(effects):
            return f"it shares the state of {_words(kept)} with other cells, which this process keeps"
        return ""

    def _shared(self, effects: Effects) -> set[str]:
        """Return the hidden state of this process that a cell and any other have to share."""
        mine = effects.state_reads | effects.state_changes | AMBIENT
        return {
            state
            for state in mine & self._changed.keys()
            if self._changed[state] > (state in effects.state_changes)
            or (state in effects.state_changes and self._seen[state] > (state in effects.state_reads))
            or (state in effects.state_changes and state in AMBIENT)  # any cell may depend on it
        }

    def perform(self, carrier: Carrier, cell: CellTask, body: Body, capture: Capture) -> tuple[bool, str]:
        """Have a body performed elsewhere; return whether it was, and what is to be noted.

        Raises
        ------
        NotPicklable
            What it reads or makes cannot travel.
        BaseException
            What it raised, or what became of its process.
        """
        if reason := self.unfit(cell.name):
            return False, f"Run in a thread: {reason}."
        wiring = self._flow.wiring
        effects = wiring.effects[cell.name]
        needs = {name for name in wiring.bindings[cell.name] if ":" not in name}
        changed = {name for name in effects.mutates if ":" not in name}
        late = {name: body.globals[name] for name in body.late if name in body.globals}
        sender = Sender({**body.locals, **late}, body.globals)
        try:
            parcel = sender.pack(needs | changed, changed)
        except Unfit as error:
            return False, f"Run in a thread: {error}."
        makes = tuple(sorted(name for name in effects.writes | effects.mutates if ":" not in name))
        states = effects.state_changes & CARRIED.keys()
        files = self._files({self._hooks.filename(cell), *sender.files})
        job = CellJob(
            cell=cell,
            hooks=self._hooks.away(cell, {name: label for name, (label, _) in files.items()}),
            makes=makes,
            wanted=frozenset(self._wanted.get(cell.name, ())),
            states=take_states(states | effects.state_reads),
            changes=states,
            left_out=sender.left_out,
            files=files,
            resources=dict(cell.header.resources),
        )
        back, changed_states = carrier.carry(cell.name, job, parcel, capture)
        try:
            made = sender.unpack(back)
        except Unfit as error:
            raise NotPicklable(
                f"In another process {error}; that has no effect here. {WAY_OUT}", retriable=False
            ) from None
        put_states(changed_states)
        for name in makes:
            names = body.globals if name in body.late else body.locals
            if name in made:
                names[name] = made[name]
            else:
                names.pop(name, None)
        stayed = [repr(name) for name, value in made.items() if isinstance(value, Stayed)]
        return True, f"{', '.join(stayed)} stayed in the process: it cannot be pickled." if stayed else ""

    def _files(self, filenames: set[str]) -> Mapping[str, tuple[str, list[str]]]:
        """Return what tracebacks show of cells: their labels and lines."""
        known = {name: linecache.cache.get(name) for name in filenames}
        return {
            name: (self._hooks.label(name), entry[2])
            for name, entry in known.items()
            if entry is not None and len(entry) == 4 and entry[1] is None
        }


def is_kept(state: str) -> bool:
    """Whether hidden state stays with its process."""
    return not state.startswith("file:") and state not in CARRIED and state not in OUTSIDE


def _words(states: set[str]) -> str:
    return " and ".join(sorted(state.partition(":")[2] for state in states))
