"""What must run again, why, and from what: plans as values, without any run."""

from __future__ import annotations

import pytest

from orch_notebook.model.cells import Cell, wire
from orch_notebook.model.freshness import coming_words, decide
from orch_notebook.model.needs import Flow, needs
from orch_notebook.model.recipes import Recipe, Record, Source, Stock, before, difference

#: Cells, and for each task the tasks it comes from.
NEEDS = {
    "a value": (["x = 1", "y = x"], ["", "0"]),
    "a rebinding": (["x = [1]", "y = len(x)", "x = [2]", "z = len(x)"], ["", "0", "", "2"]),
    "a change in place": (["x = [1]", "y = len(x)", "x.append(2)", "z = len(x)"], ["", "0", "0", "2"]),
    "a change under another name": (["x = [1]", "d = {'x': x}", "x.append(2)", "z = len(d)"], ["", "0", "0 1", "1 2"]),
    "another name for what is changed": (["x = [1]", "y = x", "x.append(2)"], ["", "0", "0 1"]),
    "a generator that others move": (
        ["import random\nrandom.seed(1)", "a = random.random()", "b = random.random()"], ["", "0", "0 1"],
    ),
    "a file": (
        ["open('f', 'w').write('1')", "a = open('f').read()", "open('f', 'w').write('2')", "b = open('f').read()"],
        ["", "0", "0", "2"],
    ),
    "a display option": (
        ["a = 1", "import pandas as pd\npd.set_option('display.width', 9)", "b = 2"], ["", "", "1"],
    ),
    "an unreadable cell": (["x = 1", "get_ipython().system('ls')", "y = 2"], ["", "0", "1"]),
}  # fmt: skip


@pytest.mark.parametrize("cells, expected", NEEDS.values(), ids=NEEDS)
def test_a_task_comes_from_all_that_carries_something_to_it(cells, expected) -> None:
    """Versions, changes, hidden state and files count; an order alone does not."""
    names = [str(number) for number in range(len(cells))]
    wiring = wire([Cell(name, source) for name, source in zip(names, cells, strict=True)])
    found = needs(wiring, names)
    assert [" ".join(sorted(found[name])) for name in names] == expected


# A flow of four: a makes x, b reads it, c changes it in place, d reads it afterwards.
FLOW = Flow(
    ["a", "b", "c", "d"],
    {"a": {}, "b": {"a": "x"}, "c": {"a": "x"}, "d": {"c": "x"}},
    {"b": [("x", "a")], "c": [("x", "a")], "d": [("x", "c")]},
    {("x", "a"): 0, ("x", "c"): 0},
    {"c": [0]},
    last=[("y", "b"), ("x", "c"), ("z", "d")],
)
MADE = {"a": "x", "b": "y", "c": "x", "d": "z"}


def records(**sources: str) -> dict[str, Record]:
    """Return the records of one run of all four; `sources` tells of later runs of some of them."""
    runs = dict.fromkeys("abcd", "r1") | sources
    return {
        task: Record(Recipe({"its source": task}), f"{runs[task]}/{task}", {s: f"r1/{s}" for s in FLOW.needs[task]},
                     frozenset(MADE[task]))
        for task in "abcd"
    }  # fmt: skip


AFTER = Stock(
    live={("y", "b"), ("x", "c"), ("z", "d")},
    spent={("x", "a"): ("c",)},
    copies={before("c"): frozenset({("x", "a")})},
)
GONE = Stock(live=AFTER.live, spent=AFTER.spent)
FROM_COPY = {"shared": Source(before("c"), True), "own": Source(before("c"), False)}

#: What was edited, how decide is asked, what there is; what runs, and where inputs come from.
PLANS = {
    "nothing": ("", {}, AFTER, "", {}),
    "a reader before the change": ("b", {}, AFTER, "b", {"b": {("x", "a"): FROM_COPY["own"]}}),
    "a reader before the change, no copy": ("b", {}, GONE, "abcd", {}),
    "the change": ("c", {}, AFTER, "cd", {"c": {("x", "a"): FROM_COPY["shared"]}}),
    "the change, no copy": ("c", {}, GONE, "abcd", {}),
    "a reader after it": ("d", {}, AFTER, "d", {}),
    "the maker": ("a", {}, AFTER, "abcd", {}),
    "everything": ("", {"everything": True}, AFTER, "abcd", {}),
    "one by name": ("", {"select": ["d"]}, AFTER, "d", {}),
    "one by name below something stale": (
        "c",
        {"select": ["d"]},
        AFTER,
        "cd",
        {"c": {("x", "a"): FROM_COPY["shared"]}},
    ),
    "one by name beside something stale": ("c", {"select": ["b"]}, AFTER, "b", {"b": {("x", "a"): FROM_COPY["own"]}}),
    "a fresh one, only if stale": ("", {"select": ["d"], "only_stale": True}, AFTER, "", {}),
    "a file that is gone": ("", {"flaws": {"b": "file f is gone"}}, AFTER, "b", {"b": {("x", "a"): FROM_COPY["own"]}}),
}


@pytest.mark.parametrize("edited, how, stock, runs, sources", PLANS.values(), ids=PLANS)
def test_a_plan_runs_what_it_must_from_what_there_is(edited, how, stock, runs, sources) -> None:
    """What an edit concerns runs; a reader has a copy of its own, a changer one that the rest goes on with."""
    recipes = {task: Recipe({"its source": task if task != edited else "new"}) for task in "abcd"}
    plan = decide(FLOW, recipes=recipes, records=records(), stock=stock, **how)
    assert "".join(plan.runs) == runs
    assert plan.sources == sources
    assert set(plan.fresh) == (set("abcd") - set(runs) if "select" not in how else set())


def test_a_task_that_ran_again_alone_makes_its_readers_stale() -> None:
    """By which task run made what it came from, not by its source."""
    recipes = {task: Recipe({"its source": task}) for task in "abcd"}
    plan = decide(FLOW, recipes=recipes, records=records(c="r2"), stock=AFTER)
    assert plan.runs == {"d": "'x' comes from a newer 'c'"}


def test_what_is_stored_is_loaded_and_needs_nothing() -> None:
    """A result in the store takes the place of a performance, unless the task was named."""
    recipes = {task: Recipe({"its source": task}) for task in "abcd"}
    plan = decide(FLOW, recipes=recipes, records={}, stock=Stock(), stored="c")
    assert ("".join(plan.runs), plan.loads, "".join(plan.performed)) == ("abcd", {"c"}, "abd")
    named = decide(FLOW, recipes=recipes, records={}, stock=Stock(), stored="c", select=["c"])
    assert ("".join(named.runs), named.loads) == ("ac", frozenset())


DIFFERENCES = {
    "nothing": ({"a": "1"}, {"a": "1"}, ""),
    "its source": ({"its source": "1"}, {"its source": "2"}, "its source changed"),
    "something new": ({}, {"function f": "1"}, "function f changed"),
    "something that is gone": ({"function f": "1"}, {}, "function f changed"),
}


@pytest.mark.parametrize("then, now, words", DIFFERENCES.values(), ids=DIFFERENCES)
def test_what_differs_is_named(then, now, words) -> None:
    """The first part that is not the same."""
    assert difference(Recipe(then), Recipe(now)) == words


def test_many_tasks_to_come_are_counted() -> None:
    """Eight are named with their reasons."""
    plan = decide(
        Flow([str(n) for n in range(10)], {str(n): {} for n in range(10)}),
        recipes={str(n): Recipe() for n in range(10)},
        records={},
        stock=Stock(),
    )
    assert coming_words(plan).startswith("10 tasks will run: 0 (it has not run yet), ")
    assert coming_words(plan).endswith(", and 2 more.")
