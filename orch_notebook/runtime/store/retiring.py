"""What the store no longer keeps: runs are forgotten with all that was written about them."""

from __future__ import annotations

import json

from orch_notebook.model.runs import FlowRun
from orch_notebook.runtime.store import rows
from orch_notebook.runtime.store.connected import Connected

__all__ = ["Retiring"]

#: Tables in which something is written about runs.
KEPT_OF_RUNS = (
    *("events", "task_runs", "logs", "requests", "recorded", "artifacts", "messages"),
    *("materializations", "lineage"),
)


class Retiring(Connected):
    """Forgetting runs in a database."""

    def whole_runs(self) -> list[tuple[FlowRun, bool]]:
        """Return every run that is no part of another, newest first, each with whether it may be forgotten.

        Who goes on, is owned, or has consequences that nobody has dealt with yet may not.
        """
        with self._read() as connection:
            found = self._queries.select_whole_runs(connection)
            return [(rows.run_from_row(row), bool(row["may_go"])) for row in found]

    def run_ids(self) -> set[str]:
        """Return the id of every run."""
        with self._read() as connection:
            return {row["run_id"] for row in self._queries.select_run_ids(connection)}

    def run_bytes(self, run_id: str) -> int:
        """Return about how many bytes are kept of a run and of those that are parts of it."""
        with self._read() as connection:
            return int(self._queries.select_run_bytes(connection, run_id=run_id) or 0)

    def forget_run(self, run_id: str) -> bool:
        """Remove a run that has ended, its parts, and all that was written about them; False if it goes on."""
        with self._write() as connection:
            if not self._queries.delete_run(connection, run_id=run_id):
                return False
            parts = [row["run_id"] for row in self._queries.select_parts(connection, run_id=run_id)]
            for each in (run_id, *parts):
                for table in KEPT_OF_RUNS:
                    getattr(self._queries, f"delete_{table}_of")(connection, run_id=each)
            self._queries.delete_parts(connection, run_id=run_id)
            return True

    def snapshots_used(self, without: set[str]) -> set[str]:
        """Return the paths of what deployments, their versions and runs execute; runs in `without` do not count."""
        used: set[str] = set()
        with self._read() as connection:
            for row in self._queries.select_plans(connection):
                if row["run_id"] not in without:
                    used.add(json.loads(row["plan"])["snapshot"])
            for row in self._queries.select_all_versions(connection):
                used.add(json.loads(json.loads(row["data"])["plan"])["snapshot"])
        return used

    def compact(self) -> None:
        """Give the space of what was removed back to the disk, where the database does not do so by itself."""
