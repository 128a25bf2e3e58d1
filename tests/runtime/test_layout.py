"""The layout: real Graphviz, without a `dot` on PATH."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from orch_notebook.errors import OrchError
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.tasks import Task
from orch_notebook.model.views import dot, paint
from orch_notebook.runtime import layout as module
from orch_notebook.runtime.layout import layout

NAMES = ["load", "<script>", 'a "quoted" name', "back\\slash", "naïve", "x" * 80]


def chain(names: list[str]) -> Graph:
    pairs = itertools.pairwise(names)
    return Graph(tuple(map(Task, names)), tuple(Edge(a, b, "read-after-write", "df") for a, b in pairs))


def test_every_task_of_a_graph_has_its_box_whatever_it_is_called() -> None:
    """Names come through DOT, Graphviz and SVG as they were."""
    graph = chain(NAMES)
    root = ElementTree.fromstring(paint(layout(dot(graph)), graph))
    groups = [element for element in root.iter() if element.attrib.get("data-node")]
    assert [group[0].text for group in groups] == NAMES
    lines = [element for element in root.iter() if element.attrib.get("class", "").startswith("edge")]
    assert len(lines) == len(NAMES) - 1


def test_a_layout_is_worked_out_once_per_topology() -> None:
    """A change of state costs no layout: the same DOT gives the very same text."""
    assert layout(dot(chain(["a", "b"]))) is layout(dot(chain(["a", "b"])))


def test_an_empty_graph_is_an_empty_drawing() -> None:
    """Nothing to draw is no error."""
    assert "data-node" not in layout(dot(Graph()))


def test_no_dot_on_path_is_needed() -> None:
    """With nothing on PATH the diagram is the same."""
    code = (
        "from orch_notebook.runtime.layout import layout;"
        "print(layout('digraph{n0[label=a tooltip=a width=1 height=1]}').count('data-node'))"
    )
    environment = {**os.environ, "PATH": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_a_large_graph_is_laid_out_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a size the kernel's GIL is left alone, and the drawing is the same."""
    graph = chain([f"t{letter}" for letter in "abcdefgh"])
    here = module._placement(dot(graph))
    monkeypatch.setattr(module, "LARGE", 3)
    assert module._placement(dot(graph)) == here


@pytest.mark.parametrize("large", [3, 3000])
def test_what_graphviz_cannot_read_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    """Bad DOT is our error with a sentence, in process and out of it."""
    monkeypatch.setattr(module, "LARGE", large)
    with pytest.raises(OrchError, match="could not be laid out"):
        module._placement("digraph {\n\n\n\n n0 [")
