"""How far backfills are, and their results side by side.

In: the runs of a backfill.  Out: one for each point, the parameters that tell them apart, and counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orch_notebook.model.runs import FlowRun, iso
from orch_notebook.model.states import FINAL, StateType

__all__ = ["BackfillProgress", "latest_attempts", "varying"]


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """How many points of a backfill stand where.

    Parameters
    ----------
    backfill : str
        Its id.
    deployment : str
        What it runs.
    created_at : datetime
        When it began.
    counts : mapping
        How many points are in each state type; a run that was repeated is not one.
    """

    backfill: str
    deployment: str
    created_at: datetime
    counts: Mapping[StateType, int]

    @property
    def total(self) -> int:
        """How many points it has."""
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        """How many of them have ended."""
        return sum(count for kind, count in self.counts.items() if kind in FINAL)

    def words(self) -> str:
        """Return how far it is, for people.

        Examples
        --------
        >>> from datetime import UTC
        >>> counts = {StateType.COMPLETED: 3, StateType.FAILED: 1, StateType.SCHEDULED: 6}
        >>> BackfillProgress("b", "nightly", datetime(2026, 1, 1, tzinfo=UTC), counts).words()
        '4 of 10 ended (40 %): 3 completed, 1 failed, 6 scheduled'
        """
        shown = [f"{self.counts[kind]} {kind.lower()}" for kind in StateType if self.counts.get(kind)]
        shown.sort(key=lambda words: words.endswith(("scheduled", "pending", "running")))
        return f"{self.ended} of {self.total} ended ({100 * self.ended // max(1, self.total)} %): {', '.join(shown)}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "backfill": self.backfill,
            "deployment": self.deployment,
            "created_at": iso(self.created_at),
            "total": self.total,
            "ended": self.ended,
            "counts": {kind.value: count for kind, count in self.counts.items()},
        }


def latest_attempts(runs: Iterable[FlowRun]) -> list[FlowRun]:
    """Return the last attempt of each point, in the order in which the points were made.

    Examples
    --------
    >>> from datetime import UTC
    >>> from orch_notebook.model.states import State
    >>> at, done = datetime(2026, 1, 1, tzinfo=UTC), State(StateType.COMPLETED)
    >>> again = FlowRun("0", "f", done, at, attempt=2, retry_of="1")
    >>> [run.run_id for run in latest_attempts([again, FlowRun("1", "f", done, at), FlowRun("2", "f", done, at)])]
    ['0', '2']
    """
    by_point: dict[str, FlowRun] = {}
    first: dict[str, str] = {}
    for run in sorted(runs, key=lambda run: (run.attempt, run.run_id)):
        point = first[run.run_id] = first.get(run.retry_of or "", run.run_id)
        by_point[point] = run
    return list(by_point.values())


def varying(runs: Sequence[FlowRun]) -> list[str]:
    """Return the parameters in which runs differ, in their own order; all of them if there is but one run.

    Examples
    --------
    >>> from datetime import UTC
    >>> from orch_notebook.model.states import State
    >>> at, done = datetime(2026, 1, 1, tzinfo=UTC), State(StateType.COMPLETED)
    >>> varying([FlowRun("1", "f", done, at, parameters={"n": n, "k": 1}) for n in (1, 2)])
    ['n']
    """
    names = list(dict.fromkeys(name for run in runs for name in run.parameters))
    if len(runs) < 2:
        return names
    return [name for name in names if len({repr(run.parameters.get(name)) for run in runs}) > 1]
