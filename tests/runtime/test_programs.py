"""Bodies in namespaces of their own: each sees what running the cells top to bottom would show it."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from orch_notebook.model.events import RunCreated, TaskStateChanged
from orch_notebook.model.flows import CellFlow, CellTask, PlainCell
from orch_notebook.model.headers import TaskHeader
from orch_notebook.model.machine import RunMachine
from orch_notebook.runtime.bodies import compile_cell, evaluate
from orch_notebook.runtime.capture import Routes
from orch_notebook.runtime.clock import SystemClock
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.ledger import Ledger
from orch_notebook.runtime.planning import check, prepare
from orch_notebook.runtime.programs import CellProgram
from orch_notebook.runtime.results import Results
from orch_notebook.runtime.runners.threads import ThreadRunner
from orch_notebook.runtime.versions import Kept
from orch_notebook.testing import START, RecordedEvents, StepRunner, open_run, temporary_store

PATIENCE = 20.0


class Notebook:
    """Cells, a live namespace, and a way to run them."""

    def __init__(self, *cells, plain="", results=None, copies=None, **given):
        self.names = {"__name__": "__main__", **given}
        exec(compile(plain, "<plain>", "exec"), self.names)
        self.flow = CellFlow("demo")
        self.flow.know([name for name in self.names if name != "__builtins__"])
        self.flow.define(PlainCell("plain", plain))
        self.results, self.lines, self.count = results, [], 0
        self.kept = Kept(copies)
        for number, source in enumerate(cells):
            self.define(f"t{number}", source)

    def define(self, name, source, **header):
        header.setdefault("cache", True if self.results else None)
        self.flow.define(CellTask(name, TaskHeader(**header), source))

    def run(
        self, *select, last_first=False, threads=None, pick=None, base=None, hooks=None, runner=None, attempts=None,
        **how,
    ):  # fmt: skip
        """Run to the end, and return the names of the states in which the tasks ended."""
        pick = pick or ((lambda n: n - 1) if last_first else lambda n: 0)
        if threads:
            runner = ThreadRunner(threads)
        clock = SystemClock()
        if runner is None:
            runner = StepRunner(pick)
            clock = runner.clock
        flow = self.flow.copy()
        if base is None:
            base = {name: value for name, value in self.names.items() if name not in flow.makes()}
            base = {**self.kept.missing(), **base}
            flow.know([name for name in base if name != "__builtins__"], flow.tools)
        prepared = prepare(flow, base, self.kept, self.results, select=select, attempts=attempts, **how)
        check(prepared.plan)
        self.plan, graph, self.count = prepared.plan, prepared.graph, self.count + 1
        program = CellProgram(
            flow,
            self.names,
            prepared,
            self.kept,
            line=lambda task, attempt, level, text: self.lines.append((task, text)),
            run_id=f"r{self.count}",
            hooks=hooks,
            results=self.results,
            attempts=attempts,
        )
        self.recorded, routes = RecordedEvents(), Routes()
        with temporary_store() as store:
            ledger = Ledger(store, clock=clock)
            ledger.subscribe(self.recorded)
            _, lease = open_run(store, graph, now=clock.now())
            routes.open()
            machine = RunMachine(graph, fresh={task: self.kept.records[task].made_by for task in prepared.plan.fresh})
            engine = Engine(
                machine, program.perform, runner, ledger, lease, clock,
                settled=lambda event: program.settled(event.task),
                describe=lambda error, call: program.describe(error),
            )  # fmt: skip
            self.engine = engine
            engine.journal.record(RunCreated(START, "demo", graph))
            engine.run()
            program.clear_away()
            ledger.close()
            routes.close()
        states = {e.task: e.state.name for e in self.recorded.events if isinstance(e, TaskStateChanged)}
        return [states[task.name] for task in graph.tasks]

    def execute(self, source, label="plain"):
        """Execute a plain cell, as a person does."""
        exec(compile(source, "<plain>", "exec"), self.names)
        self.flow.define(PlainCell(label, source))


#: Cells, the plain cells above them, and what names must hold at the end; "out" collects what cells say.
PROGRAMS = {
    "a chain": (["x = 1", "y = x + 1", "z = y * 10"], "", {"z": 20}),
    "a rebinding makes a version": (["x = 1", "a = x", "x = 2", "b = x"], "", {"a": 1, "b": 2, "x": 2}),
    "read and rebind": (["x = 1", "x = x + 1", "x += 1", "y = x"], "", {"x": 3, "y": 3}),
    "a mutation is ordered": (["x = [1]", "a = len(x)", "x.append(2)", "b = len(x)"], "", {"a": 1, "b": 2}),
    "a mutation through another name": (["x = [1]", "y = x", "y.append(2)", "b = len(x)"], "", {"b": 2}),
    "a name that is deleted": (["x = 1", "y = x", "del x"], "", {"y": 1, "x": None}),
    "a function sees the caller's versions": (
        ["scale = 2", "def f(x): return x * scale", "a = f(1)", "scale = 3", "b = f(1)"], "", {"a": 2, "b": 3},
    ),
    "a plain cell's function does too": (
        ["scale = 2", "a = f(1)", "scale = 3", "b = f(1)"], "scale = 0\ndef f(x): return x * scale", {"a": 2, "b": 3},
    ),
    "a function that calls another": (
        ["scale = 2", "a = g()", "scale = 3", "b = g()"], "scale = 0\ndef f(): return scale\ndef g(): return f()",
        {"a": 2, "b": 3},
    ),
    "an import in a task": (["import math", "y = math.floor(2.5)"], "", {"y": 2}),
    "a class in a task": (["class A:\n    n = 1", "y = A.n"], "", {"y": 1}),
    "a conditional write": (["x = 1", "if False:\n    x = 2", "y = x"], "", {"y": 1, "x": 1}),
    "await at the top": (["import asyncio", "x = await asyncio.sleep(0, 5)", "y = x"], "", {"y": 5}),
    "a comprehension with await": (
        ["import asyncio", "xs = [await asyncio.sleep(0, n) for n in range(3)]"], "", {"xs": [0, 1, 2]},
    ),
    "plain data": (["y = data[0]"], "data = [7]", {"y": 7}),
}  # fmt: skip


@pytest.mark.parametrize("last_first", [False, True], ids=["oldest first", "newest first"])
@pytest.mark.parametrize("cells, plain, expected", PROGRAMS.values(), ids=PROGRAMS)
def test_the_result_is_that_of_running_top_to_bottom(cells, plain, expected, last_first) -> None:
    """In whichever order independent tasks come, the names hold what a plain notebook would leave."""
    notebook = Notebook(*cells, plain=plain)
    assert notebook.run(last_first=last_first) == ["Completed"] * len(cells)
    assert {name: notebook.names.get(name) for name in expected} == expected


def test_a_lower_task_that_ends_first_is_not_covered_by_a_higher_one() -> None:
    """The namespace ends with the last version of each name, whoever publishes last."""
    gate = threading.Event()

    def upper():
        assert gate.wait(PATIENCE)
        return "upper"

    def lower():
        gate.set()
        return "lower"

    notebook = Notebook("x = upper()", "x = lower()", upper=upper, lower=lower)
    assert notebook.run(threads=2) == ["Completed"] * 2
    assert notebook.names["x"] == "lower"


def test_a_task_that_fails_publishes_nothing() -> None:
    """Neither what it bound before it failed, nor a deletion."""
    notebook = Notebook("x = 1", "x = 2\ny = 3\nraise ValueError('no')", "z = x")
    assert notebook.run() == ["Completed", "Failed", "UpstreamFailed"]
    assert notebook.names["x"] == 1 and "y" not in notebook.names and "z" not in notebook.names


def test_a_failure_shows_the_cells_own_lines() -> None:
    """The traceback begins at the user's code and quotes it."""
    notebook = Notebook("x = 1\n\nraise ValueError('no rows')")
    notebook.run()
    [details] = [e.details for e in notebook.recorded.events if getattr(e, "details", None)]
    assert details["error"] == "ValueError: no rows"
    assert details["traceback"][1:3] == ['  File "<task t0>", line 3, in <module>', "    raise ValueError('no rows')"]


def test_what_a_task_prints_and_shows_is_its_own() -> None:
    """Printed lines are recorded under the task's name, and a body's namespace is not the live one."""
    notebook = Notebook("print('one')\nhidden = 1\ndel hidden", "print('two')")
    notebook.run()
    assert notebook.lines == [("t0", "one"), ("t1", "two")] and "hidden" not in notebook.names


def test_a_plain_cell_executed_meanwhile_changes_nothing_for_tasks() -> None:
    """What tasks see besides versions is taken once for the whole run."""
    notebook = Notebook(
        "poked = poke()\na = n", "poked\nb = n", plain="n = 1", poke=lambda: notebook.names.update(n=99)
    )
    notebook.run()
    assert (notebook.names["a"], notebook.names["b"]) == (1, 1)


class Big:
    """A value whose end can be watched."""


def test_a_version_is_freed_after_its_last_reader() -> None:
    """Ten rebindings hold no more than a plain notebook would."""
    alive = []

    def watch():
        gc.collect()
        alive.append(sum(1 for ref in refs if ref() is not None))

    refs: list[weakref.ref] = []

    def make():
        big = Big()
        refs.append(weakref.ref(big))
        return big

    cells = ["x = make()"]
    for _ in range(5):
        cells += ["watch(x)", "x = make()"]
    notebook = Notebook(*cells, watch=lambda x: watch(), make=make)
    assert set(notebook.run()) == {"Completed"}
    gc.collect()
    assert sum(1 for ref in refs if ref() is not None) == 1
    assert max(alive) <= 2


def test_a_reader_that_will_never_run_holds_nothing() -> None:
    """A task that is ended because another failed frees what it would have read."""
    refs = []

    def make():
        big = Big()
        refs.append(weakref.ref(big))
        return big

    notebook = Notebook("x = make()", "y = 1 / 0", "z = (x, y)", "x = None", make=make)
    assert notebook.run() == ["Completed", "Failed", "UpstreamFailed", "Completed"]
    gc.collect()
    assert [ref() for ref in refs] == [None]


def test_versions_of_an_earlier_run_serve_a_part_of_the_flow() -> None:
    """Running one task again uses what the tasks above it left."""
    notebook = Notebook("x = [1]", "y = x + [2]")
    notebook.run()
    notebook.define("t1", "y = x + [3]")
    assert notebook.run("t1") == ["Completed"] and notebook.names["y"] == [1, 3]


def test_a_task_that_awaits_can_be_stopped() -> None:
    """An event loop with nothing to do is no place where a cancel goes unheard."""
    awaiting = threading.Event()
    notebook = Notebook("import asyncio", "x = [tell(), await asyncio.sleep(3600)]", tell=awaiting.set)
    cancel = threading.Thread(target=lambda: awaiting.wait(PATIENCE) and notebook.engine.cancel())
    cancel.start()
    assert notebook.run(threads=2) == ["Completed", "Cancelled"]
    cancel.join()


# --cache


@pytest.fixture
def results(tmp_path):
    """An empty store of results."""
    return Results(tmp_path / "results")


CACHED = ["x = [n]", "y = f(x)"]
HELPERS = "n = 1\ndef f(v): return sum(v) + 1"


def test_what_is_kept_is_used_again_by_another_kernel(results) -> None:
    """The same cells over the same plain cells: nothing runs, and the names are there."""
    Notebook(*CACHED, plain=HELPERS, results=results).run()
    again = Notebook(*CACHED, plain=HELPERS, results=results)
    assert again.run() == ["Cached", "Cached"] and (again.names["x"], again.names["y"]) == ([1], 2)
    details = [e.details for e in again.recorded.events if getattr(e, "details", None)]
    assert [each["cached_from"] for each in details] == ["r1/t0", "r1/t1"]


EDITS = {
    "a comment": (CACHED[0], "y = f(x)  # again", HELPERS, ["Cached", "Cached"]),
    "the last task": (CACHED[0], "y = f(x) * 2", HELPERS, ["Cached", "Completed"]),
    "the first task": ("x = [n, n]", CACHED[1], HELPERS, ["Completed", "Completed"]),
    "a parameter": (*CACHED, HELPERS.replace("n = 1", "n = 5"), ["Completed", "Completed"]),
    "a helper": (*CACHED, HELPERS.replace("sum", "max"), ["Cached", "Completed"]),
    "a comment in a helper": (*CACHED, HELPERS + "  # adds", ["Cached", "Cached"]),
}


@pytest.mark.parametrize("first, second, plain, expected", EDITS.values(), ids=EDITS)
def test_only_what_an_edit_concerns_runs_again(results, first, second, plain, expected) -> None:
    """Source, inputs, parameters and helpers count; comments do not."""
    Notebook(*CACHED, plain=HELPERS, results=results).run()
    assert Notebook(first, second, plain=plain, results=results).run() == expected


def test_a_result_may_grow_too_old(results) -> None:
    """With an age as limit, what is older runs again."""
    for limit, expected in [(3600.0, "Completed"), (3600.0, "Cached"), (1e-9, "Completed")]:
        notebook = Notebook(results=results)
        notebook.define("t0", "x = 1", cache=limit)
        assert notebook.run() == [expected]


def test_what_cannot_be_kept_is_noted_and_no_failure(results) -> None:
    """The task completes, and says why it will always run."""
    notebook = Notebook("import threading\nlock = threading.Lock()", results=results)
    assert notebook.run() == ["Completed"]
    [details] = [e.details for e in notebook.recorded.events if getattr(e, "details", None)]
    assert details["note"].startswith("Not kept, so it always runs:")


def test_a_task_that_fails_keeps_nothing(results) -> None:
    """The next run tries again."""
    source = "x = 1 / n"
    assert Notebook(source, plain="n = 0", results=results).run() == ["Failed"]
    assert Notebook(source, plain="n = 0", results=results).run() == ["Failed"]
    assert Notebook(source, plain="n = 2", results=results).run() == ["Completed"]


# The last expression

SHOWN = {
    "an expression": ("x = 1\nx + 1", True),
    "a silenced one": ("x = 1\nx + 1;", False),
    "silenced before a comment": ("1;  # quiet", False),
    "a sharp sign in text": ("'#fff;'", True),
    "a semicolon in text": ("'a;'", True),
    "a silenced sharp sign": ("'#';", False),
    "text over several lines": ('"""a;\n# b;"""', True),
    "a semicolon in a comment": ("1  # a; b;", True),
    "a statement": ("x = 1", False),
    "an annotated name": ("x: int = 1", False),
    "a bare annotation": ("x: int", False),
    "nothing": ("", False),
    "an expression before the last": ("1\nx = 2", False),
    "an expression over several lines": ("(1 +\n 2)", True),
    "one of several silenced": ("1; 2;", False),
}


@pytest.mark.parametrize("source, is_shown", SHOWN.values(), ids=SHOWN)
def test_the_last_expression_is_shown_unless_silenced(source, is_shown) -> None:
    """As IPython does."""
    assert (compile_cell(source, "<cell>")[1] is not None) == is_shown


@pytest.mark.parametrize("source, is_shown", SHOWN.values(), ids=SHOWN)
def test_what_is_shown_does_not_depend_on_late_names(source, is_shown) -> None:
    """Names that are bound as globals leave the last expression as it is."""
    assert (compile_cell(source, "<cell>", ["x"])[1] is not None) == is_shown


APART = {
    "numbers": ("a = 300\nb = 300\na is b", False),
    "texts": ("a = 'two words'\nb = 'two words'\na is b", False),
    "tuples": ("a = (1, 2)\nb = (1, 2)\na is b", False),
    "in one statement": ("a = b = 300\na is b", True),
    "small numbers": ("a = 3\nb = 3\na is b", True),
}


@pytest.mark.parametrize("source, is_same", APART.values(), ids=APART)
@pytest.mark.parametrize("late", [(), ("a", "b")], ids=["own", "late"])
def test_equal_constants_of_two_statements_are_two_objects(source, is_same, late) -> None:
    """As where IPython compiles each statement by itself."""
    globals_: dict = {}
    locals_: dict = {}
    body, last = compile_cell(source, "<cell>", late)
    evaluate(body, globals_, locals_)
    assert evaluate(last, globals_, locals_) is is_same


@pytest.mark.parametrize("late", [(), ("n",)], ids=["own", "late"])
def test_a_last_expression_may_bind_a_name(late) -> None:
    """Its value is shown, and the name is bound where functions look for it if they do."""
    globals_, locals_ = {}, {}
    for code in compile_cell("m = 1\n(n := m + 1) * 10", "<cell>", late):
        shown = code and evaluate(code, globals_, locals_)
    assert shown == 20 and (globals_ if late else locals_)["n"] == 2


def test_what_is_deleted_dies_in_the_task_that_deletes_it() -> None:
    """When its last name goes, and not when the run is over."""
    source = "class T:\n    def __del__(self): log.append(n)\n"
    cells = ["a = T()", "b = a", "n = 1\ndel a\nm = len(log)", "n = 2\ndel b", "x = list(log)"]
    notebook = Notebook(*cells, plain=source, log=[], n=0)
    notebook.run()
    assert (notebook.names["m"], notebook.names["x"]) == (0, [2])


def test_a_cell_that_may_bind_any_name_may_take_it_away() -> None:
    """What ``exec`` deletes, as ``%reset`` does, is there for nobody below and not when the run is over."""
    notebook = Notebook("x = 1", "exec(code)", "is_there = 'x' in globals()", code="del x")
    notebook.run()
    assert (notebook.names["is_there"], "x" in notebook.names) == (False, False)


@pytest.mark.parametrize("how", [{}, {"last_first": True}, {"threads": 4}], ids=["oldest", "newest", "threads"])
def test_a_task_that_asks_for_the_history_finds_what_tasks_above_it_showed(how) -> None:
    """The last values in the order of the notebook, whichever came last; afterwards they are gone."""
    notebook = Notebook("1 + 1", "n = 5", "n * 2", "last = _, __, Out[1]", "last", Out={})
    notebook.run(**how)
    assert notebook.names["last"] == (10, 2, 2)
    assert "_" not in notebook.names


def test_a_cell_that_may_bind_any_name_hands_on_all_of_them() -> None:
    """What ``exec`` binds is there for the cells below, and what it leaves alone passes through."""
    notebook = Notebook("x = 1", "exec('y = x + 1')", "z = x + y")
    notebook.run()
    assert notebook.names["z"] == 3
