"""Watches one run of a flow: what each task was given, what it changed, what it came to.

In: the bodies as they begin and end, one at a time.  Out: an :class:`~orch_notebook.model.outcomes.Outcome` for each
task, and the objects that it changed in place without its source showing it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from orch_notebook.model.flows import CellFlow, CellTask
from orch_notebook.model.outcomes import Outcome, texts_of
from orch_notebook.model.recipes import Version
from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.hooks import CellHooks
from orch_notebook.runtime.namespaces import Body
from orch_notebook.runtime.surroundings import Surroundings
from orch_notebook.runtime.surveys import Change, Survey
from orch_notebook.runtime.tokens import is_ours

__all__ = ["Watch", "data_of"]

#: Names that IPython keeps in a namespace for itself.
OF_THE_SHELL = frozenset({"In", "Out", "exit", "quit", "get_ipython", "display"})

#: Stands for a name that is not bound.
ABSENT = object()


def data_of(names: Mapping[str, Any], *, with_modules: bool = True) -> dict[str, Any]:
    """Return what may hold data among some names, and the modules that belong to the notebook."""
    found = {name: value for name, value in names.items() if not name.startswith("_") and name not in OF_THE_SHELL}
    for name, module in list(sys.modules.items()) if with_modules else ():
        if name != "__main__" and getattr(module, "__file__", None) and "." not in name and is_ours(name):
            found.setdefault(name, module)
    return found


def names_of(body: Body) -> dict[str, Any]:
    """Return what may hold data among the names that a body sees as its own."""
    return data_of({**body.locals, **{name: body.globals[name] for name in body.late if name in body.globals}})


class Watch:
    """Watches one run.

    Parameters
    ----------
    flow : CellFlow
        What is run.
    base : mapping
        The environment.
    surroundings : Surroundings
        Hidden states and files.
    hooks : CellHooks
        What the face adds.
    made : mapping
        For each task the names of which fingerprints are taken when it ends.
    lent : mapping, collection of str, or None
        Names that a task sees although nothing binds it to them, as in a plain notebook: for each task those named;
        None lends every task every name that stands above it.
    """

    def __init__(
        self,
        flow: CellFlow,
        base: Mapping[str, Any],
        surroundings: Surroundings,
        hooks: CellHooks,
        made: Mapping[str, Collection[str]],
        lent: Mapping[str, Collection[str]] | None,
    ) -> None:
        self.outcomes = {task.name: Outcome() for task in flow}
        #: For each task the objects that it changed, and nothing declares that.
        self.undeclared: dict[str, list[Change]] = {}
        #: Whether something was too big to be read whole, and the kinds of objects that cannot be looked into.
        self.is_sampled = False
        self.closed: set[str] = set()
        #: For each task the names it was lent.
        self.lent: dict[str, list[str]] = {}
        self._flow = flow
        self._base = data_of(base)
        self._surroundings = surroundings
        self._hooks = hooks
        self._made = {name: frozenset(names) for name, names in made.items()}
        self._lent = lent
        self._above: dict[str, Any] = {}
        self._survey = Survey(self._base)
        self._seen = surroundings.look()

    # As hooks: what is put out stays here.

    def filename(self, cell: CellTask) -> str:
        """Return what the face calls the cell."""
        return self._hooks.filename(cell)

    def label(self, filename: str) -> str:
        """Return what people call the cell."""
        return self._hooks.label(filename)

    def begin(self, cell: CellTask, capture: Capture) -> None:
        """Take note that an attempt begins."""
        self._hooks.begin(cell, capture)

    def shown(self) -> str:
        """Return which values the face wants to be shown."""
        return self._hooks.shown()

    def show(self, cell: CellTask, value: Any, capture: Capture) -> None:
        """Put a value into the capture."""
        self._hooks.show(cell, value, capture)

    def end(self, cell: CellTask, capture: Capture, error: BaseException | None) -> None:
        """Take what the attempt has put out."""
        self._hooks.end(cell, capture, error)
        outcome = self.outcomes[cell.name]
        outcome.has_run = True
        outcome.texts = texts_of(capture.take())
        if error is not None:
            said = str(error).splitlines()
            outcome.error = f"{type(error).__name__}: {said[0] if said else ''}"[:300]
            outcome.missing = error.name or "" if isinstance(error, NameError) else ""

    def away(self, cell: CellTask, labels: Mapping[str, str]) -> CellHooks:
        """Return what the face adds in another process; nobody watches there."""
        return self._hooks.away(cell, labels)

    def again(self, cell: CellTask, outputs: list[dict[str, Any]]) -> None:
        """Do nothing: a check loads no results."""

    # Around each body.

    @contextlib.contextmanager
    def around(self, cell: CellTask, body: Body, versions: Mapping[Version, Any]) -> Iterator[None]:
        """Look at everything before and after a body runs."""
        effects = self._flow.wiring.effects[cell.name]
        lent = self._lend(cell, body)
        outcome = self.outcomes[cell.name]
        # Nothing has run since the body before, so what was found after it still holds.
        before, outcome.states = self._survey, self._seen
        given = names_of(body)
        before.add(given.values())
        loaded = len(sys.modules)
        try:
            yield
        finally:
            outcome.has_loaded |= len(sys.modules) > loaded
            left = names_of(body)
            world = {f"{name}@{maker}": value for (name, maker), value in versions.items()}
            after = Survey({**left, **world, **self._base, **self._above})
            self._seen = self._surroundings.look()
            outcome.changed = frozenset(
                name
                for name, seen in self._seen.items()
                if outcome.states.get(name) != seen and self._counts(name, outcome)
            ) | {name for name in outcome.states if name.startswith("file:") and name not in self._seen}
            self._surroundings.note({name for name in outcome.changed if name in self._seen})
            if not effects.opaque:
                self.undeclared[cell.name] = self._undeclared(cell.name, before, after, given, left)
            # A name that it may bind and did not is still what it was lent.
            made = {
                name
                for name in self._made[cell.name] & left.keys()
                if name not in lent or left[name] is not self._above[name]
            }
            outcome.made = {name: after.digest(left[name]) for name in made}
            self._take_back(cell, body, lent)
            self._survey = after
            self.is_sampled |= after.budget.is_exceeded
            self.closed |= after.closed

    def _counts(self, name: str, outcome: Outcome) -> bool:
        # A state that comes into being with its library has not been changed.
        return name.startswith("file:") or name in outcome.states

    def _lend(self, cell: CellTask, body: Body) -> dict[str, Any]:
        """Put names into a body's namespace that nothing binds it to; return what stood there before."""
        if body.locals is body.globals:  # it sees everything anyhow
            return {}
        wiring = self._flow.wiring
        bound = {name for name, maker in wiring.bindings[cell.name].items() if maker is not None} | body.late
        wanted = self._above.keys() if self._lent is None else self._lent.get(cell.name, ())
        lent = {name: self._above[name] for name in wanted if name in self._above and name not in bound}
        self.lent[cell.name] = sorted(lent)
        before = {name: body.locals.get(name, ABSENT) for name in lent}
        body.locals.update(lent)
        return before

    def _take_back(self, cell: CellTask, body: Body, before: Mapping[str, Any]) -> None:
        effects = self._flow.wiring.effects[cell.name]
        made = body.all_bound() if effects.rebinds else body.bound(effects.writes | effects.mutates)
        for name, value in before.items():
            if name not in effects.writes and body.locals.get(name, ABSENT) is self._above[name]:
                body.locals.pop(name)
                if value is not ABSENT:
                    body.locals[name] = value
        self._above |= data_of(made, with_modules=False)
        for name in effects.deletes - made.keys():
            self._above.pop(name, None)

    def _undeclared(
        self, task: str, before: Survey, after: Survey, given: Mapping[str, Any], left: Mapping[str, Any]
    ) -> list[Change]:
        """Return what a task changed although neither its source nor its header shows it."""
        effects = self._flow.wiring.effects[task]
        declared = effects.mutates | {state.removeprefix("state:") for state in effects.state_changes}
        covered = before.reach(given[name] for name in declared if name in given)
        covered |= after.reach(left[name] for name in declared if name in left)
        spans = sorted(before.spans(covered & before.nodes.keys()) + after.spans(covered & after.nodes.keys()))
        bound = self._flow.wiring.bindings[task]
        names = {name: given[name] for name in bound if name in given}
        return [
            change
            for change in before.changes(after, names)
            if id(change.value) not in covered and not any(_meets(span, spans) for span in change.spans)
        ]


def _meets(span: tuple[int, int], spans: Collection[tuple[int, int]]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in spans)
