"""A real store, settings of the test's own and a clock that stands still, for everything that is promoted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orch_notebook.runtime.clock import ManualClock
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.sqlite import SqliteStore
from tests.books import write_book


@pytest.fixture
def settings(orch_home: Path) -> Settings:
    """Settings whose home is the test's own."""
    return Settings(orch_home)


@pytest.fixture
def store(settings: Settings) -> Iterator[SqliteStore]:
    """A store in a real file."""
    opened = SqliteStore(settings.database)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at noon of a day in January until it is moved."""
    return ManualClock(datetime(2026, 1, 15, 12, tzinfo=UTC))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A notebook with one parameter and one plain cell; nothing here executes it."""
    return write_book(tmp_path / "work" / "report.ipynb", ("n: int = 3  # rows", ["parameters"]), "print(n)")
