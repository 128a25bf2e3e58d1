"""Cell texts and what they do to names, seen each by itself."""

from __future__ import annotations

import pytest

from orch_notebook.model.cells import analyse

#: Text | reads | writes | mutates; `|` in a text stands for a new line and is written as `¶`.
NAMES = """
x = 1                                              |                | x            |
y = x                                              | x              | y            |
x = x + 1                                          | x              | x            |
x += 1                                             | x              | x            | x
x[0] += 1                                          | x              |              | x
x.n += 1                                           | x              |              | x
n = 1¶n += 1                                       |                | n            |
df = df.dropna()                                   | df             | df           |
df2 = df.copy()¶df2['a'] = 1                       | df             | df2          |
df2 = df[df.a > 0]¶df2['b'] = 1                    | df             | df2          |
df2 = df[['a', 'b']]¶df2['c'] = 1                  | df             | df2          |
v = a[:2]¶v[0] = 1                                 | a              | v            | a
b = a¶b.append(1)                                  | a              | b            | a
col = df['x']¶col.fillna(0, inplace=True)          | df             | col          | df
a, b = c                                           | c              | a b          |
a, *b = c                                          | c              | a b          |
(a, [b, c]) = d                                    | d              | a b c        |
a = b = c                                          | c              | a b          |
a, b = b, a                                        | a b            | a b          |
a[b] = c                                           | a b c          |              | a
a.b = c                                            | a c            |              | a
a.b.c = d                                          | a d            |              | a
a[0][1] = b                                        | a b            |              | a
del x                                              | x              |              |
del x[0]                                           | x              |              | x
del x.a                                            | x              |              | x
for i in xs: pass                                  | xs             | i            |
for i, j in xs: total = i                          | xs             | i j total    |
for i in range(3): s = i                           |                | i s          |
for row in rows: row['a'] = 1                      | rows           | row          | rows
for row in rows: row.append(1)                     | rows           | row          | rows
for m in [a, b]: m.fit(x)                          | a b x          | m            | a b
for name, m in {'a': a}.items(): m.fit(x)          | a x            | name m       | a
for a[0] in xs: pass                               | a xs           |              | a
while x: x = x - 1                                 | x              | x            |
while True:¶    y = 1¶    break                    |                | y            |
if c: y = 1                                        | c              | y            |
if c: y = 1¶else: y = 2                            | c              | y            |
if c: y = 1¶z = y                                  | c              | y z          |
with open(p) as f: t = f.read()                    | p              | f t          |
from collections import defaultdict¶d = defaultdict(int)¶d['a'] | | d defaultdict |
import timeit¶t = timeit.timeit('f(x)', 'from __main__ import f, x as y') | f x | t timeit |
from unittest.mock import patch¶with patch('__main__.a.b', 1): pass | a | patch |
with a as b: b.x = 1                               | a              | b            | a
try: y = f(x)¶except ValueError as e: print(e)     | f x            | y            |
try: y = 1¶except E: y = 2                         | E              | y            |
try: y = 1¶finally: z = 2                          |                | y z          |
import os                                          |                | os           |
import a.b                                         |                | a            |
import a.b as c                                    |                | c            |
from a import b, c as d                            |                | b d          |
def f(): return x                                  |                | f            |
def f(a=x): return a                               | x              | f            |
def f(a: T) -> U: pass                             | T U            | f            |
@deco¶def f(): pass                                | deco           | f            |
async def f(): return await g()                    |                | f            |
f = lambda: x                                      |                | f            |
f = lambda a=x: a                                  | x              | f            |
f = lambda x=x: x                                  | x              | f            |
def f(): return x¶f()                              | x              | f            |
def f(): return x¶x = 1¶f()                        |                | f x          |
def f(a): a.append(1)¶f(xs)                        | xs             | f            | xs
def f(a): return a¶y = f(xs)¶y.append(1)           | xs             | f y          | xs
def f(a): a = [1]; a.append(2)¶f(xs)               | xs             | f            |
def f():¶    global n¶    n = 1¶f()                |                | f n          |
def f():¶    global n¶    n += 1¶f()               | n              | f n          | n
def f(): xs.append(1)¶f()                          | xs             | f            | xs
def f(n): return f(n - 1) if n else x¶f(3)         | x              | f            |
def f(): return g()¶def g(): return x¶f()          | x              | f g          |
def f():¶    def g(): return x¶    return g()¶f()  | x              | f            |
def f(a):¶    def g(): a.append(1)¶    g()¶f(xs)   | xs             | f            | xs
def f(*a): a[0].append(1)¶f(xs)                    | xs             | f            | xs
def f(**k): k['a'].append(1)¶f(a=xs)               | xs             | f            | xs
def f(a, b): b.append(1)¶f(b=xs, a=ys)             | xs ys          | f            | xs
def f(a): yield a¶for z in f(x): pass              | x              | f z          |
def g(): yield x¶it = g()                          |                | g it         |
def g(): yield x¶it = g()¶next(it)                 | x              | g it         |
class A: pass                                      |                | A            |
class A(B): pass                                   | B              | A            |
class A:¶    n = x                                 | x              | A            |
class A:¶    def f(self, a=x): return y            | x              | A            |
class A:¶    n = 1¶    m = n                       |                | A            |
class A:¶    def f(self): return y¶A().f()         | y              | A            |
class A:¶    def __init__(s): s.v = y¶a = A()      | y              | A a          |
class A:¶    def f(s): s.n = 1¶a = A()¶a.f()       |                | A a          |
class A:¶    def __add__(s, o): return y¶A() + 1   | y              | A            |
class A:¶    @property¶    def p(s): return y¶A().p | y             | A            |
class A:¶    def f(s, v): v.append(1)¶A().f(xs)    | xs             | A            | xs
[x for x in xs]                                    | xs             |              |
y = [a * x for a in xs]                            | x xs           | y            |
y = {a: b for a, b in xs}                          | xs             | y            |
y = {a for b in xs for a in b}                     | xs             | y            |
y = sum(a for a in xs if a > m)                    | m xs           | y            |
[r.append(1) for r in rows]                        | rows           |              | rows
if (n := len(xs)) > 1: pass                        | xs             | n            |
[y := a for a in xs]                               | xs             | y            |
print(f'{x!r:>{w}}')                               | w x            |              |
y: int = x                                         | x              | y            |
y: T                                               | T              |              |
await f(x)                                         | f x            |              | x
y = await f(x)                                     | f x            | y            |
match x:¶    case [a, *b]: c = a                   | x              | a b c        |
match x:¶    case {'k': v, **r}: pass              | x              | r v          |
match x:¶    case P(a=q): pass¶    case _: z = 1   | P x            | q z          |
assert x, y                                        | x y            |              |
raise E(x)                                         | E x            |              |
x if c else y                                      | c x y          |              |
list = [1]¶list.append(2)                          |                | list         |
print(list)                                        |                |              |
id = 5¶print(id)                                   |                | id           |
_ = f(x)                                           | f x            | _            | x
x;                                                 | x              |              |
df.head()                                          | df             |              |
df.describe();                                     | df             |              |
df.drop(columns='a')                               | df             |              |
df.drop(columns='a', inplace=True)                 | df             |              | df
df.loc[m, 'a'] = 1                                 | df m           |              | df
df.iloc[0, 0] = 1                                  | df             |              | df
df['a'] = df['b'] * 2                              | df             |              | df
df.columns = names                                 | df names       |              | df
df = df.assign(a=1)¶df['b'] = 2                    | df             | df           |
df = df.merge(other)                               | df other       | df           |
g = df.groupby('a')                                | df             | g            |
model.fit(X, y)                                    | X model y      |              | model
m = model.fit(X)¶m.coef_ = 1                       | X model        | m            | model
p = model.predict(X)                               | X model        | p            |
model.score(X, y)                                  | X model y      |              |
Z = scaler.fit_transform(X)                        | X scaler       | Z            | scaler
xs.append(y)                                       | xs y           |              | xs
xs.sort()                                          | xs             |              | xs
y = xs.pop()                                       | xs             | y            | xs
y = sorted(xs)¶y.append(1)                         | xs             | y            |
y = list(xs)¶y.append(1)                           | xs             | y            |
y = dict(d)¶y['a'] = 1                             | d              | y            |
y = xs + ys¶y.append(1)                            | xs ys          | y            |
d.update(a=1)                                      | d              |              | d
d.setdefault('a', []).append(1)                    | d              |              | d
s.add(x)                                           | s x            |              | s
prepare(df)                                        | df prepare     |              | df
y = prepare(df)                                    | df prepare     | y            |
next(it)                                           | it             |              | it
it = iter(xs)¶next(it)                             | xs             | it           |
z = zip(a, b)¶list(z)                              | a b            | z            |
import copy¶b = copy.deepcopy(a)¶b.append(1)       | a              | b copy       |
import numpy as np¶np.fill_diagonal(a, 0)          | a              | np           | a
import numpy as np¶b = np.asarray(a)¶b[0] = 1      | a              | b np         | a
import numpy as np¶b = np.array(a)¶b[0] = 1        | a              | b np         |
import numpy as np¶b = a.reshape(2, 2)¶b[0] = 1    | a              | b np         | a
import numpy as np¶np.add(a, b, out=c)             | a b c          | np           | c
import numpy as np¶np.add(a, b, c)                 | a b c          | np           | c
import numpy as np¶d = np.diag(a)¶d[0] = 1         | a              | d np         | a
import random¶random.shuffle(xs)                   | xs             | random       | xs
import numpy as np¶r = np.random.default_rng(0)¶y = r.normal() | |    np r y       |
import numpy as np¶r = np.random.default_rng(0)¶x = r.normal(size=3)¶x[0] = 1 | | np r x |
import pandas as pd¶df = pd.read_csv(p)¶df.add(x) | p x | df pd |
import pandas as pd¶a = pd.Series(x)¶a.anything() | x | a pd |
df.query('a > @limit')                             | df limit       |              |
globals()['y'] = x                                 | x              | y            |
print(globals()['x'])                              | x              |              |
exec('y = x')                                      | x              | y            |
setattr(a, 'b', c)                                 | a c            |              | a
k = d.keys()¶v = k                                 | d              | k v          |
for v in d.values(): v.append(1)                   | d              | v            | d
m = memoryview(b)¶m[0] = 1                         | b              | m            | b
import sympy¶sympy.var('u, v')¶print(u)            |                | sympy u v    |
def f():¶    from sympy import var¶    var('u v')¶f() |             | f u v        |
import heapq as h¶x = h.heapreplace(q, 1)          | q              | h x          | q
import bisect¶bisect.insort_left(xs, 1)            | xs             | bisect       | xs
import xml.etree.ElementTree as E¶c = E.SubElement(r, 'c')¶c.text = x | r x | E c | r
class S:¶    def pop(s): return s.q.pop()¶    def __init__(s, q): s.q = q¶s = S(xs)¶y = s.pop() | xs | S s y | xs
pipe = make(a, b)¶pipe.fit(x)                      | a b make x     | pipe         | a b
ax.plot(x)                                         | ax x           |              | ax
f = open('a.txt')¶t = f.read()                     |                | f t          |
y = (lambda a: a + x)(1)                           | x              | y            |
ys = list(map(lambda a: a + k, xs))                | k xs           | ys           |
xs.sort(key=lambda a: order[a])                    | order xs       |              | xs
from functools import partial¶g = partial(f, xs)   | f xs           | g partial    |
def f(v): return v + n¶ys = list(map(f, [1]))      | n              | f ys         |
h = {'f': lambda: n}¶h['f']()                      | n              | h            |
a = [[]] * 3¶a[0].append(x)                        | x              | a            |
b = a.copy()¶b[0].append(x)                        | a x            | b            | a
b = a.copy()¶b.append(x)                           | a x            | b            |
b = list(a)¶b[0][0] = x                            | a x            | b            | a
get_ipython().run_line_magic('time', 'y = x')      | x              | y            |
get_ipython().run_cell_magic('time', '', 'y = x')  | x              | y            |
get_ipython().run_cell_magic('timeit', '', 'y = x') | x             |              |
get_ipython().run_cell_magic('capture', 'out', 'y = x') | x         | out y        |
get_ipython().run_line_magic('matplotlib', 'inline') |              |              |
get_ipython().run_line_magic('xdel', 'x')          | x              |              |
x = get_ipython().getoutput('ls')                  |                | x            |
"""


def rows(table: str) -> list[list[str]]:
    """Return the cells of a table, texts with their lines restored."""
    return [[part.strip().replace("¶", "\n") for part in line.split("|")] for line in table.strip().splitlines()]


@pytest.mark.parametrize(("text", "reads", "writes", "mutates"), rows(NAMES))
def test_a_cell_is_read_for_what_it_does_to_names(text: str, reads: str, writes: str, mutates: str) -> None:
    """Reads, writes and mutations of one cell are those of the table, libraries and builtins left out."""
    effects = analyse(text)
    assert sorted(effects.reads) == sorted(reads.split())
    assert sorted(effects.writes) == sorted(writes.split())
    assert sorted(effects.mutates) == sorted(mutates.split())


PERHAPS = """
if c: y = 1                               | y
if c: y = 1¶else: y = 2                   |
for i in xs: y = i                        | i y
for i in range(2): y = i                  |
for i in [a, b]: y = i                    |
while c: y = 1                            | y
try: y = f()¶except E: pass               | y
try: y = f()¶except E: raise              |
if c: raise E¶else: y = 1                 |
if c: del y                               | y
match x:¶    case 1: y = 1                | y
match x:¶    case 1: y = 1¶    case _: y = 2 |
y = c and (z := 1)                        | z
with suppress(E): y = 1                   | y
"""


@pytest.mark.parametrize(("text", "perhaps"), rows(PERHAPS))
def test_a_binding_that_may_not_happen_is_told_apart(text: str, perhaps: str) -> None:
    """Names bound on some ways through a cell and not on others are `perhaps`."""
    assert sorted(analyse(text).perhaps) == sorted(perhaps.split())


HIDDEN = """
import numpy as np¶np.random.seed(0)                       | state:numpy.random!
import numpy as np¶x = np.random.rand(3)                   | state:numpy.random!
import numpy as np¶r = np.random.default_rng(0)            |
import random¶random.random()                              | state:random!
from random import choice¶choice(xs)                       | state:random!
from sklearn.model_selection import train_test_split as t¶a, b = t(X) | state:numpy.random!
from sklearn.model_selection import train_test_split as t¶a, b = t(X, random_state=0) |
from sklearn.ensemble import RandomForestClassifier as R¶m = R()¶m.fit(X) | state:numpy.random!
from sklearn.ensemble import RandomForestClassifier as R¶m = R(random_state=0)¶m.fit(X) |
from sklearn.svm import SVC¶from sklearn.pipeline import make_pipeline as p¶m = p(SVC())¶m.fit(X) | state:numpy.random!
from sklearn.svm import SVC¶import sklearn.model_selection as m¶m.cross_val_score(SVC(), X) | state:numpy.random!
df.sample(3)                                               | state:numpy.random!
df.sample(3, random_state=0)                               |
import os¶os.environ['A'] = '1'                            | state:environ!
import os¶os.chdir('x')                                    | state:cwd!
import warnings¶warnings.filterwarnings('ignore')          | state:warnings!
import pandas as pd¶pd.set_option('display.width', 9)      | state:display!
import pandas as pd¶pd.options.display.width = 9           | state:display!
import numpy as np¶np.set_printoptions(precision=2)        | state:display!
import matplotlib.pyplot as plt¶plt.rcParams['a'] = 1      | state:matplotlib.rcParams!
import matplotlib.pyplot as plt¶plt.style.use('x')         | state:matplotlib.rcParams!
import matplotlib.pylab as plt¶with plt.xkcd(): pass       | state:matplotlib.rcParams!
import matplotlib.pylab as p¶x = p.linspace(0, 1)          |
from pylab import rcParams¶rcParams['a'] = 1               | state:matplotlib.rcParams!
import seaborn as sns¶sns.set_theme()                      | state:matplotlib.rcParams!
import matplotlib.pyplot as plt¶plt.plot(x)                | state:matplotlib.rcParams
import torch¶torch.manual_seed(0)                          | state:torch!
import mylib¶mylib.configure(1)                            | state:mylib! state:settings!
import mylib¶mylib.level = 3                               | state:mylib! state:settings!
import mylib¶mylib.show(1)                                 | state:mylib! state:matplotlib.rcParams
import mylib¶x = mylib.plot_tree(m)                        | state:mylib state:matplotlib.rcParams
from scipy.stats import norm¶x = norm.rvs(size=3)          | state:numpy.random!
from scipy.stats import norm¶x = norm.rvs(random_state=1)  |
from scipy.stats import norm¶d = norm(0, 1)¶x = d.rvs(3)   | state:numpy.random!
import networkx as nx¶g = nx.gnp_random_graph(9, 0.5)      | state:numpy.random! state:random!
import networkx as nx¶g = nx.gnp_random_graph(9, 0.5, seed=1) |
import seaborn as sns¶sns.stripplot(x=x)                   | state:numpy.random! state:matplotlib.rcParams
from sklearn.linear_model import LogisticRegression as L¶m = L()¶m.fit(X) |
from sklearn.linear_model import LogisticRegression as L¶m = L(solver='sag')¶m.fit(X) | state:numpy.random!
from sympy import init_printing¶init_printing()            | state:display!
from decimal import getcontext¶getcontext().prec = 4       | state:settings!
get_ipython().run_line_magic('matplotlib', 'notebook')     | state:matplotlib.rcParams!
get_ipython().run_cell_magic('file', 'f.py', 'x')          | file:f.py!
get_ipython().run_line_magic('precision', '')              | state:display!
get_ipython().ast_node_interactivity = 'all'               | state:IPython state:display!
import logging¶h = logging.FileHandler('a.log')            | state:logging!
print(open('a.log').read())                                | file:a.log state:logging!
import pandas as pd¶df = pd.read_csv('a.csv')              | file:a.csv
import pandas as pd¶p = 'a.csv'¶df = pd.read_csv(p)        | file:a.csv
import pandas as pd¶df = pd.read_csv(p)                    | file:*
import pandas as pd¶df = pd.read_excel('a.xlsx', 'data')  | file:a.xlsx
import numpy as np¶m = np.memmap('a', 'f8', mode='w+')     | file:a!
df.to_csv('b.csv')                                         | file:b.csv!
t = df.to_string()                                         |
df.to_json(orient='records')                               |
df.to_json('b.json')                                       | file:b.json!
df.to_csv(path_or_buf='b.csv')                             | file:b.csv!
open(file='c.txt', mode='w').write('x')                    | file:c.txt!
open('c.txt', m).read()                                    | file:c.txt!
from pathlib import Path¶f = Path('c.txt').open('w')       | file:c.txt!
open('c.txt', 'w').write('x')                              | file:c.txt!
open('c.txt').read()                                       | file:c.txt
with open('c.txt', mode='a') as f: f.write(x)              | file:c.txt!
from pathlib import Path¶Path('d.txt').write_text('x')     | file:d.txt!
from pathlib import Path¶t = Path('d.txt').read_text()     | file:d.txt
def load(p): return open(p).read()¶t = load('e.txt')       | file:e.txt
open(f'{d}/a.txt').read()                                  | file:*/a.txt
d = 'out'¶open(f'{d}/a.txt').read()                        | file:out/a.txt
p = 'out/' + 'a.txt'¶open(p).read()                        | file:out/a.txt
import os¶open(os.path.join('out', 'a.txt')).read()        | file:out/a.txt
from pathlib import Path¶p = Path('out') / 'a.txt'¶p.read_text() | file:out/a.txt
import matplotlib.pyplot as plt¶plt.rcParams.update({})    | state:matplotlib.rcParams!
import joblib¶joblib.dump(m, 'm.joblib')                   | file:m.joblib!
get_ipython().run_cell_magic('writefile', 'f.py', 'x')     | file:f.py!
get_ipython().run_line_magic('cd', 'data')                 | state:cwd!
"""


@pytest.mark.parametrize(("text", "states"), rows(HIDDEN))
def test_hidden_state_has_names(text: str, states: str) -> None:
    """State that no name of the notebook shows is told by name, with `!` where it is changed."""
    effects = analyse(text)
    seen = {*effects.state_reads, *(state + "!" for state in effects.state_changes)}
    assert seen == set(states.split())


OPAQUE = """
from os.path import *                                  | imports everything
exec(code)                                             | exec()
y = eval(text)                                         | eval()
globals().update(a=1)                                  | globals()
print(locals())                                        | locals()
get_ipython().system('ls')                             | !ls
x = get_ipython().getoutput('ls')                      | !ls
get_ipython().run_line_magic('run', 'a.py')            | %run
get_ipython().run_cell_magic('bash', '', 'ls')         | %%bash
get_ipython().run_line_magic('unheard_of', '')         | %unheard_of
get_ipython().run_cell_magic('time', '', 'x = !ls')    | not plain Python
import subprocess¶subprocess.run(['ls'])               | another program
print(Out[3])                                          | 'Out'
print(_)                                               | '_'
def f(): exec(code)¶f()                                | exec()
print(dir())                                           | dir()
print(A.__subclasses__())                              | subclasses
import sympy¶sympy.init_session()                      | binds names
"""


@pytest.mark.parametrize(("text", "reason"), rows(OPAQUE))
def test_what_cannot_be_read_is_opaque_and_says_why(text: str, reason: str) -> None:
    """Code that may do anything to names or to the world gives its reason."""
    assert reason in analyse(text).opaque


CLEAR = """
get_ipython().run_line_magic('matplotlib', 'inline')
get_ipython().run_line_magic('pinfo', 'df.head')
get_ipython().run_line_magic('timeit', 'f(x)')
exec('x = 1')
y = eval('x + 1')
print('x' in globals())
def f(): return locals()
for _ in range(3): print(_)
"""


@pytest.mark.parametrize("text", CLEAR.strip().splitlines())
def test_what_only_looks_dangerous_is_not_opaque(text: str) -> None:
    """Harmless magics and literal sources are read like other code."""
    assert analyse(text).opaque == ""


@pytest.mark.parametrize(
    ("text", "exclusive"),
    [
        ("import matplotlib.pyplot as plt\nplt.plot(x)", {"pyplot"}),
        ("import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot(x)", {"pyplot"}),
        ("import seaborn as sns\nsns.heatmap(df.corr())", {"pyplot"}),
        ("df.plot()", {"pyplot"}),
        ("df['a'].hist(bins=3)", {"pyplot"}),
        ("df['a'].plot.bar()", {"pyplot"}),
        ("fig.savefig('a.png')", {"pyplot"}),
        ("import matplotlib.pyplot as plt\nfig = plt.figure()\nfig", {"pyplot"}),
        ("import mylib\nmylib.Config(xlabel='x')", {"pyplot"}),
        ("import mylib\nx = mylib.plot_tree(m)", {"pyplot"}),
        ("get_ipython().run_line_magic('pinfo2', 'f')", {"inspector"}),
        ("x = 1", set()),
    ],
)
def test_drawing_is_exclusive(text: str, exclusive: set[str]) -> None:
    """Cells that draw, or look at sources, must never overlap, whether or not they are ordered."""
    assert analyse(text).exclusive == exclusive


def test_a_definition_tells_what_it_will_read_when_called() -> None:
    """Late reads of functions and classes are told per name."""
    effects = analyse("def f(x): return x * scale\nclass A:\n    def g(self): return rate")
    assert effects.late == {"f": frozenset({"scale"}), "A": frozenset({"rate"})}


def test_a_syntax_error_is_the_callers() -> None:
    """Text that is no Python raises Python's own error."""
    with pytest.raises(SyntaxError):
        analyse("x = = 1")
