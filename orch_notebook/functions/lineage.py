"""Which assets flow along the task runs of one flow run.

In: every task run as it is added, with those it waits for.  Out: for each attempt of one that makes assets, what is
recorded of them: what each was made from, what it is, and what the task says of it while it runs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orch_notebook.functions.assets import Asset
from orch_notebook.functions.options import MaterializeOptions
from orch_notebook.model.assets import Reference, flows_on

if TYPE_CHECKING:
    from orch_notebook.functions.futures import Future
    from orch_notebook.functions.tasks import FunctionTask

__all__ = ["Lineage"]


class Lineage:
    """The assets of one flow run, which has none as long as no task makes or needs any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, Asset] = {}
        #: What comes to a task run, and what goes on from it to those that come after.
        self._comes: dict[str, tuple[str, ...]] = {}
        self._goes: dict[str, tuple[str, ...]] = {}

    def note(self, name: str, task: FunctionTask[..., Any], upstream: Iterable[str]) -> None:
        """Take note of a task run, and of the task runs whose results it is given."""
        if not self._goes and not task.has_assets:
            return
        with self._lock:
            comes = tuple(dict.fromkeys(asset for before in upstream for asset in self._goes.get(before, ())))
            self._seen.update((each.key, each) for each in (*task.asset_deps, *task.assets))
            goes = flows_on(task.asset_keys, task.asset_dep_keys, comes)
            if comes:
                self._comes[name] = comes
            if goes:
                self._goes[name] = goes

    def follows(self, value: Any, name: str) -> bool:
        """Whether a text or a number that a task run returned tells where it came from: assets go on with it.

        Not what Python has once for all: None, truths, small numbers, a single letter.
        """
        if name not in self._goes or value is None or isinstance(value, bool):
            return False
        return (
            not -5 <= value <= 256 if isinstance(value, int) else isinstance(value, float | complex) or len(value) > 1
        )

    def begin(self, future: Future) -> dict[str, dict[str, Any]]:
        """Begin an attempt of a task that makes assets; return by asset what the attempt may say of it."""
        task = future.task
        said = {each.key: each for each in task.asset_deps}
        keys = dict.fromkeys((*self._comes.get(future.name, ()), *said))
        upstream = [Reference(key, key in said, self._seen[key].described()).to_json() for key in keys]
        metadata: dict[str, dict[str, Any]] = {each.key: {} for each in task.assets}
        made = []
        for each in task.assets:
            entry: dict[str, Any] = {"asset": each.key, "metadata": metadata[each.key]}
            made.append({**entry, "properties": described} if (described := each.described()) else entry)
        facts: dict[str, Any] = {"made": made, "upstream": upstream}
        if isinstance(task.options, MaterializeOptions) and task.options.materialized_by:
            facts["by"] = task.options.materialized_by
        future.facts = {**(future.facts or {}), "assets": facts}
        return metadata
