"""Checks of small flows: each planted race is found with its cause and its line, and clean flows are clean."""

from __future__ import annotations

import sys
import textwrap
from types import ModuleType
from weakref import WeakKeyDictionary

import pytest

from orch_notebook.errors import UsageError
from orch_notebook.model.findings import KINDS, Report
from orch_notebook.model.flows import CellFlow, CellTask, PlainCell
from orch_notebook.model.headers import parse_header
from orch_notebook.orchestrator import open_orchestrator
from orch_notebook.runtime.surveys import fingerprint
from orch_notebook.runtime.tokens import Budget

#: A module beside the notebook, of which the analysis knows nothing.
LIBRARY = """
import sys
counter = 0
box = {}
def tidy(rows):
    rows.append(99)
    return len(rows)
def poke(thing): return thing.step(1)
def bump():
    global counter
    counter += 1
    return counter
def put(x): box["x"] = x
def get(): return box.get("x")
def take(values): return next(values)
def fill(frame):
    frame["tax"] = 1
    return len(frame)
def save(x, name):
    with open(name + ".d" + "at", "w") as file: file.write(str(x))
    return len(name)
def load(name):
    with open(name + ".d" + "at") as file: return file.read()
def peek(): return sys._getframe(1).f_globals["x"]
def draw():
    import numpy
    return numpy.random.rand()
"""


class Silent:
    """Like an object written in C: it has a state, and nobody can look at it."""

    __slots__ = ("__weakref__",)

    def __reduce_ex__(self, protocol):
        raise TypeError("cannot pickle")

    def step(self, n):
        states[self] = states.get(self, 0) + n
        return states[self]


#: What objects of that kind hold, out of sight.
states: WeakKeyDictionary[Silent, int] = WeakKeyDictionary()


@pytest.fixture(autouse=True)
def library(tmp_path, monkeypatch) -> None:
    """The working directory holds the module, and nothing else."""
    (tmp_path / "mylib.py").write_text(LIBRARY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mylib", raising=False)


def check(*cells, plain="", headers=(), seed=0, orders=1, **given) -> Report:
    """Check a flow of these cells, the tasks called t0, t1 …"""
    report, _ = checked(*cells, plain=plain, headers=headers, seed=seed, orders=orders, **given)
    return report


def checked(*cells, plain="", headers=(), seed=0, orders=1, **given):
    """Return the report and the live namespace after the check."""
    names = {"__name__": "__main__", "__builtins__": __builtins__, **given}
    exec(compile(textwrap.dedent(plain), "<plain>", "exec"), names)
    flow = CellFlow("demo")
    flow.define(PlainCell("plain", textwrap.dedent(plain)))
    tools = [name for name, value in names.items() if isinstance(value, ModuleType) or callable(value)]
    flow.know([name for name in names if name != "__builtins__"], tools)
    for number, source in enumerate(cells):
        header = parse_header(headers[number] if headers else "")
        flow.define(CellTask(f"t{number}", header, textwrap.dedent(source), None, number))
    base = {name: value for name, value in names.items() if name != "__builtins__"}
    with open_orchestrator() as orchestrator:
        return orchestrator.check(flow, names, base=base, seed=seed, orders=orders), names


#: Plain cell, tasks, and for each expected finding its kind, task and line.
RACES = {
    "an unknown function changes a list": (
        "import mylib",
        ["x = [1, 2]", "n = len(x)", "m = mylib.tidy(x)", "k = len(x)"],
        [("undeclared mutation", "t2", "%%task t2 --mutates x")],
    ),
    "an unknown function adds a column": (
        "import mylib, pandas as pd",
        ["df = pd.DataFrame({'a': [1, 2]})", "a = df.shape", "n = mylib.fill(df)"],
        [("undeclared mutation", "t2", "%%task t2 --mutates df")],
    ),
    "a file with a name that nobody sees": (
        "import mylib",
        ["a = mylib.save(5, 'd')", "b = mylib.load('d')"],
        [("hidden order", "t1", "%%task t1 --after t0")],
    ),
    "two tasks write one file": (
        "import mylib",
        ["a = mylib.save(5, 'd')", "b = mylib.save(6, 'd')"],
        [("hidden order", "t1", "%%task t1 --after t0")],
    ),
    "the state of a module": (
        "import mylib",
        ["a = mylib.put(5)", "b = mylib.get()"],
        [("undeclared mutation", "t0", "%%task t0 --mutates mylib")],
    ),
    "an object that cannot be looked into": (
        "import mylib",
        ["c = make()", "a = mylib.poke(c)", "b = mylib.poke(c) * 10"],
        [("hidden order", "t2", "%%task t2 --after t1")],
    ),
    "a list of a plain cell": (
        "import mylib\nlog = []",
        ["n = mylib.tidy(log)", "m = len(log)"],
        [("undeclared mutation", "t0", "%%task t0 --mutates log")],
    ),
    "a generator that unknown code moves on": (
        "import mylib",
        ["box = [iter([1, 2, 3])]", "a = mylib.take(box[0])", "b = mylib.take(box[0])"],
        [
            ("undeclared mutation", "t1", "%%task t1 --mutates box"),
            ("undeclared mutation", "t2", "%%task t2 --mutates box"),
        ],
    ),
    "the time": ("import time", ["a = time.time_ns()", "b = 1"], [("non-deterministic", "t0", "")]),
    "an address": ("", ["a = object()\nprint(id(a))", "b = 1"], [("non-deterministic", "t0", "")]),
    "the order of a set of objects": (
        "class Item:\n    def __init__(self, n): self.n = n",
        ["print([item.n for item in {Item(n) for n in range(200)}])", "b = 1"],
        [("non-deterministic", "t0", "")],
    ),
    "numbers that nothing seeds": (
        "import numpy as np",
        ["a = np.random.rand(3)", "b = a.sum()", "c = 1"],
        [("non-deterministic", "t0", "")],
    ),
    "a generator that is not seeded": (
        "import numpy as np",
        ["rng = np.random.default_rng()\na = rng.random()", "b = 1"],
        [("non-deterministic", "t0", "")],
    ),
    "two tasks draw where nobody sees it": (
        "import mylib, numpy as np\nnp.random.seed(0)",
        ["a = mylib.draw()", "b = mylib.draw()"],
        [("hidden order", "t1", "%%task t1 --after t0")],
    ),
    "a task that fails only in another order": (
        "import mylib",
        ["x = 3", "y = mylib.peek()"],
        [("hidden order", "t1", "%%task t1 --after t0")],
    ),
}


@pytest.mark.parametrize("plain, cells, expected", RACES.values(), ids=RACES)
def test_each_race_is_found_with_its_line(plain, cells, expected) -> None:
    """The kind, the task and the first line that mends it; and nothing else."""
    report = check(*cells, plain=plain, make=Silent)
    assert [(found.kind, found.task, found.line) for found in report.findings] == expected, report.text()
    assert not report.is_clean and all(found.text and found.kind in KINDS for found in report.findings)


MENDED = {name: row for name, row in RACES.items() if all(line for _, _, line in row[2])}


@pytest.mark.parametrize("plain, cells, expected", MENDED.values(), ids=MENDED)
def test_with_the_lines_that_were_named_nothing_is_found(plain, cells, expected) -> None:
    """What a check tells to write is enough."""
    lines = {task: line.partition(" --")[2] for _, task, line in expected}
    headers = [f"--{lines[f't{n}']}" if f"t{n}" in lines else "" for n in range(len(cells))]
    report = check(*cells, plain=plain, headers=headers, make=Silent)
    assert report.findings == (), report.text()


#: Flows in which nothing is wrong.
CLEAN = {
    "lists": ("", ["x = [3, 1, 2]", "n = len(x)", "x.sort()", "y = x[0]", "x = x + [4]", "print(n, y, x)"]),
    "numpy": (
        "import numpy as np\nrng = np.random.default_rng(1)",
        ["a = rng.random(5)", "b = rng.random(5)", "np.random.seed(2)\nc = np.random.rand()", "d = np.random.rand()",
         "v = a[:2]", "v += 1", "s = a.sum() + b.sum()", "print(f'{s:.3f}', c, d)"],
    ),
    "pandas": (
        "import pandas as pd",
        ["df = pd.DataFrame({'a': [1, 2, None], 'k': list('xyx')})", "shape = df.shape", "df = df.dropna()",
         "df['b'] = df['a'] * 2", "means = df.groupby('k').mean(numeric_only=True)", "df.describe()", "means",
         "wide = df.pivot_table(index='k', values='b')", "df.sort_values('a', inplace=True)", "df.head()"],
    ),
    "scikit-learn": (
        "import numpy as np\nfrom sklearn.linear_model import Ridge\nfrom sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import StandardScaler\nfrom sklearn.model_selection import cross_val_score",
        ["X = np.arange(40.0).reshape(20, 2)\ny = X.sum(axis=1)", "model = make_pipeline(StandardScaler(), Ridge())",
         "model.fit(X, y)", "print(model.score(X, y).round(3))", "p = model.predict(X)",
         "scores = cross_val_score(Ridge(), X, y, cv=3)", "model"],
    ),
    "files": (
        "import json\nfrom pathlib import Path",
        ["Path('a.json').write_text('[1]')", "x = json.loads(Path('a.json').read_text())",
         "with open('b.txt', 'w') as f:\n    f.write('b')", "with open('b.txt') as f:\n    text = f.read()"],
    ),
    "functions and globals": (
        "total = 0\nseen = []\ndef add(n):\n    global total\n    total += n\n    seen.append(n)\n    return total",
        ["a = add(1)", "b = add(2)", "c = len(seen)", "print(total)"],
    ),
    "generators": ("def count():\n    n = 0\n    while True:\n        yield n\n        n += 1",
                   ["g = count()", "a = next(g)", "b = next(g)", "c = [next(g) for _ in range(2)]"]),
    "an address in a text": ("", ["x = object()", "print(x)", "x"]),
    "a write that may not happen": (
        "", ["q = 1", "a = q", "try:\n    q = int('x')\nexcept ValueError:\n    pass", "b = 2"],
    ),
    "a failing cell": ("", ["x = 1", "1 / 0", "y = x"]),
    "warnings": ("import warnings", ["warnings.warn('careful')\nx = 1", "y = 2", "warnings.warn('more')"]),
}  # fmt: skip


@pytest.mark.parametrize("plain, cells", CLEAN.values(), ids=CLEAN)
def test_there_is_no_false_alarm(plain, cells) -> None:
    """Usual work is clean, in whichever order it is run."""
    report = check(*cells, plain=plain, orders=2)
    assert report.findings == (), report.text()
    assert report.is_clean and report.runs == 3


def test_drawing_is_no_race(monkeypatch) -> None:
    """Figures are drawn in one task and looked at in another."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = ["fig, ax = plt.subplots()", "ax.plot([1, 2])", "ax.set_title('x')", "fig.savefig('f.png')", "a = 1"]
    assert check(*cells, plain="import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt").is_clean


def test_names_values_states_and_files_are_left_as_they_were(tmp_path) -> None:
    """A check leaves no trace: neither in the namespace, nor in its objects, nor beside the notebook."""
    plain = """
        import numpy as np, os, random
        log, table, rng = [1], {"a": [1]}, np.random.default_rng(3)
        np.random.seed(5)
        keep = np.zeros(3)
        def bump():
            global n
            n = 7
        n = 1
        from pathlib import Path
        Path("there.txt").write_text("old")
    """
    cells = [
        "log.append(2)\ntable['a'].append(2)\nrng.random()\nkeep[0] = 9\nnp.random.rand()",
        "bump()\nos.environ['ORCH_TESTED'] = 'x'\nPath('new.txt').write_text('n')",
        "Path('there.txt').write_text('new')\nresult = 5",
    ]
    _, names = checked(*cells, plain=plain)
    expected, state = [1], fingerprint(__import__("numpy").random.default_rng(3))
    assert (names["log"], names["table"], names["n"], list(names["keep"])) == (expected, {"a": [1]}, 1, [0, 0, 0])
    assert fingerprint(names["rng"]) == state and "result" not in names
    assert (tmp_path / "there.txt").read_text() == "old" and not (tmp_path / "new.txt").exists()
    assert "ORCH_TESTED" not in __import__("os").environ


def test_what_cannot_be_put_back_is_said() -> None:
    """A generator of a plain cell stays where a task has moved it."""
    report = check("a = next(gen)", "b = 1", plain="gen = (n for n in range(99))")
    assert any("'gen', which cannot be put back" in note for note in report.notes), report.notes


def test_the_same_seed_gives_the_same_order() -> None:
    """So a finding can be looked at again."""
    cells = [f"x{n} = {n}" for n in range(8)]
    orders = [check(*cells, seed=seed).order for seed in (3, 3)]
    assert orders[0] == orders[1] and set(orders[0]) == {f"t{n}" for n in range(8)}


def test_every_free_pair_is_turned_round() -> None:
    """One other order turns round all that nothing ties down, where it can."""
    report = check("a = 1", "b = a", "c = a", "d = 2")
    assert (report.pairs, report.turned) == (4, 4)


def test_each_of_several_races_is_named_by_its_own_pair() -> None:
    """However many tasks stand between the two; and what else differs because of them is not reported."""
    cells = ["x0 = 0", "a = mylib.save(1, 'a')", "x1 = 1", "b = mylib.save(2, 'bb')", "x2 = 2", "x3 = x1 + x2",
             "c = mylib.load('a')", "x4 = 4", "d = mylib.load('bb')", "e = c + d", "x5 = 5"]  # fmt: skip
    report = check(*cells, plain="import mylib")
    assert [(found.task, found.others, found.kind) for found in report.findings] == [
        ("t6", ("t1",), "hidden order"),
        ("t8", ("t3",), "hidden order"),
    ]
    assert [found.name for found in report.findings] == ["file:a.dat", "file:bb.dat"]


def test_a_header_keeps_what_it_says() -> None:
    """The line to write is the task's own with one option more; timeouts are not counted while a check looks."""
    headers = ["", "big --retries 2 --timeout 0.001 --tag gpu"]
    report = check("x = [1]", "import time\ntime.sleep(0.01)\nm = mylib.tidy(x)", plain="import mylib", headers=headers)
    assert [found.line for found in report.findings] == ["%%task t1 --retries 2 --timeout 0.001 --mutates x --tag gpu"]


def test_a_frame_that_is_too_big_is_read_in_samples(monkeypatch) -> None:
    """And the report says so."""
    monkeypatch.setattr("orch_notebook.runtime.surveys.Budget", lambda: Budget(100))
    report = check("x = np.zeros(1000)", "y = x.sum()", plain="import numpy as np")
    assert any("samples" in note for note in report.notes)


def test_what_follows_from_chance_is_not_reported_twice() -> None:
    """Only the task that begins it is."""
    report = check("import time\na = time.time_ns()", "b = a + 1", "c = b + 1")
    assert [found.task for found in report.findings] == ["t0"]


def test_retries_happen_and_kept_results_do_not_count() -> None:
    """A task that fails once is tried again; ``--cache`` serves nothing."""
    plain = (
        "tries = []\ndef flaky():\n    tries.append(1)\n    if len(tries) < 2:\n        raise ValueError\n    return 1"
    )
    assert check("a = flaky()", plain=plain, headers=["--retries 1 --cache"]).is_clean


def test_an_empty_flow_is_refused() -> None:
    """There is nothing to check."""
    with pytest.raises(UsageError, match="no tasks"):
        check(plain="x = 1")


def test_a_report_survives_json() -> None:
    """What is written can be read."""
    report = check("x = [1]", "n = len(x)", "m = mylib.tidy(x)", plain="import mylib")
    assert Report.from_json(report.to_json()) == report
    assert "%%task t2 --mutates x" in report.text()


def test_a_check_leaves_a_shared_store_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its runs are kept in stores of their own, also where machines share a database: this one is not even there."""
    monkeypatch.setenv("ORCH_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    report, _ = checked("a = 1", "b = a + 1")
    assert report.is_clean
