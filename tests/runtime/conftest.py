"""What the runtime's tests may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orch_notebook.runtime.ledger import Ledger
from orch_notebook.runtime.store import Store
from orch_notebook.runtime.store.sqlite import SqliteStore

#: Every kind of store, by name; the contract holds for each.
STORES = {"sqlite": lambda folder: SqliteStore(folder / "orch.db")}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind, in a folder of this test's own."""
    store = STORES[request.param](tmp_path)
    yield store
    store.close()


@pytest.fixture
def ledger(store: Store) -> Iterator[Ledger]:
    """A ledger over the store, on the machine's clock."""
    ledger = Ledger(store)
    yield ledger
    ledger.close()
