"""``async def`` tasks and flows: on an event loop, with the states, retries and timeouts of all others."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest

from orch_notebook import flow, task
from orch_notebook.errors import FlowRunCancelled, FlowRunTimedOut, TaskTimedOut
from tests.functions.conftest import PATIENCE, in_time


@task
async def double(x):
    await asyncio.sleep(0)
    return 2 * x


@task
def half(x):
    return x // 2


@task
async def fail():
    await asyncio.sleep(0)
    raise ValueError("no rows")


async def awaits_tasks():
    return await double(await double(1))


async def calls_plain_tasks():
    return half(8)


async def gathers():
    return await asyncio.gather(*(double(n) for n in range(4)))


async def submits_and_asks():
    return double.submit(3).result()


async def awaits_futures():
    return await double.submit(3), await asyncio.gather(double.submit(1), half.submit(8))


async def maps():
    return double.map([1, 2]).result()


async def mixes():
    return await double(half.submit(8))


async def catches():
    try:
        await fail()
    except ValueError as error:
        return str(error)


async def asks_for_states():
    state = await fail(return_state=True)
    return state.name, state.message


async def calls_subflows():
    inner = flow(name="inner")(awaits_tasks)
    plain = flow(name="plain")(lambda: half(2))
    return await inner(), plain()


async def drains_generators():
    @task
    async def count(n):
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    return await count(3), count.submit(2).result()


BODIES = {
    awaits_tasks: 4,
    calls_plain_tasks: 4,
    gathers: [0, 2, 4, 6],
    submits_and_asks: 6,
    awaits_futures: (6, [2, 4]),
    maps: [2, 4],
    mixes: 8,
    catches: "no rows",
    asks_for_states: ("Failed", "ValueError: no rows"),
    calls_subflows: (4, 1),
    drains_generators: ([0, 1, 2], [0, 1]),
}


@pytest.mark.parametrize("body, expected", BODIES.items(), ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("how", ["asyncio.run", "run", "in a loop"])
def test_an_asynchronous_flow_is_awaited(stored, how, body, expected) -> None:
    """By asyncio.run, by its own run(), and within a loop that is running."""
    work = flow(name="outer")(body)

    async def within():
        return await work()

    call = {
        "asyncio.run": lambda: asyncio.run(work()),
        "run": lambda: work().run(),
        "in a loop": lambda: asyncio.run(within()),
    }
    assert in_time(call[how]) == expected
    assert stored.run("outer").state.name == "Completed"


def test_a_plain_flow_may_run_asynchronous_tasks(stored) -> None:
    """Submitted they run in a thread; called, they run with .run()."""

    @flow
    def plain():
        return double.submit(1).result(), double(2).run(), double.map([3, 4]).result()

    assert in_time(plain) == (2, 4, [6, 8])


def test_what_has_not_been_awaited_says_so(stored) -> None:
    """It is a coroutine to all who take one, and its repr tells how to run it; nothing has happened."""
    call = flow(name="later")(awaits_tasks)()
    assert asyncio.iscoroutine(call) and inspect.isawaitable(call)
    assert repr(call) == "<flow 'later' has not run: write 'await' before it, or .run() behind it>"
    assert stored.runs() == []


def test_run_works_where_a_loop_is_running(stored) -> None:
    """As in a notebook's cell, without await."""

    async def cell():
        return double(4).run(), flow(awaits_tasks)().run()

    assert in_time(lambda: asyncio.run(cell())) == (8, 4)


def test_asynchronous_tasks_really_run_side_by_side(stored) -> None:
    """Two gathered tasks wait for each other."""

    @flow
    async def pair():
        gate = asyncio.Barrier(2)

        @task
        async def meet():
            await gate.wait()
            return 1

        return await asyncio.gather(meet(), meet())

    assert in_time(lambda: asyncio.run(pair())) == [1, 1]


def test_retries_of_an_asynchronous_task(stored, night) -> None:
    """They wait as those of others do, and the loop goes on meanwhile."""
    calls = []

    @task(retries=2, retry_delay_seconds=100, name="flaky")
    async def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError("down")
        return len(calls)

    @flow(name="nightly")
    async def nightly():
        return await flaky()

    assert in_time(lambda: asyncio.run(nightly())) == 3
    assert stored.names_of("flaky") == ["Running", *["Failed", "AwaitingRetry", "Retrying"] * 2, "Completed"]


def test_a_flow_runs_its_asynchronous_body_again(stored, night) -> None:
    """With retries of its own, after their delay."""
    calls = []

    @flow(retries=1, retry_delay_seconds=100)
    async def again():
        calls.append(1)
        return 1 / (len(calls) - 1)

    assert in_time(lambda: asyncio.run(again())) == 1.0


async def sleep_long():
    await asyncio.sleep(1000)


async def sleep_in_a_task():
    await task(sleep_long, name="inner")()


async def wait_for_a_future():
    await task(sleep_long, name="inner").submit()


@pytest.mark.parametrize("how", ["awaited", "submitted"])
def test_a_timeout_of_an_asynchronous_task(stored, how) -> None:
    """It is cancelled where it awaits, and the flow goes on."""
    slow = task(timeout_seconds=0.1, name="slow")(sleep_long)

    @flow
    async def patient():
        with pytest.raises(TaskTimedOut):
            await (slow() if how == "awaited" else slow.submit())
        return "went on"

    assert in_time(lambda: asyncio.run(patient())) == "went on"
    assert stored.states() == {"slow": "TimedOut"}


@pytest.mark.parametrize("work", [sleep_long, sleep_in_a_task, wait_for_a_future], ids=lambda work: work.__name__)
def test_a_timeout_of_an_asynchronous_flow(stored, work) -> None:
    """It and what it has begun are ended."""
    late = flow(timeout_seconds=0.2, name="late")(work)
    with pytest.raises(FlowRunTimedOut):
        in_time(lambda: asyncio.run(late()))
    assert stored.run("late").state.name == "TimedOut" and set(stored.states().values()) <= {"Cancelled"}


@pytest.mark.parametrize("work", [sleep_long, sleep_in_a_task, wait_for_a_future], ids=lambda work: work.__name__)
def test_a_cancel_of_an_asynchronous_flow(stored, work) -> None:
    """By a request in the store."""
    begun = threading.Event()

    @flow
    async def long():
        begun.set()
        await work()

    def cancel():
        begun.wait(PATIENCE)
        stored.home.store.request(stored.home.store.runs()[0].run_id, "cancel", stored.home.clock.now())

    threading.Thread(target=cancel).start()
    with pytest.raises(FlowRunCancelled):
        in_time(lambda: asyncio.run(long()))
    assert stored.run().state.name == "Cancelled" and set(stored.states().values()) <= {"Cancelled"}


def test_a_caller_that_is_cancelled_takes_its_flow_with_it(stored) -> None:
    """As with asyncio.wait_for: the run ends Cancelled, and the caller hears what it did to it."""
    long = flow(name="long")(sleep_in_a_task)

    async def impatient():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(long(), 0.2)

    in_time(lambda: asyncio.run(impatient()))
    assert stored.run("long").state.name == "Cancelled"
