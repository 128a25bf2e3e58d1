"""What values of a parameter may be, beyond its type: ranges, choices, patterns and lengths.

In: what an annotation says (``Annotated[int, Field(ge=1)]``, ``Annotated[int, Ge(1)]``), or brackets at the end of a
comment (``# rows [1..100]``).  Out: limits that JSON can hold, which tell whether a value keeps to them, in words, and
in the terms of JSON schema.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from orch_notebook.errors import ParameterError

__all__ = ["Limits", "broken", "limits_of_annotation", "limits_of_comment", "limits_words"]

#: Limits by the words of JSON schema.
Limits = Mapping[str, Any]

#: What libraries call each limit, in calls and as keywords.
SPELLINGS = {
    "ge": "minimum",
    "Ge": "minimum",
    "gt": "exclusiveMinimum",
    "Gt": "exclusiveMinimum",
    "le": "maximum",
    "Le": "maximum",
    "lt": "exclusiveMaximum",
    "Lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "MultipleOf": "multipleOf",
    "min_length": "minLength",
    "MinLen": "minLength",
    "max_length": "maxLength",
    "MaxLen": "maxLength",
    "pattern": "pattern",
    "regex": "pattern",
}
BRACKETS = re.compile(r"\s*\[([^\[\]]+|/.+/)\]\s*$")
NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
DAY = r"\d{4}-\d\d-\d\d"
RANGE = re.compile(rf"({NUMBER}|{DAY})?\s*\.\.\s*({NUMBER}|{DAY})?")
BOUND = re.compile(rf"(>=|<=|>|<)\s*({NUMBER}|{DAY})")
BOUNDS = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}


def limits_of_annotation(annotation: str) -> dict[str, Any]:
    """Return the limits that an annotation says.

    Examples
    --------
    >>> limits_of_annotation("Annotated[int, Field(ge=1, le=100)]")
    {'minimum': 1, 'maximum': 100}
    >>> limits_of_annotation("int")
    {}
    """
    try:
        tree = ast.parse(annotation.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return {}
    return dict(_of(tree))


def _of(tree: ast.expr) -> Iterator[tuple[str, Any]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args, keywords=keywords):
                given = [(name, value) for value in args] if name in SPELLINGS else []
                given += [(word.arg, word.value) for word in keywords if word.arg in SPELLINGS]
                for spelled, value in given:
                    found = _literal(value)
                    if found is not None:
                        yield SPELLINGS[str(spelled)], found


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id="date") | ast.Attribute(attr="date"), args=[*parts]):
            try:
                return date(*(int(ast.literal_eval(part)) for part in parts)).isoformat()
            except (ValueError, TypeError):
                return None
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None
    return value if isinstance(value, int | float | str) else None


def limits_of_comment(comment: str) -> tuple[str, dict[str, Any]]:
    """Return a comment without the limits in brackets at its end, and these.

    Parameters
    ----------
    comment : str
        ``[1..100]``, ``[2026-01-01..]``, ``[>= 0]``, ``[north | south]``, ``[/^[a-z]+$/]``; other brackets are text.

    Raises
    ------
    ParameterError
        A pattern does not parse, or a range is upside down.

    Examples
    --------
    >>> limits_of_comment("rows to draw [1..100]")
    ('rows to draw', {'minimum': 1, 'maximum': 100})
    >>> limits_of_comment("length [cm]")
    ('length [cm]', {})
    """
    found = BRACKETS.search(comment)
    limits = {} if found is None else _bracketed(found[1].strip())
    return (comment[: found.start()].rstrip(), limits) if found and limits else (comment, {})


def _bracketed(text: str) -> dict[str, Any]:
    if (found := RANGE.fullmatch(text)) and (found[1] or found[2]):
        ends = {"minimum": found[1], "maximum": found[2]}
        limits = {word: _end(value) for word, value in ends.items() if value}
        if len(limits) == 2 and type(limits["minimum"]) is type(limits["maximum"]) is str and found[1] > found[2]:
            raise ParameterError(f"The range [{text}] has nothing in it.")
        return limits
    if found := BOUND.fullmatch(text):
        return {BOUNDS[found[1]]: _end(found[2])}
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        try:
            re.compile(text[1:-1])
        except re.error as error:
            raise ParameterError(f"The pattern {text} does not parse: {error}.") from None
        return {"pattern": text[1:-1]}
    if "|" in text:
        return {"enum": [part.strip() for part in text.split("|")]}
    return {}


def _end(text: str) -> int | float | str:
    if re.fullmatch(DAY, text):
        return text
    number = float(text)
    return int(number) if number.is_integer() and not re.search(r"[.eE]", text) else number


def broken(limits: Limits, value: Any) -> bool:
    """Whether a value, as JSON holds it, lies beyond the limits; what they do not speak of does not.

    Examples
    --------
    >>> broken({"minimum": 1}, 0), broken({"minimum": "2026-01-01"}, "2026-02-03"), broken({"enum": ["a"]}, "b")
    (True, False, True)
    """
    if value is None:
        return False
    if "enum" in limits and str(value) not in [str(each) for each in limits["enum"]]:
        return True
    if isinstance(value, str) and "pattern" in limits and re.search(limits["pattern"], value) is None:
        return True
    if isinstance(value, str | list) and not (
        limits.get("minLength", 0) <= len(value) <= limits.get("maxLength", len(value))
    ):
        return True
    return any(_is_beyond(word, limits[word], each) for each in _each(value) for word in limits if word in BEYOND)


BEYOND = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_beyond(word: str, limit: Any, value: Any) -> bool:
    numbers = isinstance(value, int | float) and isinstance(limit, int | float)
    if not numbers and not (isinstance(value, str) and isinstance(limit, str)):
        return False
    match word:
        case "minimum":
            return bool(value < limit)
        case "exclusiveMinimum":
            return bool(value <= limit)
        case "maximum":
            return bool(value[: len(limit)] > limit if isinstance(value, str) else value > limit)
        case "exclusiveMaximum":
            return bool(value >= limit)
    return bool(limit and value % limit)


def limits_words(limits: Limits) -> str:
    """Return limits for people.

    Examples
    --------
    >>> limits_words({"minimum": 1, "maximum": 100}), limits_words({"enum": ["a", "b"]})
    ('from 1 to 100', 'one of a, b')
    """
    words = []
    low, high = limits.get("minimum"), limits.get("maximum")
    if low is not None and high is not None:
        words.append(f"from {low} to {high}")
    else:
        words += [f"at least {low}"] if low is not None else []
        words += [f"at most {high}"] if high is not None else []
    words += [f"above {limits['exclusiveMinimum']}"] if "exclusiveMinimum" in limits else []
    words += [f"below {limits['exclusiveMaximum']}"] if "exclusiveMaximum" in limits else []
    words += [f"a multiple of {limits['multipleOf']}"] if "multipleOf" in limits else []
    words += [f"one of {', '.join(map(str, limits['enum']))}"] if "enum" in limits else []
    words += [f"matching {limits['pattern']}"] if "pattern" in limits else []
    words += [f"of length {limits['minLength']} or more"] if "minLength" in limits else []
    words += [f"of length {limits['maxLength']} or less"] if "maxLength" in limits else []
    return " and ".join(words)
