"""What flow runs ask of people, and what they were answered.

A pause has a key within its line (a run, and the runs that repeat it): it is asked once, and its answer stands for a
repetition too, as the result of a task does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orch_notebook.model.deployments import Plan
from orch_notebook.runtime.store import Lease, rows
from orch_notebook.runtime.store.connected import Connected

__all__ = ["Pause", "Pauses"]


@dataclass(frozen=True, slots=True)
class Pause:
    """One question of a run.

    Parameters
    ----------
    line, key : str
        Which it is: the first run of the line, and its name in the flow.
    run_id : str
        The run that waits.
    kind : str
        What an answer is: ``none`` (only the go-ahead), ``value``, or ``model`` (several named values).
    schema : sequence of mapping
        The parameters that an answer is made of.
    expires_at : datetime
        How long it is waited for.
    answer : tuple or None
        The answer; None as long as there is none.
    """

    line: str
    key: str
    run_id: str
    kind: str
    schema: Sequence[Mapping[str, Any]]
    expires_at: datetime
    answer: tuple[Any] | None = None


class Pauses(Connected):
    """The pauses in a database."""

    def ask(self, pause: Pause, now: datetime) -> Pause:
        """Note that a run asks, unless it has before; return how the pause stands."""
        with self._write(durable=True) as connection:
            self._queries.ask(
                connection,
                line=pause.line,
                key=pause.key,
                run_id=pause.run_id,
                kind=pause.kind,
                schema=rows.dumps(list(pause.schema)),
                expires_at=pause.expires_at.timestamp(),
                now=now.timestamp(),
            )
            return _pause(self._queries.select_pause(connection, line=pause.line, key=pause.key))

    def pause(self, line: str, key: str) -> Pause | None:
        """Return a pause."""
        with self._read() as connection:
            row = self._queries.select_pause(connection, line=line, key=key)
            return None if row is None else _pause(row)

    def open_pause(self, run_id: str) -> Pause | None:
        """Return what a run waits for; None if that is nothing."""
        with self._read() as connection:
            row = self._queries.select_open_pause(connection, run_id=run_id)
            return None if row is None else _pause(row)

    def pause_near(self, run_id: str, owner: str = "") -> tuple[Pause, str] | None:
        """Return what was asked last by a run, by one that it began, or by any of an owner's; with the flow's name."""
        with self._read() as connection:
            row = self._queries.select_pause_near(connection, run_id=run_id, owner=owner)
            return None if row is None else (_pause(row), row["flow"])

    def answer(self, pause: Pause, answer: Any, now: datetime) -> bool:
        """Answer a pause; False if somebody has before."""
        given = {"line": pause.line, "key": pause.key, "answer": json.dumps(answer), "now": now.timestamp()}
        with self._write(durable=True) as connection:
            return bool(self._queries.answer(connection, **given))

    def refuse_answer(self, pause: Pause) -> None:
        """Take an answer back that does not fit; the run waits on."""
        with self._write(durable=True) as connection:
            self._queries.refuse_answer(connection, line=pause.line, key=pause.key)

    def expired_pauses(self, now: datetime) -> list[str]:
        """Return the ids of suspended runs that nobody has answered in time."""
        with self._read() as connection:
            return [row["run_id"] for row in self._queries.select_expired_pauses(connection, now=now.timestamp())]

    def wake_run(self, run_id: str, now: datetime) -> bool:
        """Have a suspended run go on: it is due now; False if it is not suspended."""
        with self._write(durable=True) as connection:
            return bool(self._queries.wake_run(connection, run_id=run_id, now=now.timestamp()))

    def plan_run(self, lease: Lease, plan: Plan) -> None:
        """Say how a worker executes a run that this process has begun, where nothing is said yet."""
        with self._write() as connection:
            text = rows.dumps(plan.to_json())
            self._queries.update_run_plan(connection, run_id=lease.run_id, token=lease.token, plan=text)


def _pause(row: Mapping[str, Any]) -> Pause:
    return Pause(
        row["line"],
        row["key"],
        row["run_id"],
        row["kind"],
        json.loads(row["schema"]),
        datetime.fromtimestamp(row["expires_at"], UTC),
        None if row["answered_at"] is None else (json.loads(row["answer"]),),
    )
