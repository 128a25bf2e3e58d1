"""The arguments of calls: where futures hide in them, which are mapped, and what a flow's parameters must be.

In: arguments as they were written.  Out: the futures among them; the same with results in their places; one set per
element for ``map``; values coerced to their annotations.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from orch_notebook.errors import ParameterError, UpstreamFailed, UsageError
from orch_notebook.functions.futures import Future
from orch_notebook.functions.outcomes import Away, Outcome
from orch_notebook.functions.secrets import Secret
from orch_notebook.model.states import StateType
from orch_notebook.runtime.redaction import redactor

__all__ = [
    "BY_NAME",
    "PLAIN",
    "AllowFailure",
    "Quote",
    "Unmapped",
    "adapter_of",
    "allow_failure",
    "bind",
    "coerce",
    "expand",
    "find",
    "opaque",
    "quote",
    "resolve",
    "unmapped",
    "validate",
]

V = TypeVar("V")

#: A parameter that is a secret is given by the name of one, where it would lie open in the store: ``secret:api-token``.
BY_NAME = "secret:"

#: What holds nothing: most arguments are of these kinds, and are passed over at once.
PLAIN = frozenset({str, int, float, bool, type(None), bytes, complex})


class Unmapped(Generic[V]):
    """A value that every call of a ``map`` is given as it is."""

    __slots__ = ("value",)

    def __init__(self, value: V) -> None:
        self.value = value


class AllowFailure(Generic[V]):
    """A future whose failure is no reason not to run; the task is given the exception."""

    __slots__ = ("value",)

    def __init__(self, value: V) -> None:
        self.value = value


class Quote(Generic[V]):
    """A value in which no futures are looked for."""

    __slots__ = ("value",)

    def __init__(self, value: V) -> None:
        self.value = value


def unmapped(value: V) -> Unmapped[V]:
    """Give every call of a ``map`` this same value, also if it could be iterated over."""
    return Unmapped(value)


def allow_failure(value: V) -> AllowFailure[V]:
    """Let a task run although this future, or one in this list, may fail; it is given the exception in its place."""
    return AllowFailure(value)


def quote(value: V) -> Quote[V]:
    """Pass a big value without looking for futures in it."""
    return Quote(value)


opaque = quote


def find(value: Any, found: dict[Future, bool], allowed: bool = False) -> None:
    """Collect the futures in a value; True for those that are allowed to fail.

    Lists, tuples, sets and dicts are looked into; a future that stands in two places must not fail if one demands it.
    """
    kind = type(value)
    if kind in PLAIN:
        return
    if kind is Future:
        found[value] = found.get(value, True) and allowed
    elif kind is dict:
        for each in value.values():
            find(each, found, allowed)
    elif kind in (list, tuple, set, frozenset) or isinstance(value, list):
        for each in value:
            find(each, found, allowed)
    elif kind is AllowFailure:
        find(value.value, found, True)
    elif kind is Unmapped:
        find(value.value, found, allowed)


def resolve(value: Any, *, raise_on_failure: bool = True) -> Any:
    """Return a value with results in the places of its futures and states; the same object if there are none."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is Future:
        return _outcome_of(value, raise_on_failure)
    if kind is Outcome:
        return value.result(raise_on_failure=raise_on_failure)
    if kind is AllowFailure:
        return resolve(value.value, raise_on_failure=False)
    if kind is Quote or kind is Unmapped:
        return value.value if kind is Quote else resolve(value.value, raise_on_failure=raise_on_failure)
    if kind is dict:
        if not any(type(each) not in PLAIN for each in value.values()):
            return value
        made = {key: resolve(each, raise_on_failure=raise_on_failure) for key, each in value.items()}
        return made if any(made[key] is not value[key] for key in value) else value
    if kind in (tuple, set, frozenset) or isinstance(value, list):
        if not any(type(each) not in PLAIN for each in value):
            return value
        items = [resolve(each, raise_on_failure=raise_on_failure) for each in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return items if isinstance(value, list) else kind(items)
    return value


def _outcome_of(future: Future, raise_on_failure: bool) -> Any:
    now = future.state_now
    if now.type is StateType.COMPLETED:
        return future.value.load() if type(future.value) is Away else future.value
    error = future.failure()
    if not raise_on_failure:
        return error
    future.is_observed = True
    # Only of another flow run: of the same one the machine sees to it that this is not performed.
    said = f"It needs {future.name!r} of another run, which ended {now.name}."
    raise UpstreamFailed(said, task="", culprit=future.name, retriable=False) from error


def expand(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the arguments of each call of a ``map``: one for each element of what can be iterated over.

    Raises
    ------
    UsageError
        Nothing can be iterated over, or the lengths differ.
    """
    named = dict(enumerate(args)) | dict(kwargs)
    lists: dict[int | str, list[Any]] = {}
    for name, value in named.items():
        if isinstance(value, Future):
            value = value.result()
        if isinstance(value, AllowFailure) and not isinstance(value.value, Future):
            lists[name] = [AllowFailure(each) for each in value.value]
        elif isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | Unmapped | Quote):
            lists[name] = list(value)
    label = getattr(function, "__name__", "it")
    if not lists:
        raise UsageError(f"Nothing to map {label!r} over: none of its arguments is a list or the like.")
    lengths = {name: len(items) for name, items in lists.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{_named(function, name)}: {length}" for name, length in lengths.items())
        raise UsageError(
            f"{label!r} cannot be mapped over lists of different lengths ({told}). unmapped() repeats a value."
        )
    calls = []
    for row in range(next(iter(lengths.values()))):
        picked = {
            name: lists[name][row] if name in lists else value.value if isinstance(value, Unmapped) else value
            for name, value in named.items()
        }
        calls.append((tuple(picked[place] for place in range(len(args))), {name: picked[name] for name in kwargs}))
    return calls


def _named(function: Callable[..., Any], name: int | str) -> str:
    if isinstance(name, str):
        return name
    names = list(inspect.signature(function).parameters)
    return names[name] if name < len(names) else f"argument {name + 1}"


def bind(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by parameter, defaults included.

    Raises
    ------
    TypeError
        They do not fit the function, as Python itself would say.
    """
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def validate(function: Callable[..., Any], given: Mapping[str, Any], flow: str) -> dict[str, Any]:
    """Return a flow's parameters coerced to their annotations.

    Raises
    ------
    ParameterError
        One is not what its annotation says, and cannot be made so.
    """
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations that only a type checker understands
        hints = {}
    kinds = {name: each.kind for name, each in inspect.signature(function).parameters.items()}
    values = dict(given)
    for name, value in given.items():
        hint = hints.get(name, Any)
        if kinds[name] in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        if isinstance(value, Future | Outcome):
            value = value.result()
        if isinstance(value, str) and value.startswith(BY_NAME) and _is_secret(hint):
            value = Secret.load(value.removeprefix(BY_NAME)).get()
        values[name] = value if _is_what_it_says(value, hint) else coerce(name, value, hint, flow)
        if hasattr(type(values[name]), "get_secret_value"):
            redactor.add(values[name].get_secret_value())
    return values


def _is_secret(hint: Any) -> bool:
    """Whether an annotation is pydantic's for secrets, or may be."""
    return getattr(hint, "__name__", "") in ("SecretStr", "SecretBytes") or any(map(_is_secret, get_args(hint)))


def _is_what_it_says(value: Any, hint: Any) -> bool:
    """Whether a value so plainly fits that nobody need be asked: pydantic takes 0.1 s to load."""
    if hint is Any or hint is inspect.Parameter.empty or isinstance(hint, TypeVar):
        return True
    if isinstance(hint, type) and get_origin(hint) is None:
        return type(value) is hint and (hint in PLAIN or hint in (list, dict, tuple, set))
    if get_origin(hint) in (Union, UnionType):
        return any(_is_what_it_says(value, each) for each in get_args(hint))
    if hint is None:
        return value is None
    if get_origin(hint) in (list, set) and type(value) is get_origin(hint):
        [each] = get_args(hint) or (Any,)
        return len(value) <= 1000 and all(_is_what_it_says(item, each) for item in value)
    if get_origin(hint) is dict and type(value) is dict:
        key, item = get_args(hint) or (Any, Any)
        return len(value) <= 1000 and all(
            _is_what_it_says(k, key) and _is_what_it_says(v, item) for k, v in value.items()
        )
    return False


def adapter_of(kind: type) -> Any:
    """Return what pydantic writes and reads values of a class by; None if it does not know such values."""
    from pydantic import PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(kind)
    except PydanticUserError:
        return None


def coerce(name: str, value: Any, hint: Any, flow: str) -> Any:
    """Return a value made what an annotation says, as pydantic does it.

    Raises
    ------
    ParameterError
        It cannot be made so.
    """
    from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

    try:
        try:
            adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
        except PydanticUserError:  # a model brings its own configuration
            adapter = TypeAdapter(hint)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        said = "; ".join(
            ".".join(str(part) for part in found["loc"]) + (": " if found["loc"] else "") + found["msg"].lower()
            for found in error.errors()[:3]
        )
        raise ParameterError(
            f"Parameter {name!r} of flow {flow!r} cannot be {value!r:.80}: {said}.", parameter=name
        ) from None
