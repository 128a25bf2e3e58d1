"""Assets: what tasks make outside of the flow (files, tables, models), by key, and what each came from.

In: keys, and what the completion of a task says of the assets it makes.  Out: materializations, the facts that the
store keeps of them, and what flows on from one task to the next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.model.runs import FlowRun, iso
from orch_notebook.model.states import StateType

__all__ = [
    "KnownAsset",
    "Materialization",
    "Reference",
    "check_key",
    "flows_on",
    "materializations_of",
    "read_made",
    "short_key",
]

#: As Prefect has it, so that a key means the same there: ``scheme://``, and nothing that a URL would have to escape.
_SCHEME = re.compile(r"[a-z0-9]+://")
_FORBIDDEN = re.compile(r"[\s#?&%\"'<>\[\]{}|\\^`]")
LONGEST_KEY = 512


@dataclass(frozen=True, slots=True)
class Reference:
    """An asset that another was made from; `is_declared` if somebody said so, else because its maker comes before."""

    asset: str
    is_declared: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what the events and the store keep."""
        data: dict[str, Any] = {"asset": self.asset, "declared": self.is_declared}
        return {**data, "properties": dict(self.properties)} if self.properties else data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Reference:
        """Read what :meth:`to_json` wrote."""
        return cls(data["asset"], data["declared"], data.get("properties", {}))


@dataclass(frozen=True, slots=True)
class Materialization:
    """One time that a task made an asset, or tried to.

    Parameters
    ----------
    asset : str
        Its key.
    run_id, task, attempt
        Who made it.
    at : datetime
        When.
    is_made : bool
        False if the attempt failed.
    made_by : str
        The tool behind the task, such as ``dbt``; or empty.
    properties : mapping
        What is said of the asset: name, url, description, owners.
    metadata : mapping
        What this time is known of it, such as ``{"rows": 120}``.
    upstream : tuple of Reference
        What it was made from.
    """

    asset: str
    run_id: str
    task: str
    attempt: int
    at: datetime
    is_made: bool = True
    made_by: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    upstream: tuple[Reference, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the row that ``orch assets --json`` prints."""
        return {
            "asset": self.asset,
            "state": "made" if self.is_made else "failed",
            "run_id": self.run_id,
            "task": self.task,
            "attempt": self.attempt,
            "at": iso(self.at),
            "made_by": self.made_by or None,
            "properties": dict(self.properties),
            "metadata": dict(self.metadata),
            "upstream": [each.to_json() for each in self.upstream],
        }


@dataclass(frozen=True, slots=True)
class KnownAsset:
    """An asset as the store knows it.

    Parameters
    ----------
    asset : str
        Its key.
    newest : Materialization or None
        The last time that a task made it, or tried to; None if others were only made from it.
    properties : mapping
        What was last said of it.
    used_by : tuple of str
        The assets that were made from it.
    """

    asset: str
    newest: Materialization | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    used_by: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """``made`` or ``failed``, as its last attempt ended; ``referenced`` if no task here makes it."""
        if self.newest is None:
            return "referenced"
        return "made" if self.newest.is_made else "failed"

    def to_json(self) -> dict[str, Any]:
        """Return the row that ``orch assets --json`` prints."""
        return {
            "asset": self.asset,
            "state": self.state,
            "properties": dict(self.properties),
            "newest": None if self.newest is None else self.newest.to_json(),
            "used_by": list(self.used_by),
        }


def check_key(key: str) -> str:
    """Return a key that may name an asset.

    Raises
    ------
    UsageError
        It may not.

    Examples
    --------
    >>> check_key("s3://lake/rows.csv")
    's3://lake/rows.csv'
    >>> check_key("rows.csv")
    Traceback (most recent call last):
    orch_notebook.errors.UsageError: 'rows.csv' names no asset: a key says what kind it is, as file:///data/rows.csv \
or s3://bucket/rows.csv.
    """
    if not isinstance(key, str) or not _SCHEME.match(key):
        raise UsageError(
            f"{key!r} names no asset: a key says what kind it is, as file:///data/rows.csv or s3://bucket/rows.csv."
        )
    if found := _FORBIDDEN.search(key):
        raise UsageError(f"The key of an asset cannot hold {found[0]!r}: {key!r}.")
    if len(key) > LONGEST_KEY:
        raise UsageError(f"The key of an asset has at most {LONGEST_KEY} characters, not {len(key)}: {key[:60]}…")
    return key


def short_key(key: str) -> tuple[str, str]:
    """Return what of a key people know it by, and where that lies.

    Examples
    --------
    >>> short_key("s3://lake/clean/rows.csv"), short_key("postgres://db")
    (('rows.csv', 's3://lake/clean'), ('db', 'postgres://'))
    """
    scheme, _, path = key.partition("://")
    where, _, name = path.rstrip("/").rpartition("/")
    return name or key, f"{scheme}://{where}"


def flows_on(assets: Sequence[str], asset_deps: Sequence[str], upstream: Iterable[str]) -> tuple[str, ...]:
    """Return the assets that what comes after a task is made from: those it makes, else those it had itself.

    Examples
    --------
    >>> flows_on(["s3://b"], [], ["s3://a"]), flows_on([], ["s3://c"], ["s3://a"])
    (('s3://b',), ('s3://a', 's3://c'))
    """
    return tuple(assets) if assets else tuple(dict.fromkeys((*upstream, *asset_deps)))


def read_made(
    run_id: str, task: str, attempt: int, at: datetime, kind: StateType, details: Mapping[str, Any] | None
) -> list[Materialization]:
    """Return what the end of an attempt says of the assets that its task makes; nothing if that was not performed."""
    said = (details or {}).get("assets")
    if not said or kind not in (StateType.COMPLETED, StateType.FAILED):
        return []
    upstream = tuple(map(Reference.from_json, said["upstream"]))
    return [
        Materialization(
            each["asset"],
            run_id,
            task,
            attempt,
            at,
            kind is StateType.COMPLETED,
            said.get("by") or "",
            each.get("properties") or {},
            json.loads(json.dumps(each.get("metadata") or {}, default=str)),
            upstream,
        )
        for each in said["made"]
    ]


def materializations_of(run: FlowRun) -> list[Materialization]:
    """Return the assets that the task runs of a run have made, or failed to make, as they stand."""
    return [
        made
        for task in run.tasks
        if "assets" in task.details and task.ended_at is not None
        for made in read_made(run.run_id, task.name, task.attempt, task.ended_at, task.state.type, task.details)
    ]
