"""A real store, settings of the test's own and a clock that stands still, for everything that is promoted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orch_notebook.runtime.clock import ManualClock
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store
from orch_notebook.runtime.store.opening import open_store
from tests.books import write_book


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, orch_home: Path) -> Settings:
    """Settings whose home is the test's own, once for each kind of store."""
    if request.param == "sqlite":
        return Settings(orch_home)
    return Settings(orch_home, request.getfixturevalue("postgres").url())


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An empty store of each kind."""
    opened = open_store(settings)
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
