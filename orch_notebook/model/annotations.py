"""What a parameter's annotation admits: text such as ``list[int]`` and a value in, a checked JSON value out.

Annotations are read from a table, never evaluated, so looking at a notebook runs none of its code.  pydantic does the
checking and is imported at one place, when the first value is checked.
"""

from __future__ import annotations

import ast
import datetime
import json
import math
import re
import reprlib
from collections.abc import Callable
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, Optional, Union, get_args, get_origin

__all__ = ["Mismatch", "admit", "is_checkable", "is_text", "plain_words", "schema_of", "travels_as"]

#: The types that can be named; whatever else an annotation says is shown but not checked.
TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "list": list,
    "List": list,
    "Sequence": list,
    "dict": dict,
    "Dict": dict,
    "Mapping": dict,
    "tuple": tuple,
    "Tuple": tuple,
    "set": set,
    "Set": set,
    "frozenset": frozenset,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "time": datetime.time,
    "timedelta": datetime.timedelta,
    "Any": Any,
    "None": None,
}

#: What a value of these types is when it reaches the notebook, because JSON has no word for it.
HANDED_OVER = {
    tuple: "a list",
    set: "a list",
    frozenset: "a list",
    datetime.date: "ISO text",
    datetime.datetime: "ISO text",
    datetime.time: "ISO text",
    datetime.timedelta: "ISO text",
}


NUMBER = re.compile(r"\s*[-+]?[\d.]+\s*")


class Mismatch(Exception):
    """A value is not what its annotation asks for; the message says what came, and where in it."""


class _Unreadable(Exception):
    """An annotation speaks of something the table does not hold."""


@lru_cache(maxsize=256)
def _read(annotation: str) -> Any:
    try:
        return _resolve(ast.parse(annotation.strip(), mode="eval").body)
    except (_Unreadable, SyntaxError, TypeError, ValueError, RecursionError):
        return None


def _resolve(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str(text)):
            return _resolve(ast.parse(text, mode="eval").body)
        case ast.Constant(value=value) if value is Ellipsis:
            return Ellipsis
        # `datetime.date`, `dt.date` and `date` mean the same here: only the last word is looked up.
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in TYPES:
            return TYPES[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_resolve(left), _resolve(right)]  # noqa: UP007 - built at run time, where None | None fails
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            return _parametrise(name, inner)
    raise _Unreadable


def _parametrise(name: str, inner: ast.expr) -> Any:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Literal":
        return Literal[tuple(ast.literal_eval(part) for part in parts)]
    if name == "Annotated":
        return _resolve(parts[0])
    resolved = tuple(_resolve(part) for part in parts)
    if name == "Optional":
        return Optional[resolved[0]]  # noqa: UP045 - built at run time
    if name == "Union":
        return Union[resolved]  # noqa: UP007 - built at run time
    kind = TYPES.get(name)
    if kind not in (list, dict, tuple, set, frozenset):
        raise _Unreadable
    return kind[resolved if len(resolved) > 1 else resolved[0]]


def is_checkable(annotation: str) -> bool:
    """Whether values can be checked against this annotation.

    Examples
    --------
    >>> is_checkable("dict[str, float] | None"), is_checkable("pd.DataFrame")
    (True, False)
    """
    return _read(annotation) not in (None, Any)


def plain_words(annotation: str) -> str:
    """Return an annotation for people: without what it says of limits.

    Examples
    --------
    >>> plain_words("Annotated[int, Field(ge=1)] | None"), plain_words("list[int]")
    ('int | None', 'list[int]')
    """
    if "Annotated" not in annotation:
        return annotation
    try:
        return ast.unparse(_Bare().visit(ast.parse(annotation.strip(), mode="eval")))
    except (SyntaxError, ValueError):
        return annotation


class _Bare(ast.NodeTransformer):
    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        match node:
            case ast.Subscript(value=ast.Name(id="Annotated") | ast.Attribute(attr="Annotated"), slice=ast.Tuple(elts)):
                return self.visit(elts[0])  # type: ignore[no-any-return]
        return self.generic_visit(node)


def schema_of(annotation: str) -> dict[str, Any]:
    """Return the JSON schema of an annotation; empty if it cannot be checked.

    Examples
    --------
    >>> schema_of("Literal['a', 'b']"), schema_of("pd.DataFrame")
    ({'enum': ['a', 'b'], 'type': 'string'}, {})
    """
    return dict(_adapter(annotation).json_schema()) if is_checkable(annotation) else {}


def is_text(annotation: str) -> bool:
    """Whether plain text is what the annotation asks for, so that ``5`` typed on a command line stays text."""
    return _read(annotation) is str


def travels_as(annotation: str) -> str:
    """Return what a value of this annotation is when it reaches the notebook, or nothing if it is what it says.

    Examples
    --------
    >>> travels_as("datetime.date"), travels_as("tuple[int, int]"), travels_as("int")
    ('ISO text', 'a list', '')
    """
    kind = _read(annotation)
    return HANDED_OVER.get(getattr(kind, "__origin__", kind), "")


def _adapter(annotation: str) -> Any:
    # The one place where pydantic is imported: it takes 100 ms, and a notebook without parameters never needs it.
    from pydantic import TypeAdapter

    return TypeAdapter(_read(annotation))


@lru_cache(maxsize=256)
def _checker(annotation: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    adapter = _adapter(annotation)
    return adapter.validate_python, lambda value: adapter.dump_python(value, mode="json")


def admit(annotation: str, value: Any) -> Any:
    """Check one value and return it as JSON knows it.

    Parameters
    ----------
    annotation : str
        As written in the notebook; one that cannot be checked admits every JSON value.
    value : object
        Text is also taken for what it spells: ``"200"`` for ``int``, ``"[1, 2]"`` for ``list[int]``.

    Raises
    ------
    Mismatch
        The value does not fit.

    Examples
    --------
    >>> admit("int", "200"), admit("list[int]", "[1, 2]"), admit("int | None", "null"), admit("date", "2026-01-02")
    (200, [1, 2], None, '2026-01-02')
    """
    if not is_checkable(annotation):
        return _as_json(value)
    attempts = [value]
    if isinstance(value, str):
        attempts += _spelled(value)
    problem: Mismatch | None = None
    for attempt in attempts:
        try:
            return _as_json(_validate(annotation, attempt))
        except Mismatch as mismatch:
            problem = problem or mismatch
    assert problem is not None
    raise problem


def _spelled(text: str) -> list[Any]:
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if not isinstance(value, str):
            return [value]
    return []


def _validate(annotation: str, value: Any) -> Any:
    validate, dump = _checker(annotation)
    if _has_slipped(_read(annotation), value):
        raise Mismatch(repr(value))
    try:
        return dump(validate(value))
    except (ValueError, TypeError) as error:  # pydantic's ValidationError is a ValueError
        raise Mismatch(_where(error, value)) from None


def _has_slipped(kind: Any, value: Any) -> bool:
    # pydantic takes True for 1, and 5 for a moment in 1970; whoever gives these has mistaken the parameter.
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if isinstance(value, bool):
        return bool not in kinds and not {int, float}.isdisjoint(kinds)
    moments = {datetime.date, datetime.datetime}
    looks_like_number = isinstance(value, int | float) or (isinstance(value, str) and bool(NUMBER.fullmatch(value)))
    return looks_like_number and set(kinds) - {type(None)} <= moments


def _where(error: Exception, value: Any) -> str:
    came = reprlib.repr(value)
    first = (error.errors() or [{}])[0] if hasattr(error, "errors") else {}
    place = [step for step in first.get("loc", ()) if isinstance(step, int) or isinstance(value, dict)]
    if place and isinstance(value, list | tuple | dict):
        return f"{came}, in which {'item' if isinstance(place[0], int) else 'key'} {place[0]!r} does not fit"
    return came


def _as_json(value: Any) -> Any:
    """Return the value as reading its JSON would, so that what is stored is what is handed over."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        if isinstance(value, float) and not math.isfinite(value):
            raise Mismatch(f"{value}, which JSON cannot hold") from None
        raise Mismatch(f"{reprlib.repr(value)} ({type(value).__name__}), which JSON cannot hold") from None
