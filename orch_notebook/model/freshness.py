"""Which tasks of a flow must run again, why, and from what; which are fresh.

In: what each task is made of now, what is recorded of its last performance, and which versions are still to be had.
Out: a :class:`Plan`.  The rule is make's: a task is fresh as long as its recipe is the one it was performed by and all
it came from is fresh too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from orch_notebook.model.needs import Flow
from orch_notebook.model.recipes import Recipe, Record, Source, Stock, Version, before, difference

__all__ = ["Plan", "coming_words", "decide"]

FRESH = "nothing it depends on has changed"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Parameters
    ----------
    runs : mapping
        The tasks to perform in definition order, each with the reason.
    fresh : mapping
        The tasks that are not performed, each with the reason; of a run of selected tasks, none.
    loads : frozenset of str
        Those of `runs` whose result is in the result store.
    sources : mapping
        For every task of `runs` the versions that come from kept copies; under an empty name those that nobody reads
        but that are the last of their name.
    restores : mapping
        By copy, the versions that the run takes from it to go on with.
    lacks : mapping
        For tasks that cannot have what they need, a sentence about it.
    steady : frozenset of str
        The tasks that do not run and are fresh when the run has ended.
    last : sequence of Version
        The last version of each name that is there already, if any, and those of the tasks of `runs` that may follow.
    """

    runs: Mapping[str, str] = field(default_factory=dict)
    fresh: Mapping[str, str] = field(default_factory=dict)
    loads: frozenset[str] = frozenset()
    sources: Mapping[str, Mapping[Version, Source]] = field(default_factory=dict)
    restores: Mapping[str, frozenset[Version]] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)
    steady: frozenset[str] = frozenset()
    last: Sequence[Version] = ()

    @property
    def performed(self) -> dict[str, str]:
        """The tasks whose code will run, each with the reason."""
        return {task: why for task, why in self.runs.items() if task not in self.loads}


def coming_words(plan: Plan, most: int = 8) -> str:
    """Say what the next run does.

    Examples
    --------
    >>> coming_words(Plan({"train": "its source changed", "score": "'model' comes from a newer 'train'"}))
    "2 tasks will run: train (its source changed), score ('model' comes from a newer 'train')."
    >>> coming_words(Plan(fresh={"train": "nothing it depends on has changed"}))
    'Nothing is stale: no task will run.'
    """
    coming = plan.performed
    if not coming:
        return "Nothing is stale: no task will run."
    told = [f"{task} ({why})" for task, why in list(coming.items())[:most]]
    more = [f"and {len(coming) - most} more"] if len(coming) > most else []
    return f"{len(coming)} task{'s' if len(coming) > 1 else ''} will run: {', '.join(told + more)}."


def decide(
    flow: Flow,
    *,
    recipes: Mapping[str, Recipe],
    records: Mapping[str, Record],
    stock: Stock,
    flaws: Mapping[str, str] | None = None,
    stored: Collection[str] = (),
    done: Collection[str] = (),
    select: Collection[str] | None = None,
    only_stale: bool = False,
    everything: bool = False,
) -> Plan:
    """Decide what a run does.

    Parameters
    ----------
    flow : Flow
        The tasks and what binds them to each other.
    recipes, records : mapping
        What each task is made of now, and its last performance.
    stock : Stock
        The versions that are to be had.
    flaws : mapping, optional
        For tasks whose outcome is not any more as they left it, what happened to it.
    stored : collection of str
        Tasks whose result is in the result store.
    done : collection of str
        Tasks that an earlier attempt at this run has completed: they are loaded, whatever was asked for.
    select : collection of str, optional
        The tasks somebody asked for; they run, fresh or not, and with them what they come from as far as it is stale.
    only_stale : bool
        Of the selected tasks run only those that are stale.
    everything : bool
        Run all tasks (or all selected ones) anew, and load nothing.
    """
    return _Planner(flow, recipes, records, stock, flaws or {}, frozenset(stored), frozenset(done)).plan(
        select, only_stale=only_stale, everything=everything
    )


class _Planner:
    """Works out one plan."""

    def __init__(
        self,
        flow: Flow,
        recipes: Mapping[str, Recipe],
        records: Mapping[str, Record],
        stock: Stock,
        flaws: Mapping[str, str],
        stored: frozenset[str],
        done: frozenset[str] = frozenset(),
    ) -> None:
        self.flow = flow
        self.recipes = recipes
        self.records = records
        self.stock = stock
        self.flaws = flaws
        self.stored = stored
        self.done = done
        self.order = {task: place for place, task in enumerate(flow.tasks)}
        self.runs: dict[str, str] = {}
        self.lacks: dict[str, str] = {}
        self.within: set[str] | None = None
        self.end = len(flow.tasks)
        named = {name for name, _ in flow.last}
        # What plain cells made has a last version, too, whoever reads it.
        self.ends = [*flow.last, *(each for each in stock.live if not each[1] and each[0] not in named)]
        self._known, self._found = -1, list[Version]()
        self.makers: dict[int, set[str]] = {}
        for (_, maker), number in flow.bonds.items():
            if maker:
                self.makers.setdefault(number, set()).add(maker)
        self.acted: dict[int, set[str]] = {}
        for version, tasks in stock.spent.items():
            if (bond := flow.bonds.get(version)) is not None:
                self.acted.setdefault(bond, set()).update(tasks)

    def plan(self, select: Collection[str] | None, *, only_stale: bool, everything: bool) -> Plan:
        stale = self._stale()
        if everything:
            self.stored = frozenset()
        if select is None:
            self.runs = dict.fromkeys(self.flow.tasks, "everything was asked for") if everything else stale
        else:
            wanted = {task: stale.get(task, "it was asked for") for task in self.flow.tasks if task in select}
            if only_stale and not everything:
                wanted = {task: why for task, why in wanted.items() if task in stale}
            self.runs = wanted
            self.within = self._above(wanted)
            self.runs |= {task: why for task, why in stale.items() if task in self.within}
            # What was named is performed, whatever is stored.
            self.stored -= frozenset() if only_stale else frozenset(select)
        self.stored |= self.done
        self._close()
        runs = {task: self.runs[task] for task in self.flow.tasks if task in self.runs}
        fresh = {task: FRESH for task in self.flow.tasks if task not in runs} if select is None else {}
        ends = [""] if select is None else []
        sources = {task: found for task in [*runs, *ends] if (found := self._sources(task))}
        loads = self.stored & runs.keys()
        restores, steady, last = self._restores(sources), self._steady(stale), self._last()
        return Plan(runs, fresh, loads, sources, restores, self.lacks, steady, last)

    def _restores(self, sources: Mapping[str, Mapping[Version, Source]]) -> dict[str, frozenset[Version]]:
        found: dict[str, set[Version]] = {}
        for versions in sources.values():
            for version, source in versions.items():
                if source.is_shared:
                    # What shares memory that somebody changes goes together.
                    bond = self.flow.bonds.get(version)
                    mates = {each for each in self.stock.copies[source.copy] if self.flow.bonds.get(each, -1) == bond}
                    found.setdefault(source.copy, set()).update({version, *mates})
        return {copy: frozenset(versions) for copy, versions in found.items()}

    def _steady(self, stale: Mapping[str, str]) -> frozenset[str]:
        found: set[str] = set()
        for task in self.flow.tasks:
            if task not in self.runs and task not in stale and found.issuperset(self.flow.needs[task]):
                found.add(task)
        return frozenset(found)

    def _stale(self) -> dict[str, str]:
        stale: dict[str, str] = {}
        for task in self.flow.tasks:
            if why := self._why(task, stale):
                stale[task] = why
        return stale

    def _why(self, task: str, stale: Mapping[str, str]) -> str:
        record = self.records.get(task)
        if record is None:
            return "it has not run yet"
        if why := difference(record.recipe, self.recipes[task]):
            return why
        if gone := record.sources.keys() - self.flow.needs[task].keys():
            return f"it does not come from {min(gone)!r} any more"
        for source, name in self.flow.needs[task].items():
            made_by = self.records[source].made_by if source in self.records else ""
            if source in stale or record.sources.get(source) != made_by:
                return _newer(name, source)
        return self.flaws.get(task, "")

    def _above(self, tasks: Collection[str]) -> set[str]:
        found, todo = set(tasks), list(tasks)
        while todo:
            for source in self.flow.needs[todo.pop()]:
                if source not in found:
                    found.add(source)
                    todo.append(source)
        return found

    # What runs must have what it reads, as it was at its place; else who makes it runs too.

    def _close(self) -> None:
        changed = True
        while changed:
            count = len(self.runs)
            self._follow()
            for task in [*(task for task in self.flow.tasks if task in self.runs and task not in self.stored), ""]:
                for version in self._read(task):
                    if version[1] not in self.runs and self._source(version, task) is None:
                        self._remake(version, task)
                for path, writer in self.flow.files.get(task, {}).items():
                    if writer not in self.runs and self.stock.writers.get(path, writer) != writer:
                        self.runs[writer] = f"{task!r} needs the file {path} as it was"
                        if self.within is not None:
                            self.within |= self._above([writer])
            changed = len(self.runs) != count

    def _follow(self) -> None:
        """Let run again what comes from something that runs again."""
        for task in self.flow.tasks:
            if task in self.runs or (self.within is not None and task not in self.within):
                continue
            for source, name in self.flow.needs[task].items():
                if source in self.runs:
                    self.runs[task] = _newer(name, source)
                    break

    def _read(self, task: str) -> Collection[Version]:
        """Return the versions a task reads; at the end of a run of everything, the last of each name."""
        if task:
            return self.flow.reads.get(task, ())
        return self._last() if self.within is None else ()

    def _last(self) -> list[Version]:
        """Return the last version of each name; where a task that runs perhaps makes it, also what it would leave."""
        if self._known != len(self.runs):
            self._known, self._found = len(self.runs), []
            closed: set[str] = set()
            for version in reversed(self.ends):
                if version[0] in closed or (version[1] not in self.runs and self._was_left_out(version)):
                    continue
                self._found.append(version)
                if version[1] not in self.runs:
                    closed.add(version[0])
            self._found.reverse()
        return self._found

    def _place(self, task: str) -> int:
        return self.order[task] if task else self.end

    def _remake(self, version: Version, task: str) -> None:
        name, maker = version
        if maker:
            makers = {maker}
            if (bond := self.flow.bonds.get(version)) is not None:
                # Versions that share memory are made anew together: a copy of one would not be part of the others.
                above = self.makers.get(bond, set()) | self._changers(bond)
                makers |= {other for other in above if self.order[other] < self._place(task)}
            why = f"{task!r} needs {name!r} as it was, and that is not kept" if task else f"{name!r} is not kept"
            for other in makers:
                self.runs.setdefault(other, why)
            if self.within is not None:
                self.within |= self._above(makers)
        elif task or version in self.stock.spent:
            self.lacks[task] = f"{task or 'The flow'!r} reads {name!r} of a plain cell, {self._loss(version)} again."

    def _loss(self, version: Version) -> str:
        """Say what became of a plain cell's version, and which cells to execute."""
        bond = self.flow.bonds.get(version)
        if bond is not None and self._is_severed(bond):
            apart = sorted(name for name, maker in self._copied(bond) if not maker)
            if apart:
                listed = ", ".join(map(repr, apart))
                return (
                    f"which {listed} shared until an earlier run put a copy there. Execute the cell that makes {listed}"
                )
        return f"which a task has changed since and which could not be kept. Execute the cell that makes {version[0]!r}"

    def _changers(self, bond: int) -> set[str]:
        return {task for task, bonds in self.flow.changers.items() if bond in bonds}

    def _beginning(self, bond: int) -> str | None:
        """Return the first task that runs and has a hand in a bond's memory."""
        hands = [task for task in self.makers.get(bond, set()) | self._changers(bond) if task in self.runs]
        return min(hands, key=self.order.__getitem__) if hands else None

    def _source(self, version: Version, task: str) -> Source | bool | None:
        """Return the copy a version comes from, True if it is at hand as it is, None if it is not to be had."""
        if self._was_left_out(version):
            return True
        bond, place = self.flow.bonds.get(version), self._place(task)
        first = self._beginning(bond) if bond is not None else None
        # What is shown at the end is the memory itself, whoever has had a hand in it.
        is_shared = bond is None or not task or (first is not None and self.order[first] <= place)
        if first is not None:
            place = min(self.order[first], place)
            if is_shared and first in self.stored and first != task:
                return True  # what is loaded there takes the place of all of them
        hand = first if first is not None and is_shared else task
        copy = self._copy(version, place, hand)
        if not copy:
            mates = self._read_mates(bond, version, place) if is_shared and bond is not None else []
            copies = [other for mate in mates if (other := self._copy(mate, place, hand))]
            if not copies:
                return None if is_shared and bond is not None and self._is_severed(bond) else True
            copy = copies[0]
        return Source(copy, is_shared) if version in self.stock.copies.get(copy, ()) else None

    def _was_left_out(self, version: Version) -> bool:
        """Whether its maker completed without making it: a branch that was not taken, say."""
        name, maker = version
        record = self.records.get(maker)
        return record is not None and name not in record.made

    def _copy(self, version: Version, place: int, hand: str) -> str:
        """Return the copy that would hold a version as it was at a place of the flow; nothing if it is so in memory."""
        bond = self.flow.bonds.get(version)
        for actor in self.stock.spent.get(version, ()):
            # A task that is gone, or does not change this any more, has changed it in ways that nothing accounts for.
            is_known = bond in self.flow.changers.get(actor, ()) or actor in self.flow.opaque
            if not is_known or self.order.get(actor, place) >= place:
                return before(actor)
        if version in self.stock.live or not (version[1] or version in self.stock.spent):
            return ""
        if bond is None:
            return "@".join(version)
        later = [other for other in self.acted.get(bond, ()) if self.order.get(other, -1) >= place]
        # Where nothing was changed after all, what a task was about to change may have been kept for it alone.
        return before(min(later, key=self.order.__getitem__) if later else hand)

    def _is_severed(self, bond: int) -> bool:
        """Whether versions of a bond in memory have lost what they shared: a copy replaced some of them and not all."""
        copied = [self.stock.came[each][0] for each in self._copied(bond)]
        came = [self.stock.came.get(each, (0, False))[0] for each in self._there(bond)]
        # What was made after a copy was put in place was made from it.
        return bool(copied) and any(moment < max(copied) for moment in came)

    def _there(self, bond: int) -> list[Version]:
        return [each for each in self.stock.live if self.flow.bonds.get(each) == bond and each[1] not in self.runs]

    def _copied(self, bond: int) -> list[Version]:
        """Return the versions of a bond that a copy has replaced."""
        return [each for each in self._there(bond) if self.stock.came.get(each, (0, False))[1]]

    def _read_mates(self, bond: int, version: Version, place: int) -> list[Version]:
        """Return the other versions of a bond that the run reads from that place on and does not make."""
        tasks = [task for task in self.runs if task not in self.stored and self.order[task] >= place]
        found = {
            other
            for task in [*tasks, ""]
            for other in self._read(task)
            if other != version and other[1] not in self.runs and self.flow.bonds.get(other) == bond
            if not self._was_left_out(other)
        }
        return sorted(found)

    def _sources(self, task: str) -> dict[Version, Source]:
        found: dict[Version, Source] = {}
        for version in self._read(task) if task not in self.stored else ():
            source = self._source(version, task) if version[1] not in self.runs else None
            if isinstance(source, Source):
                found[version] = source
        return found


def _newer(name: str, source: str) -> str:
    return f"{name!r} comes from a newer {source!r}" if name and ":" not in name else f"{source!r} is newer"
