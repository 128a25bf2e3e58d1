"""Flows of functions in a real kernel: what surprises users of other tools in notebooks does not happen here."""

from __future__ import annotations

import pytest

from tests.waiting import until

pytestmark = pytest.mark.kernel

SETUP = """
import asyncio, threading, time
from orch_notebook import Orchestrator, ProcessPoolTaskRunner, Variable, flow, get_run_logger, pause_flow_run, task

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


#: What Prefect's users have tried in a cell: the cells, and what the last one shows (an error begins with its name).
#: Calls without await, variables and interrupts have rows of their own above and below.
TRIED = {
    "a flow that logs shows one stream and its value": (
        ("@flow\ndef three():\n    for n in range(3):\n        get_run_logger().info('line %s', n)\n        double(n)\n"
         "    return 3\n\nthree()",),
        ["line 0", "line 1", "line 2", "3"], 2,
    ),
    "functions of cells run in processes": (
        ("@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))\ndef away():\n"
         "    return double.map([1, 2]).result()\n\naway()",),
        ["[2, 4]"], 1,
    ),
    "a diagram is drawn in the cell": (
        ("load = task(lambda: 1, name='load')", "flow(lambda: double(load())).visualize()"), ["data:image/svg+xml"], 1,
    ),
    "serve says the way": (("plain.serve()",), ["UsageError", "promote the notebook"], 1),
    "so does deploy": (("plain.deploy('night')",), ["UsageError", "promote the notebook"], 1),
    "and to_deployment, awaited or not": (
        ("await plain.to_deployment('night')",), ["UsageError", "promote the notebook"], 1,
    ),
    "a model of the notebook is kept for the retry": (
        ("from pydantic import BaseModel\nclass Row(BaseModel):\n    n: int\n\nmade, failed = [], []\n"
         "@task\ndef make():\n    made.append(1)\n    return Row(n=len(made))\n\n"
         "@flow\ndef keeps():\n    row = make()\n    if not failed:\n        failed.append(1)\n        1 / 0\n"
         "    return row\n\nkeeps(return_state=True)",
         "keeps.retry(Orchestrator().flow_runs('keeps')[0].run_id), made"),
        ["(Row(n=1), [1])"], 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("cells, said, count", TRIED.values(), ids=TRIED)
def test_what_is_tried_in_a_cell_works_or_says_the_way(kernel, cells, said, count) -> None:
    """Without a loop that is in the way, or a line outside of the cell."""
    kernel.run(SETUP)
    for cell in cells:
        outcome = kernel.run(cell)
    shown = f"{outcome.outputs} {outcome.error}"
    assert [word for word in said if word not in shown] == [] and len(outcome.outputs) == count


def test_a_line_of_a_task_is_shown_below_the_cell_that_submitted_it(kernel) -> None:
    """Though another cell runs by then; it is none of that one's."""
    kernel.run(SETUP + "\ngate = threading.Event()")
    first = kernel.start("late = task(lambda: gate.wait(60) and print('a late line'), name='late').submit()")
    kernel.wait(first)
    second = kernel.start("gate.set()\nlate.wait()\nprint('a line of this cell')")
    said: dict[str, str] = {first: "", second: ""}
    while "late" not in said[first] or "this" not in said[second]:
        message = kernel.client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "stream":
            said[message["parent_header"]["msg_id"]] += message["content"]["text"]
    assert said == {first: "a late line\n", second: "a line of this cell\n"}


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
    """Once it is known, plain cells too: streams, values, displays, errors; so it is in no notebook that is saved.

    And whatever a kernel does first, it starts no server: no process at all.
    """
    fresh_kernel.run(SETUP)
    fresh_kernel.run("plain(1)")
    children = "''.join(open(f'/proc/self/task/{each}/children').read() for each in os.listdir('/proc/self/task'))"
    assert fresh_kernel.run(f"import os; {children}").data() == ["''"]
    value = "s3cr3t-t0k3n"
    fresh_kernel.run("%load_ext orch_notebook\nfrom orch_notebook import Secret")
    fresh_kernel.run("Secret('a', '-'.join(['s3cr3t', 't0k3n'])).save()")
    fresh_kernel.run("token = Secret.load('a').get()")
    for cell in ("print('x', token)", "token", "display({'text/html': token}, raw=True)", "raise ValueError(token)"):
        outcome = fresh_kernel.run(cell)
        said = f"{outcome.outputs} {outcome.error}"
        assert "***" in said and value not in said, cell
