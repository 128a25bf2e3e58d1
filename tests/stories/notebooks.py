"""The notebooks that are shipped, and what each must show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NOTEBOOKS", "STORIES", "Story"]

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

#: Lines that are ours.
OURS = ("%%task", "%flow", "%load_ext orch_notebook")


@dataclass(frozen=True)
class Story:
    """One notebook and what it must show.

    Parameters
    ----------
    notebook : str
        Name of the file.
    accuracies : str
        Python expression of the accuracies it ends with, as a list.
    models : int
        How many there are.
    figure_in : str
        Id of the cell with the figure.
    says : str
        What some cell prints.
    side_by_side : tuple of str
        Tasks that run at the same time.
    """

    notebook: str
    accuracies: str
    models: int
    figure_in: str
    says: str
    side_by_side: tuple[str, ...]

    def cells(self) -> dict[str, str]:
        """Return the source of each code cell by the cell's id."""
        cells = json.loads((NOTEBOOKS / self.notebook).read_text(encoding="utf-8"))["cells"]
        return {cell["id"]: "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"}

    def plain_cells(self) -> dict[str, str]:
        """Return the same without our lines."""
        return {
            ident: "\n".join(line for line in source.splitlines() if not line.startswith(OURS))
            for ident, source in self.cells().items()
        }


STORIES = (
    Story(
        "01_first_flow.ipynb",
        accuracies="accuracy.tolist()",
        models=2,
        figure_in="task-compare",
        says="model is ahead",
        side_by_side=("linear", "forest"),
    ),
    Story(
        "02_train_and_promote.ipynb",
        accuracies="accuracies.accuracy.tolist()",
        models=3,
        figure_in="task-evaluate",
        says="Best model: ",
        side_by_side=("train_bayes", "train_linear", "train_forest"),
    ),
)
