"""The notebooks are honest Python: without our lines they run from top to bottom on any kernel.

That is what ``%%task`` promises to give, only sooner, so it is the measure for what a flow of the same cells leaves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kernels import Kernel, Outcome

pytestmark = pytest.mark.kernel

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

#: Lines that are ours.
OURS = ("%%task", "%flow", "%load_ext orch_notebook")


@dataclass(frozen=True)
class Story:
    """What a notebook must show at its end: accuracies (a Python expression) and a figure in the named cell."""

    notebook: str
    accuracies: str
    models: int
    figure_in: str
    says: str


STORIES = (
    Story("01_first_flow.ipynb", "accuracy.tolist()", 2, "task-compare", "model is ahead"),
    Story("02_train_and_promote.ipynb", "accuracies.accuracy.tolist()", 3, "task-evaluate", "Best model: "),
)


def plain(source: str) -> str:
    """Return the source of a cell without our lines."""
    return "\n".join(line for line in source.splitlines() if not line.startswith(OURS))


def cells(notebook: str) -> Iterator[tuple[str, str]]:
    """Yield the id and the plain source of each code cell."""
    for cell in json.loads((NOTEBOOKS / notebook).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            yield cell["id"], plain("".join(cell["source"]))


def test_every_notebook_has_its_story() -> None:
    """No notebook is shipped that this file does not execute."""
    assert {story.notebook for story in STORIES} == {path.name for path in NOTEBOOKS.glob("*.ipynb")}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.notebook)
def test_a_notebook_runs_without_us(fresh_kernel: Kernel, story: Story) -> None:
    """No cell fails or warns; accuracies are good but not too good; the figure and the winner are shown."""
    shown: dict[str, Outcome] = {}
    for ident, source in cells(story.notebook):
        shown[ident] = outcome = fresh_kernel.run(source, timeout=120)
        assert (ident, outcome.error, outcome.stream("stderr")) == (ident, "", "")
    accuracies = json.loads(fresh_kernel.run(f"print({story.accuracies})").stream())
    assert len(accuracies) == story.models
    assert all(0.6 < accuracy < 0.999 for accuracy in accuracies)
    assert [len(picture) > 1000 for picture in shown[story.figure_in].data("image/png")] == [True]
    assert any(story.says in outcome.stream() for outcome in shown.values())


def test_the_second_notebook_obeys_its_parameters(fresh_kernel: Kernel) -> None:
    """Each name in the parameters cell changes something that can be seen in the result."""
    small = "max_features, min_words, test_size, n_trees, seed = 500, 30, 0.5, 5, 1"
    for ident, source in cells("02_train_and_promote.ipynb"):
        assert not fresh_kernel.run(small if ident == "parameters" else source, timeout=120).error
    result = (
        "print(train_matrix.shape[1], len(test) / len(documents) > 0.49, len(forest.estimators_), forest.random_state)"
    )
    assert fresh_kernel.run(result).stream().split() == ["500", "True", "5", "1"]
    shortest = "print(documents.text.str.split().map(len).min())"
    assert int(fresh_kernel.run(shortest).stream()) == 30
