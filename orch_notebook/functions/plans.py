"""How the result of a task run is to be kept: under which key, made of what, and where.

In: one call of a task.  Out: a plan; a key of the call's inputs, its source and whatever its policy counts, or a note
on why there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from orch_notebook.functions.arguments import PLAIN
from orch_notebook.functions.deposits import AS_USUAL, Deposits, Shelf
from orch_notebook.functions.options import TaskOptions
from orch_notebook.functions.policies import INPUTS, TASK_SOURCE, CachePolicy, CallParts, key_of
from orch_notebook.model.runs import FlowRun
from orch_notebook.runtime.context import deployment, flow_run, flow_scope, task_run
from orch_notebook.runtime.fingerprints import Fingerprints

if TYPE_CHECKING:
    from orch_notebook.functions.futures import Future

__all__ = ["Plan", "Planner"]

#: What an attempt's result depends on, as far as another attempt of the same run is concerned.
SAME_CALL = INPUTS + TASK_SOURCE


class Plan(NamedTuple):
    """How a task run's result is kept: under which key, made of what, and until when."""

    key: str
    recipe: Mapping[str, str]
    policy: CachePolicy | None
    note: str = ""
    shelf: Shelf = AS_USUAL


class Unkeepable(Exception):
    """Why a result has no key; one sentence."""


class Planner:
    """Plans how the results of one flow run are kept.

    Parameters
    ----------
    run : FlowRun
        The run.
    line : str
        The first run of its line, which it repeats.
    deposits : Deposits
        Where results rest.
    """

    def __init__(self, run: FlowRun, line: str, deposits: Deposits) -> None:
        self._run = run
        self._line = line
        self._deposits = deposits
        self._table = Fingerprints()
        self._sources: dict[int, tuple[Any, str]] = {}
        #: Whether results are kept of tasks that do not say so themselves; None for as is usual.
        self.persist: bool | None = None
        #: The keys of task runs by name: what they returned counts as that when it is passed on.
        self.keys: dict[str, str] = {}

    def plan(self, future: Future, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan | None:
        """Return how the result of an attempt is kept; None if it is not."""
        options = future.task.options
        policy = options.cache_policy
        if options.cache_key_fn is not None:
            policy = (policy or CachePolicy()) + CachePolicy(functions=(options.cache_key_fn,))
        if options.persist_result is False or (self.persist is False and not _says_so(options)):
            return None
        name = ""
        try:
            if options.result_storage_key is not None:
                name = _rendered(options.result_storage_key, future.task.named(args, kwargs))
                # The name is the key, as in Prefect: what stands there is used again.
                if policy is None or not policy.is_off:
                    policy = CachePolicy(functions=(lambda context, inputs: name,))
                else:
                    policy = None
            if policy is not None and policy.is_off:
                return None
            shelf = self._deposits.shelf(options, name)
            call = CallParts(
                future.task,
                future.task.named(args, kwargs) if policy is not None else _by_place(args, kwargs),
                self._parameters(),
                self._line,
                lambda name, value: self._digest(future, name, value),
                lambda: self._source(future.task.source),
            )
            recipe = (policy or SAME_CALL).recipe(call)
        except Unkeepable as error:
            return Plan("", {}, policy, f"Not kept, so it always runs: {error}")
        if recipe is None:
            return None
        return Plan(key_of({"task": future.task.name, **recipe}), recipe, policy, shelf=shelf)

    def _parameters(self) -> Mapping[str, Any]:
        """Return what the flow was given: itself, since the store shows it only as far as JSON goes."""
        scope = flow_scope.get()
        return scope.parameters if scope is not None and scope.run_id == self._run.run_id else self._run.parameters

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


def _says_so(options: TaskOptions) -> bool:
    """Whether a task says itself that its results are kept: plainly, or by saying how."""
    return bool(options.persist_result) or any(
        given is not None
        for given in (
            *(options.cache_policy, options.cache_key_fn, options.result_storage),
            *(options.result_storage_key, options.result_serializer),
        )
    )


def _rendered(template: str, parameters: Mapping[str, Any]) -> str:
    """Return the name that a task gives its result.

    Raises
    ------
    Unkeepable
        It names what there is not.
    """
    try:
        return template.format(flow_run=flow_run, task_run=task_run, deployment=deployment, parameters=parameters)
    except Exception as error:  # noqa: BLE001 - a template may fail in any way
        said = f"{type(error).__name__}: {error}"
        raise Unkeepable(f"its result_storage_key {template!r} cannot be filled in ({said}).") from None


def _by_place(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments by where they stand; cheaper than by parameter, and as good within one run."""
    return {**{str(place): value for place, value in enumerate(args)}, **kwargs}
