"""Values that travel to another process and back: identity, memory, late binding and changes survive the journey."""

from __future__ import annotations

import functools
import pickle
import threading
from typing import Any

import pytest

from orch_notebook.errors import NotPicklable
from orch_notebook.runtime.originals import Unfit
from orch_notebook.runtime.parcels import Parcel
from orch_notebook.runtime.shipping import Receiver, Sender

numpy = pytest.importorskip("numpy")


def names_of(source: str) -> dict[str, Any]:
    """Return the names that a plain cell leaves."""
    names: dict[str, Any] = {"__name__": "__main__", "np": numpy}
    exec(source, names)
    return names


def received(parcel: Parcel) -> Parcel:
    """Return a parcel as it comes out of a pipe: in memory of its own."""
    buffers = [memoryview(pickle.loads(pickle.dumps(bytearray(buffer)))) for buffer in parcel.buffers]
    return Parcel(bytes(parcel.data), buffers)


def travel(names: dict[str, Any], body: str, reads: set[str], changes: set[str], makes: set[str]) -> None:
    """Run a body over copies of names, and let the names be as if it had run over them."""
    sender = Sender(names, names)
    there: dict[str, Any] = {"__name__": "__main__"}
    receiver = Receiver(there)
    receiver.unpack(received(sender.pack(reads | changes, changes)))
    exec(body, there)
    back = receiver.pack({name: there[name] for name in makes | changes if name in there})
    names.update(sender.unpack(received(back)))


#: The names before, the body, what it reads, changes and makes, and what must hold afterwards.
JOURNEYS: dict[str, tuple[str, str, str, str, str, str]] = {
    "a list that another name holds": (
        "a = [1]\nb = a\nrows = [a]", "a.append(2)\nc = a\nd = [a]", "", "a", "c d",
        "b == [1, 2] and rows[0] is a and b is a and c is a and d[0] is a",
    ),
    "a part of what was sent": ("rows = [[1], [2]]", "row = rows[0]", "rows", "", "row", "row is rows[0]"),
    "something new inside": (
        "a = [1]\nb = a", "n = [5]\na.append(n)\na.append(n)", "", "a", "n", "b[1] is n and b[2] is n",
    ),
    "a dictionary, its order too": (
        "d = {'a': 1, 'b': 2}\ne = d", "d['a'] = d.pop('a')\nd['c'] = 3", "", "d", "", "list(e.items())[0] == ('b', 2)",
    ),
    "what a name held that is bound anew": (
        "a = [1]\nb = a", "a.append(2)\na = 0", "", "a", "", "b == [1, 2] and a == 0",
    ),
    "what a name held that is deleted": ("a = [1]\nb = a", "a.append(2)\ndel a", "", "a", "", "b == [1, 2]"),
    "a pair that is bound anew": ("a = [1]\np = a, 2", "p[0].append(2)\np = 0", "", "p", "", "a == [1, 2] and p == 0"),
    "what nothing leads to any more": (
        "x = [1]\nclass C: pass\nc = C()\nc.v = x", "c.v.append(2)\nc.v = 0", "C", "c", "", "x == [1, 2] and c.v == 0",
    ),
    "a set": ("s = {1}\nt = s", "s |= {2}", "", "s", "", "t == {1, 2} and t is s"),
    "collections": (
        "from collections import *\nd = defaultdict(list)\no = OrderedDict(a=1, b=2)\nq = deque([1], maxlen=2)\n"
        "c = Counter('aab')\nkeep = d, o, q, c",
        "d['x'].append(1)\no.move_to_end('a')\nq.extend([2, 3])\nc['z'] += 1", "", "d o q c", "",
        "keep[0]['x'] == [1] and list(keep[1]) == ['b', 'a'] and list(keep[2]) == [2, 3] and keep[3]['z'] == 1",
    ),
    "an instance": (
        "class C:\n    def __init__(self): self.v = [1]\nc = C()\nd = c", "c.v.append(2)\nc.new = c.v", "C", "c", "",
        "d.v == [1, 2] and d.new is d.v and type(d) is C",
    ),
    "an instance with slots": (
        "class P:\n    __slots__ = ('x', 'y')\np = P()\np.x = 1\nq = p", "del p.x\np.y = 2", "P", "p", "",
        "q.y == 2 and not hasattr(q, 'x')",
    ),
    "a dataclass and an enumeration": (
        "import dataclasses, enum\n@dataclasses.dataclass\nclass D:\n    x: int\n"
        "class E(enum.Enum):\n    A = 1\nd = D(1)\ne = d",
        "d.x = E.A\nn = D(2)", "D E", "d", "n", "e.x is E.A and n == D(2) and type(n) is D",
    ),
    "bytes that change": ("b = bytearray(b'ab')\nc = b", "b += b'c'", "", "b", "", "c == b'abc'"),
    "a random generator of one's own": (
        "import random\nr = random.Random(1)\ns = r\nother = random.Random(1)\nother.random()", "x = r.random()",
        "", "r", "x", "s.random() == other.random()",
    ),
    "a random generator of NumPy": (
        "g = np.random.default_rng(1)\nh = g\nother = np.random.default_rng(1)\nother.random()", "x = g.random()",
        "", "g", "x", "h.random() == other.random()",
    ),
    "a function's globals are the caller's": (
        "n = 1\ndef f(): return n", "n = 5\ny = f()", "f", "", "n y", "y == 5 and f() == 5",
    ),
    "a method's too": (
        "n = 1\nclass C:\n    def get(self): return n\nc = C()", "n = 5\ny = c.get()", "c", "", "n y", "y == 5",
    ),
    "an attribute of a function": ("def f(): pass\ng = f", "f.n = 1", "", "f", "", "g.n == 1 and g is f"),
    "an instance with slots and attributes": (
        "class B: __slots__ = ('x',)\nclass P(B): pass\np = P()\np.x = p.y = 1\nq = p",
        "p.x = p.y = p.z = 2", "P", "p", "",
        "(q.x, q.y, q.z) == (2, 2, 2)",
    ),
    "a member of a class": (
        "class C: n, m = 1, 2\nc = C()\nD = C", "C.n = 5\ndel C.m\nC.get = lambda self: self.n", "c", "C", "",
        "D.n == 5 and not hasattr(D, 'm') and c.get() == 5",
    ),
    "a class that a method changes": (
        "class C:\n    n = 0\n    def up(self): type(self).n += 1\nc = C()", "c.up()", "", "c", "", "C.n == 1",
    ),
    "a function that comes back": (
        "n = 1", "f = lambda: n\nn = 2", "", "", "f n", "f() == 2 and f.__globals__ is here",
    ),
    "functions that share a variable": (
        "def make():\n    n = 0\n    def add():\n        nonlocal n\n        n += 1\n    def get(): return n\n"
        "    return add, get\nadd, get = make()",
        "add()\nadd()", "", "add", "", "get() == 2",
    ),
    "a function that calls itself": (
        "def outer():\n    def fact(n): return n * fact(n - 1) if n else 1\n    return fact\nf = outer()",
        "y = f(5)", "f", "", "y", "y == 120",
    ),
    "an array that is changed": ("a = np.zeros(20_000)\nb = a", "a[0] = 1", "", "a", "", "b[0] == 1 and b is a"),
    "a view of an array": (
        "a = np.zeros(9)\nv = a[2:4]", "a[2] = 7\nassert v[0] == 7\nw = v[:1]", "v", "a", "w",
        "v[0] == 7 and np.shares_memory(w, a)",
    ),
    "a view of a large array": (
        "a = np.zeros(100_000)\nv = a[:3]\nw = a[1:4]", "v[1] = 7\nassert w[0] == 7", "w", "v", "", "a[1] == 7",
    ),
    "a column": (
        "m = np.arange(12.).reshape(3, 4)\nc = m[:, 1]", "c[:] = 0\nh = c[:2]", "", "c", "h",
        "not m[:, 1].any() and np.shares_memory(h, m)",
    ),
    "an array in Fortran's order": (
        "a = np.asfortranarray(np.arange(6.).reshape(2, 3))\nb = a", "a[0, 2] = 9\nt = a.T", "", "a", "t",
        "b[0, 2] == 9 and np.shares_memory(t, a)",
    ),
    "an array that may not be changed": (
        "a = np.zeros(3)\na.flags.writeable = False", "ok = not a.flags.writeable", "a", "", "ok", "ok",
    ),
    "an array of objects": (
        "x = [1]\na = np.array([x, None], dtype=object)", "a[0].append(2)\na[1] = a[0]", "", "a", "",
        "x == [1, 2] and a[1] is x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("before, body, reads, changes, makes, expected", JOURNEYS.values(), ids=JOURNEYS)
def test_a_journey_leaves_no_trace(before, body, reads, changes, makes, expected) -> None:
    """Afterwards everything is as if the body had run where the names are, under whatever name one looks."""
    names = names_of(before)
    travel(names, body, set(reads.split()), set(changes.split()), set(makes.split()))
    assert eval(expected, {**names, "here": names})


FRAMES: dict[str, tuple[str, str, str, str, str, str]] = {
    "a frame that is changed": (
        "df = pd.DataFrame({'x': [1, 2]})\nold = df", "df['y'] = df.x * 2\ndf.loc[0, 'x'] = 9", "", "df", "",
        "list(old.columns) == ['x', 'y'] and old.x[0] == 9 and old is df",
    ),
    "frames that share until one is written to": (
        "df = pd.DataFrame({'x': [1, 2]})\npart = df[['x']]", "df.loc[0, 'x'] = 9\nassert part.x[0] == 1", "part", "df",
        "", "part.x[0] == 1 and df.x[0] == 9",
    ),
    "a column that comes back": (
        "df = pd.DataFrame({'x': [1, 2]})", "c = df['x']\nsame = df", "df", "", "c same",
        "same is df and list(c) == [1, 2]",
    ),
    "a series, its name too": (
        "s = pd.Series([1])\nt = s", "s.name = 'n'\ns[0] = 5", "", "s", "", "t.name == 'n' and t[0] == 5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("before, body, reads, changes, makes, expected", FRAMES.values(), ids=FRAMES)
def test_frames_travel_too(before, body, reads, changes, makes, expected) -> None:
    """A change is made on the original frame, and frames that share no memory in effect do not begin to."""
    pytest.importorskip("pandas", minversion="3")
    names = names_of("import pandas as pd\n" + before)
    travel(names, body, set(reads.split()), set(changes.split()), set(makes.split()))
    assert eval(expected, names)


def test_an_estimator_is_fitted_where_it_is() -> None:
    """What ``fit`` learns elsewhere belongs to the estimator that everybody holds."""
    pytest.importorskip("sklearn")
    names = names_of("from sklearn.linear_model import LinearRegression\nm = LinearRegression()\nkeep = [m]")
    travel(names, "m.fit(np.arange(4.).reshape(2, 2), [1, 2])", {"np"}, {"m"}, set())
    assert names["keep"][0].coef_.shape == (2,)


def test_large_arrays_travel_beside_the_pickle() -> None:
    """They are not copied into it, and come out in memory that may be written to."""
    names = names_of("a = np.zeros(1_000_000)")
    parcel = Sender(names, names).pack({"a"}, ())
    assert len(parcel.data) < 1000 and parcel.size > 8_000_000
    there: dict[str, Any] = {}
    Receiver(there).unpack(received(parcel))
    there["a"][0] = 1


def test_what_cannot_be_sent_is_named() -> None:
    """The error says which variable, of which kind, and what to do."""
    with pytest.raises(NotPicklable, match=r"reads 'k' \(lock\).*--runner threads") as raised:
        Sender({"k": threading.Lock()}, {}).pack({"k"}, ())
    assert (raised.value.name, raised.value.retriable) == ("k", False)


def test_what_cannot_be_sent_back_is_named() -> None:
    """The same on the way home."""
    with pytest.raises(NotPicklable, match=r"makes 'g' \(generator\).*--runner threads"):
        Receiver({}).pack({"g": (n for n in [1])})


def test_a_bystander_need_not_travel() -> None:
    """What a function may read and nobody can pickle stays behind; the reason is kept in case somebody misses it."""
    names = names_of("import threading\nlock = threading.Lock()\nn = 1\ndef f(careful=False): return (lock, n)")
    sender = Sender(names, names)
    there: dict[str, Any] = {}
    Receiver(there).unpack(sender.pack({"f"}, ()))
    assert there["n"] == 1 and "lock" not in there and "lock" in sender.left_out["lock"]


UNFIT = {
    "an iterator": ("x = iter([1, 2])", "a list_iterator"),
    "a class of a library": ("from string import Formatter as x", "the class 'x'"),
    "a cached function": ("import functools\n@functools.cache\ndef x(): return 1", r"the cache of x\(\)"),
    "foreign memory": ("x = np.frombuffer(bytearray(8), np.uint8)", "memory that is not its own"),
    "deep inside": ("x = {'a': [iter([1])]}", "a list_iterator"),
}


@pytest.mark.parametrize("before, reason", UNFIT.values(), ids=UNFIT)
def test_a_change_that_cannot_be_repeated_is_refused_beforehand(before, reason) -> None:
    """Nothing is sent of which the original could not be changed as the copy was."""
    names = names_of(before)
    with pytest.raises(Unfit, match=reason):
        Sender(names, names).pack((), {"x"})


def test_a_frame_whose_memory_an_array_shares_is_refused() -> None:
    """A change of the frame shows in the array, which a new frame in its place could not do."""
    pytest.importorskip("pandas", minversion="3")
    names = names_of("import pandas as pd\ndf = pd.DataFrame({'x': [1, 2]})\nraw = df['x'].to_numpy()")
    with pytest.raises(Unfit, match="an array shares"):
        Sender(names, names).pack((), {"df"})
    del names["raw"]
    Sender(names, names).pack((), {"df"})


def test_an_array_that_is_reshaped_in_place_is_noticed() -> None:
    """Only afterwards it shows; the original is left as it was."""
    names = names_of("a = np.zeros(4)")
    with pytest.raises(Unfit, match="shape"):
        travel(names, "a.shape = (2, 2)", set(), {"a"}, set())
    assert names["a"].shape == (4,)


def test_functions_of_libraries_travel_by_name() -> None:
    """They are the same ones there and here."""
    names: dict[str, Any] = {"__name__": "__main__", "f": functools.partial}
    travel(names, "g = f", {"f"}, set(), {"g"})
    assert names["g"] is functools.partial
