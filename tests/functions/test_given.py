"""What a flow was given is given again when its run is repeated: the same values, or words that they are lacking."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import threading
from typing import Any

import pydantic
import pytest

from orch_notebook import FLOW_PARAMETERS, Secret, flow, task
from orch_notebook.errors import ParameterError
from orch_notebook.functions import given as given_module
from orch_notebook.functions.given import INEXACT, spread
from orch_notebook.promotion.upkeep import next_attempt
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.redaction import redactor
from tests.functions.conftest import in_time

seen: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


class Region(pydantic.BaseModel):
    """A parameter that is a model."""

    name: str
    since: dt.date | None = None


class Table:
    """A parameter that JSON cannot hold."""

    def __init__(self, *rows: Any) -> None:
        self.rows = rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self.rows == other.rows

    __hash__ = None  # type: ignore[assignment]


def fails(value):
    seen.append(value)
    if len(seen) < 2:
        raise ConnectionError("down")
    return value


VALUES: dict[str, Any] = {
    "a number": 3,
    "a text": "x",
    "not a number": math.inf,
    "a list": [1, {"a": None}],
    "a tuple": (1, 2),
    "a set": {1, 2},
    "bytes": b"x",
    "keys that are numbers": {1: "one"},
    "a date": dt.date(2026, 11, 20),
    "a decimal": decimal.Decimal("1.50"),
    "a long list": list(range(5000)),
    "a model": Region(name="north", since=dt.date(2026, 1, 1)),
    "an object": Table(1, 2),
    "a class of the test": type("Here", (), {"n": 1}),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_run_that_is_repeated_is_given_the_same(stored, value) -> None:
    """Not what the store shows people of it; also when the repetition is repeated."""
    work = flow(name="work")(lambda value, n=1: fails(value))
    in_time(work, value, return_state=True)
    again = in_time(work.retry, stored.run().run_id)
    assert type(again) is type(value)
    assert again == value if not isinstance(value, type) else again.n == 1


#: How a flow takes its parameters, and with what it is called.
SHAPES = {
    "several": (lambda *values: fails(values), (1, (2,)), {}),
    "by name": (lambda **named: fails(named), (), {"a": 1, "b": (2,)}),
    "by place": (lambda a, /, b=2: fails((a, b)), ((1,),), {}),
    "all of it": (lambda a, *more, key, **named: fails((a, more, key, named)), ((1,), 2), {"key": {3}, "x": 4}),
}


@pytest.mark.parametrize("function, args, kwargs", SHAPES.values(), ids=SHAPES)
def test_parameters_of_every_kind_are_given_again(stored, function, args, kwargs) -> None:
    """By place, by name, and as many as there are."""
    work = flow(name="work")(function)
    in_time(work, *args, **kwargs, return_state=True)
    in_time(work.retry, stored.run().run_id)
    assert seen[0] == seen[1]


def test_annotations_make_the_same_of_them_again(stored) -> None:
    """What was said as text is said so again, and read again."""

    @flow
    def work(day: dt.date, region: Region, amounts: tuple[decimal.Decimal, ...] = ()):
        return fails((day, region, amounts))

    in_time(work, "2026-11-20", {"name": "north"}, ["1.50"], return_state=True)
    in_time(work.retry, stored.run().run_id)
    assert seen[0] == seen[1] == (dt.date(2026, 11, 20), Region(name="north"), (decimal.Decimal("1.50"),))


def test_a_value_that_the_flow_changes_is_given_as_it_was(stored) -> None:
    """It is kept before the body begins."""

    @flow
    def work(table):
        rows = list(table.rows)
        table.rows = ()
        return fails(rows)

    in_time(work, Table(1, 2), return_state=True)
    in_time(work.retry, stored.run().run_id)
    assert seen == [[1, 2], [1, 2]]


def test_a_method_is_given_what_it_belongs_to_by_who_repeats_it(stored) -> None:
    """It is no parameter of the run."""

    class Job:
        lock = threading.Lock()

        def __init__(self, n):
            self.n, self.lock = n, threading.Lock()

        @flow
        def work(self, table):
            return fails((self.n, table))

    in_time(Job(1).work, Table(1), return_state=True)
    assert in_time(Job(2).work.retry, stored.run().run_id) == (2, Table(1))


@pytest.fixture
def secret():
    """A value that nobody should see."""
    redactor.add("hunter2-hunter2")
    yield "hunter2-hunter2"
    redactor.forget()


LACKING = {
    "what cannot be pickled": lambda secret: threading.Lock(),
    "a secret": lambda secret: f"token {secret}",
    "what is too large": lambda secret: bytes(20_000),
}


@pytest.mark.parametrize("make", LACKING.values(), ids=LACKING)
def test_what_could_not_be_kept_has_to_be_given_anew(stored, secret, monkeypatch, make) -> None:
    """The words name it and the way; the rest is as it was."""
    monkeypatch.setattr(given_module, "MOST", 10_000)
    work = flow(name="work")(lambda value, table, n=1: fails((table, n)))
    in_time(work, make(secret), Table(3), 5, return_state=True)
    run = stored.run()
    with pytest.raises(ParameterError, match=r"was given value=.*FLOW.retry\(.*, value=…\)") as refused:
        in_time(work.retry, run.run_id)
    assert secret not in str(refused.value)
    assert in_time(work.retry, run.run_id, value="anew") == (Table(3), 5)


def test_a_parameter_may_be_another_when_a_run_is_repeated(stored) -> None:
    """Those that are not given are what they were, not what is usual."""
    work = flow(name="work")(lambda a, b=2, c=3: fails((a, b, c)))
    in_time(work, (1,), b=5, return_state=True)
    assert in_time(work.retry, stored.run().run_id, c=7) == ((1,), 5, 7)


def test_a_worker_gives_the_same(stored) -> None:
    """Whoever performs the run that repeats another finds what that was given."""
    work = flow(name="work")(lambda table, n: fails((table, n)))
    in_time(work, Table(1), 2, return_state=True)
    store, now = stored.home.store, stored.home.clock.now()
    again = next_attempt(stored.run(), now, now)
    assert store.create_run(again, owner=None)
    lease = store.claim_run(again.run_id, this_owner(), "", now.replace(year=now.year + 1), is_limited=False)
    in_time(work.claimed(store.run(again.run_id), lease).run)
    store.release(lease)
    assert seen[1] == (Table(1), 2)


def test_the_store_says_what_it_only_shows(stored) -> None:
    """In the run's `about`, by name; nothing where all is as it was."""
    in_time(flow(name="exact")(lambda a, b: None), 1, [2])
    assert INEXACT not in stored.run().about
    in_time(flow(name="lossy")(lambda a, b, c: None), 1, (2,), {3})
    assert stored.run().about[INEXACT] == "b,c"


def test_two_flows_whose_parameters_look_alike_share_no_results(stored) -> None:
    """FLOW_PARAMETERS counts the values, not what the store shows of them."""

    class Alike(Table):
        def __repr__(self) -> str:
            return "alike"

    measure = task(cache_policy=FLOW_PARAMETERS)(lambda: len(seen))
    work = flow(name="work")(lambda table: (seen.append(table), measure())[1])
    assert [in_time(work, Alike(1)), in_time(work, Alike(2)), in_time(work, Alike(1))] == [1, 2, 1]


def test_values_are_spread_as_a_call_takes_them() -> None:
    """A name that the function does not take is left to it to refuse."""
    assert spread(lambda a, b=1: None, {"b": 2, "c": 3}) == ((), {"b": 2, "c": 3})


def test_a_secret_that_was_given_by_name_is_given_by_name_again(stored, secret) -> None:
    """What the store shows is masked; the name is what the run was given."""
    Secret("api-token", secret).save(overwrite=True)

    @flow
    def work(token: pydantic.SecretStr):
        return fails(token.get_secret_value())

    in_time(work, "secret:api-token", return_state=True)
    assert secret not in str(stored.run().parameters)
    in_time(work.retry, stored.run().run_id)
    assert seen == [secret, secret]
