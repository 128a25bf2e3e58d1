"""Flows of functions in a real kernel: what surprises users of other tools in notebooks does not happen here."""

from __future__ import annotations

import pytest

from tests.waiting import until

pytestmark = pytest.mark.kernel

SETUP = """
import asyncio, threading, time
from orch_notebook import Variable, flow, get_run_logger, pause_flow_run, task

@task
def double(x):
    return 2 * x

@task
async def later(x):
    await asyncio.sleep(0)
    return 2 * x

@flow
def plain(n: int):
    return double(n) + double.submit(n).result()

@flow
async def awaited(n: int):
    return await later(n)
"""

# a cell, and what it shows
CELLS = {
    "a plain flow is called": ("plain('2')", "8"),
    "an asynchronous flow is awaited": ("await awaited(3)", "6"),
    "or run": ("awaited(3).run()", "6"),
    "what was not awaited says so": (
        "awaited(3)", "<flow 'awaited' has not run: write 'await' before it, or .run() behind it>",
    ),
    "tasks are called without a flow": (
        "double(4), double.submit(5).result(), double.map([1, 2]).result()", "(8, 10, [2, 4])",
    ),
    "an asynchronous task is awaited": ("await later(4)", "8"),
    "a variable is set and found": ("Variable.set('a', 1, overwrite=True); Variable.get('a')", "1"),
    "a flow is defined and called in one cell": ("@flow\ndef here():\n    return [double(1)]\n\nhere()", "[2]"),
    "a class of the notebook comes back": (
        "class Point:\n    def __repr__(self):\n        return 'a point'\n\ntask(Point)()", "a point",
    ),
    "a model of the notebook is a parameter": (
        "from pydantic import BaseModel\nclass Config(BaseModel):\n    n: int\n\n"
        "@flow\ndef configured(config: Config):\n    return config.n\n\nconfigured({'n': '3'})", "3",
    ),
    "a flow has a logger": ("@flow\ndef logs():\n    get_run_logger().info('hello')\n    return 1\n\nlogs()", "1"),
    "a timeout breaks a sleep": (
        "@flow(timeout_seconds=0.3)\ndef late():\n    time.sleep(600)\n\nlate(return_state=True).name", "'TimedOut'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("cell, shown", CELLS.values(), ids=CELLS)
def test_a_cell_shows_what_it_says(kernel, cell, shown) -> None:
    """Nothing returns a coroutine that was not asked for; top-level await works too."""
    kernel.run(SETUP)
    outcome = kernel.run(cell)
    assert outcome.error == "" and outcome.data() == [shown]


BEGIN = "def begin():\n    open('PATH', 'w').close()\n"

INTERRUPTED = {
    "a wait for a submitted task": "task(lambda: begin() or time.sleep(600)).submit().result()",
    "a task that is called": "task(lambda: begin() or time.sleep(600))()",
    "the body": "begin(); time.sleep(600)",
    "a wait for an answer": "begin(); pause_flow_run()",
}


@pytest.mark.parametrize("cell", INTERRUPTED.values(), ids=INTERRUPTED)
def test_an_interrupt_ends_the_cell(kernel, tmp_path, cell) -> None:
    """At once, although a thread sleeps on; the run is cancelled and the kernel goes on."""
    kernel.run(SETUP)
    begun = tmp_path / "begun"
    running = kernel.start(f"{BEGIN}\n@flow\ndef long():\n    {cell}\n\nlong()".replace("PATH", str(begun)))
    until(begun.exists)
    kernel.interrupt()
    assert kernel.wait(running).error.startswith("KeyboardInterrupt")
    assert kernel.run("plain(1)").data() == ["4"]


def test_a_secret_is_in_nothing_that_a_cell_shows(fresh_kernel) -> None:
    """Once it is known, plain cells too: streams, values, displays, errors; so it is in no notebook that is saved."""
    value = "s3cr3t-t0k3n"
    fresh_kernel.run("%load_ext orch_notebook\nfrom orch_notebook import Secret")
    fresh_kernel.run("Secret('a', '-'.join(['s3cr3t', 't0k3n'])).save()")
    fresh_kernel.run("token = Secret.load('a').get()")
    for cell in ("print('x', token)", "token", "display({'text/html': token}, raw=True)", "raise ValueError(token)"):
        outcome = fresh_kernel.run(cell)
        said = f"{outcome.outputs} {outcome.error}"
        assert "***" in said and value not in said, cell
