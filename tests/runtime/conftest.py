"""What the runtime's tests may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orch_notebook.runtime.ledger import Ledger
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store
from orch_notebook.runtime.store.opening import open_store


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings that name an empty store of each kind; the contract holds for every one."""
    if request.param == "sqlite":
        return Settings(tmp_path)
    return Settings(tmp_path, request.getfixturevalue("postgres").url())


@pytest.fixture
def store(place: Settings) -> Iterator[Store]:
    """An empty store of each kind."""
    store = open_store(place)
    yield store
    store.close()


@pytest.fixture
def ledger(store: Store) -> Iterator[Ledger]:
    """A ledger over the store, on the machine's clock."""
    ledger = Ledger(store)
    yield ledger
    ledger.close()
