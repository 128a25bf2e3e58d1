"""Programs of cells whose functions read and change globals late, with what their names must hold at the end.

Every runner performs the whole table.  Each program is the plain cells above, the task cells in order, and the names
that count; `test_the_table_itself` holds it against plain execution from top to bottom.
"""

from __future__ import annotations

from typing import Any

__all__ = ["LATE"]

LATE: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "a function of a task cell": (
        "",
        ["scale = 2", "def f(x): return x * scale", "a = f(1)", "scale = 3", "b = f(1)"],
        {"a": 2, "b": 3, "scale": 3},
    ),
    "a function of a plain cell": (
        "scale = 1\ndef f(x): return x * scale",
        ["a = f(1)", "scale = 2", "b = f(1)", "scale = 3", "c = f(1)"],
        {"a": 1, "b": 2, "c": 3},
    ),
    "a rebinding before the definition": (
        "",
        ["scale = 2", "scale = 3", "def f(): return scale", "a = f()"],
        {"a": 3},
    ),
    "a rebinding inside the cell that calls": (
        "scale = 1\ndef f(): return scale",
        ["a = f()\nscale = 2\nb = f()\nfor scale in (3, 4):\n    c = f()", "scale = 9", "d = f()"],
        {"a": 1, "b": 2, "c": 4, "d": 9},
    ),
    "a function that calls another": (
        "rate = 1\ndef inner(): return rate\ndef outer(): return inner() + 100",
        ["a = outer()", "rate = 2", "b = outer()"],
        {"a": 101, "b": 102},
    ),
    "a function redefined between": (
        "def inner(): return 1\ndef outer(): return inner()",
        ["a = outer()", "def inner(): return 2", "b = outer()", "inner = lambda: 3", "c = outer()"],
        {"a": 1, "b": 2, "c": 3},
    ),
    "functions that call each other": (
        "stop = 0\ndef even(n): return True if n == stop else odd(n - 1)\ndef odd(n): return n != stop and even(n - 1)",
        ["a = even(4)", "stop = 1", "b = even(4)"],
        {"a": True, "b": False},
    ),
    "a method of a class of a plain cell": (
        "rate = 1\nclass Till:\n    def price(self, n): return n * rate\ntill = Till()",
        ["a = till.price(10)", "rate = 2", "b = till.price(10)"],
        {"a": 10, "b": 20},
    ),
    "a method of a class of a task cell": (
        "",
        ["class Till:\n    def price(self, n): return n * rate", "rate = 1\ntill = Till()", "a = till.price(10)",
         "rate = 2", "b = till.price(10)", "c = isinstance(till, Till)"],
        {"a": 10, "b": 20, "c": True},
    ),
    "an inherited method and super": (
        "bonus = 1\nclass Base:\n    def get(self): return bonus",
        ["class Child(Base):\n    def get(self): return super().get() * 10", "a = Child().get()", "bonus = 2",
         "b = Child().get()"],
        {"a": 10, "b": 20},
    ),
    "a property, a static and a class method": (
        "k = 1\nclass A:\n    @property\n    def p(self): return k\n    @staticmethod\n    def s(): return k * 10\n"
        "    @classmethod\n    def c(cls): return k * 100\nx = A()",
        ["a = x.p + A.s() + A.c()", "k = 2", "b = x.p + A.s() + A.c()"],
        {"a": 111, "b": 222},
    ),
    "an operator of a class": (
        "unit = 1\nclass Length:\n    def __init__(self, n): self.n = n\n"
        "    def __add__(self, other): return self.n + other.n * unit\nx = Length(1)",
        ["a = x + x", "unit = 5", "b = x + x"],
        {"a": 2, "b": 6},
    ),
    "an instance that is called": (
        "unit = 1\nclass Model:\n    def __call__(self, n): return n * unit\nmodel = Model()",
        ["a = model(3)", "unit = 2", "b = model(3)"],
        {"a": 3, "b": 6},
    ),
    "a bound method in a list": (
        "unit = 1\nclass Model:\n    def run(self): return unit\nsteps = [Model().run]",
        ["a = steps[0]()", "unit = 2", "b = steps[0]()"],
        {"a": 1, "b": 2},
    ),
    "a class body that reads": (
        "",
        ["n = 1", "class A:\n    kept = n\n    def now(self): return n", "n = 2", "a = A.kept\nb = A().now()"],
        {"a": 1, "b": 2},
    ),
    "a closure": (
        "k = 1\ndef make(base):\n    def inner(n): return base + n * k\n    return inner\nadd = make(100)",
        ["a = add(1)", "k = 2", "b = add(1)"],
        {"a": 101, "b": 102},
    ),
    "a closure that counts": (
        "step = 1\ndef make():\n    total = 0\n    def inner():\n        nonlocal total\n        total += step\n"
        "        return total\n    return inner\ncount = make()",
        ["a = count()", "step = 10", "b = count()", "step = 100", "c = count()"],
        {"a": 1, "b": 11, "c": 111},
    ),
    "a decorator": (
        "factor = 1\ndef times(fn):\n    def wrapper(*args): return fn(*args) * factor\n    return wrapper",
        ["@times\ndef f(n): return n + shift", "shift = 0", "a = f(5)", "factor = 2", "b = f(5)", "shift = 1",
         "c = f(5)"],
        {"a": 5, "b": 10, "c": 12},
    ),
    "a decorator of a library": (
        "import functools\nk = 1\ndef f(n): return n * k\ng = functools.wraps(f)(lambda n: f(n) + 1)",
        ["a = g(1)", "k = 5", "b = g(1)"],
        {"a": 2, "b": 6},
    ),
    "a partial": (
        "import functools\nk = 1\ndef f(m, n): return m + n * k",
        ["g = functools.partial(f, 10)", "a = g(1)", "k = 5", "b = g(1)"],
        {"a": 11, "b": 15},
    ),
    "a lambda": (
        "",
        ["k = 1", "f = lambda n: n * k", "a = f(3)", "k = 2", "b = f(3)"],
        {"a": 3, "b": 6},
    ),
    "a default taken when the function is made": (
        "",
        ["k = 1", "def f(n, kept=k): return n * kept * k", "k = 2", "a = f(3)"],
        {"a": 6},
    ),
    "a callback of sorted and map": (
        "sign = 1\ndef key(n): return n * sign",
        ["a = sorted([1, 3, 2], key=key)", "sign = -1", "b = sorted([1, 3, 2], key=key)\nc = list(map(key, [1]))"],
        {"a": [1, 2, 3], "b": [3, 2, 1], "c": [-1]},
    ),
    "a callback in a thread pool": (
        "from concurrent.futures import ThreadPoolExecutor\nk = 1\ndef f(n): return n * k",
        ["with ThreadPoolExecutor(2) as pool:\n    a = list(pool.map(f, [1, 2]))", "k = 3",
         "with ThreadPoolExecutor(2) as pool:\n    b = list(pool.map(f, [1, 2]))"],
        {"a": [1, 2], "b": [3, 6]},
    ),
    "a callback in a thread of its own": (
        "import threading\nk = 1\nseen = []\ndef f(): seen.append(k)\ndef go():\n"
        "    thread = threading.Thread(target=f)\n    thread.start()\n    thread.join()",
        ["go()", "k = 2", "go()"],
        {"seen": [1, 2]},
    ),
    "a function in a dict": (
        "k = 1\ndef f(n): return n * k\nhandlers = {'f': f}",
        ["a = handlers['f'](2)", "k = 2", "b = handlers['f'](2)"],
        {"a": 2, "b": 4},
    ),
    "a function kept by an object": (
        "k = 1\nclass Step:\n    def __init__(self, fn): self.fn = fn\n    def run(self, n): return self.fn(n)\n"
        "def f(n): return n * k\nstep = Step(f)",
        ["a = step.run(2)", "k = 2", "b = step.run(2)"],
        {"a": 2, "b": 4},
    ),
    "a generator function": (
        "k = 1\ndef numbers():\n    for n in range(3): yield n * k",
        ["a = list(numbers())", "k = 2", "b = list(numbers())"],
        {"a": [0, 1, 2], "b": [0, 2, 4]},
    ),
    "a generator that goes on later": (
        "",
        ["k = 1", "def numbers():\n    while True: yield k", "it = numbers()\na = next(it)", "k = 2", "b = next(it)"],
        {"a": 1, "b": 2},
    ),
    "a generator expression drawn from later": (
        "",
        ["k = 1", "it = (n * k for n in range(5))", "next(it)\na = next(it)", "k = 10", "b = next(it)"],
        {"a": 1, "b": 20},
    ),
    "comprehensions": (
        "",
        ["k = 1\nxs = [1, 2]", "a = [n * k for n in xs]", "k = 2\nb = {n: [n * k for m in xs] for n in xs}", "k = 3",
         "c = sum(n * k for n in xs)"],
        {"a": [1, 2], "b": {1: [2, 2], 2: [4, 4]}, "c": 9},
    ),
    "a comprehension that binds": (
        "",
        ["last = 0", "a = [(last := last + n) for n in (1, 2)]", "b = last", "last = 7"],
        {"a": [1, 3], "b": 3, "last": 7},
    ),
    "a function that changes a global": (
        "n = 0\ndef count():\n    global n\n    n += 1\n    return n",
        ["a = count()", "b = count() + n", "n = 10", "c = count()", "d = n"],
        {"a": 1, "b": 4, "c": 11, "d": 11, "n": 11},
    ),
    "a function that makes a global": (
        "def setup(v):\n    global made\n    made = v",
        ["setup(1)", "a = made", "setup(2)", "b = made", "made = 3", "c = made"],
        {"a": 1, "b": 2, "c": 3, "made": 3},
    ),
    "a function that deletes a global": (
        "def drop():\n    global x\n    del x",
        ["x = 1", "a = x", "drop()", "x = 2", "b = x"],
        {"a": 1, "b": 2, "x": 2},
    ),
    "a function that fills a list": (
        "log = []\ndef note(v): log.append(v)",
        ["note(1)", "first = log", "log = []", "note(2)"],
        {"first": [1], "log": [2]},
    ),
    "an annotated name": (
        "def f(): return k",
        ["k: int = 1", "a = f()", "k: int = 2\nb = f()", "k: float", "c = f()"],
        {"a": 1, "b": 2, "c": 2},
    ),
    "names bound by every kind of statement": (
        "def f(): return (k, m)",
        ["k, m = 1, 2\na = f()",
         "import math as k\nwith open(__import__('os').devnull) as m: pass\nb = f()[0].floor(2.5)",
         "for k, *m in [(5, 6, 7)]: c = f()",
         "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    k = m = 8\nd = f()",
         "match 9:\n    case k: m = k\ne = f()", "if (m := 11): k = 10\ng = f()",
         "class k: m = 1\nm = 3\nh = f()[0].m + f()[1]",
         "def k(): return 4\nm = k\ni = f()[0]()"],
        {"a": (1, 2), "b": 2, "c": (5, [6, 7]), "d": (8, 8), "e": (9, 9), "g": (10, 11), "h": 4, "i": 4},
    ),
    "a name that is only there later": (
        "def has():\n    try:\n        return flag\n    except NameError:\n        return None",
        ["a = has()", "flag = 1", "b = has()"],
        {"a": None, "b": 1},
    ),
    "a name asked for before it is there": (
        "",
        ["try:\n    a = flag\nexcept NameError:\n    a = None", "flag = 1", "b = flag"],
        {"a": None, "b": 1},
    ),
    "a name that hides a builtin": (
        "def size(xs): return len(xs)",
        ["a = size([1])", "def len(xs): return 99", "b = size([1])", "del len", "c = size([1])"],
        {"a": 1, "b": 99, "c": 1},
    ),
    "a builtin that is hidden below": (
        "def kind(): return sorted({1: 2}.items())",
        ["a = dict(a=1)", "b = (kind(), list('x'))", "dict = {'x': 1}\nsorted = list = 5", "c = (dict, sorted + list)"],
        {"a": {"a": 1}, "b": ([(1, 2)], ["x"]), "c": ({"x": 1}, 10), "dict": {"x": 1}, "list": 5},
    ),
    "a name asked for after it was deleted": (
        "def f(): return xs",
        ["xs = [1]", "a = f()", "del xs\ntry:\n    b = xs\nexcept NameError:\n    b = None",
         "try:\n    c = f()\nexcept NameError:\n    c = None", "xs = 3", "d = f()"],
        {"a": [1], "b": None, "c": None, "d": 3},
    ),
    "a name asked for between its deletion and its next binding": (
        "n = 5\nxs = [1]",
        ["del xs\ntry:\n    a = xs\nexcept NameError:\n    a = None\nxs = 2", "b = xs"],
        {"a": None, "b": 2},
    ),
    "a name that is deleted below": (
        "def f(): return k",
        ["k = 1", "a = f()", "del k", "k = 2", "b = f()"],
        {"a": 1, "b": 2},
    ),
    "a conditional rebinding": (
        "k = 1\ndef f(): return k",
        ["if f() > 5: k = 2", "a = f()", "if f() < 5: k = 3", "b = f()"],
        {"a": 1, "b": 3},
    ),
    "a recursive function of a task cell": (
        "",
        ["base = 1", "def fact(n): return base if n < 2 else n * fact(n - 1)", "a = fact(4)", "base = 2",
         "b = fact(4)"],
        {"a": 24, "b": 48},
    ),
    "an async function": (
        "import asyncio\nk = 1\nasync def f():\n    await asyncio.sleep(0)\n    return k",
        ["a = await f()", "k = 2", "b = await f()"],
        {"a": 1, "b": 2},
    ),
    "a data class": (
        "from dataclasses import dataclass, field\nstart = 1",
        ["@dataclass\nclass P:\n    x: int = field(default_factory=lambda: start)", "a = P().x", "start = 2",
         "b = P().x"],
        {"a": 1, "b": 2},
    ),
    "a cached function": (
        "import functools\nk = 1\n@functools.cache\ndef f(n): return n * k",
        ["a = f(1)", "k = 2", "b = f(1) + f(2)"],
        {"a": 1, "b": 5},
    ),
    "text that is executed": (
        "def f(): return k",
        ["k = 1", "a = f()", "exec('k = 2')\nb = f()", "c = f()", "k = 3", "d = eval('f()')"],
        {"a": 1, "b": 2, "c": 2, "d": 3},
    ),
    "names asked for as a dictionary": (
        "def f(): return globals().get('k', 0) + globals()['k']",
        ["k = 1", "a = f()", "globals()['k'] = 5\nb = f() + k",
         "c = ('k' in globals(), 'k' in locals(), globals()['k'])",
         "del k", "d = ('k' in globals(), 'k' in locals())"],
        {"a": 2, "b": 15, "c": (True, True, 5), "d": (False, False)},
    ),
    "a name that an exception hides": (
        "",
        ["e = 5", "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    a = str(e)",
         "try:\n    b = e\nexcept NameError:\n    b = None", "e = 6"],
        {"a": "division by zero", "b": None, "e": 6},
    ),
    "a library that calls by attribute": (
        "import string\nmark = '-'\nclass Show(string.Formatter):\n"
        "    def get_value(self, key, args, kwargs): return mark\nshow = Show()",
        ["a = show.format('{0}', 1)", "mark = '+'", "b = show.format('{0}', 1)"],
        {"a": "-", "b": "+"},
    ),
}  # fmt: skip
