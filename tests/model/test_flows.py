"""A flow of cells: what is refused when a cell is defined, and that a refusal changes nothing."""

from __future__ import annotations

import sys
import threading

import pytest

from orch_notebook.errors import CycleError, UndefinedName, UnknownTask
from orch_notebook.model.cells import KNOWLEDGE, Rule
from orch_notebook.model.flows import CellFlow, CellTask, PlainCell, imported_names
from orch_notebook.model.headers import TaskHeader


def task(name, body, **options):
    return CellTask(name, TaskHeader(**options), body, cell_id=f"id-{name}")


def flow_of(*cells, known=()):
    flow = CellFlow("demo")
    flow.know(known)
    for cell in cells:
        flow.define(cell)
    return flow


def edges(flow):
    return [(edge.before, edge.after, edge.name) for edge in flow.graph.edges]


LOAD, CLEAN = task("load", "raw_df = [1]"), task("clean", "df = raw_df + [2]")

REFUSED = {
    "a name that nobody defines": (
        task("c", "y = raw"), UndefinedName,
        "Task 'c' reads 'raw', which no cell above defines. Did you mean 'raw_df' (task 'load')?",
    ),
    "one near to a known name": (
        task("c", "y = pands.nan"), UndefinedName,
        "Task 'c' reads 'pands', which no cell above defines. Did you mean 'pandas'?",
    ),
    "one near to a builtin": (
        task("c", "y = sortd([1])"), UndefinedName,
        "Task 'c' reads 'sortd', which no cell above defines. Did you mean 'sorted'?",
    ),
    "one near to nothing": (
        task("c", "y = qqqzzz"), UndefinedName,
        "Task 'c' reads 'qqqzzz', which no cell above defines. Define it in a cell above, or name it with --outputs "
        "where a task makes it.",
    ),
    "a name that only a lower task defines": (
        task("load", "raw_df = [df]"), UndefinedName,
        "Task 'load' reads 'df', which only task 'clean' defines, and that stands below it. Move the cell of 'clean' "
        "above, or rename one of the two.",
    ),
    "--after a task that is not there": (
        task("c", "y = 1", after=("laod",)), UnknownTask,
        "There is no task 'laod' (--after of task 'c'). Did you mean 'load'?",
    ),
    "--after a task that waits for it": (
        task("load", "raw_df = [1]", after=("clean",)), CycleError, "These tasks wait for each other: ",
    ),
    "--after itself": (task("c", "y = 1", after=("c",)), CycleError, "c → c"),
    "what is not Python": (task("c", "y = = 1"), SyntaxError, "invalid syntax"),
}  # fmt: skip


@pytest.mark.parametrize("cell, kind, message", REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_and_changes_nothing(cell, kind, message) -> None:
    """The error says what, in which task, and what to try; the flow is what it was."""
    flow = flow_of(LOAD, CLEAN, known=["pandas"])
    before = list(flow), edges(flow), flow.graph
    with pytest.raises(kind) as error:
        flow.define(cell)
    assert message in str(error.value)
    assert (list(flow), edges(flow), flow.graph) == before
    flow.check()


def test_a_cycle_through_after_is_shown_as_a_path() -> None:
    """The person sees the circle they have closed."""
    flow = flow_of(task("a", "x = 1"), task("b", "y = x"), task("c", "z = y"))
    with pytest.raises(CycleError) as error:
        flow.define(task("a", "x = 1", after=("c",)))
    assert sorted(error.value.path[1:]) == ["a", "b", "c"] and error.value.path[0] == error.value.path[-1]
    assert " → ".join(error.value.path) in str(error.value)


def test_defining_again_replaces_in_place() -> None:
    """A cell that is executed again keeps its position, so what it reads does not move."""
    flow = flow_of(task("a", "x = 1"), task("b", "y = x"), task("c", "x = 2"))
    flow.define(task("b", "y = x + 1"))
    assert [cell.name for cell in flow] == ["a", "b", "c"] and flow["b"].body == "y = x + 1"
    assert ("a", "b", "x") in edges(flow) and ("c", "b", "x") not in edges(flow)


def test_a_replacement_that_breaks_others_is_found_by_the_check() -> None:
    """Taking a name away is allowed at first, since the next cell may bring it back; a run is not."""
    flow = flow_of(LOAD, CLEAN)
    flow.define(task("load", "other = 1"))
    with pytest.raises(UndefinedName, match="'clean' reads 'raw_df'"):
        flow.check()


def test_a_task_can_be_taken_out() -> None:
    """And asking for one that is not there says so."""
    flow = flow_of(LOAD, CLEAN)
    flow.remove("clean")
    assert [cell.name for cell in flow] == ["load"] and "clean" not in flow and len(flow) == 1
    with pytest.raises(UnknownTask, match="Did you mean 'load'"):
        flow.remove("lod")


def test_a_copy_stays_as_it_was() -> None:
    """A run keeps the flow with which it began, whatever is defined meanwhile."""
    flow = flow_of(LOAD, CLEAN)
    twin = flow.copy()
    flow.define(task("clean", "df = raw_df"))
    flow.define(task("new", "n = df"))
    assert [cell.name for cell in twin] == ["load", "clean"] and twin["clean"] == CLEAN
    assert len(twin.graph.tasks) == 2


def test_cells_are_arranged_as_in_their_notebook() -> None:
    """Executed in another order than they stand, they are bound as they stand; unknown ones keep their neighbour."""
    flow = flow_of(task("late", "y = x"), task("extra", "e = 1"), task("early", "x = 1"), known=["x"])
    assert ("early", "late", "x") not in edges(flow)
    flow.arrange({"id-early": 0, "id-late": 3})
    assert [(cell.name, cell.cell_index) for cell in flow] == [("early", 0), ("late", 3), ("extra", None)]
    assert ("early", "late", "x") in edges(flow)
    assert flow.graph.by_name["late"].cell_index == 3


def test_arranging_what_is_arranged_changes_nothing() -> None:
    """The graph is not worked out again."""
    flow = flow_of(LOAD, CLEAN)
    positions = {"id-load": 0, "id-clean": 1}
    flow.arrange(positions)
    graph = flow.graph
    flow.arrange(positions)
    assert flow.graph is graph


def test_known_names_are_no_tasks() -> None:
    """What the live namespace holds may be read; modules and functions are not shown as data."""
    flow = CellFlow("demo")
    flow.know(["np", "data"], tools=["np"])
    flow.define(task("a", "x = np.sum(data)"))
    assert edges(flow) == [] and flow.graph.by_name["a"].reads == ("data",)


def test_plain_cells_are_replaced_by_label_and_their_functions_used() -> None:
    """A plain cell and a task of the same name do not get into each other's way."""
    flow = flow_of(PlainCell("load", "def f(): return 1"), LOAD, task("use", "y = f()"))
    flow.define(PlainCell("load", "def f(): return 2"))
    assert [cell.name for cell in flow] == ["load", "use"] and len(flow._cells) == 3


def test_options_go_into_the_task() -> None:
    """Retries, timeouts and tags are the machine's business."""
    flow = flow_of(task("a", "x = 1", retries=2, retry_delay=(1.0,), jitter=0.5, timeout=9.0, tags=("gpu",)))
    found = flow.graph.by_name["a"]
    assert (found.retry.retries, found.retry.delays, found.retry.jitter) == (2, (1.0,), 0.5)
    assert (found.timeout, found.tags, found.cell_id, found.writes) == (9.0, ("gpu",), "id-a", ("x",))


def test_imports_are_found_wherever_they_stand() -> None:
    """Also inside functions and with other names."""
    assert imported_names("import a.b, c as d\nfrom e import f as g\ndef h():\n    import i") == {"a", "d", "g", "i"}


def test_a_plain_cell_teaches_what_a_library_does() -> None:
    """A rule learned while flows stand holds for the tasks defined before it, too."""
    flow = flow_of(
        PlainCell("i", "import lib_of_this_test as lib"),
        task("a", "x = [1]"),
        task("b", "y = lib.tidy(x)"),
        task("c", "print(x)"),
    )
    assert ("b", "c", "x") not in edges(flow)
    KNOWLEDGE.learn(functions={"lib_of_this_test.tidy": Rule(changes=(0,))})
    assert ("b", "c", "x") in edges(flow)


def test_whoever_looks_while_somebody_defines_sees_one_state_or_the_next() -> None:
    """Panels and the end of a run look from threads of their own; no name may lack for who has just defined it."""
    flow = flow_of(*(task(f"t{number}", f"x{number} = {number}") for number in range(40)))
    problems: list[BaseException] = []
    stop = threading.Event()

    def look() -> None:
        try:
            while not stop.is_set():
                assert len(flow.graph.tasks) <= len(flow.wiring.bindings)
                flow.makes()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for number in range(60):
            flow.define(PlainCell(f"p{number}", f"y{number} = {number}"))
            assert f"p{number}" in flow.wiring.effects
            flow.define(task(f"last{number}", f"z = y{number}"))
            assert flow.graph.by_name[f"last{number}"].reads == (f"y{number}",)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(usual)
    assert not problems
