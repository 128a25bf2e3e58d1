"""The promise: cells in any order the wiring allows give what running them top to bottom gives."""

from __future__ import annotations

import re
import types
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from orch_notebook.model.cells import Cell, wire
from tests.model.cells.programs import programs
from tests.model.cells.reference import at_random, latest_first, limit_steps, run_by_wiring, run_in_order


def keep_what_runs(cells: list[Cell]) -> list[Cell]:
    """Leave out cells that fail where they stand."""
    kept: list[Cell] = []
    for cell in cells:
        try:
            with limit_steps(3000):
                run_in_order([*kept, cell])
        except Exception:
            continue
        kept.append(cell)
    return kept


HIDDEN = ("__builtins__", "__name__", "__annotations__")
UNSHOWN = (types.FunctionType, types.ModuleType, types.MethodType, type, types.GeneratorType)


def picture(names: dict[str, Any]) -> dict[str, object]:
    """Return the names with their values, and which of them are the same object."""
    shown: dict[str, Any] = {}
    first: dict[int, str] = {}
    for name in sorted(names):
        value = names[name]
        if name in HIDDEN:
            continue
        if hasattr(value, "__dict__") and not isinstance(value, UNSHOWN):
            shown[name] = (type(value).__name__, re.sub(r"0x\w+", "", repr(vars(value))))
        elif isinstance(value, list | dict | int | str):
            shown[name] = re.sub(r"0x\w+", "", repr(value))
        else:
            shown[name] = type(value).__name__
        if isinstance(value, list | dict):
            shown[name] = (shown[name], first.setdefault(id(value), name))
    return shown


# The nightly profile looks at 5,000 examples.
@pytest.mark.timeout(3600)
@settings(suppress_health_check=list(HealthCheck))
@given(programs(), st.integers(0, 2**16))
def test_any_legal_order_gives_what_top_to_bottom_gives(cells: list[Cell], seed: int) -> None:
    """Printed text, values at the end and which names share an object are the same in any order the edges allow."""
    cells = keep_what_runs(cells)
    expected_text, expected_names = run_in_order(cells)
    wiring = wire(cells)
    # A name that was deleted may be read where no turn of a loop comes by; the flow is refused then, which is as good.
    deleted = {name for cell in cells for name in wiring.effects[cell.name].deletes}
    assert all(set(names) <= deleted for names in wiring.undefined.values())
    assume(not wiring.undefined)
    for choose in (latest_first, at_random(seed)):
        text, names, order = run_by_wiring(cells, wiring, choose)
        assert text == expected_text, order
        assert picture(names) == picture(expected_names), order
