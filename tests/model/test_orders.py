"""Orders that a graph allows: what is free, what an order turns round, and the steps between two orders."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.orders import free_pairs, other_order, steps_between, turned
from orch_notebook.model.tasks import Task
from orch_notebook.testing import make_graph

FREE = {
    "a; b; c": {("a", "b"), ("a", "c"), ("b", "c")},
    "a >> b >> c": set(),
    "a >> b, c >> d": {("b", "c")},
    "a >> b; c": {("a", "c"), ("b", "c")},
}


@pytest.mark.parametrize("wiring, expected", FREE.items())
def test_pairs_that_nothing_ties_are_free(wiring, expected) -> None:
    """Directly or by way of others."""
    assert free_pairs(make_graph(wiring)) == expected


@st.composite
def graphs(draw) -> Graph:
    """Draw a graph of up to nine tasks whose edges lead downwards."""
    count = draw(st.integers(1, 9))
    pairs = [(a, b) for b in range(count) for a in range(b)]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=12)) if pairs else []
    names = [f"t{number}" for number in range(count)]
    return Graph(tuple(map(Task, names)), tuple(Edge(names[a], names[b]) for a, b in chosen))


def is_allowed(graph: Graph, order) -> bool:
    """Whether an order holds every task once, and none before what it waits for."""
    place = {name: number for number, name in enumerate(order)}
    return place.keys() == graph.by_name.keys() and all(place[e.before] < place[e.after] for e in graph.edges)


@given(graphs(), st.integers(0, 99))
def test_every_order_and_every_step_to_it_is_allowed(graph, seed) -> None:
    """Each step exchanges two neighbours, and the last is the order itself."""
    pairs = free_pairs(graph)
    order = other_order(graph, pairs, random.Random(seed).choice)
    assert is_allowed(graph, order)
    plain = [task.name for task in graph.tasks]
    steps = list(steps_between(plain, order))
    assert all(is_allowed(graph, step) for step, _ in steps)
    assert {tuple(sorted(pair)) for _, pair in steps} == {tuple(sorted(pair)) for pair in turned(order, pairs)}
    assert (steps[-1][0] if steps else tuple(plain)) == order


def test_an_order_turns_round_what_is_wanted() -> None:
    """Of several orders the one is taken that turns round most of what has not been tried."""
    graph = make_graph("a; b; c; d")
    assert turned(other_order(graph, {("a", "b")}, min), {("a", "b")}) == {("a", "b")}
