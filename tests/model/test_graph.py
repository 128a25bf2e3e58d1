"""Graphs: selecting parts, cycles as paths, names that are not there."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given

from orch_notebook.errors import CycleError, UnknownTask
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.tasks import RetryPolicy, Task
from orch_notebook.testing import make_graph
from tests.strategies import graphs

FLOW = make_graph(
    "load >> clean >> fit, plot; fit >> report; notes", Task("fit", tags=("gpu",)), Task("plot", tags=("fig",))
)

SELECTED = {
    "nothing asked": ([], "load clean fit plot report notes"),
    "one": (["clean"], "clean"),
    "one and what depends on it": (["clean+"], "clean fit plot report"),
    "one and what it needs": (["+clean"], "load clean"),
    "both ways": (["+fit+"], "load clean fit report"),
    "two": (["load", "notes"], "load notes"),
    "by tag": (["tag:gpu"], "fit"),
    "by tag and by name": (["tag:fig", "+report"], "load clean fit plot report"),
    "twice the same": (["fit", "fit"], "fit"),
}


@pytest.mark.parametrize("selectors, expected", SELECTED.values(), ids=SELECTED)
def test_selecting_takes_the_named_part(selectors, expected) -> None:
    """In definition order, with the edges between what is taken."""
    part = FLOW.select(selectors)
    assert " ".join(task.name for task in part.tasks) == expected
    assert set(part.edges) == {e for e in FLOW.edges if {e.before, e.after} <= set(part.by_name)}


UNKNOWN = [
    (["claen"], "There is no task 'claen'. Did you mean 'clean'?"),
    (["+xyzzy+"], "There is no task 'xyzzy'."),
    (["tag:cpu"], "No task bears the tag 'cpu'."),
]


@pytest.mark.parametrize("selectors, message", UNKNOWN, ids=[selectors[0] for selectors, _ in UNKNOWN])
def test_a_selector_that_matches_nothing_is_an_error(selectors, message) -> None:
    """It names the nearest spelling where there is one."""
    with pytest.raises(UnknownTask) as error:
        FLOW.select(selectors)
    assert str(error.value) == message


CYCLES = {
    "itself": (["a a"], ["a", "a"]),
    "two": (["a b", "b a"], ["a", "b", "a"]),
    "three behind others": (["x a", "a b", "b c", "c a", "c y"], ["a", "b", "c", "a"]),
}


@pytest.mark.parametrize("edges, path", CYCLES.values(), ids=CYCLES)
def test_a_cycle_is_shown_as_a_path(edges, path) -> None:
    """The path begins and ends with the same task, and each step is an edge of the graph."""
    pairs = [edge.split() for edge in edges]
    with pytest.raises(CycleError) as error:
        Graph(tuple(map(Task, sorted({name for pair in pairs for name in pair}))), tuple(Edge(*pair) for pair in pairs))
    found = error.value.path
    assert found[0] == found[-1] and sorted(found[1:]) == sorted(path[1:])
    assert all([before, after] in pairs for before, after in itertools.pairwise(found))
    assert " → ".join(found) in str(error.value)


def test_an_edge_to_nobody_names_both() -> None:
    """Who refers to it, and the nearest spelling."""
    with pytest.raises(UnknownTask, match=r"no task 'laod' \(task 'clean' refers to it\). Did you mean 'load'\?"):
        Graph((Task("load"), Task("clean")), (Edge("laod", "clean"),))


def test_names_are_unique() -> None:
    """Two tasks of one name cannot be told apart."""
    with pytest.raises(UnknownTask, match="Two tasks are called 'a'"):
        Graph((Task("a"), Task("b"), Task("a")))


def test_several_reasons_are_one_dependency() -> None:
    """Two edges between the same tasks count once for who waits for whom."""
    graph = Graph((Task("a"), Task("b")), (Edge("a", "b", "alias", "x"), Edge("a", "b", "file", "y")))
    assert graph.predecessors["b"] == ("a",) and graph.successors["a"] == ("b",) and len(graph.edges) == 2


FULL = Task(
    "t",
    retry=RetryPolicy(3, (1.5, 10.0), 0.5),
    timeout=60.0,
    tags=("gpu",),
    exclusive=("pyplot",),
    runner="processes",
    cell_index=4,
    cell_id="cell",
    reads=("a",),
    writes=("b",),
    mutates=("c",),
    opaque="exec",
    when="all_done",
)


@pytest.mark.parametrize("task", [Task("bare"), FULL], ids=["bare", "full"])
def test_a_task_survives_json(task) -> None:
    """Every field comes back, and a bare one is only its name."""
    data = json.loads(json.dumps(task.to_json()))
    assert Task.from_json(data) == task
    assert task is FULL or data == {"name": "bare"}


@given(graph=graphs())
def test_a_graph_survives_json(graph) -> None:
    """Whatever it holds, in the same order."""
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


@given(graph=graphs())
def test_predecessors_and_successors_mirror_each_other(graph) -> None:
    """Who waits for whom is told the same from both ends."""
    forth = {(task, after) for task, found in graph.successors.items() for after in found}
    back = {(before, task) for task, found in graph.predecessors.items() for before in found}
    assert forth == back == {(edge.before, edge.after) for edge in graph.edges}


DELAYS = [
    (RetryPolicy(), [True, False, False], [0, 0, 0]),
    (RetryPolicy(2), [True, True, True], [0, 0, 0]),
    (RetryPolicy(9, (1, 10)), [True, True, True], [0, 1, 10]),
    (RetryPolicy(9, (5,)), [True, True, True], [0, 5, 5]),
]


@pytest.mark.parametrize("policy, allowed, delays", DELAYS)
def test_a_policy_says_how_often_and_how_soon(policy, allowed, delays) -> None:
    """For the first, second and third attempt."""
    assert [policy.allows(attempt) for attempt in (1, 2, 3)] == allowed
    assert [policy.delay_before(attempt) for attempt in (1, 2, 3)] == delays
