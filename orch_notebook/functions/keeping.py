"""Results that are kept: for the next attempt of the same run always, for other runs where a policy says so.

In: a task run that is about to be performed, and what it returned.  Out: an earlier result with the reason why it may
be used, or a note on what changed since.  Small results travel inside the event of their completion, so keeping them
costs no file; what cannot be pickled always runs, with a note.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from orch_notebook.functions.deposits import Deposits
from orch_notebook.functions.options import FlowOptions, seconds_of
from orch_notebook.functions.outcomes import Away
from orch_notebook.functions.plans import Plan, Planner
from orch_notebook.functions.policies import compare_recipes
from orch_notebook.model.lines import first_line
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.states import StateType
from orch_notebook.runtime.home import Home

if TYPE_CHECKING:
    from orch_notebook.functions.futures import Future
    from orch_notebook.functions.serializers import Serializer

__all__ = ["Keeper", "kept_return", "lock_of"]

WITH_OTHERS: AbstractContextManager[None] = nullcontext()


class Kept(NamedTuple):
    """A result of an earlier attempt."""

    value: Any
    made_by: str
    offer: Offer


class Offer(NamedTuple):
    """A result of an earlier attempt, loaded when it is asked for; by the task's own serializer, if it has one."""

    load: Callable[[Serializer | None], tuple[Any] | None]
    made_by: str


class Keeper:
    """Keeps the results of one flow run.

    Parameters
    ----------
    home : Home
        Where.
    run : FlowRun
        The run.
    line : str
        The first run of its line, which it repeats.
    """

    def __init__(self, home: Home, run: FlowRun, line: str) -> None:
        self._home = home
        self._run = run
        self.line = line
        self._lock = threading.Lock()
        #: What earlier attempts left, by key; each is used once.
        self.earlier: dict[str, deque[Offer]] = {}
        self.done: dict[str, deque[Offer]] | None = None
        self.deposits = Deposits(home, line)
        self._planner = Planner(run, line, self.deposits)
        self.plan = self._planner.plan
        #: What loads the results that tasks do not want held in memory, by the name of the task run.
        self._loaders: dict[str, Callable[[], Any]] = {}

    def follow(self, options: FlowOptions, outer: Keeper | None) -> None:
        """Keep results as a flow says where its tasks say nothing; and where it says nothing, as the flow around it."""
        self._planner.persist = options.persist_result
        self.deposits.follow(options, None if outer is None else outer.deposits)

    def remember(self) -> None:
        """Hold on to results in memory too: the flow's body may begin again in this process."""
        self.done = {}

    def begin_again(self) -> None:
        """Offer what has been done to the body that begins again."""
        if self.done is not None:
            for key, kept in self.done.items():
                self.earlier.setdefault(key, deque()).extend(kept)
            self.done = {}

    def inherit(self, run: FlowRun, again: Collection[str] = ()) -> None:
        """Offer what an earlier run of the line completed, but for tasks that are to run again."""
        for task in run.tasks:
            key = task.details.get("key")
            if key is None or task.state.type is not StateType.COMPLETED or task.name in again:
                continue
            if "kept" in task.details:
                offer = self._offer(key, task.details, task.task_run_id)
                self.earlier.setdefault(key, deque()).append(offer)

    def _offer(self, key: str, details: Mapping[str, Any], made_by: str) -> Offer:
        return Offer(lambda own: self.deposits.get(key, details, made_by, own), made_by)

    # before the work: what is planned, and what was kept before

    def reuse(self, future: Future, plan: Plan) -> dict[str, Any] | None:
        """Return the details of a task run whose earlier result is used; its value is with the future then."""
        found = self.take(plan)
        if found is not None:
            future.value = found.value
            note = "It completed in an earlier attempt of this run, with the same source and inputs."
            self.note(future, plan, found.offer)
            return {"cached_from": found.made_by, "note": note, "key": plan.key}
        if plan.policy is None or not plan.key or future.task.options.refresh_cache:
            return None
        kept = self.deposits.find(plan.shelf, plan.key)
        if kept is None or (kept.expires_at is not None and kept.expires_at <= self._home.clock.now()):
            return None
        future.value = kept.value
        self.note(future, plan, Offer(lambda own: self._found(plan), kept.made_by))
        parts = " and ".join(dict.fromkeys(part.split(" ")[0] for part in plan.recipe)) or "key"
        same = f"Same {parts} as in run {short_id(kept.made_by.partition('/')[0])}."
        return {"cached_from": kept.made_by, "note": same, "key": plan.key}

    def _found(self, plan: Plan) -> tuple[Any] | None:
        found = self.deposits.find(plan.shelf, plan.key)
        return None if found is None else (found.value,)

    def take(self, plan: Plan, made_by: str = "") -> Kept | None:
        """Return what an earlier attempt (of the run `made_by`, if one is named) left for a call like this, once."""
        while self.earlier and plan.key:
            with self._lock:
                offers = self.earlier.get(plan.key)
                if not offers or not offers[0].made_by.startswith(made_by):
                    return None
                offer = offers.popleft()
            if (found := offer.load(plan.shelf.serializer)) is not None:
                return Kept(found[0], offer.made_by, offer)
        return None

    def note(self, future: Future, plan: Plan, offer: Offer | None) -> None:
        """Let a result count as its key where it is passed on; hold on to it, should the flow's body begin again.

        It is held in memory, unless its task wants it kept only.
        """
        self._planner.keys[future.name] = plan.key
        if self.done is None and future.task.options.cache_result_in_memory:
            return
        made_by = f"{self._run.run_id}/{future.name}"
        if offer is not None and not future.task.options.cache_result_in_memory:
            load, own = offer.load, plan.shelf.serializer
            self._loaders[future.name] = lambda: load(own)
            offer = Offer(load, made_by)
        else:
            value = future.value
            offer = Offer(lambda own: (value,), made_by)
        if self.done is not None:
            with self._lock:
                self.done.setdefault(plan.key, deque()).append(offer)

    def drop(self, future: Future) -> None:
        """Let go of a result that is kept, where its task wants that: whoever asks for it has it loaded."""
        load = self._loaders.pop(future.name, None)
        if load is not None and not future.is_direct:
            future.value = Away(f"What task {future.name!r} returned was kept", load)

    # after the work

    def keep(self, future: Future, plan: Plan) -> dict[str, Any]:
        """Keep what an attempt returned; returns what is recorded of that."""
        if plan.note:
            return {"note": plan.note}
        details: dict[str, Any] = {"key": plan.key}
        made_by = f"{self._run.run_id}/{future.name}"
        offer = None
        try:
            expires_at = None
            if plan.policy is not None:
                if changed := self._why(future, plan):
                    details["note"] = f"Ran because {changed}."
                lasts = seconds_of(future.task.options.cache_expiration)
                expires_at = None if lasts is None else self._home.clock.now() + timedelta(seconds=lasts)
            is_shared = plan.policy is not None
            details |= self.deposits.put(
                plan.shelf, plan.key, future.value, made_by, is_shared=is_shared, expires_at=expires_at
            )
            offer = self._offer(plan.key, details, made_by)
            if is_shared:
                what = {"recipe": dict(plan.recipe), "expires_at": expires_at}
                self._home.results.keep(self._recipe_place(future), what, made_by)
        except Exception as error:  # noqa: BLE001 - what cannot be kept is no failure: the task always runs
            details["note"] = f"Not kept, so it always runs: {first_line(error)}"
            if plan.shelf.storage is not None:  # somebody counts on finding it there
                future.performance.log(future.name, future.attempt, logging.WARNING, details["note"])
        self.note(future, plan, offer)
        return details

    def _recipe_place(self, future: Future) -> str:
        function = future.task.source
        where = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
        return f"recipe/{where}/{future.task.name}"

    def _why(self, future: Future, plan: Plan) -> str:
        """Return in words why the latest result of this task could not be used."""
        if future.task.options.refresh_cache:
            return "refresh_cache says so"
        last = self._home.results.load(self._recipe_place(future))
        if last is None:
            return "nothing was kept"
        changed = compare_recipes(last.values["recipe"], plan.recipe)
        expires_at = last.values.get("expires_at")
        if not changed and expires_at is not None and expires_at <= datetime.now(UTC):
            return "what was kept has expired"
        return changed or "what was kept is gone"

    def keep_returned(
        self, options: FlowOptions, value: Any, log: Callable[[str, int, int, str], object]
    ) -> Away | None:
        """Keep what the flow itself returned, as it says; return what loads it again, None if it could not be kept."""
        made_by, shelf = self._run.run_id, self.deposits.shelf(options)
        try:
            details = self.deposits.put(shelf, "returned", value, made_by, is_shared=False)
            self._home.results.keep(f"returned/{made_by}", {"line": self.line, "details": details}, made_by)
        except Exception as error:  # noqa: BLE001 - what cannot be kept is no failure
            log("", 1, logging.WARNING, f"What the flow returned is not kept: {error}")
            return None
        offer = self._offer("returned", details, made_by)
        return Away(f"What flow {self._run.flow!r} returned was kept", lambda: offer.load(shelf.serializer))

    def alone(self, plan: Plan | None) -> AbstractContextManager[object]:
        """Let nobody else work on the same key meanwhile, where the policy asks for that."""
        is_serial = plan is not None and plan.policy is not None and plan.policy.isolation_level == "SERIALIZABLE"
        return lock_of(plan.key) if is_serial and plan is not None else WITH_OTHERS


_locks: dict[str, threading.Lock] = {}
_locking = threading.Lock()


def lock_of(key: str) -> threading.Lock:
    """Return the lock of a key in this process."""
    with _locking:
        return _locks.setdefault(key, threading.Lock())


def kept_return(home: Home, run_id: str, own: Serializer | None) -> tuple[Any] | None:
    """Return what a flow run returned, where that was kept."""
    kept = home.results.load(f"returned/{run_id}")
    if kept is None:
        return None
    return Deposits(home, kept.values["line"]).get("returned", kept.values["details"], run_id, own)
