"""The forms of a panel: fields for parameters, and for what a run waits to be told.

In: parameters with the values they have.  Out: for each the field that fits its type, in the messages' form.  What is
typed travels as text; the kernel checks it against the types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orch_notebook.jupyter.widgets.faces import Asked, ParameterInfo
from orch_notebook.jupyter.widgets.sources import Given, Question
from orch_notebook.model.annotations import plain_words
from orch_notebook.model.forms import form_of
from orch_notebook.model.limits import limits_words
from orch_notebook.model.parameters import Parameter
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.views import plain

__all__ = ["asked", "given"]


def given(parameters: Sequence[Given]) -> list[ParameterInfo]:
    """Return the fields of a form, each with what can be chosen in it where that is a few things."""
    found: list[ParameterInfo] = []
    for each in parameters:
        parameter = each.parameter
        kind, choices = _field(parameter)
        says = [parameter.help, parameter.note, "" if choices else limits_words(parameter.limits)]
        found.append(
            {
                "name": parameter.name,
                "annotation": plain_words(parameter.annotation),
                "value": each.value,
                "help": " · ".join(part for part in says if part),
                "is_required": parameter.required,
                "kind": kind,
                "choices": choices,
            }
        )
    return found


def _field(parameter: Parameter) -> tuple[str, list[str]]:
    """Return the kind of field that fits a parameter, and its choices."""
    schema: Mapping[str, Any] = form_of([parameter])["properties"][parameter.name]
    parts: list[Mapping[str, Any]] = schema.get("anyOf") or [schema]
    choices: list[str] = []
    for part in parts:
        values = [part["const"]] if "const" in part else part.get("enum", ())
        choices += ["True", "False"] if part.get("type") == "boolean" else [str(value) for value in values]
    if choices and {"type": "null"} in parts:
        choices.append("None")
    if "SecretStr" in parameter.annotation:
        return "secret", choices
    kinds = {str(part.get("format") or part.get("type")) for part in parts} - {"null"}
    return (kinds.pop() if len(kinds) == 1 and kinds <= {"date", "integer", "number"} else ""), choices


def asked(question: Question | None, run: FlowRun | None) -> Asked | None:
    """Return what a run waits to be told."""
    if question is None:
        return None
    what = "an answer" if question.fields else "the go-ahead"
    who = "The run" if run is not None and run.run_id == question.run_id else f"{plain(question.flow)!r}"
    return {
        "run_id": question.run_id,
        "words": f"{who} waits for {what}.",
        "fields": given(question.fields),
        "until": question.expires_at.timestamp(),
    }
