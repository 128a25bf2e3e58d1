"""What follows the end of a run, as the store keeps it: values, messages, runs that another one starts, backfills.

Every verb is one short transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from orch_notebook.model.backfills import BackfillProgress
from orch_notebook.model.deployments import Plan
from orch_notebook.model.notices import Message
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType
from orch_notebook.runtime.redaction import redactor
from orch_notebook.runtime.store import rows
from orch_notebook.runtime.store.connected import Connected

__all__ = ["Following"]


class Following(Connected):
    """Recorded values and messages in a database, and which ended runs still have consequences."""

    # what has ended

    def runs_to_follow(self, limit: int = 200) -> list[tuple[FlowRun, bool]]:
        """Return runs of deployments that have ended and had no consequences yet, each with whether it is repeated."""
        with self._read() as connection:
            found = self._queries.select_runs_to_follow(connection, limit=limit)
            return [(rows.run_from_row(row), bool(row["is_repeated"])) for row in found]

    def follow(
        self, consequences: Sequence[tuple[str, Sequence[Message], Sequence[tuple[FlowRun, Plan | None]]]]
    ) -> int:
        """Keep the messages and runs that follow the end of runs; those that another worker dealt with are passed over.

        Parameters
        ----------
        consequences : sequence of (str, sequence of Message, sequence of (FlowRun, Plan or None))
            Each a run that has ended, and what follows.

        Returns
        -------
        int
            How many runs had not been dealt with.
        """
        count = 0
        # What is started and who is told rests on it: a power cut must not undo one without the other.
        with self._write(durable=any(messages or runs for _, messages, runs in consequences)) as connection:
            for run_id, messages, runs in consequences:
                if not self._queries.follow_run(connection, run_id=run_id):
                    continue
                count += 1
                for message in messages:
                    self._insert_message(connection, message)
                for run, plan in runs:
                    self._queries.create_run(connection, **rows.run_parameters(run, None, plan, None, None))
        return count

    def outcome_before(self, run: FlowRun) -> FlowRun | None:
        """Return the last run of the same deployment before this one that completed, or failed for good."""
        before = (run.ended_at or run.created_at).timestamp()
        with self._read() as connection:
            row = self._queries.select_outcome_before(
                connection, deployment=run.deployment, run_id=run.run_id, before=before
            )
            return None if row is None else rows.run_from_row(row)

    def runs_going_on(self) -> list[FlowRun]:
        """Return the runs of deployments that have begun and not ended."""
        with self._read() as connection:
            return [rows.run_from_row(row) for row in self._queries.select_runs_going_on(connection)]

    def runs_late(self) -> list[FlowRun]:
        """Return the runs of deployments that are named Late."""
        with self._read() as connection:
            return [rows.run_from_row(row) for row in self._queries.select_runs_late(connection)]

    def has_begun(self, deployment: str, begin: datetime, end: datetime) -> bool:
        """Return whether a run of a deployment began in this time; backfills do not count."""
        with self._read() as connection:
            return bool(
                self._queries.count_begun(
                    connection, deployment=deployment, begin=begin.timestamp(), end=end.timestamp()
                )
            )

    # messages

    def file_messages(self, messages: Sequence[Message]) -> None:
        """Keep messages that are not there yet."""
        with self._write(durable=True) as connection:
            for message in messages:
                self._insert_message(connection, message)

    def _insert_message(self, connection: Any, message: Message) -> None:
        self._queries.insert_message(
            connection,
            key=message.key,
            deployment=message.deployment,
            run_id=message.run_id,
            fact=message.fact,
            address=message.to,
            title=rows.storable(message.title),
            body=rows.storable(message.body),
            about=rows.storable(rows.dumps(dict(message.about))),
            due_at=rows.seconds(message.due_at),
            created_at=message.created_at.timestamp(),
        )

    def has_message(self, key: str) -> bool:
        """Return whether there is a message of this key, sent or not."""
        with self._read() as connection:
            return bool(self._queries.has_message(connection, key=key))

    def messages_due(self, now: datetime, limit: int = 20) -> list[Message]:
        """Return messages that somebody should send now."""
        with self._read() as connection:
            found = self._queries.select_messages_due(connection, now=now.timestamp(), limit=limit)
            return [_message(row) for row in found]

    def next_message_at(self) -> datetime | None:
        """Return when the first of the waiting messages is due."""
        with self._read() as connection:
            return rows.instant(self._queries.select_next_message_at(connection))

    def claim_message(self, message: Message, until: datetime) -> bool:
        """Take a message to send it, which is due again if nothing is heard; False if somebody was quicker."""
        with self._write() as connection:
            return bool(
                self._queries.claim_message(
                    connection, key=message.key, attempts=message.attempts, until=until.timestamp()
                )
            )

    def settle_message(
        self,
        message: Message,
        state: str,
        *,
        due_at: datetime | None = None,
        sent_at: datetime | None = None,
        error: str = "",
    ) -> None:
        """Say what became of a message that was claimed as it is given here."""
        with self._write() as connection:
            self._queries.settle_message(
                connection,
                key=message.key,
                attempts=message.attempts + 1,
                state=state,
                due_at=rows.seconds(due_at),
                sent_at=rows.seconds(sent_at),
                error=rows.storable(error),
            )

    def messages(self, deployment: str | None = None, limit: int = 100) -> list[Message]:
        """Return the newest messages, waiting, sent and given up."""
        with self._read() as connection:
            found = self._queries.select_messages(connection, deployment=deployment, limit=limit)
            return [_message(row) for row in found]

    # backfills

    def backfills(self, backfill: str | None = None) -> list[BackfillProgress]:
        """Return how far every backfill is, or one of them, newest first."""
        counts: dict[str, dict[StateType, int]] = {}
        about: dict[str, tuple[str, float]] = {}
        with self._read() as connection:
            for row in self._queries.select_backfills(connection, backfill=backfill):
                counts.setdefault(row["backfill"], {})[StateType(row["state_type"])] = row["count"]
                _, began = about.get(row["backfill"], ("", row["created_at"]))
                about[row["backfill"]] = row["deployment"], min(began, row["created_at"])
        found = [
            BackfillProgress(each, about[each][0], rows.known_instant(about[each][1]), counts[each]) for each in counts
        ]
        return sorted(found, key=lambda each: (each.created_at, each.backfill), reverse=True)

    def backfills_like(self, part: str) -> list[str]:
        """Return up to two ids of backfills that begin or end with `part`."""
        with self._read() as connection:
            return [row["backfill"] for row in self._queries.select_backfills_like(connection, part=part.lower())]

    # values

    def record_value(self, run_id: str, name: str, value: Any, now: datetime, task: str | None = None) -> None:
        """Keep a value that a run recorded, in place of an earlier one of that name."""
        told = redactor.redact(json.dumps(value))
        given = {"run_id": run_id, "name": name, "value": told, "task": task, "now": now.timestamp()}
        with self._write() as connection:
            self._queries.upsert_recorded(connection, **given)

    def recorded(self, run_id: str | None = None, *, backfill: str | None = None) -> Mapping[str, Mapping[str, Any]]:
        """Return the values that a run, or each of a backfill's, recorded: by run, then by name."""
        found: dict[str, dict[str, Any]] = {}
        with self._read() as connection:
            for row in self._queries.select_recorded(connection, run_id=run_id, backfill=backfill):
                found.setdefault(row["run_id"], {})[row["name"]] = json.loads(row["value"])
        return found


def _message(row: Mapping[str, Any]) -> Message:
    return Message(
        key=row["key"],
        deployment=row["deployment"],
        run_id=row["run_id"],
        fact=row["fact"],
        to=row["address"],
        title=row["title"],
        body=row["body"],
        created_at=rows.known_instant(row["created_at"]),
        state=row["state"],
        attempts=row["attempts"],
        due_at=rows.instant(row["due_at"]),
        sent_at=rows.instant(row["sent_at"]),
        error=row["error"],
        about=json.loads(row["about"]),
    )
