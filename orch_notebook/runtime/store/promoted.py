"""What runs by itself, as the store keeps it: deployments with their versions, and schedules with what fell due.

Every verb is one short transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orch_notebook.model.deployments import Deployment, Plan, ScheduleRow
from orch_notebook.model.runs import FlowRun
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.crashpoints import reach
from orch_notebook.runtime.store import rows
from orch_notebook.runtime.store.connected import Connected

__all__ = ["Promoted"]


class Promoted(Connected):
    """Deployments and schedules in a database."""

    def save_deployment(self, deployment: Deployment) -> Deployment:
        """Insert or replace a deployment and its schedules; return it with its new version."""
        with self._write(durable=True) as connection:
            self._queries.upsert_deployment(connection, **rows.deployment_parameters(deployment))
            self._queries.delete_schedules(connection, deployment=deployment.name)
            for schedule in deployment.schedules:
                self._queries.insert_schedule(
                    connection,
                    schedule_id=schedule.schedule_id or new_run_id(deployment.updated_at),
                    deployment=deployment.name,
                    rule=rows.dumps(dict(schedule.rule)),
                    seen_until=schedule.seen_until.timestamp(),
                    next_at=rows.seconds(schedule.next_at),
                    parameters=rows.dumps(dict(schedule.parameters)),
                )
            self._queries.insert_version(
                connection,
                name=deployment.name,
                data=rows.version_text(deployment),
                now=deployment.updated_at.timestamp(),
            )
        saved = self.deployment(deployment.name)
        assert saved is not None
        return saved

    def deployment(self, name: str) -> Deployment | None:
        """Return a deployment."""
        with self._read() as connection:
            row = self._queries.select_deployment(connection, name=name)
            if row is None:
                return None
            schedules = self._queries.select_schedules(connection, deployment=name)
            return rows.deployment_from_row(row, [rows.schedule_from_row(found) for found in schedules])

    def deployments(self) -> list[Deployment]:
        """Return all deployments by name."""
        by_name: dict[str, list[ScheduleRow]] = {}
        for schedule in self.schedules():
            by_name.setdefault(schedule.deployment, []).append(schedule)
        return [rows.deployment_from_row(row, by_name.get(row["name"], ())) for row in self._all("select_deployments")]

    def rules(self) -> list[Deployment]:
        """Return the deployments that start after others or tell somebody something, without their schedules."""
        return [rows.deployment_from_row(row, ()) for row in self._all("select_rules")]

    def versions(self, name: str) -> list[Deployment]:
        """Return every version of a deployment, oldest first."""
        return [rows.version_from_row(row) for row in self._all("select_versions", name=name)]

    def remove_deployment(self, name: str) -> bool:
        """Take a deployment away with its schedules and versions; False if there is none of that name."""
        with self._write(durable=True) as connection:
            self._queries.delete_versions(connection, name=name)
            self._queries.delete_schedules(connection, deployment=name)
            return bool(self._queries.delete_deployment(connection, name=name))

    def pause_deployment(self, name: str, is_paused: bool, now: datetime, reason: str = "") -> bool:
        """Let the schedules of a deployment rest, or wake them; False if there is none of that name."""
        with self._write(durable=True) as connection:
            paused = self._queries.pause_deployment(
                connection, name=name, is_paused=int(is_paused), reason=reason, now=now.timestamp()
            )
            return bool(paused)

    def schedules(self) -> list[ScheduleRow]:
        """Return every schedule."""
        return [rows.schedule_from_row(row) for row in self._all("select_schedules", deployment=None)]

    def schedules_due(self, now: datetime) -> list[ScheduleRow]:
        """Return the schedules that are awake and have a due time up to now that has no row yet."""
        return [rows.schedule_from_row(row) for row in self._all("select_schedules_due", now=now.timestamp())]

    def next_schedule_at(self, now: datetime) -> datetime | None:
        """Return the first due time after now of the schedules that are awake."""
        return rows.instant(self._one(lambda c: self._queries.select_next_schedule_at(c, now=now.timestamp())))

    def advance_schedule(
        self,
        schedule: ScheduleRow,
        until: datetime,
        next_at: datetime | None,
        runs: Sequence[tuple[FlowRun, Plan | None]],
    ) -> bool:
        """Insert the runs of the due times up to `until`, all or none; False when another worker was quicker."""
        with self._write() as connection:
            moved = self._queries.advance_schedule(
                connection,
                schedule_id=schedule.schedule_id,
                since=schedule.seen_until.timestamp(),
                until=until.timestamp(),
                next_at=rows.seconds(next_at),
            )
            if not moved:
                return False
            reach("due.inside")
            for run, plan in runs:
                parameters = rows.run_parameters(run, schedule.schedule_id, plan, None, None)
                self._queries.create_run(connection, **parameters)
            return True
