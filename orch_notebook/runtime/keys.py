"""The key of a task: the same key means that running it again would give the same.

A task's *recipe* holds what its outcome depends on besides the versions other tasks give it: its source (as Python
reads it, so comments and spacing do not count), files that nobody in the flow writes, and what it takes from the
environment: functions with what they use, constants, parameters.  Its key is made of that and of the keys of the tasks
it comes from.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from orch_notebook.model.cells.wiring import may_overlap
from orch_notebook.model.flows import CellFlow, PlainCell
from orch_notebook.model.needs import needs
from orch_notebook.model.recipes import Recipe
from orch_notebook.runtime.files import file_fingerprint
from orch_notebook.runtime.fingerprints import Fingerprints, kind_of

__all__ = ["Keys", "own_files"]


class Keys:
    """Computes the recipes and keys of one flow's tasks, each once.

    Parameters
    ----------
    flow : CellFlow
        The tasks.
    environment : Mapping
        The values of plain cells, as they stood when the run began.
    fingerprints : Fingerprints, optional
        Those taken before in this session.
    """

    def __init__(
        self, flow: CellFlow, environment: Mapping[str, Any], fingerprints: Fingerprints | None = None
    ) -> None:
        self._flow = flow
        self._environment = environment
        self._fingerprints = fingerprints or Fingerprints()
        self._recipes: dict[str, Recipe] = {}
        self._found: dict[str, tuple[str | None, str]] = {}
        #: For every task the tasks it comes from, each with a name that it gets from there.
        self.needs = needs(flow.wiring, [task.name for task in flow])

    def age(self, made_at: datetime) -> float:
        """Return the seconds since `made_at`."""
        return (datetime.now(UTC) - made_at).total_seconds()

    def key(self, task: str) -> tuple[str | None, str]:
        """Return the key of a task, or None and the reason why it has none."""
        if task not in self._found:
            self._found[task] = self._key(task)
        return self._found[task]

    def _key(self, task: str) -> tuple[str | None, str]:
        recipe = self.recipe(task)
        if recipe.unkept:
            return None, f"Not kept, so it always runs: {recipe.unkept}"
        digest = hashlib.sha256()
        for part, fingerprint in recipe.parts.items():
            digest.update(f"|{part}={fingerprint}".encode())
        for source, name in sorted(self.needs[task].items()):
            key, reason = self.key(source)
            if key is None:
                return None, f"Not kept, so it always runs: it needs {source!r}, which has no key. {reason}"
            digest.update(f"|{source}.{name}:{key}".encode())
        return digest.hexdigest(), ""

    def recipes(self) -> dict[str, Recipe]:
        """Return the recipe of every task."""
        return {task.name: self.recipe(task.name) for task in self._flow}

    def recipe(self, task: str) -> Recipe:
        """Return what a task's outcome depends on, besides the versions it is given."""
        if task not in self._recipes:
            self._recipes[task] = self._recipe(task)
        return self._recipes[task]

    def _recipe(self, task: str) -> Recipe:
        cell, wiring = self._flow[task], self._flow.wiring
        effects, header = wiring.effects[task], cell.header
        parts = {"its source": _meaning(cell.body)}
        if header.inputs is not None or header.outputs is not None or header.mutates:
            parts["its header"] = _digest(repr((header.inputs, header.outputs, header.mutates)))
        shown: dict[str, str] = {}
        unkept = f"its source cannot be analysed ({effects.opaque})." if effects.opaque else ""
        bindings = wiring.bindings[task]
        parts |= {"what makes " + name: maker for name, maker in sorted(bindings.items()) if maker is not None}
        names = {name for name, maker in bindings.items() if maker is None and name in self._environment}
        if effects.opaque:
            names |= self._plain_names() & self._environment.keys()
        for name in sorted(names):
            value = self._environment[name]
            found = self._fingerprints.of(name, self._environment)
            label = f"{kind_of(value)} {name}".strip()
            parts[label] = found.digest
            unkept = unkept or found.unkept
            if isinstance(value, bool | int | float | str) and len(text := repr(value)) <= 40:
                shown[label] = text
        for path in sorted(self._outside_files(task)):
            parts[f"file {path}"] = file_fingerprint(path)
        parts["Python"] = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return Recipe(parts, shown, unkept)

    def _plain_names(self) -> set[str]:
        effects = self._flow.wiring.effects
        cells = [cell for cell in self._flow.cells if isinstance(cell, PlainCell)]
        return {name for cell in cells for name in effects[cell.label].writes}

    def _outside_files(self, task: str) -> set[str]:
        """Return the files that a task reads and no task of the flow writes."""
        effects = self._flow.wiring.effects
        written = [
            state for other in self._flow for state in effects[other.name].state_changes if state.startswith("file:")
        ]
        return {
            state[5:]
            for state in effects[task].state_reads
            if is_known_file(state) and not any(may_overlap(state, other) for other in written)
        }


def own_files(flow: CellFlow, task: str) -> dict[str, str]:
    """Return the files with known paths that a task writes, by their absolute path as they are called in its source."""
    states = flow.wiring.effects[task].state_changes
    return {str(Path(state[5:]).absolute()): state[5:] for state in sorted(states) if is_known_file(state)}


def is_known_file(state: str) -> bool:
    """Whether a hidden state is a file whose path is known in full.

    Examples
    --------
    >>> is_known_file("file:out.csv"), is_known_file("file:out/*.csv"), is_known_file("state:random")
    (True, False, False)
    """
    return state.startswith("file:") and "*" not in state and "://" not in state


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=4096)
def _meaning(source: str) -> str:
    """Return what tells a source from one that does something else: comments and spacing do not count."""
    tree: ast.AST = compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return _digest(ast.dump(tree))
