"""The baseline: a hand-written topological scheduler on ``ThreadPoolExecutor(16)``, no state kept.

``python benchmarks/bare.py SHAPE`` prints microseconds per task.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from shapes import SHAPES


def run(names: list[str], edges: list[tuple[str, str]]) -> None:
    """Run a no-op for every name, in order."""
    waiting = dict.fromkeys(names, 0)
    after: dict[str, list[str]] = {name: [] for name in names}
    for before, then in edges:
        waiting[then] += 1
        after[before].append(then)
    left = len(names)
    lock, done = threading.Lock(), threading.Event()

    def task(name: str) -> None:
        nonlocal left
        ready = []
        with lock:
            left -= 1
            for then in after[name]:
                waiting[then] -= 1
                if not waiting[then]:
                    ready.append(then)
            if not left:
                done.set()
        for then in ready:
            pool.submit(task, then)

    with ThreadPoolExecutor(16) as pool:
        for name in [name for name, count in waiting.items() if not count]:
            pool.submit(task, name)
        done.wait()


if __name__ == "__main__":
    shape = SHAPES[sys.argv[1]]()
    started = time.perf_counter()
    run(*shape)
    print(f"{(time.perf_counter() - started) / len(shape[0]) * 1e6:.2f}")
