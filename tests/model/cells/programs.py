"""Random programs of cells: statements over a few names of known kinds, so that most of them run."""

from __future__ import annotations

from hypothesis import strategies as st

from orch_notebook.model.cells import Cell

#: Every program begins with these, so that every statement below has something to work on.
BEGINNING = [
    "import random\nimport functools\nfrom concurrent.futures import ThreadPoolExecutor",
    "n = 1\nm = 2\nk = 3\nq = 4",
    "xs = [1, 2, 3]\nys = [4, 5]\nzs = ys",
    "rows = [xs, [6]]\nd = {'a': [7], 'b': 1}\ne = d",
    "def f(v):\n    return v + n\ndef g(v):\n    return v * m",
    "class C:\n    rate = 1\n    def __init__(self, v):\n        self.v = v\n"
    "    def bump(self):\n        self.v.append(n)\n"
    "        return len(self.v)\n    def get(self):\n        return f(len(self.v)) + self.rate\no = C(xs)\np = o",
    "it = iter(range(20))\njt = it",
    "def deco(fn):\n    def wrapper(v):\n        log.append(v)\n        return fn(v)\n    return wrapper\nlog = []",
]

NUMBERS = ["n", "m", "k", "q"]
LISTS = ["xs", "ys", "zs"]

TEMPLATES = r"""
N = 5
N = N + N
N += 1
N = len(L)
N += len(L)
N, N = N, N
if N > 3: N = 7
if N % 2:|    N = 1|else:|    N = 2
for i in range(N % 3): N = i
for i in range(2):|    N = N + i
for i in L: N = 3
while N > 4: N = N - 2
try:|    N = int('x')|except ValueError:|    N = 9
try:|    N = L[9]|except IndexError as error:|    N = len(str(error))
N = (N if N > 2 else N)
N = 1 if (q := N) > 2 else q
N = sum(1 for each in L)
N = max([N, N])
N = random.randrange(9)
random.seed(N)
random.shuffle(L)
match N:|    case 1: N = 5|    case other: N = 6
del N|N = 1
del q
if N > 50: del N
L = [N, N]
L = L
L = L[:2]
L = L + L[:1]
L = list(L)
L += [N]
L.append(N)
L.append(L[:1])
L.extend(L[:1])
L.insert(0, N)
L[0:1] = [N]
del L[2:]
L.sort(key=str)
L = sorted(L, key=str)
L.reverse()
L = [each for each in L]
L = [each for each in rows[0]]
L = [w for each in L for w in [N]]
L, L = L, L
L, *L = [L, N, N]
L = (lambda: L)()
L = L or [N]
L = L if N > 2 else L
for L in [L, L]: L.append(N)
for row in rows: row.append(N)
for row in rows:|    L = row
for row in [L, L]:|    if N > 2:|        break|    row.append(N)
rows = [L, L]
rows = [L] + rows[:1]
rows.append(L)
rows[0] = L
L = rows[0]
L = rows[-1]
rows[0].append(N)
rows = rows[:1] + [L]
d['a'] = L
d['a'].append(N)
d = {'a': L, 'b': N}
d = dict(e)
e = d
d.update(b=N)
d['b'] = N
L = d['a']
L = e.get('a')
L = d.setdefault('c', L)
N = d['b']
for key, value in d.items():|    if key == 'a': value.append(N)
d = {**e, 'b': N}
d |= {'b': N}
def f(v):|    return v + N
def f(v):|    L.append(v)|    return N
def f(v):|    global N|    N = N + v|    return N
def f(v):|    global N|    if v > 2:|        return 1|    N = v|    return 2
def f(v):|    return g(v) + 1
def f(v, w=L):|    w.append(v)|    return len(w)
def f(v):|    return o.bump()
def f(v):|    return [g(each) for each in range(2)][-1] + N
def f(v):|    def inner():|        return v + N|    return inner()
def g(v):|    return v * N
def g(v):|    L.append(v)|    return len(L)
def g(v):|    d['b'] = v|    return v
def g(v):|    return next(it, 0)
def make(w):|    def inner(v):|        return v + w + N|    return inner
def make(w):|    count = [w]|    def inner(v):|        count.append(v)|        return sum(count)|    return inner
def make(w):|    def inner(v):|        nonlocal w|        w = w + 1|        return w + N|    return inner
def make(w):|    return lambda v: len(L) + w
make = lambda w: functools.partial(g)
f = make(N)
h = f|f = h
f = g
f = lambda v: v - N
f = lambda v, w=N: v - w
f = deco(g)
@deco|def f(v):|    return v + N
f = functools.partial(g)
N = f(N)
f(2)
g(2)
N = g(f(1))
N = sum(map(f, [1, 2]))
L = list(map(g, range(2)))
L = [f(each) for each in range(2)]
L = sorted(L, key=lambda each: str(g(0)))
handlers = {'f': f}|N = handlers['f'](N)
handlers = {'f': f, 'g': lambda v: L.append(v)}
handlers['g'](N)
N = handlers['f'](1)
handlers['f'] = g
def swap(u, v):|    return v, u
L, L = swap(L, L)
def change(u):|    u.append(N)
change(L)
change(rows[0])
change(o.v)
def keep(u):|    rows.append(u)|    return u
L = keep(L)
class C:|    rate = N|    def __init__(self, v): self.v = v|    def bump(self): self.v = self.v + [N]|    get = bump
class C(C):|    def get(self):|        return g(self.rate)
class D(C):|    def bump(self):|        L.append(N)|        return super().bump()
o = D(L)
o = C(L)
o = C([N])
o.bump()
N = o.bump()
N = p.get()
N = o.get()
o.v = L
L = o.v
p = o
C.rate = N
N = o.rate
o.v.append(N)
act = o.bump
act()
N = act()
o.v += [N]
it = iter(list(L))
it = (each for each in range(N, 20))
it = (N + each for each in range(3))
it = zip(jt, range(9))
it = map(f, range(5))
it = enumerate(L)
def gen():|    for each in range(3):|        yield each + N
def gen():|    for each in L:|        L2 = each|        yield N
it = gen()
jt = it
next(it, 0)
N = len(str(next(it, 0)))
print(list(zip([1, 2], jt)))
for each in it:|    print(each)|    break
L = list(it)
print(N)
print(L)
print(rows)
print(d)
print(o.v)
print(L, N, log)
log.append(N)
log = []
globals()['k'] = N
act = L.append|act(N)
put = L.append
put(N)
for each in map(L.append, [N]): pass
list.append(L, N)
setattr(o, 'v', L)
getattr(o, 'v').append(N)
o.__dict__['v'] = L
vars(o)['v'].append(N)
class W:|    def __enter__(self):|        return L|    def __exit__(self, *a):|        L.append(N)
with W() as u:|    u.append(N)
class T:|    def __init__(self, v): self.v = v|    def __iter__(self): return iter(self.v)
class T(T):|    def __len__(self): return N
tt = T(L)
L = [each for each in tt]
N = len(tt)
class S:|    @staticmethod|    def put(v): L.append(v)
class S(S):|    @classmethod|    def make(cls): return cls()|    @property|    def p(self): return N
S.put(N)
ss = S.make()
N = ss.p
ss.put(N)
class G:|    def __getitem__(self, i): return L[-1:]|    def __setitem__(self, i, v): L.append(v)|gg = G()
gg[0] = N
L2 = gg[0]
print(gg[1])
def many(*u, **w):|    u[0].append(N)|    return w
w2 = many(L, a=L)
w2['a'].append(N)
N = functools.reduce(lambda a, b: a + len(L), [1, 2])
def outer(u):|    def middle():|        def inner():|            u.append(N)|        return inner|    return middle()
outer(L)()
run = outer(L)
run()
pairs = [(L, N), (L, N)]
for u, v in pairs: u.append(v)
L = pairs[0][0]
nested = {'x': {'y': L}}
nested['x']['y'].append(N)
L = nested['x']['y']
N = N if not L else len(L)
try:|    L = [1 // (N - N)]|except ZeroDivisionError:|    pass|finally:|    L.append(N)
L = [*L, *L][:4]
d = {k2: L for k2 in 'ab'}|d['b'] = N
(lambda u: u.append(N))(L)
L[:] = [N, N]
L *= 1
x0, (x1, L) = N, (N, L)
del d['b']|d['b'] = N
exec('N = N + 1')
N = eval('N + len(L)')
N = eval('f(N)')
exec('def f(v):\n    return v + N')
exec('L.append(N)')
N = globals()['N'] + 1
if 'q' in globals(): N = 4
def f(v):|    return globals()['N'] + v
def g(v):|    globals()['N'] = v|    return v
@functools.cache|def f(v):|    return v + N
@functools.lru_cache(maxsize=2)|def g(v):|    return v * N
N = f(1) + f(1)
L = sorted(L, key=lambda each: -N)
L = [h2 for h2 in L if h2 != N]
L = [(lambda: N)() for each in L]
late = [lambda: N for each in L]
N = sum(each() for each in late)
it = (f(each) + N for each in L)
with ThreadPoolExecutor(1) as pool:|    L = list(pool.map(f, [1, 2]))|del pool
class Q:|    def __eq__(self, other): return N == 1|    def __hash__(self): return N
class Q(Q):|    def __bool__(self): return N > 2
qq = Q()
if qq: N = 8
N = 1 if qq == 1 else 2
N = {qq: N}.get(qq, 5)
class P2:|    @property|    def p(self): return N|    @p.setter|    def p(self, v):|        L.append(v)
pp = P2()
pp.p = N
N = pp.p
class R:|    def __call__(self, v): return f(v) + N
rr = R()
N = rr(N)
L = list(map(rr, L[:1]))
class B:|    kept = N|    total = [N + kept for kept in (1, 2)]|    def __repr__(self): return f'B{N}'
bb = B()
print(bb, B.total)
bb
N = B.kept
print(f'{N} {f(N)} {L!r}')
def f(v, *, w=N):|    return v + w + m
def count():|    global N|    N += 1
count()
def drop():|    global q|    del q
drop()|q = N
n: int = m
for N in range(2): count()
def f(v):|    try:|        return v + late2|    except NameError:|        return v
late2 = N
del late2
def walk(u):|    return N if not u else walk(u[1:]) + N
N = walk(L[:3])
import random as k
k = N
max = N
N = max if isinstance(max, int) else 3
del max
N = 4 if callable(min) else 5
min = N
def top(u):|    return max(u) if callable(max) else max
N = top([N, 1])
del L|try:|    L = L[:1]|except NameError:|    L = [N]
del N|try:|    N = f(1)|except NameError:|    N = 2
""".strip().splitlines()


@st.composite
def statements(draw: st.DrawFn) -> str:
    """One statement with names put in, each place drawn by itself."""
    template = draw(st.sampled_from(TEMPLATES))
    text = ""
    for position, letter in enumerate(template):
        before = template[position - 1] if position else " "
        after = template[position + 1] if position + 1 < len(template) else " "
        is_place = letter in "NL" and not (before.isalnum() or after.isalnum())
        if not is_place:
            text += "\n" if letter == "|" else letter
        elif letter == "N":
            text += draw(st.sampled_from(NUMBERS))
        else:
            text += draw(st.sampled_from(LISTS))
    return text


@st.composite
def programs(draw: st.DrawFn) -> list[Cell]:
    """Cells that begin alike, some as plain cells, and go on at random."""
    plain = draw(st.integers(0, len(BEGINNING)))
    cells = [Cell(f"begin{number}", text, is_task=number >= plain) for number, text in enumerate(BEGINNING)]
    bodies = draw(st.lists(st.lists(statements(), min_size=1, max_size=3), min_size=2, max_size=9))
    cells += [Cell(f"t{number}", "\n".join(body)) for number, body in enumerate(bodies)]
    return cells
