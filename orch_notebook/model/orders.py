"""Orders in which the tasks of a graph may run one at a time.

In: a graph, and a source of chance.  Out: the notebook's order and others that turn round what it does not tie down, so
that a task which secretly depends on another comes before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from orch_notebook.model.graph import Graph

__all__ = ["free_pairs", "other_order", "steps_between", "turned"]

#: How many orders are drawn before the one that turns round most is taken.
DRAWN = 12

Choose = Callable[[Sequence[str]], str]
Pair = tuple[str, str]


def ancestors(graph: Graph) -> dict[str, int]:
    """Return for every task those that must run before it, as the bits of a number."""
    bit = {task.name: 1 << place for place, task in enumerate(graph.tasks)}
    found: dict[str, int] = {}
    for name in _order(graph.predecessors, lambda ready: ready[0]):
        found[name] = 0
        for before in graph.predecessors[name]:
            found[name] |= found[before] | bit[before]
    return found


def free_pairs(graph: Graph) -> set[Pair]:
    """Return the pairs of tasks that may run in either order, each as the notebook has it.

    Examples
    --------
    >>> from orch_notebook.model.graph import Edge
    >>> from orch_notebook.model.tasks import Task
    >>> free_pairs(Graph((Task("load"), Task("a"), Task("b")), (Edge("load", "a"), Edge("load", "b"))))
    {('a', 'b')}
    """
    above = ancestors(graph)
    names = [task.name for task in graph.tasks]
    return {
        (first, second)
        for place, second in enumerate(names)
        for before, first in enumerate(names[:place])
        if not (above[second] >> before & 1 or above[first] >> place & 1)
    }


def other_order(graph: Graph, wanted: Collection[Pair], choose: Choose) -> tuple[str, ...]:
    """Return an order that turns round as many of the wanted pairs as a few draws find.

    Parameters
    ----------
    graph : Graph
        Which orders are allowed.
    wanted : collection of pairs
        Each as the notebook has it.
    choose : callable
        Draws one of several names.

    Examples
    --------
    >>> from orch_notebook.model.tasks import Task
    >>> graph = Graph((Task("a"), Task("b"), Task("c")))
    >>> other_order(graph, free_pairs(graph), min)
    ('c', 'b', 'a')
    """
    place = {task.name: number for number, task in enumerate(graph.tasks)}
    lowest_first = _order(graph.predecessors, lambda ready: max(ready, key=place.__getitem__))
    highest_last = _order(graph.successors, lambda ready: min(ready, key=place.__getitem__))[::-1]
    drawn = [tuple(_order(graph.predecessors, choose)) for _ in range(DRAWN)]
    return max([tuple(lowest_first), tuple(highest_last), *drawn], key=lambda order: len(turned(order, wanted)))


def turned(order: Sequence[str], wanted: Collection[Pair]) -> set[Pair]:
    """Return which of the wanted pairs an order turns round."""
    place = {name: number for number, name in enumerate(order)}
    return {(first, second) for first, second in wanted if place[second] < place[first]}


def _order(before: Mapping[str, Sequence[str]], choose: Choose) -> list[str]:
    waiting = {name: len(others) for name, others in before.items()}
    after: dict[str, list[str]] = {name: [] for name in before}
    for name, others in before.items():
        for other in others:
            after[other].append(name)
    ready = [name for name, number in waiting.items() if not number]
    order: list[str] = []
    while ready:
        name = choose(ready)
        ready.remove(name)
        order.append(name)
        for follower in after[name]:
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    return order


def steps_between(first: Sequence[str], last: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Pair]]:
    """Yield the orders that lead from one order to another, each by exchanging two neighbours of the one before.

    If the first and the last are orders that a graph allows, so are all between them.

    Yields
    ------
    order, pair
        An order, and the two tasks that were exchanged to come to it, as they stood before.

    Examples
    --------
    >>> [order for order, _ in steps_between("abc", "cba")]
    [('b', 'a', 'c'), ('b', 'c', 'a'), ('c', 'b', 'a')]
    """
    place = {name: number for number, name in enumerate(last)}
    order = list(first)
    for end in range(1, len(order)):
        here = end
        while here and place[order[here]] < place[order[here - 1]]:
            pair = order[here - 1], order[here]
            order[here - 1 : here + 1] = pair[::-1]
            here -= 1
            yield tuple(order), pair
