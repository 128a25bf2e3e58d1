"""What can be wrong with a SQLite file, and that it is said in one line."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from orch_notebook.errors import StoreUnavailable
from orch_notebook.model.events import LogWritten
from orch_notebook.runtime.store.sqlite import SqliteStore
from orch_notebook.testing import START, completed, open_run, run_became, started

LATER = START + timedelta(minutes=1)


def says(error: pytest.ExceptionInfo[StoreUnavailable], *words: str) -> None:
    """Check that an error is one plain line that names the file, and hides the database's own."""
    said = str(error.value)
    assert "\n" not in said and "sqlite3" not in said and "orch.db" in said
    assert error.value.__suppress_context__ or error.value.__context__ is None
    for word in words:
        assert word in said


@pytest.fixture
def path(tmp_path):
    """Where a store may be made."""
    return tmp_path / "home" / "orch.db"


def test_only_its_owner_can_read_it(path) -> None:
    """The folder has mode 0700, the file and what SQLite puts beside it 0600, whatever the umask."""
    before = os.umask(0)
    try:
        store = SqliteStore(path)
        open_run(store)
        files = list(path.parent.iterdir())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {file.name for file in files} == {"orch.db", "orch.db-wal", "orch.db-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    store.close()


def test_it_is_there_again_when_it_is_opened_again(path) -> None:
    """What was stored survives its store object, and a second one sees it at once."""
    first, second = SqliteStore(path), SqliteStore(path)
    run, lease = open_run(first)
    first.append(lease, [(1, run_became("RUNNING"))], LATER)
    assert second.run(run.run_id).state.name == "Running"
    first.close()
    second.close()
    third = SqliteStore(path)
    assert third.events(run.run_id) == [(1, run_became("RUNNING"))]
    third.close()


def test_a_newer_version_is_refused(path) -> None:
    """It says which, and what to do; the file stays as it is."""
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreUnavailable) as error:
        SqliteStore(path)
    says(error, "newer version", "999", "Upgrade orch_notebook")


def test_a_store_that_cannot_be_opened_leaves_no_connection(path) -> None:
    """Refused or not, nothing holds the file afterwards."""
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
    made = []

    class Watched(SqliteStore):
        def _connect(self):
            made.append(super()._connect())
            return made[-1]

    with pytest.raises(StoreUnavailable):
        Watched(path)
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


@pytest.mark.parametrize(
    "content", [b"this is a text file, not a database\n" * 100, b"SQLite format 3\0" + b"x" * 5000]
)
def test_what_is_no_database_is_left_alone(path, content) -> None:
    """A file that is something else is not touched."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable) as error:
        SqliteStore(path)
    says(error, "not a store, or is damaged")
    assert path.read_bytes() == content


def test_a_folder_in_its_place_is_named(path) -> None:
    """Where a folder stands no file can be opened."""
    path.mkdir(parents=True)
    with pytest.raises(StoreUnavailable) as error:
        SqliteStore(path)
    says(error, "cannot be opened")


def test_a_file_in_the_place_of_its_folder_is_named(tmp_path) -> None:
    """Nor can a folder be made where a file stands."""
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreUnavailable) as error:
        SqliteStore(tmp_path / "home" / "orch.db")
    says(error, "cannot be opened")


def test_a_lock_that_lasts_is_said(path) -> None:
    """After its patience; reading goes on, and once the other is done so does writing."""
    store = SqliteStore(path, patience=0.05)
    run, lease = open_run(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable) as error:
            store.append(lease, [(1, started("a"))], LATER)
        says(error, "is locked", "Try again")
        assert store.run(run.run_id).state.name == "Pending"
        other.execute("ROLLBACK")
    store.append(lease, [(1, started("a"))], LATER)
    assert store.events(run.run_id) == [(1, started("a"))]
    store.close()


def test_a_full_disk_loses_nothing_that_was_stored(path) -> None:
    """What does not fit is refused whole; what was there stays, and with room again it goes on."""

    class Small(SqliteStore):
        limit = 0

        def _connect(self):
            connection = super()._connect()
            if self.limit:
                connection.execute(f"PRAGMA max_page_count = {self.limit}")
            return connection

    store = Small(path)
    run, lease = open_run(store)
    store.append(lease, [(1, started("a"))], LATER)
    store._idle.clear()
    store.limit = store._one(lambda c: c.execute("PRAGMA page_count").fetchone()["page_count"]) + 1
    store._idle.clear()
    batch = [(2, completed("a")), *((n, LogWritten(START, "a", 1, 20, "x" * 4000)) for n in range(3, 60))]
    with pytest.raises(StoreUnavailable) as error:
        store.append(lease, batch, LATER)
    says(error, "disk is full", "What was stored is safe")
    assert store.events(run.run_id) == [(1, started("a"))] and store.logs(run.run_id) == []
    store.close()
    roomy = SqliteStore(path)
    roomy.append(lease, batch, LATER)
    assert roomy.last_seq(run.run_id) == 59 and roomy.describe()["check"] == "ok"
    roomy.close()


READ_ONLY = """
import os, sys
from pathlib import Path
from orch_notebook.errors import StoreUnavailable
from orch_notebook.runtime.store.sqlite import SqliteStore
from orch_notebook.testing import open_run, temporary_store

with temporary_store() as store:  # what is needed of the package is read while it may be
    open_run(store)
if os.getuid() == 0:  # root may write everywhere
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    open_run(SqliteStore(Path(sys.argv[1])))
except StoreUnavailable as error:
    print(error)
"""


@pytest.mark.processes
@pytest.mark.parametrize("what", ["file", "folder", "new"])
def test_what_may_not_be_written_is_said(what) -> None:
    """A file without write permission, or one in such a folder; the answer comes at once."""
    folder = Path(tempfile.mkdtemp())
    home = folder / "home"
    path = home / "orch.db"
    home.mkdir()
    if what != "new":
        SqliteStore(path).close()
    places = [*home.iterdir(), home, folder]
    try:
        for place in places:
            place.chmod(0o755 if place.is_dir() else 0o644)
            if os.getuid() == 0 and (what == "file" or place == folder):
                os.chown(place, 65534, 65534)
        for place in places[:-1]:
            if what == "file" and place == path:
                place.chmod(0o400)
            elif what != "file" and place == home:
                place.chmod(0o555)
        command = [sys.executable, "-c", READ_ONLY, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    finally:
        home.chmod(0o700)
        shutil.rmtree(folder)
    assert done.stderr == "" and len(done.stdout.splitlines()) == 1, done
    assert "orch.db" in done.stdout and ("read-only" in done.stdout or "cannot be opened" in done.stdout), done


FORK = """
import os, sys
from pathlib import Path
from orch_notebook.runtime.store.sqlite import SqliteStore
from orch_notebook.testing import open_run

store = SqliteStore(Path(sys.argv[1]))
run, lease = open_run(store)
child = os.fork()
if child == 0:
    found = store.run(run.run_id)
    os._exit(0 if found and len(store._opened) == 1 and store._pid == os.getpid() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), store.renew(lease, lease.expires_at))
"""


@pytest.mark.processes
def test_a_forked_child_does_not_touch_its_parents_connections(path) -> None:
    """It opens its own, and the parent's go on working."""
    done = subprocess.run([sys.executable, "-c", FORK, str(path)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0 True\n", "")


def test_a_closed_store_says_so(path) -> None:
    """It does not open itself again behind one's back; closing twice is no error."""
    store = SqliteStore(path)
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable) as error:
        store.runs()
    says(error, "has been closed")


def test_a_store_may_be_closed_under_a_thread_that_uses_it(path) -> None:
    """What another thread is reading is left to it; its connection closes when it is given back."""
    store = SqliteStore(path)
    with store._read() as connection:
        store.close()
        assert connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    with pytest.raises(StoreUnavailable, match="has been closed"):
        store.runs()
