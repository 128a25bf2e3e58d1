"""The options of ``@task`` and ``@flow``: what may be said, what each means, and how they change in a copy.

In: keyword arguments as a person wrote them.  Out: frozen values, checked at once, so that a mistake is told where it
was made and not when the flow runs at night.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, TypeVar

from orch_notebook.errors import UsageError
from orch_notebook.functions.assets import Asset, asset_of
from orch_notebook.functions.serializers import Serializer, serializer_of
from orch_notebook.model.tasks import RUNNER_WORDS, RUNNERS, WHEN, RetryPolicy
from orch_notebook.runtime.storages import check_place

__all__ = [
    "FlowOptions",
    "MaterializeOptions",
    "TaskOptions",
    "changed",
    "exponential_backoff",
    "make",
    "part_options",
    "retry_policy",
    "seconds_of",
]

Hook = Callable[..., Any]
Delays = float | timedelta | Sequence[float] | Callable[[int], Sequence[float]] | None

#: As many delays as Prefect takes.
MOST_DELAYS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What ``@task(…)`` takes; names and meanings are Prefect's, but for `when`, `retry_on`, `runner`, `resources`."""

    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    version: str | None = None
    task_run_name: str | Callable[..., str] | None = None
    retries: int = 0
    retry_delay_seconds: Delays = None
    retry_jitter_factor: float | None = None
    retry_condition_fn: Callable[..., bool] | None = None
    retry_on: tuple[type[BaseException], ...] = ()
    timeout_seconds: float | timedelta | None = None
    when: str = "all_success"
    runner: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    cache_policy: Any = None
    cache_key_fn: Callable[..., str | None] | None = None
    cache_expiration: timedelta | float | None = None
    refresh_cache: bool | None = None
    persist_result: bool | None = None
    result_storage: str | None = None
    result_storage_key: str | None = None
    result_serializer: Serializer | None = None
    cache_result_in_memory: bool = True
    log_prints: bool | None = None
    on_running: tuple[Hook, ...] = ()
    on_completion: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    on_rollback: tuple[Hook, ...] = ()
    on_commit: tuple[Hook, ...] = ()
    asset_deps: tuple[Asset, ...] = ()
    viz_return_value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterializeOptions(TaskOptions):
    """What ``@materialize(…)`` takes: the assets that the task makes and the tool that does, and all of ``@task``."""

    assets: tuple[Asset, ...] = ()
    materialized_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOptions:
    """What ``@flow(…)`` takes; the names and meanings are Prefect's."""

    name: str | None = None
    description: str | None = None
    version: str | None = None
    flow_run_name: str | Callable[..., str] | None = None
    retries: int = 0
    retry_delay_seconds: Delays = None
    task_runner: Any = None
    timeout_seconds: float | timedelta | None = None
    validate_parameters: bool = True
    persist_result: bool | None = None
    result_storage: str | None = None
    result_serializer: Serializer | None = None
    cache_result_in_memory: bool = True
    log_prints: bool | None = None
    on_running: tuple[Hook, ...] = ()
    on_completion: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    on_cancellation: tuple[Hook, ...] = ()
    on_crashed: tuple[Hook, ...] = ()
    tags: tuple[str, ...] = field(default=())


Options = TypeVar("Options", TaskOptions, FlowOptions)

#: Options that hold several; one alone may be given bare.
SEVERAL = frozenset(
    {
        "tags",
        "retry_on",
        "assets",
        "asset_deps",
        "on_running",
        "on_completion",
        "on_failure",
        "on_cancellation",
        "on_crashed",
    }
    | {"on_rollback", "on_commit"}
)


def make(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Return options as they were given.

    Raises
    ------
    UsageError
        There is no such option, or its value makes no sense.
    """
    return changed(kind(), given)


def changed(options: Options, given: Mapping[str, Any]) -> Options:
    """Return a copy with some options changed; None leaves what holds.

    Examples
    --------
    >>> changed(TaskOptions(retries=2), {"retries": 0, "tags": ["gpu"]}).tags
    ('gpu',)
    >>> changed(TaskOptions(), {"retrys": 2})
    Traceback (most recent call last):
    orch_notebook.errors.UsageError: @task has no option 'retrys'. Did you mean 'retries'?
    """
    known = {each.name for each in fields(options)}
    what = "@task" if isinstance(options, TaskOptions) else "@flow"
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise UsageError(f"{what} has no option {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        if name in SEVERAL:
            is_bare = isinstance(value, str | type) or not isinstance(value, Iterable)
            value = (value,) if is_bare else tuple(value)
        if name in ("assets", "asset_deps"):
            value = tuple(dict.fromkeys(map(asset_of, value)))
        elif name == "result_storage":
            value = check_place(value)
        elif name == "result_serializer":
            value = serializer_of(value)
        values[name] = value
    made = replace(options, **values)
    _check(made, what)
    return made


def _check(options: TaskOptions | FlowOptions, what: str) -> None:
    if not isinstance(options.retries, int) or options.retries < 0:
        raise UsageError(f"retries of {what} must be a whole number from 0, not {options.retries!r}.")
    timeout = seconds_of(options.timeout_seconds)
    if timeout is not None and not timeout > 0:
        raise UsageError(f"timeout_seconds of {what} must be above 0, not {options.timeout_seconds!r}.")
    for name in ("on_running", "on_completion", "on_failure"):
        for hook in getattr(options, name):
            if not callable(hook):
                raise UsageError(f"{name} of {what} must hold functions (task or flow, run, state), not {hook!r}.")
    if isinstance(options, TaskOptions):
        for name, amount in options.resources.items():
            if not (isinstance(name, str) and isinstance(amount, int | float) and amount > 0):
                raise UsageError(f"resources of {what} say how much of what: {{'GPU': 1}}, not {name!r}: {amount!r}.")
        if options.when not in WHEN:
            raise UsageError(f"when={options.when!r} of {what} must be one of {', '.join(WHEN)}.")
        for kind in options.retry_on:
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise UsageError(f"retry_on of {what} must hold exception classes, not {kind!r}.")
        if options.runner is not None and options.runner not in RUNNERS:
            raise UsageError(f"runner={options.runner!r} of {what} must be {RUNNER_WORDS}.")
        if options.retry_jitter_factor is not None and options.retry_jitter_factor < 0:
            raise UsageError(f"retry_jitter_factor of {what} must not be below 0.")
        if options.result_storage_key is not None and not isinstance(options.result_storage_key, str):
            raise UsageError(f"result_storage_key of {what} is a text such as '{{parameters[day]}}.json'.")
    else:
        for name in ("on_cancellation", "on_crashed"):
            for hook in getattr(options, name):
                if not callable(hook):
                    raise UsageError(f"{name} of @flow must hold functions (flow, run, state), not {hook!r}.")
    retry_policy(options)


def part_options(options: FlowOptions, name: str) -> TaskOptions:
    """Return the options of the task run that a flow is in another one: what it returns is kept as it says itself."""
    return TaskOptions(
        name=name,
        persist_result=options.persist_result,
        result_storage=options.result_storage,
        result_serializer=options.result_serializer,
    )


def seconds_of(length: float | timedelta | None) -> float | None:
    """Return a length of time in seconds.

    Examples
    --------
    >>> seconds_of(timedelta(minutes=2)), seconds_of(3), seconds_of(None)
    (120.0, 3.0, None)
    """
    if length is None:
        return None
    return length.total_seconds() if isinstance(length, timedelta) else float(length)


def retry_policy(options: TaskOptions | FlowOptions) -> RetryPolicy:
    """Return how an attempt that failed is followed by others."""
    delays = options.retry_delay_seconds
    if callable(delays):
        delays = delays(options.retries)
    if delays is None:
        given: tuple[float, ...] = ()
    elif isinstance(delays, int | float | timedelta):
        given = (seconds_of(delays) or 0.0,)
    else:
        given = tuple(seconds_of(each) or 0.0 for each in delays)
    if len(given) > MOST_DELAYS:
        raise UsageError(f"retry_delay_seconds holds {len(given)} delays; at most {MOST_DELAYS} make sense.")
    if any(delay < 0 for delay in given):
        raise UsageError("retry_delay_seconds must not be below 0.")
    return RetryPolicy(options.retries, given, getattr(options, "retry_jitter_factor", None) or 0.0)


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Return delays that double: `backoff_factor` seconds, then twice, four times, eight times as many.

    Examples
    --------
    >>> exponential_backoff(10)(3)
    [10.0, 20.0, 40.0]
    """

    def delays(retries: int) -> list[float]:
        return [float(backoff_factor) * 2**place for place in range(min(retries, MOST_DELAYS))]

    return delays
