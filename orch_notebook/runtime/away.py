"""The body of a task cell, performed in another process as if it were performed here.

In: a cell, the namespace it would run over here, and a carrier.  Out: that namespace as the body would have left it.
What cannot be kept exact on the way is found beforehand; the body then runs here, and a note says why.
"""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from typing import Any

from orch_notebook.model.flows import CellFlow, CellTask
from orch_notebook.runtime.ambient import CARRIED, put_states, take_states
from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.child import CellJob
from orch_notebook.runtime.hooks import CellHooks
from orch_notebook.runtime.originals import Unfit
from orch_notebook.runtime.runners.places import Carrier
from orch_notebook.runtime.shipping import Sender

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

    def unfit(self, task: str) -> str:
        """Return why a body has to run in this process, as its source tells; nothing if it need not."""
        effects = self._flow.wiring.effects[task]
        if effects.opaque:
            return f"its source cannot be analysed ({effects.opaque})"
        kept = {state for state in effects.state_changes if not state.startswith("file:")} - CARRIED.keys()
        if kept:
            return f"it changes {_words(kept)}, which this process keeps"
        seen = {state for state in effects.state_reads if not state.startswith("file:")} | {"state:stdout"}
        others = {name: found for name, found in self._flow.wiring.effects.items() if name != task}
        changed = {state for found in others.values() for state in found.state_changes}
        if kept := (seen & changed) - CARRIED.keys():
            return f"it depends on {_words(kept)}, which another cell changes in this process"
        return ""

    def perform(self, carrier: Carrier, cell: CellTask, namespace: dict[str, Any], capture: Capture) -> str:
        """Have a body performed elsewhere; return why it was not, and nothing if it was.

        Raises
        ------
        NotPicklable
            What it reads or makes cannot travel.
        BaseException
            What it raised, or what became of its process.
        """
        if reason := self.unfit(cell.name):
            return reason
        wiring = self._flow.wiring
        effects = wiring.effects[cell.name]
        needs = {name for name in wiring.bindings[cell.name] if ":" not in name}
        changed = {name for name in effects.mutates if ":" not in name}
        sender = Sender(namespace)
        try:
            parcel = sender.pack(needs | changed, changed)
        except Unfit as error:
            return f"it changes {error} in place"
        makes = tuple(sorted(name for name in effects.writes | effects.mutates if ":" not in name))
        states = effects.state_changes & CARRIED.keys()
        job = CellJob(
            cell=cell,
            hooks=self._hooks.away(cell),
            makes=makes,
            states=take_states(states | effects.state_reads),
            changes=states,
            left_out=sender.left_out,
            files=self._files({self._hooks.filename(cell), *sender.files}),
        )
        back, changed_states = carrier.carry(cell.name, job, parcel, capture)
        put_states(changed_states)
        made = sender.unpack(back)
        for name in set(makes) - made.keys():
            namespace.pop(name, None)
        return ""

    def _files(self, filenames: set[str]) -> Mapping[str, tuple[str, list[str]]]:
        """Return what tracebacks show of cells: their labels and lines."""
        known = {name: linecache.cache.get(name) for name in filenames}
        return {
            name: (self._hooks.label(name), entry[2])
            for name, entry in known.items()
            if entry is not None and len(entry) == 4 and entry[1] is None
        }


def _words(states: set[str]) -> str:
    return " and ".join(sorted(state.partition(":")[2] for state in states))
