"""Programs of cells and which task waits for which, why, and where each name comes from."""

from __future__ import annotations

import pytest

from orch_notebook.errors import CycleError, UnknownTask
from orch_notebook.model.cells import KNOWLEDGE, Cell, Rule, Wiring, wire
from orch_notebook.model.graph import Graph
from orch_notebook.model.tasks import Task
from tests.model.cells.reference import latest_first, run_by_wiring, run_in_order


def cells_of(text: str) -> list[Cell]:
    """Read cells from ``name: source`` lines; ``¶`` is a new line in a source, ``(name)`` a plain cell."""
    cells = []
    for line in text.strip().splitlines():
        name, _, source = line.strip().partition(": ")
        is_task = not name.startswith("(")
        cells.append(Cell(name.strip("()"), source.replace("¶", "\n"), is_task=is_task))
    return cells


def edges_of(wiring: Wiring) -> set[str]:
    """Return the edges as ``before>after rule name``."""
    return {f"{edge.before}>{edge.after} {edge.rule} {edge.name}".strip() for edge in wiring.edges}


PROGRAMS = {
    "a read waits for the nearest writer above": (
        "a: x = 1\nb: x = 2\nc: print(x)",
        "b>c read-after-write x",
    ),
    "a rebinding waits for nobody": (
        "a: x = [1]\nb: print(x)\nc: x = [2]\nd: print(x)",
        "a>b read-after-write x, c>d read-after-write x",
    ),
    "a mutation waits for earlier readers and later readers wait for it": (
        "a: x = [1]\nb: print(x)\nc: x.append(2)\nd: print(x)",
        "a>b read-after-write x, a>c read-after-write x, b>c write-after-read x, c>d read-after-write x",
    ),
    "asking what a name is reads it": (
        "a: x = 1\nb: get_ipython().run_line_magic('pinfo', 'x.real')\nc: get_ipython().run_line_magic('pinfo2', 'y')",
        "a>b read-after-write x",
    ),
    "what is captured holds nobody up": (
        "a: print(1)\nb: get_ipython().run_cell_magic('capture', '--no-stderr out', 'print(2)')\nc: print(3)\nd: out",
        "b>d read-after-write out",
    ),
    "the shell's namespace may be used for anything": (
        "a: x = 1\nb: get_ipython().user_ns['y'] = 2\nc: print(3)",
        "a>b read-after-write x, a>b barrier it uses get_ipython().user_ns, b>c read-after-write print, "
        "b>c barrier it uses get_ipython().user_ns",
    ),
    "a shell by another name": (
        "a: ip = get_ipython()\nb: ip.run_line_magic('time', 'x = 1')\nc: print(x)",
        "a>b read-after-write ip, b>c read-after-write x",
    ),
    "readers need not wait for each other": (
        "a: x = [1]\nb: print(x)\nc: print(x)",
        "a>b read-after-write x, a>c read-after-write x",
    ),
    "two names of one object share its hazards": (
        "a: x = [1]\nb: y = x\nc: y.append(2)\nd: print(x)",
        "a>b read-after-write x, b>c read-after-write y, a>d read-after-write x, c>d alias x",
    ),
    "a view shares with what it looks at": (
        "a: x = make()\nb: v = x[:2]\nc: v[0] = 9\nd: print(x)",
        "a>b read-after-write x, b>c read-after-write v, a>d read-after-write x, c>d alias x",
    ),
    "what a library's method does is set for all": (
        "(e): from tqdm import tqdm¶df = frame()\na: tqdm.pandas(desc='a')¶x = df.progress_apply(abs)\n"
        "b: tqdm.pandas(desc='b')¶y = df.progress_apply(abs)\nc: z = df.progress_apply(abs)",
        "a>b hidden-state state:tqdm.pandas, b>c hidden-state state:tqdm.pandas",
    ),
    "printing and sleeping through a library is no hidden state": (
        "(e): import rich, asyncio, time¶from tqdm import tqdm\n"
        "a: rich.print(1)¶await asyncio.sleep(1)¶tqdm.write('a')\n"
        "b: rich.print(2)¶await asyncio.sleep(1)¶time.sleep(1)¶tqdm.write('b')",
        "",
    ),
    "the usual figure backend, named again, changes nothing": (
        "a: import matplotlib.pyplot as plt\nb: plt.plot(1)\nc: get_ipython().run_line_magic('matplotlib', 'inline')",
        "a>b read-after-write plt",
    ),
    "the usual figure backend, named after another, is put back": (
        "a: get_ipython().run_line_magic('matplotlib', 'qt')\nb: get_ipython().run_line_magic('matplotlib', 'inline')",
        "a>b hidden-state state:matplotlib.rcParams",
    ),
    "asking a defaultdict for a key may make one": (
        "a: from collections import defaultdict¶d = defaultdict(int)\nb: d['one']\nc: print(list(d))",
        "a>b read-after-write d, b>c read-after-write d",
    ),
    "a name from a star import is known by its module": (
        "a: from sympy import *\nb: init_printing()\nc: print(1)",
        "a>b barrier it imports everything from sympy, a>c barrier it imports everything from sympy, "
        "a>b read-after-write init_printing, a>b hidden-state state:display, a>c read-after-write print, "
        "b>c hidden-state state:display",
    ),
    "asking a constant of a star import for something does not change it": (
        "(m): from math import *\na: pi.hex()\nb: print(pi)",
        "",
    ),
    "what a library is set to holds for all that comes after": (
        "a: import mylib\nb: print(1)\nc: mylib.set_mode(2)\nd: print(2)",
        "a>c read-after-write mylib, a>c hidden-state state:settings, b>c hidden-state state:settings, "
        "c>d hidden-state state:settings",
    ),
    "a module that a cell writes is imported afterwards": (
        "a: get_ipython().run_cell_magic('writefile', 'mine.py', 'x = 1')\nb: import numpy\nc: from mine import x",
        "a>c file file:mine.py",
    ),
    "an object of an unknown class moves on when it is asked for something": (
        "a: from lib import Env\nb: e = Env()\nc: s = e.advance()\nd: t = e.advance()\ne: print(e.get_state())",
        "a>b read-after-write Env, b>c read-after-write e, c>d read-after-write e, d>e read-after-write e",
    ),
    "a database is changed through what is made of its connection": (
        "a: import sqlite3\nb: c = sqlite3.connect('d.db')\nc: k = c.cursor()\nd: k.execute('insert')\n"
        "e: import sqlite3 as s¶r = s.connect('d.db').execute('select').fetchall()",
        "a>b read-after-write sqlite3, b>c read-after-write c, c>d read-after-write k, b>c file file:d.db, "
        "c>d file file:d.db, d>e file file:d.db",
    ),
    "a shelf that stays open is changed by whoever uses it": (
        "a: import shelve\nb: s = shelve.open('f')\nc: s['k'] = 1\nd: print(open('f').read())",
        "a>b read-after-write shelve, b>c read-after-write s, c>d file file:f, b>c file file:f",
    ),
    "a class is changed through an instance of it": (
        "(m): class C:¶    n = 0¶    def up(self): type(self).n += 1¶    def down(self): self.__class__.n -= 1\n"
        "(i): c = C()\na: c.up()\nb: x = C.n\nd: c.down()\ne: y = C.n",
        "a>b alias C, a>d read-after-write c, b>d alias c, d>e alias C",
    ),
    "a copy shares nothing": (
        "a: x = [1]\nb: y = x.copy()\nc: y.append(2)\nd: print(x)",
        "a>b read-after-write x, b>c read-after-write y, a>d read-after-write x",
    ),
    "what a container holds is changed through it": (
        "a: x = [1]\nb: rows = [x]\nc: rows[0].append(2)\nd: print(x)",
        "a>b read-after-write x, b>c read-after-write rows, a>d read-after-write x, c>d alias x",
    ),
    "filling a container changes only the container": (
        "a: x = [1]\nb: rows = []\nc: rows.append(x)\nd: print(x)\ne: print(rows)",
        "a>c read-after-write x, b>c read-after-write rows, a>d read-after-write x, c>e read-after-write rows",
    ),
    "what is put into a container is changed through it later": (
        "a: x = [1]\nb: rows = []\nc: rows.append(x)\nd: x.append(3)\ne: print(rows)",
        "a>c read-after-write x, b>c read-after-write rows, a>d read-after-write x, c>d write-after-read x, "
        "c>e read-after-write rows, d>e alias rows",
    ),
    "a maybe-write takes in the earlier version when somebody reads it": (
        "a: x = 1\nb: if c: x = 2\nd: print(x)",
        "a>b read-after-write x, b>d read-after-write x",
    ),
    "a maybe-write that nobody reads waits for nobody": (
        "a: for i in xs: print(i)\nb: for i in xs: print(i)",
        "",
    ),
    "a loop over a literal surely binds": (
        "a: i = 1\nb: for i in [1, 2]: pass\nd: print(i)",
        "b>d read-after-write i",
    ),
    "random state orders who draws from it": (
        "(i): import numpy as np\na: np.random.seed(0)\nb: x = np.random.rand()\nc: y = np.random.rand()\nd: z = 1",
        "a>b hidden-state state:numpy.random, b>c hidden-state state:numpy.random",
    ),
    "a generator of random numbers moves on": (
        "(i): import numpy as np\na: r = np.random.default_rng(0)\nb: x = r.normal()\nc: y = r.normal()",
        "a>b read-after-write r, b>c read-after-write r",
    ),
    "what was drawn has nothing to do with its generator any more": (
        "(i): import numpy as np\na: r = np.random.default_rng(0)\nb: x = r.normal()\nc: y = r.normal()\nd: print(x)",
        "a>b read-after-write r, b>c read-after-write r, b>d read-after-write x",
    ),
    "a file is read after it was written": (
        "(i): import pandas as pd\na: df.to_csv('o.csv')\nb: x = pd.read_csv('o.csv')\nc: y = pd.read_csv('p.csv')",
        "a>b file file:o.csv",
    ),
    "a file is written after it was read": (
        "(i): import pandas as pd\na: x = pd.read_csv('o.csv')\nb: df.to_csv('o.csv')",
        "a>b file file:o.csv",
    ),
    "a variable may hold the path": (
        "(i): import pandas as pd\np: path = 'o.csv'\na: df.to_csv(path)\nb: x = pd.read_csv('o.csv')",
        "p>a read-after-write path, a>b file file:o.csv",
    ),
    "an extension may be added by who writes": (
        "(i): import numpy as np\na: np.save('x', y)\nb: z = np.load('x.npy')\nc: w = np.load('xx.npy')",
        "a>b file file:x.npy",
    ),
    "an open file goes on to change what lies on disk": (
        "a: f = open('o.txt', 'w')\nb: f.write('x')\nc: t = open('o.txt').read()",
        "a>b read-after-write f, a>b file file:o.txt, b>c file file:o.txt",
    ),
    "a folder holds its files": (
        "(i): import os\na: os.makedirs('out')\nb: open('out/a.txt', 'w').write('x')\nc: print(os.listdir('out'))",
        "a>b file file:out/a.txt, a>c file file:out, b>c file file:out",
    ),
    "drawing needs no order": (
        "(i): import matplotlib.pyplot as plt\na: plt.plot([1])\nb: plt.plot([2])",
        "",
    ),
    "the style of drawing does": (
        "(i): import matplotlib.pyplot as plt\na: plt.plot([1])\nb: plt.style.use('x')\nc: plt.plot([2])",
        "a>b hidden-state state:matplotlib.rcParams, b>c hidden-state state:matplotlib.rcParams",
    ),
    "a figure drawn on by several cells is one object": (
        "(i): import matplotlib.pyplot as plt\na: fig, ax = plt.subplots()\nb: ax.plot([1])\nc: fig",
        "a>b read-after-write ax, a>c read-after-write fig, b>c alias fig",
    ),
    "what any cell may depend on orders all": (
        "(i): import warnings\na: x = 1\nb: warnings.simplefilter('ignore')\nc: y = 2",
        "a>b hidden-state state:warnings, b>c hidden-state state:warnings",
    ),
    "an opaque cell is a barrier": (
        "a: x = 1\nb: get_ipython().system('ls')\nc: y = x",
        "a>b read-after-write x, a>b barrier it runs a shell command: !ls, "
        "b>c barrier it runs a shell command: !ls, a>c read-after-write x",
    ),
    "an opaque cell that binds names gives all of them": (
        "a: x = 1\nb: exec(code)\nc: y = x",
        "a>b read-after-write x, a>b barrier it calls exec(), b>c read-after-write x, b>c barrier it calls exec()",
    ),
    "after a star import builtins may mean something else": (
        "a: from numpy import *\nb: print(sum([1]))",
        "a>b read-after-write print, a>b read-after-write sum, a>b barrier it imports everything from numpy",
    ),
    "a plain cell waits for nobody": (
        "a: x = [1]\n(p): x.append(1)\nb: print(x)",
        "a>b read-after-write x",
    ),
    "a method changes its own object": (
        "(k): class A:¶    def f(self): self.n = 1¶    def g(self): return 1\na: o = A()\nb: o.g()\nc: o.f()\nd: o.g()",
        "a>b read-after-write o, a>c read-after-write o, b>c write-after-read o, c>d read-after-write o",
    ),
    "a called function's mutations count for its caller": (
        "(k): def add(v): v.append(1)\na: x = []\nb: add(x)\nc: print(x)",
        "a>b read-after-write x, b>c read-after-write x",
    ),
    "a fitted estimator is a new version": (
        "(i): from sklearn.svm import SVC\na: m = SVC()\nb: m.fit(X)\nc: p = m.predict(X)\nd: m.score(X)",
        "a>b read-after-write m, b>c read-after-write m, b>d read-after-write m",
    ),
    "a formula in a text speaks of names": (
        "(i): import pandas as pd\na: u = make()\nb: y = pd.eval('u + 1')",
        "a>b read-after-write u",
    ),
    "a formula that is put together speaks of names, too": (
        "(i): import numexpr as ne\na: u = make()\nb: y = ne.evaluate('where(u < %f, u, 1)' % 2)",
        "a>b read-after-write u",
    ),
    "frames hardly have methods that change them": (
        "(i): import pandas as pd\na: f = pd.DataFrame()\nb: f.add(1)\nc: f.whatever()\nd: f.insert(0, 'a', 1)",
        "a>b read-after-write f, a>c read-after-write f, a>d read-after-write f, b>d write-after-read f, "
        "c>d write-after-read f",
    ),
    "deleting a name takes it in": (
        "a: x = 1\nb: print(x)\nc: del x\nd: x = 2\ne: print(x)",
        "a>b read-after-write x, a>c read-after-write x, d>e read-after-write x",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_cells_wait_for_what_they_must_and_for_nothing_else(name: str) -> None:
    """The edges of each program are exactly those of the table."""
    text, edges = PROGRAMS[name]
    wiring = wire(cells_of(text), known=["xs", "c", "df", "make", "code", "X", "y"])
    assert edges_of(wiring) == {edge.strip() for edge in edges.split(",") if edge.strip()}


#: Programs whose last cell prints what late binding must give; every one is run in its latest legal order too.
LATE = {
    "a function sees a rebinding above its caller": "s = 2|def f(x): return x * s|s = 3|print(f(1))",
    "a call above the rebinding does not": "s = 2|def f(x): return x * s|y = f(1)|s = 3|print(y, f(1))",
    "through another function": "s = 2|def g(x): return x * s|def f(x): return g(x)|s = 3|print(f(1))",
    "the other function replaced": "def g(x): return 1|def f(x): return g(x)|def g(x): return 2|print(f(1))",
    "a method": "s = 2|class A:¶    def f(self): return s|a = A()|s = 3|print(a.f())",
    "a class replaced": (
        "class A:¶    def f(self): return 1|def make(): return A()|class A:¶    def f(self): return 2|print(make().f())"
    ),
    "an inherited method": ("s = 2|class A:¶    def f(self): return s|class B(A): pass|b = B()|s = 3|print(b.f())"),
    "super": (
        "s = 2|class A:¶    def f(self): return s|class B(A):¶    def f(self): return super().f()|s = 3|print(B().f())"
    ),
    "a property": "s = 2|class A:¶    @property¶    def p(self): return s|a = A()|s = 3|print(a.p)",
    "an operator": "s = 2|class A:¶    def __add__(self, o): return s|a = A()|s = 3|print(a + 1)",
    "a closure": "s = 2|def make(k):¶    def f(x): return x * k + s¶    return f|f = make(10)|s = 3|print(f(1))",
    "a closure with state": (
        "def make():¶    n = [0]¶    def f():¶        n.append(1)¶        return len(n)¶    return f"
        "|f = make()|a = f()|b = f()|print(a, b)"
    ),
    "a nonlocal counter": (
        "def make():¶    n = 0¶    def f():¶        nonlocal n¶        n += 1¶        return n¶    return f"
        "|f = make()|a = f()|b = f()|print(a, b)"
    ),
    "a decorator": (
        "s = 2|def deco(fn):¶    def w(x): return fn(x) + s¶    return w|@deco¶def f(x): return x|s = 3|print(f(1))"
    ),
    "a decorated function's own reads": (
        "s = 2|def deco(fn):¶    def w(x): return fn(x)¶    return w|@deco¶def f(x): return x + s|s = 3|print(f(1))"
    ),
    "a callback": "s = 2|def f(x): return x * s|s = 3|print(list(map(f, [1, 2])))",
    "a lazy callback": "s = 2|def f(x): return x * s|m = map(f, [1, 2])|s = 3|print(list(m))",
    "a key function": "o = {1: 2, 2: 1}|key = lambda v: o[v]|o = {1: 1, 2: 2}|print(sorted([1, 2], key=key))",
    "a partial": "from functools import partial|s = 2|def f(a, b): return s|g = partial(f, 1)|s = 3|print(g(2))",
    "a generator": "s = 2|def gen():¶    for i in range(2): yield i * s|g = gen()|s = 3|print(list(g))",
    "a generator expression": "s = 2|g = (i * s for i in range(2))|s = 3|print(list(g))",
    "a table of functions": "s = 2|h = {'f': lambda: s}|s = 3|print(h['f']())",
    "a bound method": "s = 2|class A:¶    def f(self): return s|f = A().f|s = 3|print(f())",
    "a global that a function sets": "n = 0|def f():¶    global n¶    n = n + 1|f()|f()|print(n)",
    "a global that a function changes": "log = []|def f(x): log.append(x)|f(1)|f(2)|print(log)",
    "a default is early": "s = 2|def f(x, y=s): return y|s = 3|print(f(1))",
    "recursion": "s = 2|def f(n): return s if n == 0 else f(n - 1)|s = 3|print(f(5))",
    "an alias of a function": "s = 2|def f(): return s|g = f|s = 3|def f(): return 0|print(g())",
    "a function's name rebound as data": "def f(): return 1|x = f()|f = 5|print(x, f)",
    "a function in a comprehension": "s = 2|def f(x): return x * s|s = 3|print([f(x) for x in range(3)])",
    "a function defined in a branch": "s = 2|if s: f = lambda: s¶else: f = lambda: 0|s = 3|print(f())",
    "a call in a class body": "s = 2|def f(): return s|s = 3|class A:¶    v = f()|print(A.v)",
    "a class attribute set later": (
        "class A:¶    n = 1¶    def f(self): return self.n|a = A()|x = a.f()|A.n = 2|print(x, a.f())"
    ),
}


@pytest.mark.parametrize("plain", [False, True], ids=["defined in tasks", "defined in plain cells"])
@pytest.mark.parametrize("name", LATE)
def test_functions_read_their_globals_when_they_are_called(name: str, plain: bool) -> None:
    """What is printed is the same top to bottom and in the latest legal order, wherever functions are defined."""
    sources = [source.replace("¶", "\n") for source in LATE[name].split("|")]
    definitions: tuple[str, ...] = ("def ", "class ", "from ")
    if "y=s" in LATE[name]:
        definitions = ()  # its default needs a value that a task makes
    # What is defined twice stays a task: plain cells are all there before any task runs.
    heads = [source.split("(")[0] for source in sources]
    cells = [
        Cell(f"t{number}", source, is_task=not (plain and source.startswith(definitions) and heads.count(head) == 1))
        for number, (source, head) in enumerate(zip(sources, heads, strict=True))
    ]
    # So does a class body that needs a function of a task.
    cells = [cell if "v = f()" not in cell.source else Cell(cell.name, cell.source) for cell in cells]
    expected, _ = run_in_order(cells)
    wiring = wire(cells)
    printed, _, order = run_by_wiring(cells, wiring, latest_first)
    assert printed == expected, order
    assert not wiring.undefined


def test_bindings_name_the_producer_of_every_read() -> None:
    """Each name a task takes in is bound to a task, or to the environment."""
    wiring = wire(cells_of("(i): import math\na: x = 1\nb: y = math.sqrt(x)\nc: x = 2\nd: print(x, y)"))
    assert wiring.bindings["b"] == {"math": None, "x": "a"}
    assert wiring.bindings["d"] == {"x": "c", "y": "b"}


def test_names_that_nothing_defines_are_told() -> None:
    """Builtins, known names and names bound above are fine; others are undefined."""
    wiring = wire(cells_of("a: x = len(raw)\nb: print(x, zz, display)"), known=["raw"])
    assert dict(wiring.undefined) == {"b": ("zz",)}


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    unicode\nexcept NameError:\n    unicode = str",
        "if 'x' in globals(): pass",
        "def f(): return later\n",
        "print(__name__)",
        "if c: y = 1",
        "if sys.version_info < (3,): text = unicode(text)",
    ],
)
def test_names_that_need_not_be_there_are_not_undefined(text: str) -> None:
    """Guarded names, names of bodies that are not called, and writes that may not happen need no definition."""
    assert not wire([Cell("a", text)], known=["c", "sys", "text"]).undefined


def test_a_name_deleted_above_is_undefined_below() -> None:
    """After `del x` a read of `x` has nothing to bind to."""
    wiring = wire(cells_of("a: x = 1\nb: del x\nc: print(x)"))
    assert dict(wiring.undefined) == {"c": ("x",)}


def test_overrides_take_the_place_of_what_is_seen() -> None:
    """`inputs`, `outputs`, `mutates` and `after` change edges as declared."""
    cells = [
        Cell("a", "x = [1]"),
        Cell("b", "print(x)"),
        Cell("c", "touch = x", mutates=("x",)),
        Cell("d", "y = x + z", inputs=("x",), outputs=("y",)),
        Cell("e", "w = 1", after=("d",)),
    ]
    wiring = wire(cells)
    assert edges_of(wiring) == {
        "a>b read-after-write x",
        "a>c read-after-write x",
        "b>c write-after-read x",
        "c>d read-after-write x",
        "d>e after",
    }
    assert not wiring.undefined


def test_overrides_that_do_not_fit_are_noted() -> None:
    """An output the cell never binds, an input it never reads and a mutation left out are told."""
    cells = [Cell("a", "x = [1]"), Cell("b", "x.append(1)", inputs=("q",), outputs=("nothing",))]
    notes = " ".join(wire(cells, known=["q"]).notes["b"])
    assert "'q'" in notes
    assert "'nothing'" in notes
    assert "'x'" in notes


def test_declaring_both_ends_makes_an_opaque_cell_a_task_like_others() -> None:
    """Whoever names inputs and outputs of opaque code vouches for it."""
    wiring = wire([Cell("a", "x = 1"), Cell("b", "exec(code)", inputs=("x",), outputs=("y",)), Cell("c", "print(y)")])
    assert edges_of(wiring) == {"a>b read-after-write x", "b>c read-after-write y"}
    assert wiring.effects["b"].opaque == ""


def test_after_an_unknown_task_or_in_a_circle_is_refused_by_the_graph() -> None:
    """`after` edges are checked where graphs are made."""
    wiring = wire([Cell("a", "x = 1", after=("b",)), Cell("b", "print(x)")])
    with pytest.raises(CycleError):
        Graph((Task("a"), Task("b")), wiring.edges)
    wiring = wire([Cell("a", "x = 1", after=("zz",))])
    with pytest.raises(UnknownTask):
        Graph((Task("a"),), wiring.edges)


def test_users_extend_what_is_known_of_libraries() -> None:
    """A rule for a function changes the wiring of cells that call it."""
    cells = cells_of("(i): import mylib\na: x = [1]\nb: y = mylib.tidy(x)\nc: print(x)")
    assert "b>c alias x" not in edges_of(wire(cells))
    knowledge = KNOWLEDGE.extend(functions={"mylib.tidy": Rule(changes=(0,))})
    assert "b>c read-after-write x" in edges_of(wire(cells, knowledge=knowledge))


def test_one_more_cell_gives_what_wiring_all_of_them_gives() -> None:
    """The warm wiring of a growing notebook equals the wiring of the whole."""
    text = "a: x = [1]\nb: for i in xs: y = i\nc: x.append(2)\nd: print(x, y)\ne: y = 3\nf: print(y)"
    cells = cells_of(text)
    for count in range(1, len(cells) + 1):
        grown = wire(cells[:count], known=["xs"])
        wire([Cell("other", "q = 1")])
        assert wire(cells[:count], known=["xs"]) == grown


def test_an_earlier_wiring_stays_as_it_was() -> None:
    """A wiring handed out is not changed by what is wired later."""
    cells = cells_of("a: y = 1\nb: if c: y = 2\nd: print(y)")
    before = wire(cells[:2], known=["c"])
    assert before.bindings["b"] == {"c": None}
    after = wire(cells, known=["c"])
    assert before.bindings["b"] == {"c": None}
    assert after.bindings["b"] == {"c": None, "y": "a"}


STEPS = {
    "a name that a task had asked for": [({"x"}, "y = x"), (set(), "z = y"), ({"x"}, "z = y")],
    "a name that no task had asked for": [({"x"}, "y = x"), ({"x", "q"}, "z = y"), ({"x"}, "w = z")],
    "a name that is asked for later": [(set(), "y = 1"), ({"x"}, "z = x"), ({"x", "y"}, "w = y")],
    "a name of the usual libraries": [({"np"}, "y = np.ones(3)"), (set(), "np.random.seed(1)"), ({"np"}, "z = y")],
    "after a star import": [(set(), "from math import *"), ({"x"}, "y = x"), ({"x", "pi"}, "z = pi")],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_cells_that_grow_are_wired_as_if_they_had_always_been_so(steps) -> None:
    """What was wired before is kept only where the names that came or went do not matter to it."""
    cells, grown = [], []
    for number, (known, source) in enumerate(steps):
        cells.append(Cell(f"t{number}", source))
        grown.append(wire(cells, known))
    for number, (known, _) in enumerate(steps):
        wire([Cell("other", "1")])  # nothing of the cells is kept warm now
        assert wire(cells[: number + 1], known) == grown[number]
