"""What a flow can be given, as its signature says: for forms, command lines, and processes that do not load it.

In: a function, and values as a person wrote them.  Out: a schema in the terms in which notebooks have theirs, and
values that JSON can hold, each checked by pydantic against its annotation.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

from orch_notebook.functions.arguments import validate
from orch_notebook.model.limits import limits_of_annotation
from orch_notebook.model.parameters import Parameter, parse_assignments

__all__ = ["check_given", "fields_of", "parameters_of", "read_words", "words_of"]


def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """Return the parameters of a function.

    Examples
    --------
    >>> def report(day: str, n: int = 3, *, out=None): ...
    >>> [parameter.words() for parameter in parameters_of(report)]
    ['day: str', 'n: int = 3', 'out = None']
    """
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations that only a type checker understands
        hints = {}
    found = []
    for name, each in inspect.signature(function).parameters.items():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            continue
        annotation = words_of(each.annotation if isinstance(each.annotation, str) else hints.get(name, each.annotation))
        limits = limits_of_annotation(annotation)
        if each.default is each.empty:
            found.append(Parameter(name, annotation, required=True, help=_help(hints.get(name)), limits=limits))
        elif _is_plain(each.default):
            found.append(Parameter(name, annotation, each.default, help=_help(hints.get(name)), limits=limits))
        else:
            note = f"The default of {name!r} is no plain value; the flow makes it when it runs."
            found.append(Parameter(name, annotation, computed=True, help=_help(hints.get(name)), note=note))
    return tuple(found)


def words_of(annotation: Any) -> str:
    """Return an annotation as it is written; empty if there is none."""
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _help(hint: Any) -> str:
    """Return what ``Annotated[int, Field(description=…)]`` says."""
    for each in getattr(hint, "__metadata__", ()):
        if isinstance(text := getattr(each, "description", None), str):
            return text
    return ""


def _is_plain(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def check_given(function: Callable[..., Any], given: Mapping[str, Any], flow: str) -> None:
    """Check values against the annotations of a function, constraints and models included.

    Raises
    ------
    ParameterError
        One is not what its annotation says.
    """
    validate(function, given, flow)


def fields_of(wanted: Any) -> tuple[Parameter, ...]:
    """Return the fields of a pydantic model as parameters; nothing of any other type."""
    fields = getattr(wanted, "model_fields", None)
    if not isinstance(fields, dict):
        return ()
    found = []
    for name, field in fields.items():
        annotation, about = words_of(field.annotation), field.description or ""
        # What pydantic keeps of a field's limits reads as it was written: Ge(ge=1).
        limits = limits_of_annotation(f"[{', '.join(map(repr, field.metadata))}]")
        if field.is_required():
            found.append(Parameter(name, annotation, required=True, help=about, limits=limits))
        elif _is_plain(field.default):
            found.append(Parameter(name, annotation, field.default, help=about, limits=limits))
        else:
            found.append(Parameter(name, annotation, computed=True, help=about, limits=limits))
    return tuple(found)


def read_words(words: Sequence[str], schema: Sequence[Parameter]) -> dict[str, Any]:
    """Read ``name=value`` words of a command line; where one value is wanted, its name may be left out.

    Examples
    --------
    >>> read_words(["5"], [Parameter("input", "int", required=True)])
    {'input': '5'}
    """
    if len(words) == 1 and [each.name for each in schema] == ["input"] and not words[0].startswith("input="):
        words = [f"input={words[0]}"]
    return parse_assignments(words, schema)
