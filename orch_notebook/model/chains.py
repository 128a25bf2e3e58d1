"""Deployments that start when another one's run has ended, and what they are given of it.

In: rules, and a run that has ended with the values it recorded.  Out: whether the rule starts a run, and with which
parameters; or the circle in which deployments would start each other for ever.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from orch_notebook.errors import CycleError, ParameterError, UsageError
from orch_notebook.model.runs import FlowRun, iso
from orch_notebook.model.states import StateType
from orch_notebook.model.templates import fill_template, places_of

__all__ = ["ENDINGS", "After", "check_chains", "is_taken"]

#: After which endings a run may be started, and the state types of each.
ENDINGS: Mapping[str, frozenset[StateType]] = {
    "completed": frozenset({StateType.COMPLETED}),
    "failed": frozenset({StateType.FAILED, StateType.CRASHED}),
    "finished": frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED}),
}
PREFIX = "upstream."
PLACES = ("run_id", "deployment", "state", "due_at", "started_at", "ended_at")
FORMS = "{upstream.values.NAME}, {upstream.parameters.NAME}, " + ", ".join(f"{{upstream.{name}}}" for name in PLACES)


@dataclass(frozen=True, slots=True)
class After:
    """A rule: start when a run of this deployment has ended so.

    Parameters
    ----------
    deployment : str
        Whose runs.
    on : str
        ``completed``, ``failed`` (for good: not while its retry rule repeats it) or ``finished``.
    parameters : mapping
        Values for the run that is started; a text may take from the one that ended: ``{upstream.values.rows}``.

    Raises
    ------
    UsageError
        There is no such ending, or nothing of that name to take.
    """

    deployment: str
    on: str = "completed"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.on not in ENDINGS:
            near = get_close_matches(self.on, ENDINGS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(ENDINGS)}."
            raise UsageError(f"A run cannot be started on {self.on!r}. {hint}")
        for value in self.parameters.values():
            for place in places_of(value) if isinstance(value, str) else ():
                if not _is_place(place):
                    raise UsageError(f"There is no {{{place}}} to take from the run before. There are {FORMS}.")

    def words(self) -> str:
        """Return the rule for people.

        Examples
        --------
        >>> After("load", "failed").words()
        'after load has failed'
        """
        given = "".join(f" {name}={value}" for name, value in self.parameters.items())
        return f"after {self.deployment} has {self.on}{' with' + given if given else ''}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"deployment": self.deployment, "on": self.on, "parameters": dict(self.parameters)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> After:
        """Read what :meth:`to_json` wrote."""
        return cls(**data)

    def starts(self, run: FlowRun, *, is_repeated: bool) -> bool:
        """Whether a run that has ended is one after which to start."""
        if run.deployment != self.deployment or run.state.name == "Missed":
            return False
        return run.state.type in ENDINGS[self.on] and not is_repeated

    def given(self, run: FlowRun, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters for the run that is started.

        Parameters
        ----------
        run : FlowRun
            The one that has ended.
        values : mapping
            What it recorded.

        Raises
        ------
        ParameterError
            It has not recorded, or was not given, what is asked for.
        """
        known: dict[str, Any] = {name: getattr(run, name) for name in ("run_id", "deployment")}
        known |= {name: iso(getattr(run, name)) for name in ("due_at", "started_at", "ended_at")}
        known["state"] = run.state.name
        known |= {f"values.{name}": value for name, value in values.items()}
        known |= {f"parameters.{name}": value for name, value in run.parameters.items()}
        known = {PREFIX + name: value for name, value in known.items()}
        return {name: self._filled(name, value, known) for name, value in self.parameters.items()}

    def _filled(self, name: str, value: Any, known: Mapping[str, Any]) -> Any:
        if not isinstance(value, str) or not (places := places_of(value)):
            return value
        for place in places:
            if place not in known:
                what = "recorded no value" if place.startswith(f"{PREFIX}values.") else "was given no parameter"
                lacking = place.rpartition(".")[2]
                raise ParameterError(
                    f"Parameter {name!r} takes {{{place}}}, but the run of {self.deployment!r} {what} {lacking!r}.",
                    parameters=[name],
                )
        # Alone in its text, a value stays what it is: a number, a list.
        return known[places[0]] if value == f"{{{places[0]}}}" else fill_template(value, known)


def _is_place(place: str) -> bool:
    if not place.startswith(PREFIX):
        return False
    kind, dot, name = place.removeprefix(PREFIX).partition(".")
    return bool(name) if kind in ("values", "parameters") else kind in PLACES and not dot


def is_taken(value: Any) -> bool:
    """Whether a given value takes something from the run before.

    Examples
    --------
    >>> is_taken("{upstream.values.rows}"), is_taken("{a}"), is_taken("{"), is_taken(3)
    (True, False, False, False)
    """
    return isinstance(value, str) and "{" + PREFIX in value


def check_chains(rules: Mapping[str, Iterable[After]]) -> None:
    """Refuse deployments that would start each other for ever.

    Parameters
    ----------
    rules : mapping
        By deployment, after what it starts.

    Raises
    ------
    CycleError
        The message and ``path`` have the circle in the order in which runs would start.

    Examples
    --------
    >>> check_chains({"b": [After("a")], "a": [After("b", "failed")]})
    Traceback (most recent call last):
    orch_notebook.errors.CycleError: These would start each other for ever: a → b → a.
    """
    before = {name: {rule.deployment for rule in each} for name, each in rules.items()}
    try:
        graphlib.TopologicalSorter(before).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1][:-1]
        first = circle.index(min(circle))
        path = [*circle[first:], *circle[:first], circle[first]]
        raise CycleError(f"These would start each other for ever: {' → '.join(path)}.", path=path) from None
