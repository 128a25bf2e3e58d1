"""What a notebook or a flow takes, as JSON schema: what forms are drawn from.

In: parameters.  Out: a schema whose values the parameters admit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from orch_notebook.model.annotations import Mismatch, admit, is_checkable, schema_of
from orch_notebook.model.parameters import Parameter

__all__ = ["form_of"]

#: Of days, JSON schema has other words than of numbers.
DAYS = {
    "minimum": "formatMinimum",
    "maximum": "formatMaximum",
    "exclusiveMinimum": "formatExclusiveMinimum",
    "exclusiveMaximum": "formatExclusiveMaximum",
}


def form_of(schema: Sequence[Parameter]) -> dict[str, Any]:
    """Return the JSON schema of what a notebook or a flow takes, for forms.

    Examples
    --------
    >>> from orch_notebook.model.parameters import read_parameters
    >>> form_of(read_parameters("n: int = 3  # rows [1..9]"))["properties"]
    {'n': {'type': 'integer', 'minimum': 1, 'maximum': 9, 'description': 'rows', 'default': 3}}
    """
    properties = {}
    for each in schema:
        known = {**schema_of(each.annotation), **_limits(each)}
        known |= {"description": each.help} if each.help else {}
        known |= {} if each.required or each.computed else {"default": each.default}
        properties[each.name] = known
    return {
        "type": "object",
        "properties": properties,
        "required": [each.name for each in schema if each.required],
        "additionalProperties": False,
    }


def _limits(parameter: Parameter) -> dict[str, Any]:
    limits = dict(parameter.limits)
    if "enum" in limits and is_checkable(parameter.annotation):
        with suppress(Mismatch):
            limits["enum"] = [admit(parameter.annotation, each) for each in limits["enum"]]
    return {DAYS.get(word, word) if isinstance(value, str) else word: value for word, value in limits.items()}
