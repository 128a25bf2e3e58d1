"""Results that are kept: for the next attempt of the same run always, for other runs where a policy says so.

In: a task run that is about to be performed, and what it returned.  Out: an earlier result with the reason why it may
be used, or a note on what changed since.  Small results travel inside the event of their completion, so keeping them
costs no file; what cannot be pickled always runs, with a note.
"""

from __future__ import annotations

import base64
import pickle
import threading
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from orch_notebook.functions.arguments import PLAIN
from orch_notebook.functions.options import seconds_of
from orch_notebook.functions.policies import INPUTS, TASK_SOURCE, CachePolicy, CallParts, compare_recipes, key_of
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.states import StateType
from orch_notebook.runtime.fingerprints import Fingerprints
from orch_notebook.runtime.home import Home
from orch_notebook.runtime.pickling import from_bytes, to_bytes

if TYPE_CHECKING:
    from orch_notebook.functions.futures import Future

__all__ = ["Keeper", "Plan", "keep_parameters", "kept_parameters"]

#: Pickled results up to this many bytes are kept inside the event of their completion.
INLINE = 4096

#: What an attempt's result depends on, as far as another attempt of the same run is concerned.
SAME_CALL = INPUTS + TASK_SOURCE


WITH_OTHERS: AbstractContextManager[None] = nullcontext()


class Plan(NamedTuple):
    """How a task run's result is kept: under which key, made of what, and until when."""

    key: str
    recipe: Mapping[str, str]
    policy: CachePolicy | None
    note: str = ""


class Kept(NamedTuple):
    """A result of an earlier attempt."""

    value: Any
    made_by: str


class Unkeepable(Exception):
    """Why a result has no key; one sentence."""


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
        self._table = Fingerprints()
        self._sources: dict[int, tuple[Any, str]] = {}
        self._lock = threading.Lock()
        #: Whether results are kept of tasks that do not say so themselves; None for as is usual.
        self.persist: bool | None = None
        #: What earlier attempts left, by key; each is used once.
        self.earlier: dict[str, deque[Kept]] = {}
        #: The keys of task runs by name: what they returned counts as that when it is passed on.
        self.keys: dict[str, str] = {}
        self.done: dict[str, deque[Kept]] | None = None

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
            found = self._restore(key, task.details)
            if found is not None:
                self.earlier.setdefault(key, deque()).append(Kept(found[0], task.task_run_id))

    def _restore(self, key: str, details: Mapping[str, Any]) -> tuple[Any] | None:
        inline = details.get("kept")
        if isinstance(inline, str) and inline != "file":
            data = self._home.results.open(base64.b64decode(inline))
            if data is None:
                return None
            try:
                return (from_bytes(data),)
            except Exception:  # noqa: BLE001 - made with other versions of the libraries: as good as not there
                return None
        found = self._home.results.load(f"{self.line}/{key}") if inline == "file" else None
        return None if found is None else (found.values["value"],)

    # before the work

    def plan(self, future: Future, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan | None:
        """Return how the result of an attempt is kept; None if it is not."""
        options = future.task.options
        policy = options.cache_policy
        if options.cache_key_fn is not None:
            policy = (policy or CachePolicy()) + CachePolicy(functions=(options.cache_key_fn,))
        is_wanted = self.persist if options.persist_result is None else options.persist_result
        if policy is None and is_wanted is False:
            return None
        if policy is not None and policy.is_off:
            return None
        try:
            call = CallParts(
                future.task,
                future.task.named(args, kwargs) if policy is not None else _by_place(args, kwargs),
                self._run.parameters,
                self.line,
                lambda name, value: self._digest(future, name, value),
                lambda: self._source(future.task.source),
            )
            recipe = (policy or SAME_CALL).recipe(call)
        except Unkeepable as error:
            return Plan("", {}, policy, f"Not kept, so it always runs: {error}")
        if recipe is None:
            return None
        return Plan(key_of({"task": future.task.name, **recipe}), recipe, policy)

    def _digest(self, future: Future, name: str, value: Any) -> str:
        origin = None if type(value) in PLAIN else future.performance.origins.of(value)
        if origin is not None and (key := self.keys.get(origin)) is not None:
            return f"result {key}"
        found = self._table.constant(name, value)
        if found.unkept:
            raise Unkeepable(f"its input {name!r} cannot be pickled or is too big to compare.")
        return found.digest

    def _source(self, function: Any) -> str:
        known = self._sources.get(id(function))
        if known is not None and known[0] is function:
            return known[1]
        if isinstance(function, FunctionType):
            digest = self._table.function(function).digest
        else:
            digest = f"{type(function).__module__}.{type(function).__qualname__}"
        self._sources[id(function)] = function, digest
        return digest

    def reuse(self, future: Future, plan: Plan) -> dict[str, Any] | None:
        """Return the details of a task run whose earlier result is used; its value is with the future then."""
        found = self.take(plan.key)
        if found is not None:
            future.value = found.value
            note = "It completed in an earlier attempt of this run, with the same source and inputs."
            return {"cached_from": found.made_by, "note": note, **self._named(future, plan)}
        if plan.policy is None or not plan.key or future.task.options.refresh_cache:
            return None
        kept = self._home.results.load(f"cache/{plan.key}")
        if kept is None:
            return None
        expires_at = kept.values.get("expires_at")
        if expires_at is not None and expires_at <= self._home.clock.now():
            return None
        future.value = kept.values["value"]
        parts = " and ".join(dict.fromkeys(part.split(" ")[0] for part in plan.recipe)) or "key"
        same = f"Same {parts} as in run {short_id(kept.made_by.partition('/')[0])}."
        return {"cached_from": kept.made_by, "note": same, **self._named(future, plan)}

    def take(self, key: str, made_by: str = "") -> Kept | None:
        """Return what an earlier attempt (of the run `made_by`, if one is named) left under a key, once."""
        if not self.earlier or not key:
            return None
        with self._lock:
            found = self.earlier.get(key)
            return found.popleft() if found and found[0].made_by.startswith(made_by) else None

    def _named(self, future: Future, plan: Plan) -> dict[str, Any]:
        self.note(future, plan.key)
        return {"key": plan.key}

    def note(self, future: Future, key: str) -> None:
        """Let a result count as its key where it is passed on; hold on to it, should the flow's body begin again."""
        self.keys[future.name] = key
        if self.done is not None:
            made_by = f"{self._run.run_id}/{future.name}"
            with self._lock:
                self.done.setdefault(key, deque()).append(Kept(future.value, made_by))

    # after the work

    def keep(self, future: Future, plan: Plan) -> dict[str, Any]:
        """Keep what an attempt returned; returns what is recorded of that."""
        if plan.note:
            return {"note": plan.note}
        details = self._named(future, plan)
        made_by = f"{self._run.run_id}/{future.name}"
        try:
            if plan.policy is not None:
                if changed := self._why(future, plan):
                    details["note"] = f"Ran because {changed}."
                self._keep_for_others(future, plan, made_by)
            data = _pickled(future.value)
            if len(data) <= INLINE:
                details["kept"] = base64.b64encode(self._home.results.seal(data)).decode()
            else:
                self._home.results.keep(f"{self.line}/{plan.key}", {"value": future.value}, made_by)
                details["kept"] = "file"
        except Exception as error:  # noqa: BLE001 - what cannot be kept is no failure: the task always runs
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            details["note"] = f"Not kept, so it always runs: {reason[:200]}"
        return details

    def _keep_for_others(self, future: Future, plan: Plan, made_by: str) -> None:
        lasts = seconds_of(future.task.options.cache_expiration)
        expires_at = None if lasts is None else self._home.clock.now() + timedelta(seconds=lasts)
        values = {"value": future.value, "expires_at": expires_at}
        self._home.results.keep(f"cache/{plan.key}", values, made_by)
        self._home.results.keep(
            self._recipe_place(future), {"recipe": dict(plan.recipe), "expires_at": expires_at}, made_by
        )

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

    def alone(self, plan: Plan | None) -> AbstractContextManager[object]:
        """Let nobody else work on the same key meanwhile, where the policy asks for that."""
        is_serial = plan is not None and plan.policy is not None and plan.policy.isolation_level == "SERIALIZABLE"
        return _lock_of(plan.key) if is_serial and plan is not None else WITH_OTHERS


_locks: dict[str, threading.Lock] = {}
_locking = threading.Lock()


def _lock_of(key: str) -> threading.Lock:
    with _locking:
        return _locks.setdefault(key, threading.Lock())


def _pickled(value: Any) -> bytes:
    if type(value) in (type(None), bool, int, float, str, bytes):
        return pickle.dumps(value, 5)
    return to_bytes(value)


def _by_place(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments by where they stand; cheaper than by parameter, and as good within one run."""
    return {**{str(place): value for place, value in enumerate(args)}, **kwargs}


def keep_parameters(home: Home, run_id: str, parameters: Mapping[str, Any]) -> None:
    """Keep what a run was given for whoever goes on with it; the store shows it only as JSON can."""
    try:
        home.results.keep(f"parameters/{run_id}", parameters, run_id)
    except Exception:  # noqa: BLE001 - what cannot be pickled is given as the store shows it
        return


def kept_parameters(home: Home, run: FlowRun) -> dict[str, Any]:
    """Return what a run was given: as it was kept, or as the store shows it."""
    kept = home.results.load(f"parameters/{run.run_id}")
    return dict(run.parameters if kept is None else kept.values)
