"""How far flows of cells agree with running the cells top to bottom, on notebooks that nobody here wrote.

``python benchmarks/agreement.py [OPTIONS] FOLDER_OR_NOTEBOOK…`` takes plain notebooks, every code cell a task.  Each
is executed twice from top to bottom in a stock kernel, then by the engine in random legal orders, one task at a time,
and on 16 threads; every execution in a process of its own, in a fresh copy of the notebook's folder.

A cell agrees when its texts (without addresses, times and the places of warnings), its error, its figures and the
values of the names it was the last to make are those of the plain execution.  A cell that differs between the two
plain executions, or in a third one that is made when flows disagree, does not count.  A cell that fails counts, by its
error.  What it leaves is not defined, however, so one on which others depend is taken out of the notebook before
anything is compared, and so is one that is no Python.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from orch_notebook.model.flows import CellFlow
from orch_notebook.model.graph import Graph
from orch_notebook.model.outcomes import difference
from orch_notebook.model.trials import Trial, departures
from orch_notebook.promotion.reading import read_flow

HERE = Path(__file__).resolve().parent
#: Above this a folder is not copied whole: only the notebook and what is small beside it.
FOLDER_LIMIT = 400_000_000


@dataclass
class Verdict:
    """What came of one notebook.

    Parameters
    ----------
    cells, counted : int
        Code cells that are Python; those that agree between two plain executions and stand below no failure.
    agreed : dict
        By way of execution, how many of the counted cells agree.
    longest : int
        Tasks in the longest chain.
    differences : list of dict
        Every disagreement: way of execution, cell, what differs.
    """

    notebook: str
    cells: int = 0
    counted: int = 0
    agreed: dict[str, int] = field(default_factory=dict)
    of: dict[str, int] = field(default_factory=dict)
    longest: int = 0
    failed: int = 0
    unsteady: int = 0
    dropped: int = 0
    opaque: dict[str, str] = field(default_factory=dict)
    differences: list[dict[str, str]] = field(default_factory=list)
    failure: str = ""

    @property
    def parallelism(self) -> float:
        """Tasks by the length of the longest chain."""
        return self.cells / self.longest if self.longest else 0.0


def notebooks_in(places: Iterable[str]) -> list[Path]:
    """Return the notebooks that are named, and those below the folders that are named."""
    found: dict[Path, None] = {}
    for place in map(Path, places):
        if place.suffix == ".txt":
            found.update(dict.fromkeys(Path(line) for line in place.read_text().split("\n") if line.strip()))
        elif place.is_dir():
            below = sorted(place.rglob("*.ipynb"))
            found.update(dict.fromkeys(path for path in below if ".ipynb_checkpoints" not in path.parts))
        else:
            found[place] = None
    return list(found)


def prepare(path: Path, target: Path, out: Collection[str]) -> None:
    """Write a notebook without outputs and without the cells that are taken out."""
    notebook = nbformat.read(path, as_version=4)
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs = []
            if f"cell-{index}" in out:
                cell.source = ""
    nbformat.write(notebook, target)


def unreadable(path: Path) -> set[str]:
    """Return the cells that are no Python."""
    transform = TransformerManager().transform_cell
    found: set[str] = set()
    for index, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "code":
            try:
                compile(transform(cell.source), "<cell>", "exec", 0x400 | 0x2000)
            except (SyntaxError, ValueError):
                found.add(f"cell-{index}")
    return found


def flow_of(path: Path, out: Collection[str]) -> CellFlow:
    """Return what becomes of a notebook without some of its cells."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(path, Path(folder) / path.name, out)
        return read_flow(Path(folder) / path.name, all_cells=True)


def needed(path: Path, out: Collection[str], failed: Collection[str]) -> set[str]:
    """Return which of the failed cells others depend on, and which cannot be tasks at all."""
    wiring = flow_of(path, out).wiring
    before = {edge.before for edge in wiring.edges if edge.rule not in ("write-after-read", "hidden-state")}
    return {name for name in failed if name in before or name in wiring.undefined}


def longest_path(graph: Graph) -> int:
    """Return how many tasks the longest chain has."""
    length: dict[str, int] = {}
    for task in graph.tasks:  # every edge leads downwards
        length[task.name] = 1 + max((length[before] for before in graph.predecessors[task.name]), default=0)
    return max(length.values(), default=0)


def execute(path: Path, how: str, out: Collection[str], options: argparse.Namespace) -> dict[str, Any]:
    """Execute a notebook in a process of its own and return what it left."""
    with tempfile.TemporaryDirectory(prefix="agreement-", ignore_cleanup_errors=True) as temporary:
        place = Path(temporary) / "here"
        copy_folder(path.parent, place)
        prepare(path, place / path.name, out)
        result = Path(temporary) / "result.json"
        home = Path(temporary) / "home"
        home.mkdir()
        environment = {
            **os.environ,
            "HOME": str(home),
            "ORCH_HOME": str(home / ".orch"),
            "MPLCONFIGDIR": str(Path(tempfile.gettempdir()) / f"agreement-matplotlib-{os.getuid()}"),
            "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
            "PYTHONNOUSERSITE": "1",
            "JUPYTER_PLATFORM_DIRS": "1",
            # Sums of floats depend on the number of threads, and the order of sets on the seed of hashes.
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            "PYTHONHASHSEED": "0",
            # Nothing here may depend on what the network says today.
            **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
        }
        command = [sys.executable, str(HERE / "executions.py"), how, str(place / path.name), str(result)]
        try:
            subprocess.run(
                [*command, str(options.limit)],
                cwd=place,
                env=environment,
                timeout=options.limit + 30,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"failure": f"It took longer than {options.limit} s."}
        if not result.exists():
            return {"failure": "The process died."}
        found: dict[str, Any] = json.loads(result.read_text("utf-8"))
        return found


def copy_folder(folder: Path, target: Path) -> None:
    """Copy what stands beside a notebook; of a big folder only what is not big itself."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def left_out(where: str, names: list[str]) -> list[str]:
        if size <= FOLDER_LIMIT:
            return [name for name in names if name in (".git", ".ipynb_checkpoints")]
        return [name for name in names if (path := Path(where, name)).is_file() and path.stat().st_size > 20_000_000]

    shutil.copytree(folder, target, ignore=left_out, symlinks=False, ignore_dangling_symlinks=True)


def baseline(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return two plain executions and the cells taken out, kept from an earlier measurement where a folder is named."""
    key = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    kept = Path(options.keep) / f"{path.stem}-{key}.trials.json" if options.keep else None
    if kept is not None and kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text("utf-8"))
        return found
    found = {"no Python": sorted(unreadable(path)), "failed": [], "runs": []}
    while True:
        out = {*found["no Python"], *found["failed"]}
        run = execute(path, "plain", out, options)
        if "failure" in run:
            found["failure"] = run["failure"]
            break
        more = needed(path, out, [name for name, cell in run["cells"].items() if cell["error"]])
        if not more:
            found["runs"] = [run, execute(path, "plain", out, options)]
            break
        found["failed"] += sorted(more)
    if kept is not None and not any("failure" in each for each in (found, *found["runs"])):
        kept.write_text(json.dumps(found), "utf-8")
    return found


def judge(path: Path, options: argparse.Namespace) -> Verdict:
    """Execute one notebook in every way and compare."""
    verdict = Verdict(str(path))
    try:
        base = baseline(path, options)
    except Exception as error:  # noqa: BLE001 - a file that cannot be read is one line of the report
        verdict.failure = f"not readable: {type(error).__name__}: {str(error)[:200]}"
        return verdict
    plain, out = base["runs"], {*base["no Python"], *base["failed"]}
    failures = [base["failure"]] if "failure" in base else [run["failure"] for run in plain if "failure" in run]
    if failures:
        verdict.failure = "plainly: " + failures[0][:300]
        return verdict
    first, second = map(Trial.from_json, plain)
    verdict.cells = len(first.cells)
    verdict.dropped = len(out)
    verdict.failed = sum(1 for outcome in first.cells.values() if outcome.error)
    if options.only_plain or not first.cells:
        return verdict
    unsteady = {name for name, outcome in first.cells.items() if difference(outcome, second.cells[name])}
    verdict.unsteady = len(unsteady)
    flow = flow_of(path, out)
    effects = flow.wiring.effects
    verdict.longest = longest_path(flow.graph)
    verdict.opaque = {task.name: effects[task.name].opaque for task in flow if effects[task.name].opaque}
    makers = {made: task.name for task in flow for made in effects[task.name].writes | effects[task.name].mutates}
    moving = {name for name in {*first.names, *second.names} if first.names.get(name) != second.names.get(name)}
    for how in options.ways:
        result = execute(path, how, out, options)
        verdict.of[how] = len(first.cells) - len(unsteady)
        if "failure" in result:
            verdict.differences.append({"how": how, "cell": "", "what": result["failure"][-1500:]})
            verdict.agreed[how] = 0
            continue
        found = Trial.from_json(result)
        wrong = departures(without(first, moving), without(found, moving), makers, unsteady)
        verdict.agreed[how] = verdict.of[how] - sum(1 for each in wrong if each.cell is not None)
        verdict.differences += [
            {"how": how, "cell": each.cell or "?", "what": each.what, "name": each.name} for each in wrong
        ]
    doubtful = {each["cell"] for each in verdict.differences if each["cell"] in first.cells}
    if doubtful:
        # Two executions may be alike by chance.
        again = Trial.from_json(execute(path, "plain", out, options))
        chance = {each.cell for each in departures(first, again, makers)} & doubtful
        verdict.unsteady += len(chance)
        for how in verdict.of:
            verdict.of[how] -= len(chance)
            verdict.agreed[how] -= len(chance - {e["cell"] for e in verdict.differences if e["how"] == how})
        verdict.differences = [each for each in verdict.differences if each["cell"] not in chance]
    verdict.counted = max(verdict.of.values(), default=0)
    return verdict


def without(trial: Trial, moving: Collection[str]) -> Trial:
    """Return an execution without some names: one that moves between plain executions tells nothing."""
    return Trial(trial.cells, {name: value for name, value in trial.names.items() if name not in moving})


def report(verdicts: Sequence[Verdict], ways: Sequence[str]) -> dict[str, Any]:
    """Return the sums."""
    done = [verdict for verdict in verdicts if not verdict.failure and verdict.agreed]
    sums: dict[str, Any] = {
        "notebooks": len(done),
        "not executed": len(verdicts) - len(done),
        "cells": sum(v.cells for v in done),
        "cells that count": sum(v.counted for v in done),
        "differ between plain executions": sum(v.unsteady for v in done),
        "taken out": sum(v.dropped for v in done),
        "fail plainly": sum(v.failed for v in done),
    }
    for how in ways:
        counted = sum(v.of.get(how, 0) for v in done)
        agreed = sum(v.agreed.get(how, 0) for v in done)
        sums[f"agreement {how}"] = f"{agreed} of {counted}: {agreed / counted:.3%}" if counted else "-"
    counted, agreed = sum(sum(v.of.values()) for v in done), sum(sum(v.agreed.values()) for v in done)
    sums["agreement"] = f"{agreed / counted:.3%}" if counted else "-"
    if done:
        sums["mean parallelism"] = round(statistics.fmean(v.parallelism for v in done), 2)
        sums["all tasks by all longest paths"] = round(
            sum(v.cells for v in done) / max(1, sum(v.longest for v in done)), 2
        )
    return sums


def main() -> int:
    """Measure what the command line names, and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("places", nargs="+", metavar="FOLDER_OR_NOTEBOOK", help="or a .txt with one notebook per line")
    parser.add_argument("--ways", default="1,2,3,threads", type=lambda text: text.split(","))
    parser.add_argument("--limit", default=300, type=int, help="seconds for one execution")
    parser.add_argument("--jobs", default=1, type=int, help="executions at a time")
    parser.add_argument("--keep", help="folder for plain executions, to be used again")
    parser.add_argument("--json", help="also write everything to this file")
    parser.add_argument("--only-plain", action="store_true", help="see which notebooks execute at all")
    options = parser.parse_args()
    if options.keep:
        Path(options.keep).mkdir(parents=True, exist_ok=True)
    verdicts: list[Verdict] = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        judged = [pool.submit(judge, path, options) for path in notebooks_in(options.places)]
        for each in concurrent.futures.as_completed(judged):
            verdict = each.result()
            verdicts.append(verdict)
            show(verdict, options)
            if options.json:
                sums = report(verdicts, options.ways)
                found = {"sums": sums, "notebooks": [asdict(verdict) for verdict in verdicts]}
                Path(options.json).write_text(json.dumps(found, indent=1), "utf-8")
    print(json.dumps(report(verdicts, options.ways), indent=2))
    return 0


def show(verdict: Verdict, options: argparse.Namespace) -> None:
    """Print one notebook's line, and a line for each disagreement."""
    name = "/".join(Path(verdict.notebook).parts[-3:])
    if verdict.failure:
        print(f"{name}: {verdict.failure}", flush=True)
        return
    agreed = " ".join(f"{how} {verdict.agreed[how]}/{verdict.of[how]}" for how in verdict.agreed)
    print(
        f"{name}: {verdict.cells} cells, {verdict.dropped} taken out, {verdict.failed} fail, "
        f"{verdict.unsteady} unsteady; {agreed}; parallel {verdict.parallelism:.1f}",
        flush=True,
    )
    for each in verdict.differences:
        print(f"    {each['how']} {each['cell']}: {each['what'][:400]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
