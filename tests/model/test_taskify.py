"""Which cells of an ordinary notebook become tasks: a table, and the promise for random programs."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orch_notebook.model.cells import Cell, wire
from orch_notebook.model.taskify import WrittenCell, plan_tasks
from tests.model.cells.programs import BEGINNING, statements
from tests.model.cells.reference import at_random, latest_first, run_by_wiring, run_in_order
from tests.model.cells.test_programs import keep_what_runs, picture

MAGIC = "get_ipython().run_line_magic({!r}, {!r})"
SHELL = "get_ipython().system('ls')"


def written(*cells: str | tuple[str, str]) -> list[WrittenCell]:
    """Return cells of these sources; a pair is a source and a tag, or ``md`` for prose, or ``broken``."""
    made = []
    for index, cell in enumerate(cells):
        source, mark = cell if isinstance(cell, tuple) else (cell, "")
        if mark == "md":
            made.append(WrittenCell(index, source, is_code=False))
        elif mark == "broken":
            made.append(WrittenCell(index, "", problem="invalid syntax"))
        else:
            made.append(WrittenCell(index, source, tags=frozenset([mark] if mark else [])))
    return made


# why, cells, what becomes of each: T a task, . a plain cell, P parameters
FATES: list[tuple[str, list[str | tuple[str, str]], str]] = [
    ("work is a task", ["x = [1]", "x.append(2)", "print(x)"], "TTT"),
    ("imports and definitions stay", ["import os", "def f(a): return a", "class A: pass", "f(1)"], "...T"),
    ("also below tasks", ["xs = [1]", "import os", "def f(a): return a", "f(xs)"], "T..T"),
    ("settings at the top stay", ["import numpy as np", "np.random.seed(1)", "np.random.rand()"], "..T"),
    ("settings that a task above would notice", ["import numpy as np", "np.random.rand()", "np.random.seed(1)"], ".TT"),
    ("a comment is nothing", ["# later", "print(1)"], ".T"),
    ("harmless magics stay", ["print(1)", MAGIC.format("matplotlib", "inline"), "print(2)"], "T.T"),
    ("timed code is work", ["xs = [1]", MAGIC.format("timeit", "sum(xs)")], "TT"),
    ("a shell command at the top stays", [SHELL, "print(1)"], ".T"),
    ("a shell command below a task waits for it", ["print(1)", SHELL, "print(2)"], "TTT"),
    ("a definition need not wait for a shell command", [SHELL, "print(1)", SHELL, "def f(): pass", "f()"], ".TT.T"),
    ("an import has to: it may install something", ["print(1)", SHELL, "import new", "new.f()"], "TTTT"),
    ("not one of the standard library", ["print(1)", SHELL, "import json", "json.dumps(1)"], "TT.T"),
    ("not one imported above", ["import pandas", "print(1)", SHELL, "import pandas as pd", "pd.f()"], ".TT.T"),
    ("a default takes a task's value", ["x = [1]", "def f(a=x): return a", "f()"], "TTT"),
    ("so does a class body", ["x = [1]", "class A:\n    y = x", "A.y"], "TTT"),
    ("and a decorator", ["deco = print", "@deco\ndef f(): pass", "f"], "TTT"),
    ("a body does not: it is late", ["x = [1]", "def f(): return x", "f()"], "T.T"),
    (
        "a function that a task above calls is made anew",
        ["def f(): return 1", "f()", "def f(): return 2", "f()"],
        ".TTT",
    ),
    (
        "also where it is called by another",
        ["def g(): return 1", "def f(): return g()", "f()", "def g(): return 2", "f()"],
        "..TTT",
    ),
    ("a function of the name of a task's variable", ["f = 3\nprint(f)", "def f(): return 2", "f()"], "TTT"),
    ("a builtin that a task above uses", ["xs = [1]\nprint(sum(xs))", "def sum(x): return 0", "sum([1])"], "TTT"),
    (
        "a name in the text of a query",
        ["import n", "df = n.df\nlim = 1\ndf.query('a > @lim')", "def lim(): pass", "lim()"],
        ".TTT",
    ),
    ("the same import again is none", ["import os", "os.getcwd()", "import os", "os.getpid()"], ".T.T"),
    ("an import of another module of that name is", ["import a as m", "m.f()", "import b as m", "m.f()"], ".TTT"),
    ("an import of a name that a task binds", ["m = 1\nprint(m)", "import b as m", "m.f()"], "TTT"),
    ("star imports at the top stay", ["from math import *", "sqrt(2)"], ".T"),
    ("star imports below a task do not", ["x = [1]", "from math import *", "sqrt(2)"], "TTT"),
    ("a setting all tasks notice", ["import warnings", "print(1)", "warnings.simplefilter('ignore')"], ".TT"),
    (
        "how things are shown does not matter to definitions",
        ["print(1)\nget_ipython().run_line_magic('precision', '2')", "import os"],
        "T.",
    ),
    ("a setting of what a star import brings", ["from sympy import *", "init_printing()", "Symbol('x')"], "..T"),
    ("values are parameters", ["import os", "rows = 3", "print(rows)"], ".PT"),
    ("not if they are bound again", ["rows = 3", "rows = rows + 1", "print(rows)"], "TTT"),
    ("not if a loop binds them", ["rows = 3", "for rows in range(2): print(rows)"], "TT"),
    ("not if nobody reads them", ["rows = 3", "print(1)"], "TT"),
    ("not below a task", ["print(1)", "rows = 3", "print(rows)"], "TTT"),
    ("not if they say nothing", ["a = 3", "print(a)"], "TT"),
    ("not if they are data", ["data = [3, 4]", "print(data)"], "TT"),
    ("not if some are tagged", ["rows = 3", ("size = 2", "parameters"), "print(rows + size)"], "T.T"),
    ("tagged parameters below work", ["x = [1]", ("y = x", "parameters"), "print(y)"], "..T"),
    ("a question has to be asked at its place", ["x = [1]", "y = input()", "print(x, y)"], "T.T"),
    ("a question about what is above", ["x = [1]", "y = input(x)", "print(x, y)"], "..T"),
    ("the history", ["x = [1]", "x", "print(_)", "print(x)"], "...T"),
    ("an error that is expected", ["x = [1]", ("1 / 0", "raises-exception"), "print(x)"], "T.T"),
    ("an error in what is above", ["x = [1]", ("x[7]", "raises-exception"), "print(x)"], "..T"),
    ("no Python", ["x = [1]", ("print x", "broken"), "print(x)"], "..T"),
    ("a name that nobody defines", ["x = [1]", "y = nothing", "print(x)"], "..T"),
    ("a module written above", ["x = [1]", "open('mine.py', 'w').write(str(x))", "import mine", "mine.f()"], "TTTT"),
    ("another file written above", ["x = [1]", "open('a.txt', 'w').write(str(x))", "import mine", "mine.f()"], "TT.T"),
]


@pytest.mark.parametrize(("cells", "fates"), [row[1:] for row in FATES], ids=[row[0] for row in FATES])
def test_what_becomes_of_each_cell(cells: list[str | tuple[str, str]], fates: str) -> None:
    """Tasks, plain cells and parameters, as the table says."""
    plan = plan_tasks(written(*cells))
    found = "".join(
        "T" if index in plan.tasks else "P" if index == plan.parameters else "." for index in range(len(cells))
    )
    assert found == fates


def test_names_come_from_headings_comments_and_outputs() -> None:
    """Only the first cell below a heading bears it, and no two names are the same."""
    plan = plan_tasks(
        written(
            ("# Wine\n\n## Load the data", "md"),
            "import pandas as pd",
            "df = pd.read_csv('a')",
            "# Drop what lacks\ndf = df.dropna()",
            "df = df.sort_values('a')",
            "df.head()",
            ("## Load the data", "md"),
            "other = 3 * [1]\nprint(other)",
        )
    )
    assert list(plan.tasks.values()) == ["load_the_data", "drop_what_lacks", "df", "df_head", "load_the_data_2"]


def test_why_a_cell_keeps_those_above_plain_is_told() -> None:
    """The reason comes with the plan, as a clause."""
    assert plan_tasks(written("x = [1]", "y = input(x)", "y")).kept == {1: "it asks somebody with input()"}
    assert plan_tasks(written("x = [1]", "y = nothing", "x")).kept == {
        1: "it reads 'nothing', which no cell above defines"
    }
    assert plan_tasks(written("x = [1]", ("", "broken"), "x")).kept == {1: "it is no Python: invalid syntax"}
    assert plan_tasks(written("x = [1]", ("1 / 0", "raises-exception"), "x")).kept == {}


#: Cells that would like to stay plain.
STAGE = [
    "import random",
    "import math as f",
    "from random import randrange as g",
    "import functools",
    "def f(v):\n    return v + n",
    "def g(v):\n    return v * m",
    "def f(v, w=n):\n    return v + w",
    "def f(v):\n    return g(v) + 1",
    "def h(v):\n    return f(v)",
    "class C:\n    rate = n\n    def __init__(self, v):\n        self.v = v\n    def get(self):\n        return g(1)",
    "class C:\n    def __init__(self, v):\n        self.v = v",
    "random.seed(3)",
    "import random\nlimit = 3\nrandom.seed(2)",
    "def len(v):\n    return 7",
    "n = 4",
    "m = 2\nk = 7",
]


@st.composite
def notebooks(draw: st.DrawFn) -> list[str]:
    """Sources of the cells of a notebook: work, and between it what sets the stage."""
    cells = st.one_of(st.lists(statements(), min_size=1, max_size=2).map("\n".join), st.sampled_from(STAGE))
    return [*BEGINNING, *draw(st.lists(cells, min_size=3, max_size=10))]


@settings(suppress_health_check=list(HealthCheck))
@given(notebooks(), st.integers(0, 2**16))
def test_a_notebook_with_tasks_gives_what_it_gave_without(sources: list[str], seed: int) -> None:
    """Plain cells first and tasks afterwards in any legal order: text, names and shared objects are the same."""
    cells = keep_what_runs([Cell(str(index), source) for index, source in enumerate(sources)])
    plan = plan_tasks([WrittenCell(int(cell.name), cell.source) for cell in cells])
    parts = [Cell(cell.name, cell.source, is_task=int(cell.name) in plan.tasks) for cell in cells]
    expected_text, expected_names = run_in_order(parts)
    wiring = wire(parts)
    for choose in (latest_first, at_random(seed)):
        text, names, order = run_by_wiring(parts, wiring, choose)
        assert text == expected_text, (plan, order)
        assert picture(names) == picture(expected_names), (plan, order)
