"""What a task is: a name, how it is retried, and for a cell its source and what that source does to names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orch_notebook.errors import UsageError

__all__ = ["ONE", "RUNNERS", "RUNNER_WORDS", "WHEN", "RetryPolicy", "Task", "check_resources", "read_resources"]

#: When a task may start, as the ends of those it waits for allow; the first is what holds when nothing is said.
WHEN: Mapping[str, str] = {
    "all_success": "all have completed; else it never runs",
    "all_done": "all have ended, however",
    "one_success": "one has completed; it does not wait for the others",
    "one_failed": "one has failed or crashed; if none has, it is skipped",
    "none_failed": "all have ended and none has failed; skipped ones do not count",
    "always": "all have ended, however, and also while the run is being cancelled",
}

#: Where a task may be performed.
RUNNERS = ("threads", "processes", "dask")

#: The same for people.
RUNNER_WORDS = f"{', '.join(RUNNERS[:-1])} or {RUNNERS[-1]}"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon a failed task is tried again.

    Parameters
    ----------
    retries : int
        Tries after the first.
    delays : tuple of float
        Seconds to wait before each of them; the last one repeats, none means at once.
    jitter : float
        Each wait is drawn at random: at most ``delay * (1 + jitter)``, on the mean ``delay``.

    Examples
    --------
    >>> policy = RetryPolicy(retries=3, delays=(1, 10))
    >>> [policy.delay_before(attempt) for attempt in (2, 3, 4)]
    [1, 10, 10]
    """

    retries: int = 0
    delays: tuple[float, ...] = ()
    jitter: float = 0.0

    def allows(self, attempt: int) -> bool:
        """Whether an attempt of this number (counted from 1) may be made."""
        return attempt <= self.retries + 1

    def delay_before(self, attempt: int) -> float:
        """Seconds to wait before this attempt, without jitter."""
        if attempt < 2 or not self.delays:
            return 0.0
        return self.delays[min(attempt - 2, len(self.delays) - 1)]


NO_RETRIES = RetryPolicy()

#: Of a resource that nobody has counted there is so much: whoever needs one of it uses it alone.
ONE = 1.0


@dataclass(frozen=True, slots=True)
class Task:
    """One named piece of work, as the machine, the store and the faces see it.

    Parameters
    ----------
    name : str
        Unique in its flow.
    retry : RetryPolicy
        What happens after a failure.
    timeout : float or None
        Seconds an attempt may take.
    tags : tuple of str
        Free words to select by.
    exclusive : tuple of str
        Names of things only one task may use at a time (``"pyplot"``): tasks that share one never overlap.  Of a thing
        that has versions (``"scale@load"``) several may use the same one.
    resources : tuple of (str, float)
        What it needs while it runs, such as ``(("GPU", 1),)``: no more tasks run at once than there is of it.
    runner : str
        The name of the runner that performs it; empty for that of the run.
    cell_index : int or None
        Position of the cell in its notebook, counted from 0 over all cells.
    cell_id : str or None
        The cell's id in the notebook, where the front end tells it.
    reads, writes, mutates : tuple of str
        Names the task takes in, binds, changes in place.
    opaque : str
        Why the source cannot be analysed, or empty.
    when : str
        One of `WHEN`: what must have become of the tasks it waits for.
    assets, asset_deps : tuple of str
        Keys of what it makes outside of the flow (``s3://lake/rows.csv``), and of what that is said to come from.
    """

    name: str
    retry: RetryPolicy = NO_RETRIES
    timeout: float | None = None
    tags: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()
    resources: tuple[tuple[str, float], ...] = ()
    runner: str = ""
    cell_index: int | None = None
    cell_id: str | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    mutates: tuple[str, ...] = ()
    opaque: str = ""
    when: str = "all_success"
    assets: tuple[str, ...] = ()
    asset_deps: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what differs from a bare task, so that ten thousand of them stay small."""
        # Written out, because a loop over the fields takes ten times as long.
        data: dict[str, Any] = {"name": self.name}
        if self.retry is not NO_RETRIES and self.retry != NO_RETRIES:
            data["retry"] = [self.retry.retries, list(self.retry.delays), self.retry.jitter]
        if self.timeout is not None:
            data["timeout"] = self.timeout
        if self.cell_index is not None:
            data["cell_index"] = self.cell_index
        if self.cell_id is not None:
            data["cell_id"] = self.cell_id
        if self.tags:
            data["tags"] = list(self.tags)
        if self.exclusive:
            data["exclusive"] = list(self.exclusive)
        if self.resources:
            data["resources"] = [list(need) for need in self.resources]
        if self.reads:
            data["reads"] = list(self.reads)
        if self.writes:
            data["writes"] = list(self.writes)
        if self.mutates:
            data["mutates"] = list(self.mutates)
        if self.opaque:
            data["opaque"] = self.opaque
        if self.runner:
            data["runner"] = self.runner
        if self.when != "all_success":
            data["when"] = self.when
        if self.assets:
            data["assets"] = list(self.assets)
        if self.asset_deps:
            data["asset_deps"] = list(self.asset_deps)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """Read what :meth:`to_json` wrote."""
        fields = dict(data)
        if retry := fields.pop("retry", None):
            fields["retry"] = RetryPolicy(retry[0], tuple(retry[1]), retry[2])
        if "resources" in fields:
            fields["resources"] = tuple((name, amount) for name, amount in fields["resources"])
        for field in ("tags", "exclusive", "reads", "writes", "mutates", "assets", "asset_deps"):
            if field in fields:
                fields[field] = tuple(fields[field])
        return cls(**fields)


def check_resources(task: Task, capacity: Mapping[str, float]) -> None:
    """Refuse a task that needs more of a resource than there is.

    Raises
    ------
    UsageError
        It could never start.

    Examples
    --------
    >>> check_resources(Task("train", resources=(("GPU", 2),)), {"GPU": 1})
    Traceback (most recent call last):
    orch_notebook.errors.UsageError: Task 'train' needs 2 of 'GPU', and there is 1. ORCH_RESOURCES=GPU=2 says how much.
    """
    for name, amount in task.resources:
        if amount > capacity.get(name, ONE):
            raise UsageError(
                f"Task {task.name!r} needs {amount:g} of {name!r}, and there is {capacity.get(name, ONE):g}. "
                f"ORCH_RESOURCES={name}={amount:g} says how much.",
                task=task.name,
            )


def read_resources(text: str) -> dict[str, float]:
    """Read how much of what: ``GPU=1,memory=4``.

    Raises
    ------
    ValueError
        It does not say that.

    Examples
    --------
    >>> read_resources("GPU=1, memory=4")
    {'GPU': 1.0, 'memory': 4.0}
    """
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, amount = (piece.strip() for piece in part.partition("="))
        if not name or not re.fullmatch(r"\d+(\.\d*)?|\.\d+", amount, re.ASCII) or not float(amount):
            raise ValueError("takes names with an amount above 0, such as GPU=1")
        found[name] = float(amount)
    return found
