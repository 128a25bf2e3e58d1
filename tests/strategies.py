"""Random flows and what may befall them, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.tasks import RetryPolicy, Task

retries = st.builds(
    RetryPolicy,
    st.integers(0, 2),
    st.lists(st.sampled_from((0, 1, 60)), max_size=2).map(tuple),
    st.sampled_from((0, 1)),
)


@st.composite
def graphs(draw: st.DrawFn, largest: int = 7) -> Graph:
    """Draw a graph whose tasks may share things, be retried, and wait for each other for either reason."""
    names = [f"t{number}" for number in range(draw(st.integers(0, largest)))]
    thing = st.sampled_from(("pyplot", "file", "n@1", "n@2"))
    things = st.lists(thing, max_size=2, unique_by=lambda each: each[:2]).map(tuple)
    tasks = tuple(Task(name, retry=draw(retries), exclusive=draw(things)) for name in names)
    edges = []
    for position, after in enumerate(names):
        for before in draw(st.lists(st.sampled_from(names[:position]), max_size=3)) if position else ():
            edges.append(Edge(before, after, draw(st.sampled_from(("read-after-write", "write-after-read", "after")))))
    return Graph(tasks, tuple(edges))
