"""The notebook's own file, as far as the front end tells where it is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orch_notebook.errors import HeaderError, NotebookError, ParameterError
from orch_notebook.model.headers import parse_header, split_task_cell
from orch_notebook.model.parameters import Parameter, read_parameters

__all__ = ["NotebookFile", "positions_in"]


class NotebookFile:
    """Where the notebook of a kernel is saved, and where its cells stand in it.

    Parameters
    ----------
    names : Mapping
        The live namespace; VS Code tells the path in it.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names
        self._read: tuple[float, dict[str, int], dict[str, int]] = (0.0, {}, {})
        self._parameters: tuple[Parameter, ...] = ()

    @property
    def path(self) -> Path | None:
        """The file, where the front end tells it and it has been saved."""
        named = os.environ.get("ORCH_NOTEBOOK") or self._names.get("__vsc_ipynb_file__")
        path = Path(named or os.environ.get("JPY_SESSION_NAME", ""))
        return path if path.suffix == ".ipynb" and path.is_file() else None

    @property
    def place(self) -> str | None:
        """The file's path without detours, by which runs of its flows are found; None where nobody tells it."""
        return None if self.path is None else str(self.path.resolve())

    @property
    def stem(self) -> str:
        """The notebook's name without its ending; ``notebook`` where nobody tells it."""
        named = os.environ.get("ORCH_NOTEBOOK") or os.environ.get("JPY_SESSION_NAME", "")
        return Path(named).stem if named.endswith(".ipynb") else "notebook"

    def positions(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return the positions of the saved notebook's cells, by cell id and by task name."""
        if self.path is None:
            return {}, {}
        self._look()
        return self._read[1:]

    def parameters(self) -> tuple[Parameter, ...]:
        """Return what the saved notebook's cell tagged ``parameters`` declares; nothing where there is none."""
        if self.path is None:
            return ()
        self._look()
        return self._parameters

    def _look(self) -> None:
        """Read the file, if it has changed since the last time."""
        path = self.path
        if path is None:
            return
        try:
            changed_at = path.stat().st_mtime
            if changed_at != self._read[0]:
                notebook = json.loads(path.read_text("utf-8"))
                self._read = changed_at, *positions_in(notebook)
                self._parameters = _parameters_in(notebook)
        except (OSError, ValueError):
            pass

    def saved_path(self) -> Path:
        """Return the file.

        Raises
        ------
        NotebookError
            The front end does not tell it, or the notebook was never saved.
        """
        path = self.path
        if path is None:
            raise NotebookError(
                "The front end does not tell where this notebook is. Name it: %flow promote NAME --notebook PATH."
            )
        return path

    def saved_at(self, path: Path) -> datetime:
        """Return when a file was last saved."""
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _parameters_in(notebook: Mapping[str, Any]) -> tuple[Parameter, ...]:
    for cell in notebook.get("cells", ()):
        if cell.get("cell_type") == "code" and "parameters" in cell.get("metadata", {}).get("tags", ()):
            source = cell.get("source", "")
            try:
                return read_parameters("".join(source) if isinstance(source, list) else str(source))
            except ParameterError:
                return ()
    return ()


def positions_in(notebook: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the positions of a notebook's cells, by cell id and by task name.

    Examples
    --------
    >>> positions_in({"cells": [{"id": "a", "cell_type": "code", "source": ["%%task load\\n", "x = 1"]}]})
    ({'a': 0}, {'load': 0})
    """
    by_id: dict[str, int] = {}
    by_task: dict[str, int] = {}
    for index, cell in enumerate(notebook.get("cells", ())):
        if cell.get("id"):
            by_id[str(cell["id"])] = index
        source = cell.get("source", "")
        split = split_task_cell("".join(source) if isinstance(source, list) else str(source))
        if cell.get("cell_type") != "code" or split is None:
            continue
        try:
            name = parse_header(split[0]).name
        except HeaderError:
            continue
        if name:
            by_task[name] = index
    return by_id, by_task
