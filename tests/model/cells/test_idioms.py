"""Programs as teaching notebooks have them: run in the latest order their wiring allows, they give the same."""

from __future__ import annotations

import pytest

from orch_notebook.model.cells import Cell, wire
from tests.model.cells.reference import at_random, latest_first, run_by_wiring, run_in_order

STACK = "class Stack:¶    def __init__(self): self.items = [1, 2]¶    def pop(self): return self.items.pop()"
ITERATOR = (
    "class It:¶    n = 0¶    def __iter__(self): return self¶    def __next__(self):¶        self.n += 1¶"
    "        if self.n > 4: raise StopIteration¶        return self.n"
)
SINGLE = (
    "class S:¶    one = None¶    def __new__(cls):¶        if cls.one is None: cls.one = super().__new__(cls)¶"
    "        return cls.one"
)
SINGLE_BY_META = (
    "class M(type):¶    made = {}¶    def __call__(cls):¶        if cls not in cls.made:¶"
    "            cls.made[cls] = super().__call__()¶        return cls.made[cls]|class S(metaclass=M): pass"
)

#: Cells are parted by ``|``, lines by ``¶``.
IDIOMS = {
    "a method called as the one it calls": f"{STACK}¶s = Stack()|x = s.pop()|print(x, s.items)|s.pop()|print(s.items)",
    "a method called as the one it asks": (
        "class Bag:¶    def __init__(self): self.data = {1: []}¶    def get(self, k): return self.data.get(k)¶b = Bag()"
        "|b.get(1).append(2)|print(b.data)|b.get(1).append(3)|print(b.data)"
    ),
    "a dictionary that makes dictionaries": (
        "from collections import defaultdict¶tree = lambda: defaultdict(tree)¶t = tree()"
        "|t['a']['b'] = 1|print(list(t['a']))"
    ),
    "a dictionary's keys go on showing it": "d = {1: 2}¶k = d.keys()|print(k)|d[3] = 4|print(k)",
    "memory looked at": "b = bytearray(b'ab')|m = memoryview(b)|print(b)|m[0] = 99|print(b)",
    "a heap's top replaced": "import heapq¶h = [1, 3]|print(heapq.heapreplace(h, 9))|print(h)",
    "an element's child": (
        "import xml.etree.ElementTree as ET¶r = ET.Element('r')|c = ET.SubElement(r, 'c')|c.text = 'a'"
        "|print(ET.tostring(r))|c.text = 'b'|print(ET.tostring(r))"
    ),
    "an iterator of the notebook": f"{ITERATOR}¶it = It()|print(next(it))|print(sum(it))|print(it.n)",
    "an object that is called by a library": (
        "class C:¶    n = 0¶    def __call__(self, x): self.n += 1¶c = C()|print(c.n)|list(map(c, [1, 2]))|print(c.n)"
    ),
    "a context made before it is entered": (
        "from contextlib import contextmanager¶log = []¶@contextmanager¶def cm():¶    log.append('in')¶    yield¶"
        "    log.append('out')|c = cm()|print(log)|with c: print('within')|print(log)"
    ),
    "an object that is always the same": f"{SINGLE}|a = S()|a.v = 1|b = S()|b.v = 2|print(a.v)",
    "always the same, by its metaclass": f"{SINGLE_BY_META}|a = S()|b = S()|b.v = 2|print(a.v)|S().v = 3|print(b.v)",
    "a class that keeps account of its subclasses": (
        "class P:¶    known = {}¶    def __init_subclass__(cls, tag=None): cls.known[tag] = cls"
        "|class A(P, tag='a'): pass|print(sorted(P.known))|class B(A, tag='b'): pass|print(sorted(P.known))"
    ),
    "a metaclass that keeps account of its classes": (
        "class M(type):¶    known = []¶    def __init__(cls, name, bases, names): cls.known.append(name)"
        "|class A(metaclass=M): pass|print(M.known)|class B(A): pass|print(A.known)"
    ),
    "subclasses asked for": (
        "class A: pass|class B(A): pass|print(A.__subclasses__())|class C(A): pass|print(len(A.__subclasses__()))"
    ),
    "a missing key that is made": (
        "class D(dict):¶    def __missing__(self, k):¶        self[k] = k¶        return k¶d = D()|print(d[1])|print(d)"
        "|super(D, d).__setitem__(2, 3)|print(d)"
    ),
    "files by the folder they lie in": (
        "import os, tempfile¶os.chdir(tempfile.mkdtemp())|os.makedirs('out')|for n in range(2):¶"
        "    with open(f'out/{n}.txt', 'w') as f: f.write(str(n))|print(sorted(os.listdir('out')))"
        "|for n in range(2): os.remove(f'out/{n}.txt')|print(os.listdir('out'))|os.rmdir('out')|os.chdir('/')"
    ),
    "files by more than one spelling": (
        "import os, tempfile¶from pathlib import Path¶os.chdir(tempfile.mkdtemp())|Path('a.txt').write_text('1')"
        "|print(Path('./a.txt').read_text())|with Path('a.txt').open('a') as f: f.write('2')"
        "|print(Path('a.txt').read_text())|def put(mode):¶    with open('./a.txt', mode) as f: f.write('3')"
        "|put('a')|print(Path('a.txt').absolute().read_text())|os.chdir('/')"
    ),
}


@pytest.mark.parametrize("name", IDIOMS)
def test_what_notebooks_do_gives_the_same_in_other_orders(name: str) -> None:
    """What each cell prints is the same top to bottom, in the latest legal order and in one drawn by lot."""
    cells = [Cell(f"t{n}", source.replace("¶", "\n")) for n, source in enumerate(IDIOMS[name].split("|"))]
    expected, _ = run_in_order(cells)
    wiring = wire(cells)
    assert not wiring.undefined
    for choose in (latest_first, at_random(1)):
        printed, _, order = run_by_wiring(cells, wiring, choose)
        assert printed == expected, order
