"""Compares ordinary notebooks with what ``orch taskify`` makes of them: outputs cell by cell, and the time it takes.

``python benchmarks/taskified.py FOLDER_OR_NOTEBOOK …`` executes each notebook with plain papermill and, with tasks, by
``orch run``, in turns, each time in a fresh copy of its folder.  A cell's output counts where two plain executions give
the same.  Where a plain execution fails, the cells up to there count.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orch_notebook.errors import NotebookError, OrchError
from orch_notebook.model.graph import Graph
from orch_notebook.promotion.reading import read_flow
from orch_notebook.promotion.taskify import taskify, write_taskified

#: What differs between two executions of the same code.
MASKS = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "ADDRESS"),
    (re.compile(r"\S*ipykernel_\d+\S*?:\d+"), "CELL"),
    (re.compile(r"<ipython-input-[^>]*>|Cell In\[\d+\], line \d+|In\s?\[\d+\]"), "CELL"),
    (re.compile(r"/\S*orch-taskified-\w+"), "FOLDER"),
    (re.compile(r"(CPU times|Wall time|Compiler|Parser)[^\n]*"), "TIME"),
    (re.compile(r"[\d.,]+ ?(ns|µs|μs|us|ms|s|sec|seconds|min)\b( ± [^\n]*)?"), "TIME"),
    (re.compile(r"\d\d:\d\d:\d\d(\.\d+)?"), "CLOCK"),
)
FOLDER_LIMIT = 300_000_000


@dataclass
class Execution:
    """One execution of a notebook: how long it took, the processor's part of that, and its cells' outputs in order."""

    seconds: float
    busy: float
    cells: list[dict[str, str]]
    failed: int | None = None


@dataclass
class Comparison:
    """What was found of one notebook."""

    notebook: str
    note: str = ""
    cells: int = 0
    counting: int = 0
    same: int = 0
    tasks: int = 0
    parallelism: float = 0.0
    plain: float = 0.0
    flow: float = 0.0
    ratio: float = 0.0
    busy_ratio: float = 0.0
    differing: list[dict[str, Any]] = field(default_factory=list)


def masked(text: str) -> str:
    """Return a text without what differs between two executions."""
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    return text


def joined(text: Any) -> str:
    """Return a text that a notebook may keep in lines."""
    return "".join(text) if isinstance(text, list) else str(text)


def outputs_of(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a cell's outputs, without the badge that stands above those of a task."""
    outputs = list(cell.get("outputs", ()))
    if joined(cell["source"]).startswith("%%task ") and outputs:
        if outputs[0]["output_type"] != "display_data":
            raise RuntimeError(f"a task shows no badge: {cell['source']}")
        del outputs[0]
    return outputs


def picture(outputs: list[dict[str, Any]]) -> dict[str, str]:
    """Return what can be compared of a cell's outputs, by kind and place."""
    found: dict[str, str] = {}
    shown = 0
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            found[output["name"]] = found.get(output["name"], "") + joined(output["text"])
        elif kind == "error":
            found["error"] = f"{output['ename']}: {output['evalue']}"
        else:
            for mime, content in output["data"].items():
                if mime == "text/plain":
                    found[f"{shown} {mime}"] = joined(content)
                elif mime.startswith("image/"):
                    found[f"{shown} {mime}"] = hashlib.sha1(joined(content).strip().encode()).hexdigest()
                elif "text/plain" not in output["data"]:
                    found[f"{shown} {mime}"] = json.dumps(content)
            shown += 1
    return {key: masked(text) for key, text in found.items()}


def read_cells(path: Path, shift: int, count: int) -> list[dict[str, Any]]:
    """Return the cells of an executed notebook that stood in its source."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    added = {"injected-parameters", "papermill-error-cell-tag"}
    cells = [cell for cell in cells if not added & set(cell["metadata"].get("tags", ()))]
    return list(cells[shift : shift + count])


def execute(command: list[str], folder: Path, limit: float) -> tuple[float, float, str, str]:
    """Execute something; return how long it took, how long processors were busy with it, and what it said."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "ORCH_HOME": str(folder.parent / "home")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # uncompiled modules would be measured, not the product
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=limit, env=environment
    )
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, busy, done.stdout, done.stderr


def copied(notebook: Path, at: Path) -> Path:
    """Copy a notebook's folder and return the folder."""
    target = at / "folder"
    shutil.copytree(
        notebook.parent, target, symlinks=True, ignore=shutil.ignore_patterns(".git", ".ipynb_checkpoints", "*.ipynb")
    )
    shutil.copy(notebook, target / "book.ipynb")
    return target


def run_plain(notebook: Path, count: int, limit: float) -> Execution:
    """Execute a notebook with papermill."""
    with tempfile.TemporaryDirectory(prefix="orch-taskified-", ignore_cleanup_errors=True) as at:
        folder = copied(notebook, Path(at))
        command = ["-m", "papermill", "book.ipynb", "executed.ipynb", "-k", "python3", "--no-progress-bar"]
        seconds, busy, _, errors = execute(command, folder, limit)
        executed = folder / "executed.ipynb"
        if not executed.exists():
            raise RuntimeError(f"papermill failed: {errors.strip()[-200:]}")
        cells = read_cells(executed, 0, count)
        return Execution(seconds, busy, [picture(outputs_of(cell)) for cell in cells], first_failure(cells))


def first_failure(cells: list[dict[str, Any]]) -> int | None:
    """Return the cell at which the execution ended, if it did."""
    for index, cell in enumerate(cells):
        is_expected = "raises-exception" in cell["metadata"].get("tags", ())
        if not is_expected and any(output["output_type"] == "error" for output in cell.get("outputs", ())):
            return index
    return None


def run_flow(notebook: Path, count: int, limit: float) -> Execution:
    """Execute what taskify makes of a notebook with ``orch run``."""
    with tempfile.TemporaryDirectory(prefix="orch-taskified-", ignore_cleanup_errors=True) as at:
        folder = copied(notebook, Path(at))
        made = taskify(folder / "book.ipynb")
        write_taskified(made, folder / "book.ipynb", replaces=True)
        command = ["-m", "orch_notebook.cli", "run", "book.ipynb", "--kernel", "python3", "--json"]
        seconds, busy, said, errors = execute(command, folder, limit)
        if not said.strip():
            raise RuntimeError(errors.strip()[-300:] or "orch run said nothing")
        cells = read_cells(Path(json.loads(said)["executed_notebook"]), made.shift, count)
        return Execution(seconds, busy, [picture(outputs_of(cell)) for cell in cells])


def parallelism(graph: Graph) -> float:
    """Return the number of tasks over the length of the longest path."""
    depth: dict[str, int] = {}
    for task in graph.tasks:  # in document order, which every edge follows
        depth[task.name] = 1 + max((depth[before] for before in graph.predecessors[task.name]), default=0)
    return len(depth) / max(depth.values())


def compare(notebook: Path, repeats: int, limit: float) -> Comparison:
    """Execute a notebook both ways and return what was found."""
    found = Comparison(str(notebook))
    source = json.loads(notebook.read_text("utf-8-sig"))["cells"]
    try:
        made = taskify(notebook)
    except OrchError as error:
        found.note = f"not taskified: {error}"
        return found
    found.tasks = len(made.plan.tasks)
    with tempfile.TemporaryDirectory() as at, suppress(NotebookError):  # a cell may be no Python
        graph = read_flow(write_taskified(made, Path(at) / notebook.name)).graph
        found.parallelism = round(parallelism(graph), 2)
    try:
        plain, flow = [], []
        for _ in range(max(repeats, 2)):
            plain.append(run_plain(notebook, len(source), limit))
            if len(flow) < repeats:
                flow.append(run_flow(notebook, len(source), limit))
    except subprocess.TimeoutExpired as error:
        found.note = f"took longer than {limit:.0f} s: {' '.join(map(str, error.cmd[1:4]))}"
        return found
    except (RuntimeError, OSError, OrchError) as error:
        found.note = str(error)
        return found
    ended = plain[0].failed
    last = len(source) if ended is None else ended + 1
    found.note = "" if ended is None else f"fails plainly in cell {ended}"
    for index, cell in enumerate(source[:last]):
        if cell["cell_type"] != "code" or not joined(cell["source"]).strip():
            continue
        found.cells += 1
        first, *others = [each.cells[index] for each in plain]
        stable = {key for key in first if all(other.get(key) == first[key] for other in others)}
        possible = {key for each in plain for key in each.cells[index]}
        if possible and not stable:
            continue
        found.counting += 1
        wrong = {
            key: (first.get(key, ""), each.cells[index].get(key, ""))
            for each in flow
            for key in stable | (set(each.cells[index]) - possible)
            if each.cells[index].get(key) != first.get(key)
        }
        if wrong:
            found.differing.append({"cell": index, "kinds": sorted(wrong), "expected_and_found": wrong})
        else:
            found.same += 1
    found.plain = round(statistics.median(each.seconds for each in plain), 2)
    found.flow = round(statistics.median(each.seconds for each in flow), 2)
    found.ratio = round(found.flow / found.plain, 2)
    busy = statistics.median(each.busy for each in flow) / statistics.median(each.busy for each in plain)
    found.busy_ratio = round(busy, 2)
    return found


def notebooks_in(places: list[Path]) -> Iterator[Path]:
    """Yield the notebooks at these places, those in folders sorted."""
    for place in places:
        yield from sorted(place.rglob("*.ipynb")) if place.is_dir() else [place]


def main() -> None:
    """Compare the notebooks that are named, print a line for each, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="+", type=Path, metavar="FOLDER_OR_NOTEBOOK")
    parser.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="executions with tasks; plain ones are 2 or more"
    )
    parser.add_argument("--limit", type=float, default=120, metavar="SECONDS", help="the longest an execution may take")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all that was found here")
    given = parser.parse_args()
    found: list[Comparison] = []
    for notebook in notebooks_in([place.resolve() for place in given.places]):
        one = compare(notebook, given.repeats, given.limit)
        found.append(one)
        differing = ", ".join(f"{each['cell']} ({' '.join(each['kinds'])})" for each in one.differing)
        print(
            f"{notebook.name[:44]:<44} {one.same:>4}/{one.counting:<4} tasks {one.tasks:<4} ∥ {one.parallelism:<5}"
            f" plain {one.plain:>6.2f} s  flow {one.flow:>6.2f} s  × {one.ratio:<5} busy × {one.busy_ratio:<5}"
            f" {one.note} {differing}",
            flush=True,
        )
        if given.json:
            given.json.write_text(json.dumps([asdict(each) for each in found], indent=1, ensure_ascii=False), "utf-8")
    done = [one for one in found if one.counting]
    if not done:
        raise SystemExit("Nothing could be compared.")
    counting, same = sum(one.counting for one in done), sum(one.same for one in done)
    print(f"\n{len(done)} notebooks, {same} of {counting} cells the same ({same / counting:.2%}).")
    whole = [one for one in done if not one.note]
    for what, some in (
        ("all that run to their end", whole),
        ("next to nothing is parallel (< 1.2)", [one for one in whole if one.parallelism < 1.2]),
        ("something is parallel", [one for one in whole if one.parallelism >= 1.2]),
    ):
        if some:
            ratio, busy = (statistics.median(getattr(one, name) for one in some) for name in ("ratio", "busy_ratio"))
            print(f"{what}: {len(some)} notebooks, median time × {ratio:.2f} of plain, processors busy × {busy:.2f}")


if __name__ == "__main__":
    main()
