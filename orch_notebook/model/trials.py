"""What whole executions of a notebook came to, and where two of them depart from each other.

In: for each execution an :class:`~orch_notebook.model.outcomes.Outcome` of every cell, and fingerprints of the values
that it left.  Out: the cells that depart, each with what differs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from orch_notebook.model.outcomes import Outcome, difference

__all__ = ["Departure", "Trial", "departures"]


@dataclass(frozen=True, slots=True)
class Trial:
    """What one execution came to.

    Parameters
    ----------
    cells : mapping
        Outcomes by cell: by its index in the notebook, or by the name of its task.
    names : mapping
        Fingerprints of the values that were there in the end, by name.
    """

    cells: Mapping[Any, Outcome]
    names: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold; cells are named by texts there."""
        cells = {
            str(cell): {"error": outcome.error, "has_run": outcome.has_run, "texts": outcome.texts}
            for cell, outcome in self.cells.items()
        }
        return {"cells": cells, "names": dict(self.names)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        """Read what :meth:`to_json` wrote."""
        return cls({cell: Outcome(**outcome) for cell, outcome in data["cells"].items()}, data["names"])


@dataclass(frozen=True, slots=True)
class Departure:
    """A cell that came to something else in the second of two executions.

    Parameters
    ----------
    cell
        As the trials call it.
    what : str
        In words that follow its name: ``prints '1' or '2'``.
    name : str
        The name whose value is another, if that is all.
    """

    cell: Any
    what: str
    name: str = ""


def departures(
    expected: Trial, found: Trial, makers: Mapping[str, Any], outside: Collection[Any] = ()
) -> list[Departure]:
    """Return the cells of one execution whose outputs, errors or values are others than expected, in order.

    Parameters
    ----------
    expected, found : Trial
        Cells that one of them lacks are not compared.
    makers : mapping
        For each name the cell that was the last to make its value.
    outside : collection
        Cells that are not looked at.

    Notes
    -----
    What a failed cell leaves is not defined, so values that it may have made do not count.

    Examples
    --------
    >>> def trial(text, value):
    ...     return Trial({1: Outcome(has_run=True, texts={"prints": text}), 2: Outcome(has_run=True)}, {"x": value})
    >>> departures(trial("a", "5"), trial("b", "6"), {"x": 2})
    [Departure(cell=1, what="prints 'a' or 'b'", name=''), Departure(cell=2, what="leaves another 'x'", name='x')]
    """
    wrong: dict[Any, Departure] = {}
    compared = [cell for cell in expected.cells if cell in found.cells and cell not in outside]
    for cell in compared:
        if what := difference(expected.cells[cell], found.cells[cell]):
            wrong[cell] = Departure(cell, what)
    has_failed = any(outcome.error for outcome in expected.cells.values())
    for name in sorted({*expected.names, *found.names}):
        was, now, cell = expected.names.get(name), found.names.get(name), makers.get(name)
        if was == now or (cell is None and has_failed):
            continue
        if cell is None or (cell in compared and not expected.cells[cell].error):
            what = "leaves another" if was and now else "leaves" if now else "does not leave"
            wrong.setdefault(cell, Departure(cell, f"{what} {name!r}", name))
    return [wrong[cell] for cell in (*compared, None) if cell in wrong]
