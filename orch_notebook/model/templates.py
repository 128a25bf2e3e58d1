"""Texts with places in braces, filled with what is known: ``{deployment} {fact}``.

In: a text that somebody wrote, and values by name.  Out: the text.  Only names are looked up, never attributes or
items, so a text from a file cannot reach into the program.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from string import Formatter
from typing import Any

from orch_notebook.errors import UsageError

__all__ = ["check_template", "fill_template", "places_of"]


def places_of(text: str) -> tuple[str, ...]:
    """Return what stands in the braces of a text, in order.

    Raises
    ------
    UsageError
        A brace is left open.

    Examples
    --------
    >>> places_of("{deployment}: {upstream.values.rows} of {{all}}")
    ('deployment', 'upstream.values.rows')
    """
    try:
        return tuple(name for _, name, _, _ in Formatter().parse(text) if name is not None)
    except ValueError as error:
        raise UsageError(
            f"{text!r} does not parse ({error}). A brace that is meant is written twice: {{{{ }}}}."
        ) from None


def check_template(text: str, known: Collection[str]) -> str:
    """Return a text as it is, once all its places are known.

    Raises
    ------
    UsageError
        One is not; the message has the nearest and all that there are.

    Examples
    --------
    >>> check_template("{deploiment} failed", ("deployment", "fact"))
    Traceback (most recent call last):
    orch_notebook.errors.UsageError: There is no {deploiment} to fill in. Did you mean {deployment}?
    """
    for place in places_of(text):
        if place not in known:
            near = get_close_matches(place, known, n=1)
            listed = ", ".join(f"{{{name}}}" for name in known)
            hint = f"Did you mean {{{near[0]}}}?" if near else f"There are {listed}."
            raise UsageError(f"There is no {{{place}}} to fill in. {hint}")
    return text


def fill_template(text: str, values: Mapping[str, Any]) -> str:
    """Fill the places of a text; a place of which nothing is known is left empty.

    Examples
    --------
    >>> fill_template("{deployment} {fact}", {"deployment": "nightly", "fact": "failed"})
    'nightly failed'
    """
    parts = []
    for literal, place, _, _ in Formatter().parse(text):
        parts.append(literal)
        if place is not None:
            value = values.get(place)
            parts.append("" if value is None else str(value))
    return "".join(parts)
