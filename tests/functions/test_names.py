"""What runs of flows are called, and the words to find them by: stored with the run, and shown."""

from __future__ import annotations

import pytest
from rich.console import Console

from orch_notebook import flow, tags, task
from orch_notebook.cli.tables import run_view, runs_table
from orch_notebook.runtime import flow_run
from orch_notebook.testing import ManualClock


def by_id():
    return f"{flow_run.flow_name} {flow_run.parameters['day']}"


# flow_run_name, the name that is stored, what the flow itself is told
NAMES = {
    "a template": ("{day}-of-{n}", "monday-of-3", "monday-of-3"),
    "a callable": (by_id, "work monday", "work monday"),
    "none": (None, "", None),
    "one that cannot be made": ("{nobody}", "", None),
    "too long": ("x" * 1000, "x" * 300, "x" * 300),
}


@pytest.mark.parametrize("wanted, stored_name, told", NAMES.values(), ids=NAMES.keys())
def test_a_run_is_called_what_its_flow_says(stored, wanted, stored_name, told) -> None:
    """In the store and to its own code; without a name it is told one made of the flow's and the run's id."""

    @flow(name="work", flow_run_name=wanted)
    def work(day, n=3):
        return flow_run.name

    found = work("monday")
    run = stored.run("work")
    assert run.name == stored_name
    assert found == (told or f"work-{run.run_id[-8:]}")


def test_tags_version_and_description_are_stored_with_the_run(stored) -> None:
    """Those of the flow and those around the call, each once; a subflow and a lone task have what is around them."""

    @task
    def alone():
        return 1

    @flow(tags=["etl"])
    def inner():
        return flow_run.tags

    @flow(tags=["etl", "gpu"], version="2.1")
    def outer():
        """Does everything.

        At length.
        """
        return inner()

    with tags("nightly", "gpu"):
        assert outer() == ["etl", "nightly", "gpu"]
        alone()
    run = stored.run("outer")
    assert (run.tags, run.about) == (("etl", "gpu", "nightly"), {"version": "2.1", "description": "Does everything."})
    assert stored.run("inner").tags == ("etl", "nightly", "gpu")
    assert stored.run("alone").tags == ("nightly", "gpu")
    assert run.to_json()["tags"] == ["etl", "gpu", "nightly"]


def test_people_are_shown_names_and_tags(stored) -> None:
    """In the list and at the head of a run; columns that say nothing are left out."""

    @flow(flow_run_name="first of {n}", tags=["etl"], version="7")
    def work(n):
        """Counts."""

    work(3)
    run, now = stored.run(), ManualClock().now()
    console = Console(width=200)
    with console.capture() as captured:
        console.print(runs_table([run], now))
        console.print(run_view(run, now))
    said = captured.get()
    assert said.count("first of 3") == 2
    for words in ("tagged etl", "flow work", "version 7", "Counts."):
        assert words in said
