"""The body of a task cell as a job, which is performed in another process.

In: a cell and a parcel with the names it needs.  Out: a parcel with the names it made.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from orch_notebook.model.flows import CellTask
from orch_notebook.runtime.ambient import put_states, take_states
from orch_notebook.runtime.calls import describe_as, describe_failure
from orch_notebook.runtime.capture import Capture, capturing
from orch_notebook.runtime.hooks import CellHooks, execute
from orch_notebook.runtime.namespaces import Body
from orch_notebook.runtime.parcels import Answer, Parcel
from orch_notebook.runtime.shipping import Receiver

__all__ = ["CellJob"]


@dataclass(frozen=True, slots=True)
class CellJob:
    """One body to be performed.

    Parameters
    ----------
    cell : CellTask
        Its source and name.
    hooks : CellHooks
        What the face adds, in a form that travels.
    makes : tuple of str
        The names whose values are wanted.
    wanted : frozenset of str
        Those of them that other tasks read.
    states : mapping
        Hidden state that it depends on.
    changes : frozenset of str
        Hidden state that it changes and that is wanted back.
    left_out : mapping
        Names that functions may read and that could not come, with the reason.
    files : mapping
        For the code that comes along: by file name what people call the cell, and its lines.
    resources : mapping
        What the body needs where it runs.
    """

    cell: CellTask
    hooks: CellHooks
    makes: tuple[str, ...]
    wanted: frozenset[str]
    states: Mapping[str, Any]
    changes: frozenset[str] = frozenset()
    left_out: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, tuple[str, list[str]]] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)

    def perform(self, parcel: Parcel, capture: Capture) -> Answer:
        """Run the body over the names of the parcel.

        Raises
        ------
        BaseException
            Whatever the body raises.
        """
        # As in a notebook the names are those of the main module: dataclasses, pickle and type hints look there.
        main = ModuleType("__main__")
        sys.modules["__main__"] = main
        for filename, (_, lines) in self.files.items():
            linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)
        put_states(self.states)
        receiver = Receiver(main.__dict__)
        with capturing(capture):
            self.hooks.begin(self.cell, capture)
            try:
                receiver.unpack(parcel)
                execute(self.cell, Body(main.__dict__, main.__dict__, (), ()), self.hooks, capture)
            except BaseException as error:
                self._explain(error)
                self.hooks.end(self.cell, capture, error)
                describe_as(error, self._describe(error), is_shown=True)
                raise
            self.hooks.end(self.cell, capture, None)
        made = {name: main.__dict__[name] for name in self.makes if name in main.__dict__}
        return Answer(receiver.pack(made, self.wanted), take_states(self.changes, everything=False))

    def _explain(self, error: BaseException) -> None:
        name = str(getattr(error, "name", ""))
        if isinstance(error, NameError) and name in self.left_out:
            error.add_note(f"{name!r} could not be sent to this process: {self.left_out[name]} Try --runner threads.")

    def _describe(self, error: BaseException) -> dict[str, Any]:
        return describe_failure(error, lambda filename: self.files.get(filename, ("", ()))[0])
