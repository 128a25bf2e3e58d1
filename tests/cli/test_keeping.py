"""The store copied and brought back, and what goes, from the command line."""

from __future__ import annotations

import os
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from orch_notebook.promotion.following import follow_ends
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.copying import back_up, restore
from orch_notebook.runtime.store.opening import open_store
from tests.cli.test_backfilling import end
from tests.databases.postgres import find_postgres


def test_a_copy_brings_the_store_back(orch, book, store, tmp_path):
    """A copy is made while the store is open, refused over a file, and brought back into stores that are open."""
    orch("promote", book, "--name", "nightly")
    copy = tmp_path / "copy.db"
    assert orch("db", "backup", copy).code == 0
    assert (copy.stat().st_mode & 0o777, orch("db", "backup", copy).code) == (0o600, 2)
    assert orch("db", "backup", copy, "--force").code == 0
    orch("delete", "nightly")
    assert store.deployments() == []
    answer = orch("db", "restore", copy)
    assert (answer.code, [each.name for each in store.deployments()]) == (0, ["nightly"])
    before = Path(f"{copy}.before")
    assert orch("db", "restore", before).code == 0
    assert store.deployments() == []


def test_what_is_no_copy_is_refused_and_changes_nothing(orch, book, store, tmp_path):
    """Other files, other databases and damaged copies are named, and the store is as it was."""
    orch("promote", book, "--name", "nightly")
    other, text, torn = (tmp_path / name for name in ("other.db", "text.db", "torn.db"))
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE x (y)")
    connection.close()
    text.write_text("no database at all")
    orch("db", "backup", torn)
    data = bytearray(torn.read_bytes())
    data[4096:12_288] = os.urandom(8192)
    torn.write_bytes(data)
    for path, code, says in (
        (tmp_path / "none.db", 2, "There is no file"),
        (text, 2, "no copy of a SQLite store"),
        (other, 2, "holds no store"),
        (torn, 3, "damaged"),
    ):
        answer = orch("db", "restore", path)
        assert (answer.code, says in answer.err) == (code, True), answer.err
    assert [each.name for each in store.deployments()] == ["nightly"]


def test_a_store_in_use_is_not_replaced(orch, book, store, tmp_path):
    """Workers and runs that live are named; --force goes on."""
    orch("promote", book, "--name", "nightly")
    orch("db", "backup", tmp_path / "copy.db")
    store.beat("elsewhere:1:1", "ann", 2, store.now())
    answer = orch("db", "restore", tmp_path / "copy.db")
    assert (answer.code, "In use by ann" in answer.err) == (2, True)
    assert orch("db", "restore", tmp_path / "copy.db", "--force").code == 0


def test_info_and_upgrade(orch, book):
    """What is in the store is counted, and what opening it did to its tables is said."""
    assert "made" in orch("db", "upgrade").out
    assert "already" in orch("db", "upgrade").out
    orch("promote", book, "--name", "nightly")
    about = orch("db", "info", "--json").json
    assert (about["rows"]["deployments"], about["rows"]["runs"], about["check"]) == (1, 0, "ok")
    assert "deployments" in orch("db", "info").out


def test_gc_shows_before_it_removes(orch, book, store):
    """A dry run tells counts and sizes and removes nothing; without any rule it says how to set one."""
    orch("promote", book, "--name", "nightly")
    assert "ORCH_KEEP=30d" in orch("gc").out
    for _ in range(3):
        end(store, orch("trigger", "nightly", "--json").json["run_id"])
    follow_ends(store, store.now())
    dry = orch("gc", "--keep", "1", "--dry-run").out
    assert ("would go; nothing has" in dry, len(store.runs())) == (True, 3)
    done = orch("gc", "--keep", "1", "--json").json
    assert (done["removed"], done["piles"][0]["count"], len(store.runs())) == (True, 2, 1)
    bad = orch("gc", "--keep", "some")
    assert (bad.code, "30d" in bad.err) == (2, True)


def test_a_postgres_store_is_copied_by_its_own_programs(tmp_path, postgres, monkeypatch):
    """Without pg_dump it is said plainly; with it a schema comes back as it was."""
    settings = Settings(tmp_path / "home", postgres.url())
    store = open_store(settings)
    store.set_variable("region", "north", store.now())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match="pg_dump, which is not on PATH"):
        back_up(settings, tmp_path / "copy")
    assert not list(tmp_path.glob(".copy*"))
    monkeypatch.setenv("PATH", f"{find_postgres()}:/usr/bin:/bin")
    if not (find_postgres() / "pg_dump").exists():
        pytest.skip("PostgreSQL's client programs are not here.")
    assert back_up(settings, tmp_path / "copy") > 1000
    store.set_variable("region", "south", store.now() + timedelta(seconds=1))
    store.close()
    restore(settings, tmp_path / "copy")
    again = open_store(settings)
    assert again.variable("region") == ("north",)
    again.close()
    with pytest.raises(Exception, match="no copy of a PostgreSQL store"):
        restore(settings, Path(__file__))
