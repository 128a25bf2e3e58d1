"""An ordinary notebook made a flow: ``%%task`` lines written into its file.

In: a notebook's path.  Out: the bytes of the notebook with tasks.  What is added is put into the text of the file, so
everything else stays as it was, byte for byte: outputs, metadata, ids, order, indent, line ends.
"""

from __future__ import annotations

import ast
import codecs
import json
import re
import stat
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from json.decoder import JSONDecoder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import NotebookError, UsageError
from orch_notebook.model.taskify import Plan, WrittenCell, plan_tasks
from orch_notebook.promotion.notebooks import code_cells, has_tasks, language_of, read_notebook, runs_flow, tags_of
from orch_notebook.promotion.reading import as_python
from orch_notebook.runtime.files import write_whole

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Taskified", "taskify", "write_taskified"]

LOAD, RUN = "%load_ext orch_notebook", "%flow run"
SPACE = re.compile(r"[ \t\r\n]*")
LOADS = re.compile(r"^[ \t]*%?(re)?load_ext[ \t]+orch_notebook\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Taskified:
    """A notebook with tasks, not yet written.

    Parameters
    ----------
    source : Path
        The notebook it was made from.
    data : bytes
        What its file holds.
    plan : Plan
        What became of the cells, by their index in the source.
    shift : int
        How many cells further down they stand now.
    """

    source: Path
    data: bytes
    plan: Plan
    shift: int


def taskify(path: str | Path) -> Taskified:
    """Return a notebook with its cells made tasks.

    Parameters
    ----------
    path : path
        An ordinary Python notebook that runs from top to bottom.

    Raises
    ------
    NotebookError
        It cannot be read, or it is not in Python.
    UsageError
        It has tasks already, or none of its cells can be one.

    Notes
    -----
    A cell becomes a task unless it only imports, defines, sets or calls magics, and executing it before the tasks above
    it cannot be noticed.  The first cell that holds nothing but numbers, texts and truth values is tagged
    ``parameters`` if it stands above all tasks, its names say something, cells below read them, and none binds them
    anew.
    """
    path = Path(path)
    notebook = read_notebook(path)
    if (language := language_of(notebook)) != "python":
        raise NotebookError(f"{path} is written in {language}; only Python cells can be tasks.", path=str(path))
    if has_tasks(notebook):
        raise UsageError(f"{path} has tasks already. Give further cells a first line '%%task NAME' yourself.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the person's code, which is only looked at here
        plan = plan_tasks(list(_written(notebook)))
    if not plan.tasks:
        raise UsageError(f"No cell of {path} can be a task.{_why_none(plan)}")
    raw = path.read_bytes()
    mark = codecs.BOM_UTF8 if raw.startswith(codecs.BOM_UTF8) else b""
    is_loaded = any(LOADS.search(cell.source) for _, cell in code_cells(notebook))
    text = _edited(raw[len(mark) :].decode("utf-8"), plan, loads=not is_loaded, runs=not runs_flow(notebook))
    return Taskified(path, mark + text.encode("utf-8", "surrogatepass"), plan, 0 if is_loaded else 1)


def write_taskified(made: Taskified, target: Path, *, replaces: bool = False) -> Path:
    """Write the notebook, whole or not at all, readable for whom its source is.

    Raises
    ------
    UsageError
        There is something at `target`, and it is not to be replaced.
    NotebookError
        It cannot be written.
    """
    target = target.resolve()  # a link stays a link
    if target.exists() and not replaces:
        raise UsageError(f"{target} exists. Choose another place with --output, or replace it with --force.")
    try:
        mode = stat.S_IMODE(made.source.stat().st_mode)
        write_whole(target, made.data).chmod(mode)
    except OSError as error:
        raise NotebookError(f"{target} cannot be written: {error.strerror or error}.", path=str(target)) from None
    return target


def _why_none(plan: Plan) -> str:
    for index, why in plan.kept.items():
        return f" Cell {index + 1} has to be executed at its place ({why}), and so has all above it."
    return " Its cells only import, define and set."


def _written(notebook: NotebookNode) -> Iterator[WrittenCell]:
    code = {index for index, _ in code_cells(notebook)}
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            yield WrittenCell(index, cell.source, is_code=False)
        elif index in code:
            try:
                source = as_python(cell.source)
                # Some errors show only now, such as a 'return' outside of functions.
                compile(source, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                yield WrittenCell(index, source, tags=frozenset(tags_of(cell)))
            except (SyntaxError, ValueError) as error:
                problem = str(error.msg) if isinstance(error, SyntaxError) else str(error)
                yield WrittenCell(index, "", problem=problem, tags=frozenset(tags_of(cell)))


# The text of the file.

Span = tuple[int, int]


def _skip(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at


def _end(text: str, at: int) -> int:
    """Return where the JSON value ends that begins here."""
    return DECODER.raw_decode(text, at)[1]


DECODER = JSONDecoder(strict=False)


def _members(text: str, at: int) -> dict[str, Span]:
    """Return where the values of the object lie that begins here, by key."""
    found: dict[str, Span] = {}
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        found[str(key)] = start, _end(text, start)
        at = _skip(text, found[str(key)][1])
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _items(text: str, at: int) -> list[Span]:
    """Return where the items of the array lie that begins here."""
    found: list[Span] = []
    at = _skip(text, at + 1)
    while text[at] != "]":
        found.append((at, _end(text, at)))
        at = _skip(text, found[-1][1])
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


class _Style:
    """How a file writes its JSON."""

    def __init__(self, text: str, cells: int) -> None:
        self.gap = text[cells + 1 : _skip(text, cells + 1)]
        lines = re.search(r"\n([ \t]+)", text)
        self.unit = lines[1] if lines and "\n" in self.gap else ""
        self.is_ascii = text.isascii()

    def value(self, value: Any, gap: str) -> str:
        """Return a value's text, its lines beginning like `gap` ends."""
        if "\n" not in gap:
            return json.dumps(value, ensure_ascii=self.is_ascii)
        return json.dumps(value, ensure_ascii=self.is_ascii, indent=self.unit or 1).replace("\n", gap)


def _edited(text: str, plan: Plan, *, loads: bool, runs: bool) -> str:
    top = _members(text, _skip(text, 0))
    cells = top["cells"][0]
    style = _Style(text, cells)
    spans = _items(text, cells)
    minor = int(text[slice(*top["nbformat_minor"])]) if "nbformat_minor" in top else 0
    taken = set(re.findall(r'"id"\s*:\s*"([^"]*)"', text))
    sources = [members["source"][0] for start, _ in spans if "source" in (members := _members(text, start))]
    in_lines = any(text[at] == "[" for at in sources)
    #: What is put where, the places counted in the old text.
    edits: list[tuple[int, str]] = []

    def cell(source: str, name: str) -> str:
        made: dict[str, Any] = {"cell_type": "code", "execution_count": None}
        if minor >= 5:
            made["id"] = next(each for each in (name, *(f"{name}-{n}" for n in range(2, 9999))) if each not in taken)
        made |= {"metadata": {}, "outputs": [], "source": [source] if in_lines else source}
        return style.value(made, style.gap)

    if loads:
        edits.append((cells + 1, f"{style.gap}{cell(LOAD, 'orch-load')},"))
    for index, (start, _) in enumerate(spans):
        members = _members(text, start)
        if index in plan.tasks:
            edits.append(_header(text, members["source"], plan.tasks[index], style))
        if index == plan.parameters:
            edits.append(_tag(text, start, members, style))
    if runs:
        edits.append((spans[-1][1], f",{style.gap}{cell(RUN, 'orch-run')}"))
    for at, added in sorted(edits, reverse=True):
        text = text[:at] + added + text[at:]
    return text


def _header(text: str, span: Span, name: str, style: _Style) -> tuple[int, str]:
    line = json.dumps(f"%%task {name}\n", ensure_ascii=style.is_ascii)
    start = span[0] + 1
    if text[span[0]] == "[":
        return start, f"{text[start : _skip(text, start)]}{line},"
    return start, line[1:-1]


def _tag(text: str, start: int, members: Mapping[str, Span], style: _Style) -> tuple[int, str]:
    word = '"parameters"'
    if "metadata" not in members:
        return start + 1, f'{text[start + 1 : _skip(text, start + 1)]}"metadata": {{"tags": [{word}]}},'
    metadata = members["metadata"][0]
    inside = _members(text, metadata)
    gap = text[metadata + 1 : _skip(text, metadata + 1)]
    if "tags" in inside:
        tags = inside["tags"][0]
        between = text[tags + 1 : _skip(text, tags + 1)]
        return tags + 1, f"{between}{word}," if _items(text, tags) else word
    if inside:
        return metadata + 1, f'{gap}"tags": {style.value(["parameters"], gap)},'
    outer = re.search(r"\n[ \t]*$", text[: members["metadata"][0]].rpartition('"metadata"')[0])
    if outer is None:
        return metadata + 1, f'"tags": [{word}]'
    around = outer[0]
    return metadata + 1, f'{around}{style.unit}"tags": {style.value(["parameters"], around + style.unit)}{around}'
