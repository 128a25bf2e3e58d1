"""Whatever is wrong with what was asked: one line on standard error, an exit code scripts can trust, no traceback."""

import json
import os
import shlex
import sqlite3
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from orch_notebook.runtime.store.sqlite import SqliteStore
from tests.books import write_book
from tests.cli.conftest import COMMAND


def assert_one_line(answer, code, says):
    """Assert that a command said only one line, this one, and ended with this code."""
    assert answer.code == code
    assert says in answer.err
    assert answer.err.startswith("orch: ")
    assert answer.err.count("\n") == 1
    assert answer.out == ""


# what is asked, what the answer says
REFUSED = [
    ("frobnicate", "No such command 'frobnicate'"),
    ("--frob", "No such option: --frob"),
    ("run", "Missing argument 'NOTEBOOK'. See 'orch run --help'."),
    ("run report.ipynb --frob", "No such option: --frob"),
    ("db", "Missing command. See 'orch db --help'."),
    ("secret unset", "Did you mean 'set'? See 'orch secret --help'."),
    ("run none.ipynb", "There is no notebook"),
    ("graph reprot.ipynb", "There is no notebook reprot.ipynb. Did you mean 'report.ipynb'?"),
    ("graph report.ipynb --flow nightly", "report.ipynb has no flow 'nightly'."),
    ("graph flows.ipynb --flow nightyl", "flows.ipynb has no flow 'nightyl'. Did you mean 'nightly'?"),
    ("graph flows.ipynb", "All tasks of flows.ipynb name a flow: say --flow nightly."),
    ("promote etl.py", "is a module, not a notebook. For a flow of it: orch deploy"),
    ("run elt.py:work", "There is no module elt.py. Did you mean 'etl.py'?"),
    ("run etl.py", "etl.py has no flow; put @flow above a function of it."),
    ("db backup nowhere/copy.db", "There is no folder nowhere to put a copy in."),
    ("run .", "is a folder, not a notebook"),
    ("run report.ipynb -p k=1", "There is no parameter 'k'. The notebook takes n: int = 3"),
    ("run report.ipynb -p n=many", "'n' takes int, not 'many'"),
    ("run report.ipynb -p n", "name=value, not 'n'"),
    ("run report.ipynb --timeout soon", "'soon' is not a length of time"),
    ("run report.ipynb --timeout 0", "more than 0"),
    ("run report.ipynb --kernel ghost", "kernel 'ghost' is not installed"),
    ("run no-kernel.ipynb", "kernel 'ghost' is not installed"),
    ("run text.ipynb", "line 1, column 1 is not JSON"),
    ("run old.ipynb", "is in notebook format 3"),
    ("promote report.ipynb --name a/b", "so not 'a/b'"),
    ("promote report.ipynb --retries few", "'--retries'"),
    ("promote report.ipynb --retries -1", "must not be negative"),
    ("promote report.ipynb --retry-delay x", "'x' is not a length of time"),
    ("promote report.ipynb --cron '61 * * * *'", "the minute field '61'"),
    ("promote report.ipynb --cron '* * * *'", "'* * * *'"),
    ("promote report.ipynb --cron '0 6 * * *' --tz Mars/X", "no time zone 'Mars/X'"),
    ("promote report.ipynb --every often", "'often' is not a length of time"),
    ("promote report.ipynb --at someday", "'someday'"),
    ("promote report.ipynb --at 2001-01-01", "no due time ahead"),
    ("promote report.ipynb --tz UTC", "give --cron, --rrule"),
    ("promote report.ipynb --rrule FREQ=OFTEN", "needs a FREQ of"),
    ("promote report.ipynb --catch-up never", "no catch-up policy 'never'"),
    ("promote report.ipynb --overlap wait", "no overlap policy 'wait'"),
    ("promote report.ipynb --limit 0", "At least one run"),
    ("rollback nothing 1", "no deployment 'nothing'"),
    ("versions nothing", "no deployment 'nothing'"),
    ("promote report.ipynb -p k=1", "There is no parameter 'k'"),
    ("promote report.ipynb -p n=many", "'n' takes int"),
    ("promote none.ipynb --name x", "There is no notebook"),
    ("trigger nightly", "There is no deployment 'nightly'"),
    ("trigger known -p k=1", "There is no parameter 'k'"),
    ("trigger known -p n=x", "'n' takes int, not 'x'"),
    ("trigger knwon", "Did you mean 'known'"),
    ("pause nightly", "There is no deployment 'nightly'"),
    ("unpause nightly", "There is no deployment 'nightly'"),
    ("runs --state sleepy", "There is no state 'sleepy'. States are Scheduled"),
    ("runs --limit 0", "'--limit'"),
    ("runs --limit all", "'--limit'"),
    ("runs --deployment nightly", "There is no deployment 'nightly'"),
    ("runs --parent 0000", "There is no run '0000'"),
    ("show 0000", "There is no run '0000'. 'orch runs' lists the newest."),
    ("show %", "There is no run '%'"),
    ("show 0", "Several runs begin or end with '0'"),
    ("show", "Missing argument 'RUN'"),
    ("logs 0000", "There is no run '0000'"),
    ("cancel 0000", "There is no run '0000'"),
    ("graph none.ipynb", "There is no notebook"),
    ("graph syntax.ipynb", "cell 1, line 2"),
    ("graph twice.ipynb", "two cells define task 'a'"),
    ("graph option.ipynb", "option.ipynb: cell 1: %%task has no option --retry. Did you mean"),
    ("graph after.ipynb", "'nobody'"),
    ("graph circle.ipynb", "a → b → a"),
    ("graph report.ipynb --svg /none/such/g.svg", "/none/such/g.svg: No such file or directory."),
    ("worker --slots 0", "'--slots'"),
]


@pytest.mark.parametrize(("asked", "says"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_cannot_be_done_is_told_in_one_line(orch, book, asked, says):
    """Usage errors, unknown names and unreadable notebooks end with code 2, and nothing is half-registered."""
    write_book(book.parent / "no-kernel.ipynb", "x = 1", kernel="ghost")
    (book.parent / "text.ipynb").write_text("hello")
    (book.parent / "old.ipynb").write_text(json.dumps({"nbformat": 3, "worksheets": []}))
    write_book(book.parent / "syntax.ipynb", "%%task a\nx = 1\ny = = 2")
    write_book(book.parent / "twice.ipynb", "%%task a\nx = 1", "%%task a\ny = 1")
    write_book(book.parent / "option.ipynb", "%%task a --retry 3\nx = 1")
    write_book(book.parent / "flows.ipynb", "%%task a --flow nightly\nx = 1")
    (book.parent / "etl.py").write_text("x = 1\n")
    write_book(book.parent / "after.ipynb", "%%task a --after nobody\nx = 1")
    write_book(book.parent / "circle.ipynb", "%%task a --after b\nx = 1", "%%task b --after a\ny = 1")
    orch("promote", "report.ipynb", "--name", "known")
    for _ in range(2):
        orch("trigger", "known")
    assert_one_line(orch(*shlex.split(asked)), 2, says)
    assert [each["name"] for each in orch("deployments", "--json").json] == ["known"]
    assert len(orch("runs", "--json").json) == 2


def test_what_has_ended_cannot_be_cancelled(orch, book):
    """The answer says how the run ended."""
    orch("promote", book)
    run_id = orch("trigger", "report", "--json").json["run_id"]
    assert "is cancelled" in orch("cancel", run_id).out
    assert_one_line(orch("cancel", run_id), 2, "already ended: Cancelled")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ORCH_LEASE", "ORCH_LEASE must be a positive number, not 'long'."),
        ("ORCH_KEEP", "ORCH_KEEP: Runs cannot be kept 'long'."),
        ("ORCH_MEMORY_LIMIT", "ORCH_MEMORY_LIMIT: 'long' is no amount of memory."),
    ],
)
def test_a_setting_that_cannot_be_read_is_told(orch, monkeypatch, name, says):
    """An environment variable is named with what it holds."""
    monkeypatch.setenv(name, "long")
    assert_one_line(orch("runs"), 2, says)


# the store


def file_as_home(home):
    home.parent.mkdir(parents=True, exist_ok=True)
    home.write_text("")


def no_store(home):
    home.mkdir(parents=True)
    (home / "orch.db").write_text("something else" * 1000)


def newer_store(home):
    SqliteStore(home / "orch.db").close()
    connection = sqlite3.connect(home / "orch.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def read_only_home(home):
    home.mkdir(parents=True)
    home.chmod(0o500)
    if os.access(home, os.W_OK):
        pytest.skip("root may write everywhere")


STORES = [
    (file_as_home, "cannot be opened"),
    (no_store, "is not a store, or is damaged"),
    (newer_store, "was written by a newer version of orch_notebook (schema 99"),
    (read_only_home, "cannot be opened: Permission denied"),
]


@pytest.mark.parametrize("command", ["runs", "deployments", "show x", "worker --until-idle", "run report.ipynb"])
@pytest.mark.parametrize(("spoil", "says"), STORES, ids=[row[0].__name__ for row in STORES])
def test_a_store_that_cannot_be_used_is_told(orch, book, orch_home, spoil, says, command):
    """Code 3, and what is wrong with it in words that no database speaks."""
    spoil(orch_home)
    assert_one_line(orch(*command.split()), 3, says)


def test_a_locked_store_is_told(orch, book, store, orch_home, monkeypatch):
    """While another process writes and writes, the command gives up in time; nothing is lost."""
    orch("promote", book)
    monkeypatch.setitem(SqliteStore.__init__.__kwdefaults__, "patience", 0.05)
    other = sqlite3.connect(orch_home / "orch.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert_one_line(orch("trigger", "report"), 3, "is locked: another process has been writing")
    other.execute("ROLLBACK")
    other.close()
    assert orch("trigger", "report").code == 0


def test_doctor_finds_what_is_wrong(orch, book, store, orch_home):
    """Code 0 when all is well; else 1, and the line that is wrong says what to do."""
    assert orch("doctor").code == 0
    orch("promote", book, "--every", "1h")
    answer = orch("doctor")
    assert answer.code == 1
    assert "✗ workers: none; runs wait for one. Start it: orch worker" in answer.out
    made = store.run(orch("trigger", "report", "--json").json["run_id"])
    long_ago = made.created_at - timedelta(days=1)
    connection = sqlite3.connect(orch_home / "orch.db")
    connection.execute("UPDATE runs SET due_at = ?", (long_ago.timestamp(),))
    connection.commit()
    connection.close()
    findings = {finding["subject"]: finding for finding in orch("doctor", "--json").json}
    assert not findings["due runs"]["is_well"]
    assert "waiting since" in findings["due runs"]["text"]


def test_doctor_speaks_of_a_store_it_cannot_open(orch, orch_home):
    """A store that cannot be used is a finding, not an error."""
    newer_store(orch_home)
    answer = orch("doctor")
    assert (answer.code, answer.err) == (1, "")
    assert "✗ store: " in answer.out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_an_output_that_is_full_is_told(orch, book):
    """Where the output cannot go, one line on standard error says so."""
    orch("promote", book)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "deployments"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "orch: No space left on device.\n")


def test_a_reader_that_has_had_enough_is_no_error(orch, book):
    """``orch … | head`` says nothing on standard error."""
    orch("promote", book)
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run([*COMMAND, "deployments", "--json"], stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    assert done.stderr == ""
