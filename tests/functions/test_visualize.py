"""The diagram of a flow that has not run."""

from __future__ import annotations

import asyncio
from xml.etree import ElementTree

import pytest

from orch_notebook import allow_failure, as_completed, flow, task, unmapped, wait
from orch_notebook.errors import UsageError


@task
def load(path="a"):
    raise AssertionError("performed")


@task(viz_return_value=[1, 2, 3])
def rows(*given):
    raise AssertionError("performed")


@task(name="clean-up")
def clean(*given, **named):
    raise AssertionError("performed")


@task
async def fetch(*given):
    raise AssertionError("performed")


@flow
def inner(value):
    return load(value)


def calls_in_a_row():
    return clean(clean(load()))


def futures_and_lists():
    first, second = load.submit(), load.submit()
    clean.submit([first], more={"b": second})


def what_is_only_waited_for():
    clean(wait_for=[load.submit()])


def a_map_over_what_is_known():
    clean.map(rows(), unmapped(load()))


def a_loop_over_what_is_known():
    for row in rows():
        clean(row)


def wrapped_futures_are_found():
    clean.submit(allow_failure(load.submit()))


def waiting_is_no_obstacle():
    futures = [load.submit(), load.submit()]
    wait(futures)
    for future in as_completed(futures):
        clean(future.result(), future.state.name)


def a_flow_in_a_flow_is_one_task():
    clean(inner(load()))


async def asynchronous_tasks():
    await asyncio.gather(fetch(), fetch(load()))


async def a_future_that_is_awaited():
    clean(await load.submit())


def a_generator():
    yield clean(load())


# the body of a flow, and for each task run what it waits for
DRAWN = {
    calls_in_a_row: "load, clean-up ← load, clean-up-2 ← clean-up",
    futures_and_lists: "load, load-2, clean-up ← load load-2",
    what_is_only_waited_for: "load, clean-up ← load",
    a_map_over_what_is_known: "rows, load, clean-up ← load, clean-up-2 ← load, clean-up-3 ← load",
    a_loop_over_what_is_known: "rows, clean-up, clean-up-2, clean-up-3",
    wrapped_futures_are_found: "load, clean-up ← load",
    waiting_is_no_obstacle: "load, load-2, clean-up ← load, clean-up-2 ← load-2",
    a_flow_in_a_flow_is_one_task: "load, inner ← load, clean-up ← inner",
    asynchronous_tasks: "load, fetch, fetch-2 ← load",
    a_future_that_is_awaited: "load, clean-up ← load",
    a_generator: "load, clean-up ← load",
}


@pytest.mark.parametrize("body", DRAWN, ids=lambda body: body.__name__)
def test_the_calls_are_drawn_and_not_performed(stored, body) -> None:
    """Every way of calling, with what is handed on; no run is stored."""
    graph = flow(body).visualize().graph
    lines = [
        task.name + (f" ← {' '.join(graph.predecessors[task.name])}" if graph.predecessors[task.name] else "")
        for task in graph.tasks
    ]
    assert ", ".join(lines) == DRAWN[body]
    assert stored.runs() == []


USED = {
    "iterates": lambda value: list(value),
    "adds": lambda value: value + 1,
    "asks": lambda value: value.shape,
    "branches": lambda value: 1 if value else 2,
    "formats": lambda value: f"{value}",
    "compares": lambda value: value > 1,
}


@pytest.mark.parametrize("use", USED.values(), ids=USED)
def test_what_is_not_known_cannot_be_used(use) -> None:
    """The error names the task and the option that says what it returns."""
    with pytest.raises(UsageError, match=r"task 'load' returns.*viz_return_value"):
        flow(lambda: use(load())).visualize()


def test_a_notebook_shows_it_in_place(tmp_path) -> None:
    """As a picture that also survives saving and exporting, and as words; a file is written where one asks for it."""
    diagram = flow(calls_in_a_row).visualize()
    shown = diagram._repr_mimebundle_()
    assert shown["text/html"].count("data:image/svg+xml") == 1 and shown["text/plain"] == repr(diagram)
    root = ElementTree.parse(diagram.save(tmp_path / "flow.svg")).getroot()
    assert root.tag.endswith("svg") and "clean-up-2" in "".join(root.itertext())
