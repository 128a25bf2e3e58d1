"""Grids of parameters: how axes are spelled, and which points run again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orch_notebook.errors import OrchError
from orch_notebook.model.grids import choose_points, points_of, read_axis, read_grid
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType

NOW = datetime(2026, 11, 20, tzinfo=UTC)

AXES = [
    ("2026-01-30..2026-02-02", ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02"]),
    ("2026-01-03..2026-01-01", ["2026-01-03", "2026-01-02", "2026-01-01"]),
    ("2026-01-01..2026-01-31/1w", ["2026-01-01", "2026-01-08", "2026-01-15", "2026-01-22", "2026-01-29"]),
    ("2026-01-01..2026-01-10/4d", ["2026-01-01", "2026-01-05", "2026-01-09"]),
    ("2026-01-01..2026-01-01", ["2026-01-01"]),
    ("1..4", ["1", "2", "3", "4"]),
    ("-2..2/2", ["-2", "0", "2"]),
    ("10..1/3", ["10", "7", "4", "1"]),
    ("north, south", ["north", "south"]),
    ("0.5,0.7", ["0.5", "0.7"]),
    ("../data", ["../data"]),
    ("", [""]),
]


@pytest.mark.parametrize(("text", "values"), AXES)
def test_axes_are_spelled_as_one_would(text, values):
    """Ranges of days and numbers hold both their ends; commas part single values."""
    assert read_axis(text) == values


BAD = [
    (["day"], "name=values, not 'day'"),
    (["2day=1"], "name=values"),
    (["n=1", "n=2"], "'n' is given twice"),
    (["day=2026-01-01..soon"], "is no range"),
    (["day=2026-01-01..2026-02-30"], "is no range"),
    (["n=1..5/0"], "whole number from 1"),
    (["n=1..5/x"], "whole number from 1"),
    (["day=2026-01-01..2026-01-31/1h"], "days or weeks"),
    (["n=1..1000000000"], "most a grid may have"),
]


@pytest.mark.parametrize(("words", "says"), BAD, ids=[row[1] for row in BAD])
def test_a_bad_axis_says_what_is_wrong(words, says):
    """What is no axis is refused in one line before anything runs."""
    with pytest.raises(OrchError, match=says):
        read_grid(words)


def test_a_grid_without_measure_is_refused():
    """Ten axes of ten make more runs than anybody wants."""
    with pytest.raises(OrchError, match="more than 100000 points"):
        points_of({str(number): range(10) for number in range(10)})


def run(n, name="Completed", kind=StateType.COMPLETED):
    return FlowRun(f"r{n}", "demo", State(kind, name), NOW, parameters={"n": n})


POINTS = [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]
EARLIER = [
    run(1),
    run(2, "Failed", StateType.FAILED),
    run(3, "Missed", StateType.CANCELLED),
    run(2),  # an older run of the same point does not count
    run(4, "Running", StateType.RUNNING),
]


@pytest.mark.parametrize(("reprocess", "chosen"), [("none", [3]), ("failed", [2, 3]), ("all", [1, 2, 3, 4])])
def test_what_was_run_before_runs_again_only_when_asked(reprocess, chosen):
    """The latest run of a point decides; one that was missed is none, one that goes on stands for its point."""
    points, left = choose_points(POINTS, EARLIER, reprocess)
    assert [point["n"] for point in points] == chosen
    assert sorted([point["n"] for point, _ in left] + chosen) == [1, 2, 3, 4]


def test_an_unknown_way_is_refused():
    """--reprocess takes one of three words."""
    with pytest.raises(OrchError, match="none, failed, all"):
        choose_points([], [], "some")
