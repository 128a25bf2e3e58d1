"""What flows share beside their runs: variables, artifacts, and limits on what goes on at once.

Every verb is one short transaction.  A slot of a limit is held as long as the run that took it is owned, or until it
expires; how many are free is reckoned anew each time, so none can leak.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.redaction import redactor
from orch_notebook.runtime.store import rows
from orch_notebook.runtime.store.pauses import Pauses

__all__ = ["Artifact", "Limit", "Shelves"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something that a run published for people.

    Parameters
    ----------
    artifact_id : str
        Its id.
    kind : str
        ``table``, ``markdown``, ``link``, ``image``, ``progress`` or ``asset``.
    data : object
        What JSON can hold of it.
    name : str or None
        Its key: artifacts of one key are versions of one thing.
    description : str
        Markdown.
    run_id, task : str or None
        Who made it.
    created_at : datetime or None
        When.
    """

    artifact_id: str
    kind: str
    data: Any
    name: str | None = None
    description: str = ""
    run_id: str | None = None
    task: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """How many slots of a name there are; with `decay`, they come back by themselves, so many in a second."""

    name: str
    slots: int
    decay: float | None = None


class Shelves(Pauses):
    """Variables, artifacts and limits in a database."""

    def set_variable(
        self, name: str, value: Any, now: datetime, *, tags: Sequence[str] = (), overwrite: bool = True
    ) -> bool:
        """Set a variable to a value that JSON can hold; False if there is one that is not to be overwritten."""
        given = {"name": name, "value": json.dumps(value), "tags": json.dumps(list(tags)), "now": now.timestamp()}
        with self._write(durable=True) as connection:
            statement = self._queries.upsert_variable if overwrite else self._queries.insert_variable
            return bool(statement(connection, **given))

    def variable(self, name: str) -> tuple[Any] | None:
        """Return a variable's value in a tuple; None if there is none of that name."""
        with self._read() as connection:
            row = self._queries.select_variable(connection, name=name)
            return None if row is None else (json.loads(row["value"]),)

    def variables(self) -> Mapping[str, Any]:
        """Return every variable by name."""
        with self._read() as connection:
            return {row["name"]: json.loads(row["value"]) for row in self._queries.select_variables(connection)}

    def unset_variable(self, name: str) -> bool:
        """Forget a variable; False if there is none of that name."""
        with self._write(durable=True) as connection:
            return bool(self._queries.delete_variable(connection, name=name))

    def set_secret(self, name: str, token: str, now: datetime, *, overwrite: bool = False) -> bool:
        """Keep an encrypted value; False if there is one that is not to be overwritten."""
        with self._write(durable=True) as connection:
            statement = self._queries.upsert_secret if overwrite else self._queries.insert_secret
            return bool(statement(connection, name=name, token=token, now=now.timestamp()))

    def secrets(self) -> dict[str, str]:
        """Return every encrypted value by name."""
        with self._read() as connection:
            return {row["name"]: row["token"] for row in self._queries.select_secrets(connection)}

    def unset_secret(self, name: str) -> bool:
        """Forget a secret; False if there is none of that name."""
        with self._write(durable=True) as connection:
            return bool(self._queries.delete_secret(connection, name=name))

    def save_artifact(self, artifact: Artifact, now: datetime) -> None:
        """Keep an artifact, or what it has become."""
        with self._write() as connection:
            self._queries.upsert_artifact(
                connection,
                artifact_id=artifact.artifact_id,
                name=artifact.name,
                kind=artifact.kind,
                run_id=artifact.run_id,
                task=artifact.task,
                data=redactor.redact(rows.dumps(artifact.data)),
                description=redactor.redact(artifact.description),
                now=now.timestamp(),
            )

    def artifacts(
        self, *, run_id: str | None = None, name: str | None = None, artifact_id: str | None = None
    ) -> list[Artifact]:
        """Return artifacts, oldest first."""
        with self._read() as connection:
            found = self._queries.select_artifacts(connection, run_id=run_id, name=name, artifact_id=artifact_id)
            return [
                Artifact(
                    row["artifact_id"],
                    row["kind"],
                    json.loads(row["data"]),
                    row["name"],
                    row["description"],
                    row["run_id"],
                    row["task"],
                    rows.instant(row["created_at"]),
                )
                for row in found
            ]

    def set_limit(self, limit: Limit) -> None:
        """Make a limit, or change it."""
        with self._write(durable=True) as connection:
            self._queries.upsert_limit(connection, name=limit.name, slots=limit.slots, decay=limit.decay)

    def remove_limit(self, name: str) -> bool:
        """Remove a limit; False if there is none of that name."""
        with self._write(durable=True) as connection:
            return bool(self._queries.delete_limit(connection, name=name))

    def limits(self) -> dict[str, Limit]:
        """Return every limit by name."""
        with self._read() as connection:
            found = self._queries.select_limits(connection)
            return {row["name"]: Limit(row["name"], row["slots"], row["decay"]) for row in found}

    def take_slots(
        self,
        names: Sequence[str],
        count: int,
        now: datetime,
        *,
        run_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> list[str] | None:
        """Take slots of all these limits or of none; returns their ids, or None if one has not enough left.

        Names without a limit are free.  Slots of a limit that decays are not given back: they come back by themselves.
        """
        with self._write() as connection:
            self._alone(connection)
            self._queries.delete_slots_gone(connection, now=now.timestamp())
            limits = {row["name"]: row for row in self._queries.select_limits(connection)}
            wanted: list[dict[str, Any]] = []
            for name in names:
                limit = limits.get(name)
                if limit is None:
                    continue
                held = self._queries.select_slots_held(connection, name=name)
                if held["held"] + count > limit["slots"]:
                    return None
                ends_at = None if expires_at is None else expires_at.timestamp()
                if limit["decay"]:
                    begin = max(now.timestamp(), held["last_expires_at"] or 0.0)
                    # Each slot comes back by itself, one after the other.
                    wanted += [
                        {"name": name, "count": 1, "run_id": None, "expires_at": begin + number / limit["decay"]}
                        for number in range(1, count + 1)
                    ]
                    continue
                wanted.append({"name": name, "count": count, "run_id": run_id, "expires_at": ends_at})
            ids = []
            for slot in wanted:
                slot_id = new_run_id(now)
                self._queries.insert_slot(connection, slot_id=slot_id, **slot)
                if slot["run_id"] is not None or expires_at is not None:
                    ids.append(slot_id)
            return ids

    def give_slots(self, slot_ids: Sequence[str]) -> None:
        """Give slots back."""
        with self._write() as connection:
            for slot_id in slot_ids:
                self._queries.delete_slots(connection, slot_id=slot_id)
