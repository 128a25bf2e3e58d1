"""The flow of a notebook that nobody is running: its cells as plain Python, in document order."""

from __future__ import annotations

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from orch_notebook.errors import NotebookError
from orch_notebook.promotion.reading import read_flow

SOURCES = [
    "x = 1",
    "x = 1\n\n",
    "\n\n  \nx = 1\n",
    "  # indented\nx = 2",
    "    x = 3\n    y = 4",
    "text = '''\n%time\n'''",
    "rest = 7 % 2",
    "x != 1",
    "%matplotlib inline\nx = 1",
    "names = !ls\nnames",
    "len?",
    ">>> x = 1\n>>> y = 2",
    "In [2]: x",
    ",print a b",
    "/print 1",
    "await thing()",
    "%%time\nx = 1",
]


@pytest.mark.parametrize("source", SOURCES)
def test_a_cell_means_what_it_means_to_ipython(tmp_path, source) -> None:
    """Whether or not IPython is asked about it."""
    path = tmp_path / "book.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
    (cell,) = read_flow(path, all_cells=True)
    assert cell.name == "cell-0"
    assert cell.body == TransformerManager().transform_cell(source)


@pytest.mark.parametrize(
    ("above", "line", "meant"),
    [
        ("x = 1", "pwd", "get_ipython().run_line_magic('pwd', '')"),
        ("x = 1", "ls -l", "get_ipython().run_line_magic('ls', '-l')"),
        ("x = 1", "cd ..", "get_ipython().run_line_magic('cd', '..')"),
        ("x = 1", "ls = 2", "ls = 2"),
        ("x = 1", "x", "x"),
        ("ls = [1]", "ls", "ls"),
        ("from files import *", "ls", "ls"),
        ("x = 1", "pwd\nx", "pwd\nx"),
    ],
)
def test_a_line_may_begin_with_the_name_of_a_magic(tmp_path, above, line, meant) -> None:
    """As in IPython, a cell of one line needs no ``%`` where nothing above is called so."""
    path = tmp_path / "book.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in (above, line)]), path)
    _, cell = read_flow(path, all_cells=True)
    assert cell.body.strip() == meant


def test_a_cell_that_is_no_python_is_named(tmp_path) -> None:
    """With its place and its line, counted as a person counts."""
    path = tmp_path / "book.ipynb"
    cells = [nbformat.v4.new_code_cell("x = 1"), nbformat.v4.new_code_cell("y = 2\nif y\n    pass")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    with pytest.raises(NotebookError, match=r"book\.ipynb: cell 2, line 2: "):
        read_flow(path)
