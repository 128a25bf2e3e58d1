"""What the command shows of messages, chains and recorded values."""

from __future__ import annotations

import sys
from datetime import timedelta

from orch_notebook.model.notices import Notice, write_message
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.recovery import end_lost_run

SECRET = "https://example.org/hooks/secret-word"


def test_whom_a_deployment_tells_is_shown_without_secrets(orch, book):
    """Neither promoting nor listing shows an address; the export names a variable in its place."""
    made = orch("promote", book, "--name", "nightly", "--notify", f"on=failed,late,to={SECRET}", "--keep", "30d,9")
    assert "It tells failed, late → https://… (" in made.out
    exported = orch("export", "nightly")
    assert ("$ORCH_NOTIFY_" in exported.out, "set ORCH_NOTIFY_" in exported.err) == (True, True)
    listed = orch("deployments", "--json")
    assert listed.json[0]["keep"] == "30 d,9"
    shown = [made.out, exported.out, listed.out, orch("versions", "nightly", "--json").out]
    assert not [text for text in shown if "secret-word" in text]
    assert "secret-word" in orch("export", "nightly", "--secrets").out


def test_rules_are_tried(orch, book, tmp_path):
    """Each rule is tried and said to work or not; the exit code tells scripts."""
    told = tmp_path / "told"
    works = f"command: {sys.executable} -c \"import os; open({str(told)!r}, 'w').write(os.environ['ORCH_TITLE'])\""
    orch("promote", book, "--name", "nightly", "--notify", f"to={works}")
    done = orch("notify", "test", "nightly")
    assert (done.code, done.out[0], told.read_text()) == (0, "✓", "nightly: completed")
    orch(
        "promote", book, "--name", "nightly", "--notify", f"to={works}", "--notify", "to=command: no-such-program-here"
    )
    failed = orch("notify", "test", "nightly")
    assert (failed.code, "✗" in failed.out, "could not be started" in failed.out) == (1, True, True)
    orch("promote", book, "--name", "nightly")
    assert "tells nobody" in orch("notify", "test", "nightly").out


def test_messages_are_listed(orch, book, store):
    """What became of each message is listed, its address without secrets."""
    assert "Nobody has been told" in orch("notify", "list").out
    orch("promote", book, "--name", "nightly", "--notify", f"to={SECRET}")
    now = store.deployment("nightly").created_at
    message = write_message(Notice(SECRET), "failed", "r", "nightly", now)
    store.file_messages([message])
    store.claim_message(message, now)
    store.settle_message(message, "given up", error="it was refused")
    [listed] = orch("notify", "list", "--deployment", "nightly", "--json").json
    assert (listed["fact"], listed["state"], listed["attempts"], listed["error"]) == (
        "failed", "given up", 1, "it was refused",
    )  # fmt: skip
    shown = orch("notify", "list").out
    assert ("nightly: failed" in shown, "secret-word" in shown + str(listed)) == (True, False)


def test_what_starts_after_another_says_so(orch, book, store):
    """Promoting and listing tell the rule, and a run's page the run before it and what it recorded."""
    orch("promote", book, "--name", "load")
    made = orch("promote", book, "--name", "report", "--after-deployment", "load", "-p", "n={upstream.values.rows}")
    assert "starts after load has completed with n={upstream.values.rows}" in made.out
    assert "after load has completed" in orch("deployments").out
    bad = orch("promote", book, "--name", "load", "--after-deployment", "report")
    assert (bad.code, "load → report → load" in bad.err) == (2, True)
    run_id = orch("trigger", "load", "--json").json["run_id"]
    now = store.run(run_id).created_at
    store.record_value(run_id, "rows", 41, now)
    lease = store.claim_run(run_id, "elsewhere:1:1", "ann", now + timedelta(days=1))
    end_lost_run(store, lease, State(StateType.CRASHED), now)
    assert orch("show", run_id, "--json").json["values"] == {"rows": 41}
    assert "recorded rows=41" in orch("show", run_id).out
