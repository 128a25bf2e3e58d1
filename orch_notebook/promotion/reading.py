"""Reads the flow of a notebook that nobody is running: its task cells, its plain cells, in document order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from orch_notebook.errors import HeaderError, NotebookError
from orch_notebook.model.cells import KNOWLEDGE, analyse, parse
from orch_notebook.model.flows import CellFlow, CellTask, PlainCell
from orch_notebook.model.headers import TaskHeader, parse_header, split_task_cell
from orch_notebook.model.naming import name_for
from orch_notebook.promotion.notebooks import code_cells, read_notebook, tags_of

__all__ = ["as_python", "read_flow"]

#: What cells contain that mean more to IPython than to Python: magics, shell lines, help, prompts pasted along.
_IPYTHON = re.compile(r"[%!?]|\bIn \[")
#: A first word that nothing is bound to.
_WORD = re.compile(r"([A-Za-z_]\w*)(?=[ \t]+[^\s=,]|\(|\Z)")
#: IPython's names for commands of the shell, and magics of which nothing more is known.
_ALIASES = frozenset("ls ll lx ldir cat cp mv rm mkdir rmdir who whos who_ls run pycat less more".split())  # noqa: SIM905
_BLANK_TOP = re.compile(r"\A(?:[ \t]*\n)+")


@cache
def _transformer() -> Callable[[str], str]:
    # The one place outside of the Jupyter face that needs IPython: it alone knows what its magics mean as Python.
    from IPython.core.inputtransformer2 import TransformerManager

    transform: Callable[[str], str] = TransformerManager().transform_cell
    return transform


def read_flow(path: str | Path, *, flow: str | None = None, all_cells: bool = False) -> CellFlow:
    """Return the flow that a notebook's cells define.

    Parameters
    ----------
    path : path
        The notebook.
    flow : str, optional
        Which, where tasks name several; by default the one of tasks that name none.
    all_cells : bool
        Count each code cell that is not blank as a task, named ``cell-<index>``.

    Raises
    ------
    NotebookError
        It cannot be read, it has no such flow, two tasks bear one name, or a cell is not Python.
    HeaderError
        A ``%%task`` line does not parse.
    """
    notebook = read_notebook(path)
    cells: list[CellTask | PlainCell] = []
    tasks: list[CellTask] = []
    names: set[str] = set()
    flows: dict[str, None] = {}
    main = Path(path).stem  # the flow of tasks that name none
    wanted = flow or main
    for index, cell in code_cells(notebook):
        source = str(cell.source)
        split = None if all_cells else split_task_cell(source)
        if split is not None:
            try:
                header = parse_header(split[0])
            except HeaderError as error:
                raise HeaderError(f"{path}: cell {index + 1}: {error}") from None
            flows.setdefault(header.flow or main)
            if (header.flow or main) != wanted:
                continue
            body = _python(path, index, split[1])
            name = header.name or name_for(body, names)
            if name in names:
                raise NotebookError(
                    f"{path}: two cells define task {name!r}; cell {index + 1} is the second.", name=name
                )
            names.add(name)
            cells.append(CellTask(name, header, "\n" + body, cell.id, index))
        elif not source.strip():
            continue
        elif all_cells:
            body = _python(path, index, _with_sign(source, tasks))
            tasks.append(CellTask(f"cell-{index}", TaskHeader(), body, cell.id, index))
        elif not ("raises-exception" in tags_of(cell) and _is_broken(source)):
            cells.append(PlainCell(cell.id, _python(path, index, source)))
    if not all_cells and not names and (flow is not None or flows):
        raise NotebookError(_about_flow(path, flow, list(flows)))
    found = CellFlow(wanted, [*cells, *tasks])
    found.know({"get_ipython", "display"}, {"get_ipython", "display"})
    return found


def _about_flow(path: str | Path, flow: str | None, others: Sequence[str]) -> str:
    """Say that a notebook has no task of a flow, and which flows it has."""
    if flow is None:
        return f"All tasks of {path} name a flow: say --flow {' or --flow '.join(others)}."
    near = get_close_matches(flow, others, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else f" It has {', '.join(others)}." if others else ""
    return f"{path} has no flow {flow!r}.{hint}"


def _with_sign(source: str, above: Sequence[CellTask]) -> str:
    """Return a cell of one line with the ``%`` that IPython adds where a line begins with a magic's name."""
    line = source.strip()
    word = _WORD.match(line)
    if word is None or "\n" in line or not (word[1] in KNOWLEDGE.magics or word[1] in _ALIASES):
        return source
    for cell in above:
        effects = analyse(cell.body)
        if word[1] in effects.writes or effects.rebinds:
            return source
    return "%" + line


def as_python(source: str) -> str:
    """Return a cell's source as IPython hands it to Python, magics as calls of ``get_ipython()``.

    Raises
    ------
    SyntaxError
        It is no Python.
    """
    if not _IPYTHON.search(source):
        # IPython's transformer takes a third of a millisecond a cell; most cells have nothing for it to do.
        text = _BLANK_TOP.sub("", source)
        try:
            parse(text)
        except SyntaxError:
            pass  # perhaps one of its rarer spellings
        else:
            return text if text.endswith("\n") else text + "\n"
    text = _transformer()(source)
    parse(text)
    return text


def _python(path: str | Path, index: int, source: str) -> str:
    try:
        return as_python(source)
    except SyntaxError as error:
        raise NotebookError(f"{path}: cell {index + 1}, line {error.lineno}: {error.msg}.", cell_index=index) from None


def _is_broken(source: str) -> bool:
    try:
        as_python(source)
    except SyntaxError:
        return True
    return False
