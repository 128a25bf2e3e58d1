"""Backfills in a terminal: what would run, how far it is, and a table of results."""

from __future__ import annotations

from datetime import timedelta

from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.recovery import end_lost_run


def end(store, run_id, name="COMPLETED", **values):
    """End a waiting run, with values it recorded."""
    now = store.run(run_id).created_at
    lease = store.claim_run(run_id, "elsewhere:1:1", "ann", now + timedelta(days=1))
    for key, value in values.items():
        store.record_value(run_id, key, value, now)
    end_lost_run(store, lease, State(StateType(name)), now)
    store.release(lease)


def test_a_backfill_from_begin_to_end(orch, book, store):
    """A dry run runs nothing; the table has what differs, the state and what was recorded; the counts say the rest."""
    orch("promote", book, "--name", "nightly")
    dry = orch("backfill", "nightly", "--param", "n=1..3", "--reverse", "--dry-run")
    assert [line.strip() for line in dry.out.splitlines()[:3]] == ["n=3", "n=2", "n=1"]
    assert "No backfills yet" in orch("backfills").out
    made = orch("backfill", "nightly", "--param", "n=1..3", "--json").json["backfill"]
    runs = orch("backfills", made, "--json").json
    end(store, runs[0]["run_id"], rows=1200, score=0.98765432)
    end(store, runs[1]["run_id"], "FAILED")
    shown = orch("backfills", made[:13]).out
    assert ("1200" in shown, "0.987654" in shown, "score" in shown) == (True, True, True)
    assert "2 of 3 ended (66 %): 1 completed, 1 failed, 1 scheduled" in shown
    assert orch("backfills", made, "--json").json[0]["values"] == {"rows": 1200, "score": 0.98765432}
    again = orch("backfill", "nightly", "--param", "n=1..3", "--reprocess", "failed", "--dry-run", "--json").json
    assert [point["n"] for point in again["runs"]] == [2]
    assert "1 run cancelled" in orch("backfills", made, "--cancel").out
    [listed] = orch("backfills", "--json").json
    assert (listed["total"], listed["ended"], listed["counts"]["CANCELLED"]) == (3, 3, 1)
    assert "3 of 3 ended" in orch("backfills", made, "--watch").out


def test_a_backfill_must_be_named_to_be_watched(orch):
    """Watching or cancelling nothing in particular is refused, and so is an id that there is not."""
    for arguments, says in ((("--watch",), "Which backfill?"), (("--cancel",), "Which"), (("abc",), "no backfill")):
        answer = orch("backfills", *arguments)
        assert (answer.code, says in answer.err) == (2, True)
