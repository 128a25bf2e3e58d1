"""The notebooks are honest: without our lines they run from top to bottom, and as a flow they give the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from orch_notebook.model.cells import Cell, Wiring, wire
from orch_notebook.model.headers import parse_header, split_task_cell
from tests.kernels import Kernel, Outcome
from tests.stories.notebooks import NOTEBOOKS, STORIES, Story

each_story = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.notebook)

#: What a plain execution left, by notebook: accuracies, and outcomes by cell id.
Left = tuple[list[float], dict[str, Outcome]]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each notebook leaves when its cells run one after another, without us; executed when first asked for."""
    left: dict[str, Left] = {}

    def execute(story: Story) -> Left:
        if story.notebook not in left:
            with Kernel(tmp_path_factory.mktemp("plain"), os.environ) as kernel:
                shown = {ident: kernel.run(source, timeout=120) for ident, source in story.plain_cells().items()}
                left[story.notebook] = accuracies(kernel, story), shown
        return left[story.notebook]

    return execute


def accuracies(kernel: Kernel, story: Story) -> list[float]:
    """Return the accuracies that a kernel holds."""
    return list(json.loads(kernel.run(f"print({story.accuracies})").stream()))


def wiring(story: Story) -> Wiring:
    """Return how the cells of a notebook hang together, read without running it."""
    cells = []
    for ident, source in story.cells().items():
        if split := split_task_cell(source):
            cells.append(Cell(parse_header(split[0]).name or ident, split[1]))
        elif not source.startswith("%"):
            cells.append(Cell(ident, source, is_task=False))
    return wire(cells)


def test_every_notebook_has_its_story() -> None:
    """No notebook is shipped that these tests do not execute."""
    assert {story.notebook for story in STORIES} == {path.name for path in NOTEBOOKS.glob("*.ipynb")}


@each_story
def test_every_name_is_defined_above_and_no_task_surprises(story: Story) -> None:
    """Every name a task reads has a cell above; no task is opaque or changes in place what another one made."""
    wired = wiring(story)
    assert not any(wired.undefined.values())
    tasks = {name: wired.effects[name] for name in wired.bindings}
    assert {name: (effects.opaque, set(effects.mutates)) for name, effects in tasks.items()} == dict.fromkeys(
        tasks, ("", set())
    )


@each_story
def test_the_models_wait_for_nothing_of_each_other(story: Story) -> None:
    """The tasks of which the notebook says that they run at the same time may do so."""
    edges = {(edge.before, edge.after) for edge in wiring(story).edges}
    assert not [(one, other) for one in story.side_by_side for other in story.side_by_side if (one, other) in edges]


@pytest.mark.kernel
@each_story
def test_a_notebook_runs_without_us(plain: Any, story: Story) -> None:
    """No cell fails or warns; accuracies are good but not too good; the figure and the winner are shown."""
    found, shown = plain(story)
    for ident, outcome in shown.items():
        assert (ident, outcome.error, outcome.stream("stderr")) == (ident, "", "")
    assert len(found) == story.models
    assert all(0.6 < accuracy < 0.999 for accuracy in found)
    assert [len(picture) > 1000 for picture in shown[story.figure_in].data("image/png")] == [True]
    assert any(story.says in outcome.stream() for outcome in shown.values())


@pytest.mark.kernel
@each_story
def test_as_a_flow_it_gives_the_same(plain: Any, fresh_kernel: Kernel, tmp_path: Path, story: Story) -> None:
    """Run as a flow the notebook ends with the same accuracies, and the same lines are printed."""
    copy = tmp_path / story.notebook
    copy.write_bytes((NOTEBOOKS / story.notebook).read_bytes())
    shown = {}
    for ident, source in story.cells().items():
        where = f" --notebook {copy}" if source.startswith("%flow promote") else ""
        shown[ident] = fresh_kernel.run(source + where, timeout=120)
        assert (ident, shown[ident].error) == (ident, "")
    expected, alone = plain(story)
    assert accuracies(fresh_kernel, story) == expected
    printed = shown["flow-run"].stream().splitlines()
    assert sorted(printed) == sorted(line for outcome in alone.values() for line in outcome.stream().splitlines())


@pytest.mark.kernel
def test_the_second_notebook_obeys_its_parameters(fresh_kernel: Kernel) -> None:
    """Each name in the parameters cell changes something that can be seen in the result."""
    small = "max_features, min_words, test_size, n_trees, seed = 500, 30, 0.5, 5, 1"
    for ident, source in STORIES[1].plain_cells().items():
        assert not fresh_kernel.run(small if ident == "parameters" else source, timeout=120).error
    seen = {
        "train_matrix.shape[1]": "500",
        "documents.text.str.split().map(len).min()": "30",
        "round(len(test) / len(documents), 2)": "0.5",
        "len(forest.estimators_)": "5",
        "forest.random_state": "1",
    }
    for expression, value in seen.items():
        assert (expression, fresh_kernel.run(f"print({expression})").stream()) == (expression, value + "\n")
