"""Diagrams: what is drawn of a graph, how it is grouped, and how states are painted over it."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.runs import TaskRun
from orch_notebook.model.states import NAMES, State
from orch_notebook.model.tasks import RetryPolicy, Task
from orch_notebook.model.views import dot, draw, faces, graph_html, nodes, paint

NOW = datetime(2026, 11, 20, 9, 14, tzinfo=UTC)
TYPE_OF = {name: kind for kind, names in NAMES.items() for name in names}


def graph_of(names: list[str], edges: list[tuple[str, str]] = ()) -> Graph:  # type: ignore[assignment]
    """Tasks of these names, one waiting for another's data."""
    return Graph(tuple(map(Task, names)), tuple(Edge(a, b, "read-after-write", "x") for a, b in edges))


def task_run(name: str, state: str, attempt: int = 1, **details: Any) -> TaskRun:
    found = State(TYPE_OF[state], state)
    began = NOW - timedelta(seconds=3.1) if attempt else None
    ended = NOW if attempt and found.is_final else None
    return TaskRun("run", Task(name, RetryPolicy(2)), found, attempt, began, ended, details)


LOAD_PLOT = graph_of(["load", "plot"], [("load", "plot")])

#: What Graphviz gives for `LOAD_PLOT`, so that drawing can be tested without it.
PLACED = {
    "bb": "0,0,144,120",
    "objects": [
        {"pos": "72,100", "width": "2", "height": "0.5", "label": "load", "tooltip": "load"},
        {"pos": "72,20", "width": "2", "height": "0.5", "label": "a\\\\b", "tooltip": "<plot>"},
    ],
    "edges": [{"tail": 0, "head": 1, "pos": "e,72,38 72,82 72,70 72,60 72,48", "tooltip": "plot reads x from load"}],
}


def test_dot_holds_nothing_but_the_topology() -> None:
    """The same wiring gives the same text, so a layout is kept until the wiring changes."""
    again = graph_of(["load", "plot"], [("load", "plot")])
    assert dot(LOAD_PLOT) == dot(again)
    assert dot(LOAD_PLOT) != dot(graph_of(["load", "plot"]))


REASONS = [
    (Edge("a", "b", "read-after-write", "df"), "b reads df from a"),
    (Edge("a", "b", "write-after-read", "df"), "b changes df, which a reads first"),
    (Edge("a", "b", "alias", "df"), "b shares df with a"),
    (Edge("a", "b", "hidden-state", "np.random"), "b uses np.random, as a does"),
    (Edge("a", "b", "file", "out.csv"), "b uses the file out.csv, as a does"),
    (Edge("a", "b", "hidden-state", "state:cwd"), "b uses the working directory, as a does"),
    (Edge("a", "b", "file", "file:out.csv"), "b uses the file out.csv, as a does"),
    (Edge("a", "b", "barrier"), "b keeps its place after a, as one of the two cannot be followed"),
    (Edge("a", "b", "barrier", "it calls exec()"), "b keeps its place after a, as one of the two calls exec()"),
    (Edge("a", "b"), "b is told to wait for a"),
    (Edge("a", "b", "something new", "x"), "b waits for a (something new: x)"),
]


@pytest.mark.parametrize(("edge", "reason"), REASONS)
def test_a_line_says_why_one_waits_for_the_other(edge: Edge, reason: str) -> None:
    """Only lines that carry data are drawn through; every other is dashed."""
    (line,) = [line for line in dot(Graph((Task("a"), Task("b")), (edge,))).splitlines() if "->" in line]
    assert f'tooltip="{reason}"' in line
    assert ("dashed" in line) == (edge.rule != "read-after-write")


def test_several_reasons_are_one_line() -> None:
    """Data and order between the same two tasks are drawn once, through, with both reasons."""
    graph = Graph((Task("a"), Task("b")), (Edge("a", "b"), Edge("a", "b", "read-after-write", "df")))
    (line,) = [line for line in dot(graph).splitlines() if "->" in line]
    assert 'tooltip="b is told to wait for a; b reads df from a"' in line
    assert "dashed" not in line


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "<b>", "new\nline", "ünï", "\\N", "\x1b[31mred"])
def test_no_name_breaks_out_of_its_quotes(name: str) -> None:
    """Quotes and backslashes are doubled or escaped, breaks and control characters taken out."""
    (line,) = [line for line in dot(graph_of([name])).splitlines() if "n0" in line]
    label = line.split("label=")[1].split(" width=")[0]
    inner = label[1:-1].replace("\\\\", "").replace('\\"', "")
    assert label[0] == label[-1] == '"'
    assert '"' not in inner
    assert "\\" not in inner
    assert "\x1b" not in line


def test_tasks_that_differ_only_by_a_number_are_one_box() -> None:
    """Mapped tasks between the same others are a group; a few of them are not."""
    many = [f"score_{number}" for number in range(40)]
    edges = [("load", name) for name in many] + [(name, "best") for name in many]
    boxes = nodes(graph_of(["load", *many, "best"], edges))
    assert [box.name for box in boxes] == ["load", "score × 40", "best"]
    assert boxes[1].members == tuple(many)
    few = nodes(graph_of(["load", *many[:5]], [("load", name) for name in many[:5]]))
    assert len(few) == 6


@given(st.integers(1, 60), st.integers(1, 8), st.integers(3, 30), st.randoms(use_true_random=False))
def test_groups_keep_every_task_and_never_wait_in_a_circle(layers: int, width: int, limit: int, random: Any) -> None:
    """However a graph is grouped, each task is in one box, the boxes are few enough, and drawing stays acyclic."""
    names = [f"{random.choice('abc')}{layer}_{place}" for layer in range(layers) for place in range(width)]
    edges = [
        (names[index - random.randint(1, min(index, 2 * width))], name) for index, name in enumerate(names) if index
    ]
    graph = graph_of(names, edges)
    boxes = nodes(graph, limit)
    assert sorted(name for box in boxes for name in box.members) == sorted(names)
    assert len(boxes) <= limit
    place = {name: str(index) for index, box in enumerate(boxes) for name in box.members}
    between = {(place[a], place[b]) for a, b in edges if place[a] != place[b]}
    # Graph refuses circles.
    Graph(tuple(Task(str(index)) for index in range(len(boxes))), tuple(Edge(a, b) for a, b in sorted(between)))


def test_a_chain_of_a_thousand_is_drawn_in_bands() -> None:
    """Even a graph without likeness comes down to what can be drawn."""
    names = [f"step {chr(97 + number % 26)}{number}x" for number in range(1000)]
    boxes = nodes(graph_of(names, list(itertools.pairwise(names))))
    assert len(boxes) <= 200


def lines_of(count: int) -> Graph:
    """So many chains of three, as mapping over the futures of a map gives them."""
    steps = ("read", "clean", "fit")
    names = [f"{step}-{number}" for number in range(count) for step in steps]
    edges = [(f"{a}-{number}", f"{b}-{number}") for number in range(count) for a, b in itertools.pairwise(steps)]
    return graph_of(["start", *names], [*(("start", f"read-{number}") for number in range(count)), *edges])


@pytest.mark.parametrize(
    ("count", "boxes"), [(66, 199), (67, ["start", "read × 67", "clean × 67", "fit × 67"]), (1000, 4)]
)
def test_more_than_two_hundred_tasks_collapse_into_groups(count: int, boxes: int | list[str]) -> None:
    """Up to that each is a box of its own; beyond, mapped and repeated tasks are one box with their count."""
    found = nodes(lines_of(count))
    assert boxes in (len(found), [box.name for box in found])


FACES = [
    ("Running", {}, "running", "3.1 s"),
    ("Retrying", {}, "retrying", "attempt 1 of 3"),
    ("Completed", {}, "completed", "3.1 s"),
    ("Cached", {}, "cached", "cached"),
    ("Failed", {"error": "ValueError: no"}, "failed", "ValueError: no"),
    ("Crashed", {}, "crashed", "crashed"),
    ("UpstreamFailed", {}, "upstream", "upstream failed"),
    ("Pending", {}, "pending", "waits for load"),
]


@pytest.mark.parametrize(("state", "details", "tone", "sub"), FACES)
def test_a_box_says_what_matters_about_its_task(state: str, details: dict[str, Any], tone: str, sub: str) -> None:
    """How long, which attempt, what went wrong, what it waits for."""
    known = {"load": task_run("load", "Running"), "plot": task_run("plot", state, **details)}
    face = faces(LOAD_PLOT, nodes(LOAD_PLOT), known, NOW)[1]
    assert (face.tone, face.sub) == (tone, sub)
    assert (face.running_since is not None) == (state == "Running")


def test_a_group_shows_its_most_urgent_task_and_how_far_it_is() -> None:
    """One failure among forty colours the group."""
    names = [f"score_{number}" for number in range(40)]
    graph = graph_of(names)
    known = {name: task_run(name, "Completed") for name in names} | {"score_7": task_run("score_7", "Failed")}
    (face,) = faces(graph, nodes(graph), known, NOW).values()
    assert (face.tone, face.sub) == ("failed", "1 failed, 39/40 done")


def test_drawing_turns_places_into_shapes_with_words() -> None:
    """Every node and line is there, with its words escaped and its reason at hand."""
    svg = draw(PLACED)
    root = ElementTree.fromstring(svg)
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert texts == ["load", None, "a\\b", None]
    titles = [element.text for element in root.iter() if element.tag.endswith("title")]
    assert titles == ["plot reads x from load", "load", "<plot>"]
    assert "<style" not in svg


def places_in(svg: str) -> list[tuple[str, str]]:
    """Where the boxes of a drawing lie."""
    boxes = [element.attrib for element in ElementTree.fromstring(svg).iter() if "rx" in element.attrib]
    return [(box["x"], box["y"]) for box in boxes if "x" in box]


def test_painting_changes_colours_and_words_but_no_place() -> None:
    """Two states of one run differ in classes, shapes and small words only."""
    svg = draw(PLACED)
    before = paint(svg, LOAD_PLOT, [task_run("load", "Running"), task_run("plot", "Pending", 0)], NOW)
    after = paint(svg, LOAD_PLOT, [task_run("load", "Completed"), task_run("plot", "Failed", error="<b>")], NOW)
    assert places_in(before) == places_in(after) != []
    assert 'class="node running" data-node="0"' in before
    assert 'class="node completed" data-node="0"' in after
    assert "waits for load" in before
    assert "&lt;b&gt;" in after
    assert 'aria-label="Diagram of 2 tasks: 1 completed, 1 failed"' in after


def test_a_diagram_before_any_run_stands_alone_too() -> None:
    """Without states it brings its own paper and style, for light and dark."""
    painted = paint(draw(PLACED), LOAD_PLOT)
    assert painted.count('class="node bare"') == 2
    assert "prefers-color-scheme:dark" in painted
    assert 'aria-label="Diagram of 2 tasks"' in painted


def test_a_picture_says_its_reasons_where_one_points_at_a_line() -> None:
    """An image has no inside, so a map lies over it; a wide one shrinks with its page and has none."""
    html = graph_html(LOAD_PLOT, paint(draw(PLACED), LOAD_PLOT))
    used = re.search(r'usemap="#([\w-]+)"', html)
    assert used
    assert f'<map name="{used[1]}">' in html
    (area,) = re.findall(r'<area shape="poly" coords="([\d,-]+)" title="([^"]*)" alt=""/>', html)
    assert area[1] == "plot reads x from load"
    corners = [int(number) for number in area[0].split(",")]
    # The line goes straight down the middle of the drawing: 82 points wide with margins, from row 48 to row 92.
    assert (min(corners[::2]), max(corners[::2])) == (76, 88)
    wide = {**PLACED, "bb": "0,0,2000,120"}
    html = graph_html(LOAD_PLOT, paint(draw(wide), LOAD_PLOT))
    assert "usemap" not in html
    assert "max-width:100%" in html


# What tasks make outside of the flow


def assets_of(*tasks: Task, edges: list[tuple[str, str]] = ()) -> list[str]:  # type: ignore[assignment]
    """Return the lines of a diagram, by what stands at their ends; ``~>`` for those that are dashed."""
    graph = Graph(tasks, tuple(Edge(a, b, "read-after-write") for a, b in edges))
    text = dot(graph)
    label = dict(re.findall(r'(n\d+) \[label="([^"]*)"', text))
    found = re.findall(r"(n\d+) -> (n\d+) \[(.*)\]", text)
    assert len(label) == len(nodes(graph))
    return [f"{label[a]} {'~>' if 'dashed' in look else '->'} {label[b]}" for a, b, look in found]


A, B, C = "s3://lake/a", "s3://lake/b", "postgres://db/c"

#: tasks, which waits for which, what is drawn
DRAWN = {
    "made": ([Task("x", assets=(A,))], [], ["x -> a"]),
    "needed": ([Task("x", asset_deps=(C,))], [], ["c ~> x"]),
    "passed on": ([Task("x", assets=(A,)), Task("y")], [("x", "y")], ["a -> y", "x -> a"]),
    "two made": ([Task("x", assets=(A, B)), Task("y")], [("x", "y")], ["a -> y", "b -> y", "x -> a", "x -> b"]),
    "made above": ([Task("x", assets=(A,)), Task("y", asset_deps=(A,))], [], ["x -> a", "a ~> y"]),
    "made below": ([Task("y", asset_deps=(A,)), Task("x", assets=(A,))], [], ["x -> a", "a ~> y"]),
    "made anew": (
        [Task("x", assets=(A,)), Task("y", assets=(A,))],
        [("x", "y")],
        ["a -> y", "x -> a", "y -> a"],
    ),
    "many": (
        [Task("x", assets=tuple(f"s3://lake/{number}" for number in range(9))), Task("y")],
        [("x", "y")],
        ["9 assets -> y", "x -> 9 assets"],
    ),
    "of a group": (
        [Task(f"x-{number}", assets=(A,)) for number in range(20)],
        [],
        ["x × 20 -> a"],
    ),
}


@pytest.mark.parametrize("tasks, edges, lines", DRAWN.values(), ids=DRAWN)
def test_an_asset_stands_between_its_maker_and_what_comes_after(tasks, edges, lines) -> None:
    """What is only declared is dashed; an asset that is made again stands there twice."""
    assert assets_of(*tasks, edges=edges) == lines


def test_an_asset_is_a_drum_that_has_no_state() -> None:
    """It is drawn as another shape, escaped like all that users write, and is none of the boxes that a run colours."""
    placed = {
        "bb": "0,0,144,120",
        "objects": [
            {"pos": "72,100", "width": "2", "height": "0.5", "label": "x", "tooltip": "x"},
            {
                "pos": "72,20",
                "width": "2",
                "height": "0.5",
                "label": "a&b",
                "tooltip": "s3://lake/a&b",
                "shape": "cylinder",
                "comment": "s3://lake",
            },
        ],
        "edges": [{"tail": 0, "head": 1, "pos": "e,72,38 72,82 72,70 72,60 72,48", "tooltip": "x makes s3://lake/a&b"}],
    }
    graph = Graph((Task("x", assets=("s3://lake/a&b",)),))
    svg = paint(draw(placed), graph, [task_run("x", "Completed")], NOW)
    root = ElementTree.fromstring(svg)
    [drum] = [each for each in root.iter() if each.get("class") == "asset"]
    assert [text.text for text in drum if text.tag.endswith("text")] == ["a&b", "s3://lake"]
    assert "Diagram of 1 task: 1 completed" in svg
