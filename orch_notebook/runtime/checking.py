"""The race detector: does a flow give the same in whichever order its tasks run?

The flow is run in the order of the notebook, every task seeing all that stands above it as in a plain notebook, and
everything that can be reached is compared before and after each task.  What a task changes and does not declare is
mended in a copy of the flow.  Then the flow is run in another order that it allows.  Where a task comes to something
else, the cause is looked for by running it again: in the same order (it is not deterministic), seeing only what it is
bound to (it needs a name that nobody sees), and in orders half-way between (the two tasks whose exchange makes the
difference).  What is found is mended in the copy too, and another order is tried, until all agree.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from orch_notebook.model.findings import (
    Finding,
    Report,
    said_chance,
    said_mutation,
    said_order,
    said_read,
    said_unexplained,
    said_unsteady,
)
from orch_notebook.model.flows import CellFlow, PlainCell
from orch_notebook.model.mended import MendedFlow
from orch_notebook.model.orders import free_pairs, other_order, steps_between, turned
from orch_notebook.model.outcomes import Outcome, difference
from orch_notebook.runtime.hooks import CellHooks, PlainHooks
from orch_notebook.runtime.programs import Around
from orch_notebook.runtime.restoring import WayBack
from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.runners.ordered import OrderedRunner
from orch_notebook.runtime.surroundings import CHANCE, Surrounding, Surroundings, stir
from orch_notebook.runtime.surveys import Change, Survey
from orch_notebook.runtime.watching import Watch, data_of

__all__ = ["Check", "Perform"]

#: ``perform(flow, live, base, select, runner, hooks, around)`` runs tasks of a flow to their end.
Perform = Callable[[CellFlow, dict[str, Any], Mapping[str, Any], Collection[str], Runner, CellHooks, Around], object]
Outcomes = Mapping[str, Outcome]

#: Runs of a flow, or of its beginning, after which a check ends and says what it could not explain.
MOST_RUNS = 80


class Check:
    """One check of a flow.

    Parameters
    ----------
    flow : CellFlow
        What is checked; it is not changed.
    live : dict
        The live namespace; it is left with the names it has.
    base : mapping
        The environment.  What tasks change in it is put back.
    perform : callable
        Runs tasks to their end.
    hooks : CellHooks, optional
        What a face adds to the execution of a cell.
    states : mapping
        Hidden states that only the face knows, by name.
    seed : int
        With which other orders are drawn.
    orders : int
        How many other orders are tried once all is explained.
    """

    def __init__(
        self,
        flow: CellFlow,
        live: dict[str, Any],
        base: Mapping[str, Any],
        perform: Perform,
        *,
        hooks: CellHooks | None = None,
        states: Mapping[str, Surrounding] = MappingProxyType({}),
        seed: int = 0,
        orders: int = 1,
    ) -> None:
        self._original = flow
        self._mended = MendedFlow(flow)
        self._order = self._mended.order
        effects = flow.wiring.effects
        self._made = {name: effects[name].writes | effects[name].mutates for name in self._order}
        self._live = live
        self._names = dict(live)
        # What tasks made in earlier runs is not there yet when they begin.
        self._start = {name: value for name, value in live.items() if name in base or name not in flow.makes()}
        self._base = dict(base)
        self._perform = perform
        self._hooks = hooks or PlainHooks()
        self._states_of_face = states
        self._seed = seed
        self._draw = random.Random(seed)  # noqa: S311 - an order, no secret
        self._orders = orders
        self._findings: dict[tuple[str, str, str], Finding] = {}
        self._notes: dict[str, None] = {}
        self._closed: set[str] = set()
        self._runs = 0
        self._repeated: Outcomes | None = None

    def run(self) -> Report:
        """Check, put back what was changed, and return what was found."""
        self._surroundings = Surroundings(more=self._states_of_face)
        self._survey = Survey(data_of(self._base))
        self._way_back = WayBack(self._survey)
        pairs, tried, order = free_pairs(self._original.graph), set[tuple[str, str]](), self._order
        try:
            plain = self._run(self._order)
            self._mutations(plain)
            self._states(plain.outcomes)
            if self._surroundings.is_crowded:
                self._notes["The working directory holds too many files to watch them all."] = None
            for number in range(self._orders):
                order = self._settle(plain.outcomes, tried, is_stirred=not number)
                tried |= turned(order, pairs)
        finally:
            self._put_back()
            self._put_names(self._names)
        if self._closed:
            kinds = sorted(self._closed)
            shown = ", ".join(kinds[:8]) + (f" and {len(kinds) - 8} more" if len(kinds) > 8 else "")
            self._notes[f"Objects of these kinds cannot be looked into: {shown}."] = None
        place = {name: number for number, name in enumerate(self._order)}
        index = {task.name: task.cell_index for task in self._original}
        found = sorted(self._findings.values(), key=lambda finding: place[finding.task])
        return Report(
            self._original.name,
            len(self._order),
            tuple(replace(finding, cell_index=index[finding.task]) for finding in found),
            tuple(self._notes),
            tuple(order),
            len(pairs),
            len(tried),
            self._runs,
            self._seed,
        )

    # Running

    def _run(
        self,
        order: Sequence[str],
        lent: Mapping[str, Collection[str]] | None = None,
        *,
        is_stirred: bool = False,
    ) -> Watch:
        self._put_back()
        if is_stirred:
            effects = self._mended.flow.wiring.effects
            plain = [effects[cell.label] for cell in self._mended.flow.cells if isinstance(cell, PlainCell)]
            stir(but=set().union(*(each.state_changes for each in plain)))
        self._runs += 1
        flow = self._mended.flow
        watch = Watch(flow, self._base, self._surroundings, self._hooks, self._made, lent)
        rank = {name: number for number, name in enumerate(order)}
        # Part of an order stands for its beginning.
        select = order if len(order) < len(self._order) else ()
        self._perform(flow, self._live, self._base, select, OrderedRunner(rank.__getitem__), watch, watch.around)
        self._closed |= watch.closed
        if watch.is_sampled:
            self._notes["Some data were too big to be read whole; of these only samples were compared."] = None
        return watch

    def _put_back(self) -> None:
        self._put_names(self._start)
        failed = [f"{name!r}" for name in self._way_back.put_back()]
        failed += [name.partition(":")[2] for name in self._surroundings.put_back()]
        if failed:
            shown = ", ".join(sorted(failed)[:5])
            self._notes[f"Tasks change {shown}, which cannot be put back: run its cell again."] = None

    def _put_names(self, names: Mapping[str, Any]) -> None:
        for name in self._live.keys() - names.keys():
            del self._live[name]
        self._live.update(names)

    def _add(self, finding: Finding) -> None:
        self._findings.setdefault((finding.kind, finding.task, finding.name or finding.line), finding)

    # What the first run tells by itself

    def _mutations(self, watch: Watch) -> None:
        for task, changes in watch.undeclared.items():
            first: dict[str, Change] = {}
            for change in changes:
                known = first.get(change.name)
                if known is None or len(change.path) < len(known.path):
                    first[change.name] = change
            for change in first.values():
                self._mutation(task, change)

    def _mutation(self, task: str, change: Change) -> None:
        name, _, maker = change.name.partition("@")
        free, mended = free_pairs(self._mended.flow.graph), self._mended
        others = mended.add_mutation(task, name, free)
        if others is not None:
            self._add(said_mutation(task, mended.headers[task], name, change.what, change.path, others))
            return
        # The name cannot say it, or no order follows from it: the order itself must be told.
        users = mended.users(name, task, free)
        for other in users:
            first, second = mended.pair(task, other)
            if mended.add(second, after=(first,)):
                self._add(said_order(second, mended.headers[second], first, second, "", name))
        if not users and not maker:
            self._add(said_mutation(task, mended.headers[task], name, change.what, change.path, ()))

    def _states(self, outcomes: Outcomes) -> None:
        """Find tasks that changed the same hidden state or file and are not ordered."""
        for state in sorted(set().union(*(outcome.changed for outcome in outcomes.values()))):
            for second in self._order:
                for first in self._order[: self._order.index(second)]:
                    self._state(state, first, second, outcomes)

    def _state(self, state: str, first: str, second: str, outcomes: Outcomes) -> None:
        if state not in CHANCE and not state.startswith("file:"):
            return  # that two tasks set the same option is seen in what comes of it
        if not (state in outcomes[first].changed and state in outcomes[second].changed):
            return
        if (first, second) in free_pairs(self._mended.flow.graph) and self._mended.add(second, after=(first,)):
            self._add(said_order(second, self._mended.headers[second], first, second, "", state))

    # What other orders tell

    def _settle(self, plain: Outcomes, tried: Collection[tuple[str, str]], *, is_stirred: bool) -> tuple[str, ...]:
        """Try another order, and explain every disagreement until none is left; return the last order tried."""
        unsteady: set[str] = set()
        while True:
            graph = self._mended.flow.graph
            wanted = free_pairs(graph) - set(tried)
            order = other_order(graph, wanted, self._draw.choice) if wanted else self._order
            found = self._run(order, {}, is_stirred=is_stirred).outcomes
            if is_stirred and (wrong := self._disagree(order, plain, found, unsteady)):
                is_stirred = False
                calm = self._run(order, {}).outcomes
                self._chance([task for task in wrong if not difference(plain[task], calm[task])], plain, found)
                found = calm
            explained = self._explain_all(order, plain, found, unsteady)
            if not explained:
                return order
            if self._runs >= MOST_RUNS:
                for task in self._disagree(order, plain, found, unsteady):
                    self._add(said_unexplained(task, difference(plain[task], found[task]), "The check took too long."))
                return order

    def _disagree(self, order: Sequence[str], plain: Outcomes, found: Outcomes, unsteady: Collection[str]) -> list[str]:
        """Return the tasks that differ, in the order in which they ran, without those that follow from others."""
        graph = self._mended.flow.graph
        wrong: list[str] = []
        follow: set[str] = set()
        for task in unsteady:
            follow |= graph.reach(task, graph.successors)
        for task in order:
            if task not in follow and difference(plain[task], found[task]):
                wrong.append(task)
                follow |= graph.reach(task, graph.successors)
        return wrong

    def _chance(self, tasks: Sequence[str], plain: Outcomes, found: Outcomes) -> None:
        by_state: dict[str, list[str]] = {}
        for task in tasks:
            states = [s for s in CHANCE if plain[task].states.get(s) != found[task].states.get(s)]
            drawn = (
                [s for s in states if s in plain[task].changed | found[task].changed]
                or states
                or ["state:numpy.random"]
            )
            by_state.setdefault(drawn[0], []).append(task)
        for state, drawing in by_state.items():
            self._add(said_chance(drawing[0], state, drawing[1:]))

    def _explain_all(self, order: Sequence[str], plain: Outcomes, found: Outcomes, unsteady: set[str]) -> bool:
        """Explain what disagrees; return whether the flow was mended, so that another order must be tried."""
        wrong = self._disagree(order, plain, found, unsteady)
        if not wrong:
            return False
        if self._repeated is None:
            self._repeated = self._run(self._order).outcomes
        for task in [task for task in wrong if difference(plain[task], self._repeated[task])]:
            if plain[task].changed & set(CHANCE):
                self._chance([task], plain, self._repeated)
            else:
                self._add(said_unsteady(task, difference(plain[task], self._repeated[task])))
            unsteady.add(task)
        for task in [task for task in wrong if task not in unsteady]:
            if self._explain(task, order, plain, found):
                return True
            unsteady.add(task)
        # What follows from an unsteady task is not compared, but others may still be.
        return bool(self._disagree(order, plain, found, unsteady))

    def _explain(self, task: str, order: Sequence[str], plain: Outcomes, found: Outcomes) -> bool:
        what = difference(plain[task], found[task])
        alone = self._run(self._upto(self._order, task), {})
        if difference(plain[task], alone.outcomes[task]):
            return self._read(task, plain, alone.outcomes[task])
        missing = found[task].missing
        if any(missing in self._made[other] for other in self._upto(self._order, task)[:-1]):
            return self._read(task, plain, found[task])
        steps = list(steps_between(self._order, order))
        good, bad = -1, len(steps) - 1
        while bad - good > 1:
            middle = (good + bad) // 2
            halfway = self._run(self._upto(steps[middle][0], task), {}).outcomes
            if difference(plain[task], halfway[task]):
                bad = middle
            else:
                good = middle
        if not steps:
            self._add(said_unexplained(task, what, "The order was the notebook's own."))
            return False
        first, second = self._mended.pair(*steps[bad][1])
        if not self._mended.add(second, after=(first,)):
            self._add(said_unexplained(task, what, f"It began with {second!r} running before {first!r}."))
            return False
        self._add(
            said_order(second, self._mended.headers[second], first, task, what, self._meeting(first, second, plain))
        )
        return True

    def _upto(self, order: Sequence[str], task: str) -> Sequence[str]:
        return order[: order.index(task) + 1]

    def _meeting(self, first: str, second: str, plain: Outcomes) -> str:
        """Return a hidden state or file that the first task changed, where it is plain which it was."""
        changed = plain[first].changed | plain[second].changed
        both = plain[first].changed & plain[second].changed
        found = sorted(both or changed, key=lambda name: (not name.startswith("file:"), name))
        return found[0] if len(found) == 1 or both else ""

    def _read(self, task: str, plain: Outcomes, alone: Outcome) -> bool:
        """Find the name that a task needs and is not bound to."""
        what = difference(plain[task], alone)
        order = self._upto(self._order, task)
        names = [alone.missing] if alone.missing else self._needed(task, order, plain)
        bound = self._mended.flow.wiring.bindings[task]
        data = [
            name for name, maker in bound.items() if ":" not in name and (maker or name not in self._mended.flow.tools)
        ]
        for name in names:
            if self._mended.headers[task].inputs is None:
                mended = self._mended.add(task, inputs=(*data, name))
            else:
                mended = self._mended.add(task, inputs=(name,))
            if mended:
                self._add(said_read(task, self._mended.headers[task], name, what))
                return True
        self._add(said_unexplained(task, what, "It needs something above it, and which was not found."))
        return False

    def _needed(self, task: str, order: Sequence[str], plain: Outcomes) -> list[str]:
        """Return the lent name without which a task comes to something else."""
        everything = self._run(order).lent[task]
        names = everything
        while len(names) > 1 and self._runs < MOST_RUNS:
            half = names[: len(names) // 2]
            lent = self._run(order, {task: half}).outcomes[task]
            names = half if not difference(plain[task], lent) else names[len(half) :]
        return names
