"""Measures the budgets of the design and prints them as ratios to baselines of the same run."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
SHAPES = {"chain-1000": 1.5, "fan-out-1000": 3.0, "layered 100×10": 4.0, "fan-out-10000": 3.0}
LOAD_EXT = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
started = time.perf_counter()
shell.run_line_magic("load_ext", "orch_notebook")
print(time.perf_counter() - started)
"""
IMPORT = """
import time
started = time.perf_counter()
import orch_notebook
print(time.perf_counter() - started)
"""


#: A process that performs a flow of three tasks, every state stored, and says its own peak of memory in MiB.
WHOLE = """
import resource, sys
from orch_notebook import flow, task
@task
def double(x): return 2 * x
@flow
def three(): return double(double(double(1)))
assert three() == 8
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def python(*arguments: str, home: str | None = None) -> str:
    """Run Python on its own and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # uncompiled modules would be measured, not the product
    if home:
        environment["ORCH_HOME"] = home
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True, cwd=HERE
    )
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def best(times: int, measure: Callable[[], float]) -> float:
    """Return the median of several measurements."""
    return statistics.median(measure() for _ in range(times))


def engine() -> list[dict[str, object]]:
    """No-op tasks on 16 threads, every state durable, against the bare scheduler."""
    rows: list[dict[str, object]] = []
    for shape, budget in SHAPES.items():
        pairs = []
        for _ in range(5):
            bare = float(python("bare.py", shape))
            ours, memory, _ = map(float, python("engine.py", shape).split())
            pairs.append((ours / bare, ours, bare, memory))
        ratio, ours, bare, memory = sorted(pairs)[len(pairs) // 2]
        rows.append(
            {
                "what": f"engine, {shape}",
                "ours": f"{ours:.1f} µs/task",
                "baseline": f"bare {bare:.1f} µs",
                "ratio": round(ratio, 2),
                "budget": f"≤ {budget}",
                "note": f"{memory / 1024:.1f} KiB/task",
            }
        )
    seconds = best(3, lambda: float(python("engine.py", "sleep").split()[2]))
    rows.append(
        {
            "what": "64 tasks of 50 ms on 16 threads",
            "ours": f"{seconds:.3f} s",
            "baseline": "ideal 0.200 s",
            "ratio": round(seconds / 0.2, 2),
            "budget": "≤ 0.22 s",
            "note": "",
        }
    )
    return rows


def imports() -> list[dict[str, object]]:
    """What loading the package costs."""
    python("-c", IMPORT), python("-c", LOAD_EXT)
    bare = best(5, lambda: timed("-c", "pass"))
    found = []
    for what, script, budget in (("import orch_notebook", IMPORT, 0.040), ("%load_ext", LOAD_EXT, 0.120)):
        with tempfile.TemporaryDirectory() as home:
            seconds = best(5, lambda script=script, home=home: float(python("-c", script, home=home)))
        found.append(
            {
                "what": what,
                "ours": f"{seconds * 1000:.1f} ms",
                "baseline": f"python -c pass {bare * 1000:.0f} ms",
                "ratio": round(seconds / bare, 2),
                "budget": f"≤ {budget * 1000:.0f} ms",
                "note": "",
            }
        )
    return found


def process() -> list[dict[str, object]]:
    """What a flow of three tasks costs as a whole process, against one that does nothing."""
    with tempfile.TemporaryDirectory() as home:
        memory = float(python("-c", WHOLE, home=home))
        pairs = [(timed("-c", WHOLE, home=home), timed("-c", "pass")) for _ in range(15)]
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    return [
        {
            "what": "a flow of three tasks, whole process",
            "ours": f"{ours * 1000:.0f} ms",
            "baseline": f"python -c pass {bare * 1000:.0f} ms",
            "ratio": round(ours / bare, 2),
            "budget": "≤ 100 ms more, ≤ 30 MiB",
            "note": f"{(ours - bare) * 1000:.0f} ms more, {memory:.1f} MiB",
        }
    ]


def functions() -> list[dict[str, object]]:
    """No-op tasks of functions on threads, with keys, capture and results, against the bare scheduler."""
    rows: list[dict[str, object]] = []
    for shape, bare_shape, what in (
        ("chain", "chain-1000", "submitted one after another"),
        ("fan", "fan-out-1000", "mapped"),
        ("calls", "chain-1000", "called"),
    ):
        pairs = sorted(
            (ours / bare, ours, bare)
            for ours, bare in (
                (float(python("functions.py", shape)), float(python("bare.py", bare_shape))) for _ in range(5)
            )
        )
        ratio, ours, bare = pairs[len(pairs) // 2]
        rows.append(
            {
                "what": f"1,000 functions, {what}",
                "ours": f"{ours:.1f} µs/task",
                "baseline": f"bare {bare:.1f} µs",
                "ratio": round(ratio, 2),
                "budget": "",
                "note": "",
            }
        )
    return rows


def large() -> list[dict[str, object]]:
    """Whether anything is quadratic: 20,000 mapped tasks run, repeated and listed, against 2,000."""
    small = [float(each) for each in python("large.py", "2000").split()]
    big = [float(each) for each in python("large.py", "20000").split()]
    return [
        {
            "what": f"20,000 tasks, {what}",
            "ours": f"{ours:.1f} µs/task",
            "baseline": f"2,000 tasks {base:.1f} µs",
            "ratio": round(ours / base, 2),
            "budget": "",
            "note": f"{ours * 20_000 / 1e6:.1f} s in all",
        }
        for what, ours, base in zip(("run", "repeated after a failure", "listed"), big, small, strict=True)
    ]


def analysis() -> list[dict[str, object]]:
    """What waits for what in 300 task cells, against parsing and compiling their text."""
    measured = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as home:
            measured.append(list(map(float, python("analysis.py", home=home).split())))
    baseline, wiring, more, edited = (statistics.median(column) for column in zip(*measured, strict=True))
    rows: list[dict[str, object]] = []
    for what, ours, budget, note in (
        ("wiring 300 cells from nothing", wiring, "≤ 150 ms", ""),
        ("defining one more task among 300", more, "≤ 5 ms", "through the session, as %%task does"),
        ("defining the 13th of 300 anew, edited", edited, "", "all below it are wired again"),
    ):
        rows.append(
            {
                "what": what,
                "ours": f"{ours:.1f} ms",
                "baseline": f"parse and compile {baseline:.1f} ms",
                "ratio": round(ours / baseline, 2),
                "budget": budget,
                "note": note,
            }
        )
    return rows


def memory() -> list[dict[str, object]]:
    """A 300 MB frame rebound ten times in a real kernel, as a flow in order against the plain notebook."""
    found = {}
    for how in ("plain", "flow"):
        with tempfile.TemporaryDirectory() as home:
            found[how] = best(3, lambda how=how, home=home: float(python("memory.py", how, home=home)))
    return [
        {
            "what": "peak of a kernel, 300 MB rebound ten times",
            "ours": f"{found['flow']:.0f} MiB",
            "baseline": f"plain {found['plain']:.0f} MiB",
            "ratio": round(found["flow"] / found["plain"], 2),
            "budget": "≤ 1.1",
            "note": "",
        }
    ]


def timed(*arguments: str, home: str | None = None) -> float:
    """Return the seconds that a Python process takes as a whole."""
    started = time.perf_counter()
    python(*arguments, home=home)
    return time.perf_counter() - started


BENCHMARKS = {
    "engine": engine,
    "functions": functions,
    "large": large,
    "process": process,
    "imports": imports,
    "analysis": analysis,
    "memory": memory,
}


def main() -> None:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which; all when left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    given = parser.parse_args()
    rows = [row for name in given.names or BENCHMARKS for row in BENCHMARKS[name]()]
    widths = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]}
    print("  ".join(f"{key:<{width}}" for key, width in widths.items()))
    for row in rows:
        print("  ".join(f"{row[key]!s:<{width}}" for key, width in widths.items()))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
