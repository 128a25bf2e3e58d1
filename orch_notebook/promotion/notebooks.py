"""Notebooks as files: read, looked at without running them, and kept by their content.

In: a path.  Out: a notebook in format 4 whose cells all have ids, what it declares (parameters, tasks, kernel), and
copies that no later edit changes.  Whatever is wrong with a file comes out as a one-line
:class:`~orch_notebook.errors.NotebookError`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.paths import jupyter_path

from orch_notebook.errors import NotebookError
from orch_notebook.model.deployments import Deployment
from orch_notebook.model.headers import split_task_cell
from orch_notebook.model.parameters import Parameter, read_parameters
from orch_notebook.runtime.files import make_private_folder, near_file, write_whole

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = [
    "FLOW_RUN",
    "INJECTED_CHECK",
    "cells_of",
    "check_kernel",
    "code_cells",
    "content_hash",
    "has_tasks",
    "kernel_of",
    "language_of",
    "notebook_bytes",
    "parameters_of",
    "read_notebook",
    "runs_flow",
    "snapshot",
    "spare_formats",
    "tags_of",
]

FORMAT = 4
CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
#: Marks a cell that was added to check the flow in place of running it.
INJECTED_CHECK = "injected-flow-check"
FLOW_RUN = re.compile(
    r"""^[ \t]*(?:[\w., \t]+=[ \t]*)?%?flow[ \t]+run\b      # %flow run, flow run (automagic), run = %flow run
      | run_line_magic\(\s*['"]flow['"]\s*,\s*['"]\s*run\b  # get_ipython().run_line_magic("flow", "run")
    """,
    re.MULTILINE | re.VERBOSE,
)


def _nbformat() -> Any:
    # The one place where nbformat is imported: it takes up to a second (jsonschema's format checkers).
    import nbformat

    return nbformat


def spare_formats() -> None:
    """Let nbformat load a second faster, in a process that is ours alone.

    jsonschema, which it is made on, takes in a checker of international addresses where one is installed (with
    JupyterLab it is) and builds the grammar for it at once.  Nothing in a notebook has that format.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def read_notebook(path: str | Path) -> NotebookNode:
    """Read a notebook, bring it to the latest minor of format 4 and give every cell an id.

    The file is not touched.  Ids that lack, repeat or are malformed become ``cell-<index>``, the same ones every time.

    Raises
    ------
    NotebookError
        It is missing, unreadable, no JSON, no notebook, of another format, or invalid.
    """
    path = Path(path)
    data = _read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("nbformat"), int):
        raise _broken(path, "is JSON but no notebook")
    if data["nbformat"] < FORMAT:
        raise _broken(path, f"is in notebook format {data['nbformat']}; open it in JupyterLab and save it once")
    if data["nbformat"] > FORMAT:
        raise _broken(path, f"is in notebook format {data['nbformat']}, which is newer than what can be read here (4)")
    cells = data.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise _broken(path, "is no notebook: it has no list of cells")
    _fill(data, cells)
    _give_ids(cells)
    nbformat = _nbformat()
    data["nbformat_minor"] = max(_minor(data), nbformat.v4.nbformat_minor)
    try:
        notebook = nbformat.v4.to_notebook(data)
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise _broken(path, f"is not a valid notebook: {_first_fault(error)}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"is not a valid notebook ({type(error).__name__}: {error})") from None
    return notebook


def _broken(path: Path, what: str) -> NotebookError:
    return NotebookError(f"{path} {what}.", path=str(path))


def _read_json(path: Path) -> Any:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise NotebookError(f"There is no notebook {path}.{near_file(path)}", path=str(path)) from None
    except IsADirectoryError:
        raise _broken(path, "is a folder, not a notebook") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NotebookError(f"{path} cannot be read: {reason}.", path=str(path)) from None
    if not raw.strip():
        raise _broken(path, "is empty")
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _broken(path, "is no notebook: it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        if path.suffix == ".py":
            raise _broken(path, f"is a module, not a notebook. For a flow of it: orch deploy {path}:FLOW") from None
        raise _broken(path, f"is no notebook: line {error.lineno}, column {error.colno} is not JSON") from None
    except RecursionError:
        raise _broken(path, "is no notebook: it is nested too deeply") from None


def _minor(data: dict[str, Any]) -> int:
    minor = data.get("nbformat_minor")
    return minor if isinstance(minor, int) else 0


def _fill(data: dict[str, Any], cells: list[dict[str, Any]]) -> None:
    # What scripts that write notebooks tend to leave out, and no front end misses.
    metadata = data.setdefault("metadata", {})
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    if isinstance(spec, dict) and "name" in spec:
        spec.setdefault("display_name", spec["name"])
    for cell in cells:
        cell.setdefault("metadata", {})
        cell.setdefault("source", "")
        if cell.get("cell_type") == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)


def _give_ids(cells: list[dict[str, Any]]) -> None:
    taken: set[str] = set()
    nameless = []
    for index, cell in enumerate(cells):
        given = cell.get("id")
        if isinstance(given, str) and CELL_ID.fullmatch(given) and given not in taken:
            taken.add(given)
        else:
            nameless.append(index)
    for index in nameless:
        cells[index]["id"] = _free_id(f"cell-{index}", taken)


def _free_id(wanted: str, taken: set[str]) -> str:
    free, count = wanted, 1
    while free in taken:
        count += 1
        free = f"{wanted}-{count}"
    taken.add(free)
    return free


def _first_fault(error: Any) -> str:
    # jsonschema's message goes on for pages; its first line says what is wrong, and the path where.
    place = [str(step) for step in getattr(error, "relative_path", ())]
    where = f"{'/'.join(place)}: " if place else ""
    return where + str(getattr(error, "message", error)).splitlines()[0][:200]


def notebook_bytes(notebook: NotebookNode) -> bytes:
    """Return the notebook as it stands in a file."""
    # Half a surrogate pair can be printed but not stored; one such character must not lose the whole notebook.
    return str(_nbformat().v4.writes(notebook)).encode("utf-8", "replace") + b"\n"


def tags_of(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell, leaving out what is none."""
    tags = cell.get("metadata", {}).get("tags", [])
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def code_cells(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """Return the code cells that an execution runs, with their index: not the blank ones, nor those told to skip."""
    return [
        (index, cell)
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and cell.source.strip() and "skip-execution" not in tags_of(cell)
    ]


def parameters_of(notebook: NotebookNode) -> tuple[Parameter, ...]:
    """Return what the first cell tagged ``parameters`` declares; nothing where there is none.

    Raises
    ------
    ParameterError
        The cell does not parse.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" in tags_of(cell):
            return read_parameters(cell.source)
    return ()


def has_tasks(notebook: NotebookNode) -> bool:
    """Whether a cell of the notebook is a task."""
    return any(split_task_cell(cell.source) is not None for _, cell in code_cells(notebook))


def runs_flow(notebook: NotebookNode) -> bool:
    """Whether a line of the notebook runs its flow, or a cell that was added checks it."""
    return any(FLOW_RUN.search(cell.source) or INJECTED_CHECK in tags_of(cell) for _, cell in code_cells(notebook))


def kernel_of(notebook: NotebookNode) -> str:
    """Return the name of the kernel the notebook asks for; ``python3`` where it asks for none."""
    name = notebook.metadata.get("kernelspec", {}).get("name")
    return name if isinstance(name, str) and name else "python3"


def language_of(notebook: NotebookNode) -> str:
    """Return the language the notebook is written in, lower case; ``python`` where it does not say."""
    metadata = notebook.metadata
    for name in (metadata.get("language_info", {}).get("name"), metadata.get("kernelspec", {}).get("language")):
        if isinstance(name, str) and name:
            return name.lower()
    return "python"


def check_kernel(name: str) -> str:
    """Return the kernel's name if it is installed here.

    Raises
    ------
    NotebookError
        It is not; the message lists those that are.
    """
    if _has_spec(name):
        return name
    # jupyter_client is imported here and nowhere else on this floor; with IPython, which it asks, it takes 150 ms.
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    specs = KernelSpecManager()
    try:
        specs.get_kernel_spec(name)
    except (NoSuchKernel, ValueError):
        here = ", ".join(sorted(specs.find_kernel_specs())) or "none"
        message = f"The kernel {name!r} is not installed here; installed: {here}."
        raise NotebookError(message, kernel=name) from None
    return name


def _has_spec(name: str) -> bool:
    """Whether a kernel stands plainly where Jupyter looks first; of others jupyter_client knows."""
    for folder in jupyter_path("kernels") if name == Path(name).name else ():
        try:
            return isinstance(json.loads(Path(folder, name, "kernel.json").read_bytes()).get("argv"), list)
        except (OSError, ValueError, AttributeError):
            continue
    return False


def content_hash(notebook: NotebookNode) -> str:
    """Return a digest of what an execution would run: code cells in order, their tags, kernel and language.

    Prose, outputs, cell ids and every other metadata leave it unchanged.
    """
    content = [
        [[cell.source, sorted(tags_of(cell))] for _, cell in code_cells(notebook)],
        kernel_of(notebook),
        language_of(notebook),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def snapshot(path: str | Path, folder: str | Path) -> Path:
    """Keep a copy of a notebook that no later edit changes.

    Parameters
    ----------
    path : path
        The notebook; read and checked.
    folder : path
        Where copies lie; made if it lacks, for its owner only (0700).

    Returns
    -------
    Path
        ``<folder>/<digest>.ipynb``, the digest being that of the copy itself.  Outputs, which every execution clears
        anyway, are left out: running a notebook makes no new copy of it, and what it printed does not stay behind.

    Raises
    ------
    NotebookError
        The notebook cannot be read, or the copy not be written.
    """
    notebook = read_notebook(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
        for volatile in ("execution", "papermill", "ExecuteTime"):
            cell.metadata.pop(volatile, None)
    for volatile in ("widgets", "papermill", "orch_notebook"):
        notebook.metadata.pop(volatile, None)
    data = notebook_bytes(notebook)
    try:
        copy = make_private_folder(Path(folder)) / f"{hashlib.sha256(data).hexdigest()}.ipynb"
        if not (copy.exists() and copy.read_bytes() == data):
            write_whole(copy, data)
    except OSError as error:
        reason = error.strerror or error
        raise NotebookError(f"No copy of {path} can be kept in {folder}: {reason}.", path=str(path)) from None
    return copy


def cells_of(deployment: Deployment) -> list[str]:
    """Return the sources of a deployment's pinned notebook, or module; none if it is gone."""
    if deployment.plan.entrypoint:
        try:
            return [Path(deployment.plan.snapshot).read_text("utf-8", "replace")]
        except OSError:
            return []
    try:
        return [str(cell.source) for cell in read_notebook(deployment.plan.snapshot).cells]
    except NotebookError:
        return []
