"""Cells as tasks: source text → what it does to names → which task waits for which, and why."""

from __future__ import annotations

from orch_notebook.model.cells.effects import Cell, Effects
from orch_notebook.model.cells.knowledge import KNOWLEDGE
from orch_notebook.model.cells.late import claims, late_names
from orch_notebook.model.cells.reading import analyse, body_of, parse, timed_python
from orch_notebook.model.cells.rules import Knowledge, Rule
from orch_notebook.model.cells.wiring import Wiring, wire

__all__ = [
    "KNOWLEDGE",
    "Cell",
    "Effects",
    "Knowledge",
    "Rule",
    "Wiring",
    "analyse",
    "body_of",
    "claims",
    "late_names",
    "parse",
    "timed_python",
    "wire",
]
