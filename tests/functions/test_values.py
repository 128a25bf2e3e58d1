"""Values that runs record: what is taken, what is refused, and whose they are."""

from __future__ import annotations

import math
from datetime import date

import pytest

from orch_notebook import flow, record, task
from orch_notebook.errors import UsageError
from orch_notebook.model.cells import Cell, wire
from orch_notebook.runtime.context import within_cell
from orch_notebook.runtime.home import open_home

np = pytest.importorskip("numpy")

TAKEN = [
    (3, 3),
    (True, True),
    (None, None),
    ("text", "text"),
    (0.5, 0.5),
    (math.nan, "nan"),
    ([1, (2, 3)], [1, [2, 3]]),
    ({"a": {1: 2}}, {"a": {"1": 2}}),
    (date(2026, 1, 2), "2026-01-02"),
    (np.int64(7), 7),
    (np.float32(0.5), 0.5),
    (np.bool_(True), True),
    (np.arange(3), [0, 1, 2]),
]


@pytest.mark.parametrize(("value", "kept"), TAKEN, ids=[repr(row[0]) for row in TAKEN])
def test_values_are_kept_as_json_holds_them(value, kept):
    """Numbers of libraries become plain ones, what JSON has no number for its text; what is returned is the value."""
    with within_cell("r1", "load"):
        assert record("it", value) is value
    assert open_home().store.recorded("r1") == {"r1": {"it": kept}}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("two words", 1, "letters"), ("x", object(), "cannot hold a object"), ("x", "y" * 200_000, "too large")],
)
def test_what_is_no_figure_is_refused(name, value, says):
    """A name that could not be asked for, an object and a large text are refused, with what to do instead."""
    with pytest.raises(UsageError, match=says):
        record(name, value)


def test_a_value_belongs_to_the_run_whose_code_records_it(monkeypatch):
    """Tasks and flows record for the flow's run, all in a worker's kernel for the run it executes."""

    @task
    def count():
        record("inner", 1)

    @flow
    def load():
        count()
        record("outer", 2)

    load()
    store = open_home().store
    [run] = store.runs(flow="load")
    assert store.recorded(run.run_id) == {run.run_id: {"inner": 1, "outer": 2}}
    monkeypatch.setenv("ORCH_RUN_ID", "of-the-worker")
    load()
    assert store.recorded("of-the-worker") == {"of-the-worker": {"inner": 1, "outer": 2}}
    monkeypatch.delenv("ORCH_RUN_ID")
    assert record("nowhere", 3) == 3


def test_recording_a_value_changes_nothing():
    """A task that records a value only reads it, so others that read it need not wait."""
    wiring = wire([Cell("a", "from orch_notebook import record"), Cell("b", "record('rows', table)")])
    assert (set(wiring.effects["b"].mutates), "table" in wiring.effects["b"].reads) == (set(), True)
