"""Late binding in a real kernel: functions of plain cells, of task cells and from before the extension was loaded."""

from __future__ import annotations

PLAIN = "k = 1\nclass A:\n    def get(self): return k\nx = A()\ndef count():\n    global n\n    n += 1"
TASKS = {
    "one": "a = (f(), x.get(), __name__)",
    "two": "k = 2\nn = 0",
    "three": "b = (f(), x.get())\ncount()",
    "four": "def g(): return f() * 10",
    "five": "k = 3\nc = (f(), g())\ncount()",
    "six": "%%time\nd = f() + 1",
    "seven": "k = 4",
    "eight": "e = (g(), d, n, isinstance(x, A))",
}
EXPECTED = "((1, 1, '__main__'), (2, 2), (3, 30), 4, (40, 4, 2, True), 4, 2)"


def test_functions_see_the_calling_tasks_versions(fresh_kernel) -> None:
    """Whatever ran before the extension was loaded, magics that execute code, and the first run or a later one."""
    fresh_kernel.run("def f(): return k")
    fresh_kernel.run("%load_ext orch_notebook")
    fresh_kernel.run(PLAIN)
    for name, body in TASKS.items():
        assert fresh_kernel.run(f"%%task {name}\n{body}").status == "ok"
    for line in ("%flow run", "%flow run --all"):
        assert fresh_kernel.run(line).status == "ok"
        assert fresh_kernel.run("print((a, b, c, d, e, k, n))").stream() == EXPECTED + "\n"


def test_functions_of_tasks_live_on_in_plain_cells(fresh_kernel) -> None:
    """After a run a function that a task defined sees what plain cells bind, as in any notebook."""
    fresh_kernel.run("%load_ext orch_notebook")
    fresh_kernel.run("%%task one\nk = 1\ndef f(): return k")
    fresh_kernel.run("%flow run")
    assert fresh_kernel.run("k = 7\nprint(f(), f.__globals__ is globals())").stream() == "7 True\n"


LOOKED_UP = {
    "one": "import pickle\nclass A: n = 1\na = pickle.loads(pickle.dumps(A())).n",
    "two": "x = A()",
    "three": "b = copied(x).n",
    "four": "class A: n = 2\nc = copied(A()).n",
    "five": "from multiprocessing import get_context\ndef double(v): return v * 2\n"
    "with get_context('fork').Pool(1) as pool: d = pool.map(double, [1, 2])",
    "six": "v = 3",
    "seven": "from __main__ import v as e",
    "eight": "from unittest.mock import patch\nbox = A()\nwith patch('__main__.box.n', 5): f = box.n",
}


def test_what_is_looked_up_in_main_is_found(fresh_kernel) -> None:
    """Pickling, pools of processes and imports from ``__main__`` find what the cell itself and those above define."""
    fresh_kernel.run("%load_ext orch_notebook")
    fresh_kernel.run("import pickle\ndef copied(v): return pickle.loads(pickle.dumps(v))")
    for name, body in LOOKED_UP.items():
        assert fresh_kernel.run(f"%%task {name}\n{body}").status == "ok"
    assert fresh_kernel.run("%flow run").status == "ok"
    assert fresh_kernel.run("print((a, b, c, d, e, f))").stream() == "(1, 1, 2, [2, 4], 3, 5)\n"
