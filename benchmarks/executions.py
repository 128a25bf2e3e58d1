"""One execution of a plain notebook in a real kernel, and what every cell of it left.

``python benchmarks/executions.py HOW NOTEBOOK RESULT [SECONDS]`` executes the notebook where it lies and writes one
JSON file.  HOW is ``plain`` (a stock kernel, cell after cell), ``threads`` (every cell a task, performed by the engine
on 16 threads), ``latest`` (one at a time, always the ready task that stands lowest) or a number (one at a time, in the
random legal order of that seed).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import nbformat
from fingerprints import fingerprint
from nbclient import NotebookClient

MASKS = [
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "0x…"),
    (re.compile(r"\bid=\d+|\b\d{13,}\b"), "…"),
    # What %time, %timeit and progress bars measure.
    (re.compile(r"^(?:The slowest run took|This could mean that an intermediate).*\n?", re.MULTILINE), ""),
    (re.compile(r"^.*(?: per loop|Wall time:|CPU times:|it/s|s/it).*$", re.MULTILINE), "…"),
    (re.compile(r"\d+(?:\.\d+)?(?:e-\d+)? ?(?:s|ms|µs|us|ns|sec|secs|seconds|minutes)\b"), "… s"),
    (re.compile(r"\b\d\d?:\d\d:\d\d(?:\.\d+)?\b"), "…"),
    (
        re.compile(r"(?:<ipython-input-\S+|[^\s\"]*ipykernel_[^\s\",]+|<task cell-\d+>|<cell>|Cell In ?\[\d+\])"),
        "<cell>",
    ),
]
#: A warning as it is written: where, what, and the line that caused it.
WARNING = re.compile(r"^\S.*?:\d+: (\w*Warning): ?(.*(?:\n(?!\S.*?:\d+: \w*Warning: ).*)*)", re.MULTILINE)


def rank_of(how: str) -> Callable[[str], float]:
    """Return the place of each task in the order in which ready ones are performed."""
    if how == "latest":
        return lambda task: -float(task.partition("-")[2])
    draw = random.Random(int(how))
    ranks: defaultdict[str, float] = defaultdict(draw.random)
    return lambda task: ranks[task]


def summary(outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is compared of a cell's outputs: texts without addresses and times, figures by their picture."""
    streams = {"stdout": "", "stderr": ""}
    rich: list[Any] = []
    error = ""
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            streams[output["name"]] += output["text"]
        elif kind == "clear_output":
            streams, rich = {"stdout": "", "stderr": ""}, []
        elif kind == "error":
            error = mask(f"{output['ename']}: {output['evalue']}")
        elif kind in ("display_data", "execute_result"):
            data = output["data"]
            shown: list[Any] = [sorted(data), mask(str(data.get("text/plain", "")))]
            if "image/png" in data:
                picture = data["image/png"]
                picture = base64.b64encode(picture) if isinstance(picture, bytes) else picture.strip().encode()
                shown.append(hashlib.sha1(picture).hexdigest()[:12])
            rich.append(shown)
    # IPython tells the error of a magic in words.
    if not error and (told := re.search(r"^UsageError: .*$", streams["stderr"], re.MULTILINE)):
        error = mask(told[0])
    warnings = sorted({f"{kind}: {text.strip()}" for kind, text in WARNING.findall(streams["stderr"])})
    stderr = WARNING.sub("", streams["stderr"])
    return {
        "stdout": mask(streams["stdout"]),
        "stderr": mask(stderr).strip(),
        "warnings": [mask(text) for text in warnings],
        "rich": rich,
        "error": error,
    }


def mask(text: str) -> str:
    """Return a text without addresses, times and the place where the notebook lies."""
    text = text.replace(os.environ["AGREEMENT_FOLDER"], "<folder>")
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    # A progress bar rewrites its line.
    return "\n".join(line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n"))


# In the kernel


def write_names(shell: Any, result: str, names: Mapping[str, Any] | None = None) -> None:
    """Write the fingerprints of the namespace's values by name."""
    hidden = shell.user_ns_hidden
    found = {
        name: fingerprint(value)
        for name, value in dict(shell.user_ns if names is None else names).items()
        if not name.startswith("_") and name not in ("In", "Out", "exit", "quit", "get_ipython") and name not in hidden
    }
    Path(result).write_text(json.dumps(found), "utf-8")


def run_flow(shell: Any, notebook: str, how: str, result: str) -> None:
    """Run every cell of a notebook as a task, here in its kernel, and write what came of them."""
    from orch_notebook.jupyter.session import NotebookSession
    from orch_notebook.orchestrator import Orchestrator
    from orch_notebook.promotion.reading import read_flow
    from orch_notebook.runtime.runners.ordered import OrderedRunner
    from orch_notebook.runtime.runners.threads import ThreadRunner

    outputs: dict[str, list[dict[str, Any]]] = {}

    def put_out(task: str, capture: Any) -> None:
        outputs.setdefault(task, []).extend(capture.take())

    orchestrator = Orchestrator()
    session = NotebookSession(shell, orchestrator)
    session.open()
    flow = read_flow(notebook, all_cells=True)
    hooks = session._hooks
    hooks._begun, hooks._put_out = lambda task, capture: None, put_out
    base = session._leavings.environment(flow)
    runner = ThreadRunner(16) if how == "threads" else OrderedRunner(rank_of(how))
    handle = orchestrator.cells.start(flow, shell.user_ns, base=base, hooks=hooks, runner=runner)
    handle.wait()
    run = handle.run
    graph = flow.graph
    tasks = {
        task.name: {
            "state": task.state.name,
            "error": str((task.details or {}).get("error", "")),
            "outputs": summary(outputs.get(task.name, [])),
        }
        for task in run.tasks
    }
    effects = flow.wiring.effects
    report = {
        "tasks": tasks,
        "longest": longest_path(graph),
        "edges": [[edge.before, edge.after, edge.rule, edge.name] for edge in graph.edges],
        "makes": {name: sorted(effects[name].writes | effects[name].mutates) for name in tasks},
        "opaque": {name: effects[name].opaque for name in tasks if effects[name].opaque},
    }
    Path(result).write_text(json.dumps(report), "utf-8")
    write_names(shell, result + ".names")


def longest_path(graph: Any) -> int:
    """Return how many tasks the longest chain has."""
    length: dict[str, int] = {}
    for task in graph.tasks:  # every edge leads downwards
        length[task.name] = 1 + max((length[before] for before in graph.predecessors[task.name]), default=0)
    return max(length.values(), default=0)


# Outside of it

NAMES = "import executions as _e\n_e.write_names(get_ipython(), {result!r})\ndel _e"
FLOW = "import executions as _e\n_e.run_flow(get_ipython(), {notebook!r}, {how!r}, {result!r})"


def execute(how: str, path: Path, result: Path, seconds: int) -> None:
    """Execute a notebook and write what its cells left."""
    notebook = nbformat.read(path, as_version=4)
    is_plain = how == "plain"
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    indices = [index for index, cell in enumerate(notebook.cells) if cell in cells]
    mine = str(result) + (".names" if is_plain else "")
    text = (NAMES if is_plain else FLOW).format(result=mine, how=how, notebook=str(path))
    # A cell of a live notebook always has others before it.
    before = cells if is_plain else [nbformat.v4.new_code_cell("None")]
    notebook.cells = [*before, nbformat.v4.new_code_cell(text)]
    options = {"allow_errors": True, "timeout": seconds, "store_widget_state": False}
    client = NotebookClient(notebook, kernel_name="python3", **options)
    client.execute(cwd=str(path.parent), cleanup_kc=True)
    ended = notebook.cells[-1]
    if not Path(mine).exists():
        failure = [output for output in ended.outputs if output["output_type"] == "error"]
        raise RuntimeError("; ".join(f"{output['ename']}: {output['evalue']}" for output in failure))
    if is_plain:
        tasks = {
            f"cell-{index}": {"outputs": summary(cell.outputs)}
            for index, cell in zip(indices, notebook.cells, strict=False)
        }
        found: dict[str, Any] = {"tasks": tasks}
    else:
        found = json.loads(result.read_text("utf-8"))
    names = Path(str(result) + ".names")
    found["names"] = json.loads(names.read_text("utf-8"))
    result.write_text(json.dumps(found), "utf-8")
    names.unlink()


def main() -> None:
    """Execute as the command line says; a kernel that takes too long is ended with it."""
    how, path, result, *rest = sys.argv[1:]
    seconds = int(rest[0]) if rest else 300

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"It took longer than {seconds} s.")

    signal.signal(signal.SIGALRM, end)
    signal.signal(signal.SIGTERM, end)
    signal.alarm(seconds)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    os.environ["AGREEMENT_FOLDER"] = str(Path(path).parent.absolute())
    os.chdir(Path(path).parent)
    try:
        execute(how, Path(path).absolute(), Path(result).absolute(), seconds)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - told to whoever asked for the execution
        Path(result).write_text(json.dumps({"failure": f"{type(error).__name__}: {error}"}), "utf-8")


if __name__ == "__main__":
    main()
