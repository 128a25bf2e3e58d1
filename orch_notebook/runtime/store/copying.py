"""Copies of a store: to a file, and back from one.

In: the settings that name the store, and a file.  Out: the file, whole or not at all; or the store as it was.  SQLite
copies itself while others write; for PostgreSQL its own programs do.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from orch_notebook.errors import StoreUnavailable, UsageError
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.sql import migrations

__all__ = ["back_up", "restore"]

#: Pages that are copied at a time, so that a writer need not wait for the whole.
PAGES = 2048


def back_up(settings: Settings, target: Path, *, replaces: bool = False) -> int:
    """Copy the store to a file and return its size; what is written meanwhile is in it or not, but nothing by halves.

    Raises
    ------
    UsageError
        There is such a file, or PostgreSQL's ``pg_dump`` is not on PATH.
    StoreUnavailable
        The copy could not be made.
    """
    if target.exists() and not replaces:
        raise UsageError(f"{target} is there already. Say --force to replace it.")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent} to put a copy in.")
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    os.close(os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    try:
        if settings.database_url is None:
            _copy(settings.database, beside)
        else:
            _call(
                "pg_dump", settings.database_url, "--format=custom", *_schema(settings.database_url), f"--file={beside}"
            )
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    return target.stat().st_size


def restore(settings: Settings, source: Path) -> None:
    """Make the store what a copy of it was; whoever has it open sees the old content or the new.

    Raises
    ------
    UsageError
        The file is no copy of such a store, or PostgreSQL's ``pg_restore`` is not on PATH.
    StoreUnavailable
        The copy is from a newer version, or could not be read back.
    """
    if not source.is_file():
        raise UsageError(f"There is no file {source}.")
    with source.open("rb") as file:
        head = file.read(16)
    if settings.database_url is not None:
        if not head.startswith(b"PGDMP"):
            raise UsageError(f"{source} is no copy of a PostgreSQL store; 'orch db backup' makes one.")
        options = ("--clean", "--if-exists", "--single-transaction", "--no-owner", "--exit-on-error")
        _call("pg_restore", settings.database_url, *options, str(source))
        return
    if head != b"SQLite format 3\0":
        raise UsageError(f"{source} is no copy of a SQLite store; 'orch db backup' makes one.")
    _check(source)
    settings.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _copy(source, settings.database)


def _check(source: Path) -> None:
    """Refuse a copy that this version cannot read, before anything is replaced."""
    newest = migrations()[-1][0]
    try:
        with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as connection:
            [(version,)] = connection.execute("PRAGMA user_version")
            [(check,)] = connection.execute("PRAGMA quick_check(1)")
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        raise StoreUnavailable(f"{source} is damaged: {error}. The store is as it was.") from None
    if not {"runs", "events"} <= tables:
        raise UsageError(f"{source} holds no store of orch_notebook. The store is as it was.")
    if check != "ok":
        raise StoreUnavailable(f"{source} is damaged: {check}. The store is as it was.")
    if version > newest:
        raise StoreUnavailable(
            f"{source} is from a newer version of orch_notebook (schema {version}, this one knows {newest}). Upgrade "
            "first; the store is as it was."
        )


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        raise UsageError(f"There is no store at {source}.")
    try:
        with (
            closing(sqlite3.connect(source, timeout=10.0)) as old,
            closing(sqlite3.connect(target, timeout=10.0)) as new,
        ):
            old.backup(new, pages=PAGES, sleep=0.01)
    except sqlite3.DatabaseError as error:
        raise StoreUnavailable(f"{source} could not be copied to {target}: {error}.") from None


def _schema(url: str) -> list[str]:
    """Return what limits a dump to the schema that an address names, if it does."""
    found = re.search(r"search_path=(\w+)", unquote(url))
    return [f"--schema={found[1]}"] if found else []


def _call(program: str, url: str, *arguments: str) -> None:
    path = shutil.which(program)
    if path is None:
        raise UsageError(
            f"A PostgreSQL store is copied by PostgreSQL's own {program}, which is not on PATH. Install the client "
            "programs (postgresql-client), or copy the database as its administrator does."
        )
    try:
        # In the environment, so that no list of processes shows the password.
        done = subprocess.run(
            [path, *arguments, *_connection(url)],
            env={**os.environ, **_password(url)},
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise StoreUnavailable(f"{program} could not be started: {error.strerror}.") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise StoreUnavailable(f"{program} ended with code {done.returncode}: {said}")


def _password(url: str) -> dict[str, str]:
    found = re.match(r"\w+://[^/@:]*:([^@/]*)@", url)
    return {"PGPASSWORD": unquote(found[1])} if found else {}


def _connection(url: str) -> list[str]:
    return ["--dbname", re.sub(r"(://[^/@:]*):[^@/]*@", r"\1@", url)]
