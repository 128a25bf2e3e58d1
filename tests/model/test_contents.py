"""What cells consist of, told from their syntax."""

from __future__ import annotations

import pytest

from orch_notebook.model.contents import looks_like_parameters, read_contents

STAGE = [
    "import os",
    "import numpy as np\nfrom a.b import c as d",
    "'''Some words.'''\nimport os",
    "def f(x):\n    return x",
    "class A:\n    b = 1",
    "import numpy as np\nLIMIT = 3\nNAMES = ['a', 'b']",
    "import numpy as np\nnp.random.seed(0)",
    "import matplotlib.pyplot as plt\nplt.rcParams['figure.figsize'] = (8, 4)",
    "import pandas as pd\npd.options.display.max_rows = 9\npd.set_option('display.width', 100)",
    "import seaborn as sns\nsns.set_theme()",
    "import warnings\nwarnings.filterwarnings('ignore')",
    "import sys\nsys.path.append('..')",
    "try:\n    import fast as f\nexcept ImportError:\n    import slow as f",
    "get_ipython().run_line_magic('matplotlib', 'inline')",
    "get_ipython().system('pip install it')",
    "get_ipython().run_cell_magic('html', '', '<b>x</b>')",
    "get_ipython().run_cell_magic('writefile', 'a.py', 'x = 1')",
]

WORK = [
    "x = f(1)",
    "import numpy as np\nx = np.arange(3)",
    "import numpy as np\nnp.arange(3)",
    "def f(x):\n    return x\nf(1)",
    "import os\nprint(os.getcwd())",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2])",
    "x = 1",
    "x",
    "for i in range(3):\n    pass",
    "if x:\n    y = 1",
    "get_ipython().run_line_magic('timeit', 'f(x)')",
    "get_ipython().run_cell_magic('time', '', 'x = f()')",
    "get_ipython().run_line_magic('pinfo', 'x')",
    "files = get_ipython().getoutput('ls')",
    "1",
]


@pytest.mark.parametrize("source", STAGE)
def test_what_sets_the_stage(source: str) -> None:
    """Imports, definitions, settings and magics, and constants among them."""
    assert read_contents(source).sets_stage


@pytest.mark.parametrize("source", WORK)
def test_what_is_work(source: str) -> None:
    """Whatever computes, shows, draws, or only holds values."""
    assert not read_contents(source).sets_stage


def test_settings_are_told_by_imports_above() -> None:
    """A cell may set what another one has imported, under whatever name."""
    source = "q.seed(3)"
    assert not read_contents(source).sets_stage
    assert read_contents(source, "import numpy.random as q").sets_stage


# source, whether every statement gives the same whenever it is executed
DEFINES = [
    ("import os\ndef f(x, y=1):\n    return z", True),
    ("class A:\n    limit = 3\n    def f(self):\n        return z", True),
    ("def f(x=y):\n    return x", False),
    ("@deco\ndef f():\n    pass", False),
    ("class A(B):\n    pass", False),
    ("from os import *", False),
    ("x = 1", False),
]


@pytest.mark.parametrize(("source", "expected"), DEFINES)
def test_what_only_defines(source: str, expected: bool) -> None:
    """Defaults, decorators, parents and star imports depend on the moment."""
    assert read_contents(source).only_defines is expected


# source, what it needs of the session
SESSION = [
    ("x = input('name? ')", "it asks somebody with input()"),
    ("import getpass\ngetpass.getpass()", "it asks somebody with getpass()"),
    ("Out[3] + 1", "it reads 'Out'"),
    ("print(_)", "it reads '_'"),
    ("_ + __ + _12", "it reads '_'"),
    ("for _ in range(3):\n    print(_)", ""),
    ("In = 1\nIn", ""),
    ("def f():\n    return input()", ""),
    ("get_ipython().run_line_magic('whos', '')", "it uses the magic %whos"),
    ("get_ipython().run_line_magic('debug', '')", "it uses the magic %debug"),
    ("get_ipython().run_line_magic('timeit', 'x')", ""),
]


@pytest.mark.parametrize(("source", "expected"), SESSION)
def test_what_needs_the_session(source: str, expected: str) -> None:
    """Questions, the history of inputs and outputs, and magics about the session."""
    found = read_contents(source).session
    assert found.startswith(expected[:9]) and bool(found) == bool(expected)


def test_every_name_spoken_of_is_found() -> None:
    """In code, in texts, in nested functions, as a target and as an import."""
    source = "import a\ndef f(x):\n    def g():\n        return h\n    return df.query('y > @limit')\nb: int = c"
    found = read_contents(source)
    assert {"a", "f", "g", "h", "df", "y", "limit", "b", "c"} <= found.mentions
    assert found.imports == {"a": "a"}
    assert found.binds == {"f", "g", "b"}


# source, whether people would set it from outside
PARAMETERS = [
    ("n = 200", True),
    ("n: int = 200  # rows\npath = 'a.csv'\nis_fast = True\nlimit = None\nrate = -0.5", True),
    ("x = 3", False),
    ("_n = 3", False),
    ("count = 2\ny = 1", False),
    ("sizes = [3, 1, 2]", False),
    ("names = {'a': 1}", False),
    ("total = 1 + 1", False),
    ("start = 1\nstop = start", False),
    ("n: int", False),
    ("", False),
]


@pytest.mark.parametrize(("source", "expected"), PARAMETERS)
def test_what_looks_like_parameters(source: str, expected: bool) -> None:
    """Single values with names that say something."""
    assert looks_like_parameters(source) is expected
