"""Assets: what tasks make outside of their flows is recorded, with what it was made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orch_notebook import INPUTS, flow, materialize, task, wait
from orch_notebook import assets as front_door
from orch_notebook.assets import Asset, AssetProperties, add_asset_metadata
from orch_notebook.errors import MissingContext, UsageError
from orch_notebook.model.assets import materializations_of
from orch_notebook.runtime.redaction import redactor
from tests.functions.conftest import in_time

RAW, CLEAN, REPORT, TABLE = "s3://lake/raw.csv", "s3://lake/clean.csv", "file:///tmp/report.html", "postgres://db/rows"


@materialize(RAW)
def raw(kind=list):
    return {list: [1, 2], str: "raw rows", float: 0.25, int: 1000, bytes: b"rows"}[kind]


@task
def widen(rows):
    return [rows, rows]


@task(asset_deps=[TABLE])
def look_up(rows):
    return [rows]


@materialize(CLEAN)
def clean(*rows):
    return "clean rows"


@materialize(REPORT, TABLE, by="dbt")
def report(*rows, **more):
    return None


def upstream(run, asset):
    """Return what an asset of a run was made from: the inferred, then the declared."""
    [made] = [made for made in materializations_of(run) if made.asset == asset]
    return (
        [each.asset for each in made.upstream if not each.is_declared],
        [each.asset for each in made.upstream if each.is_declared],
    )


def given_a_value():
    clean(raw())


def given_a_text():
    clean(raw(str))


def given_a_number():
    clean(raw(float), raw(int), raw(bytes))


def given_a_future():
    clean.submit([raw.submit()]).wait()


def waited_for():
    clean.submit(wait_for=[raw.submit()]).wait()


def given_by_way_of_a_task():
    clean(widen(widen(raw())))


def given_by_a_task_that_needs_another():
    clean(look_up(raw()))


def mapped():
    wait(clean.map([raw.submit()]))


def given_by_who_makes_another():
    report(clean(raw()))


def given_nothing():
    raw()
    clean()


def said_of_itself():
    clean.with_options(asset_deps=[TABLE, Asset(RAW)])(raw())


def asynchronously():
    @materialize(CLEAN)
    async def later(rows):
        return rows

    later(raw()).run()


# body, the asset, what it is inferred to come from, what it is said to come from
LINEAGE = [
    (given_a_value, CLEAN, [RAW], []),
    (given_a_text, CLEAN, [RAW], []),
    (given_a_number, CLEAN, [RAW], []),
    (given_a_future, CLEAN, [RAW], []),
    (waited_for, CLEAN, [RAW], []),
    (given_by_way_of_a_task, CLEAN, [RAW], []),
    (given_by_a_task_that_needs_another, CLEAN, [RAW, TABLE], []),
    (mapped, CLEAN, [RAW], []),
    (given_by_who_makes_another, REPORT, [CLEAN], []),
    (given_nothing, CLEAN, [], []),
    (said_of_itself, CLEAN, [], [RAW, TABLE]),
    (asynchronously, CLEAN, [RAW], []),
]


@pytest.mark.parametrize("body, asset, inferred, declared", LINEAGE, ids=[row[0].__name__ for row in LINEAGE])
def test_an_asset_comes_from_what_its_task_was_given(stored, body, asset, inferred, declared) -> None:
    """Assets flow along with results, also through tasks that make none; who makes one stands for what it had."""
    in_time(flow(body))
    assert tuple(map(set, upstream(stored.run(), asset))) == (set(inferred), set(declared))
    kept = {made.asset: made for made in stored.home.store.materializations()}
    assert sorted(each.asset for each in kept[asset].upstream) == sorted([*inferred, *declared])


def test_what_is_recorded_of_an_asset(stored) -> None:
    """Task, attempt, tool, properties and what the task said of it while it ran; one for each that it makes."""
    model = Asset("file:///models/m.pkl", properties=AssetProperties(name="M", owners=["ann"], url="http://m"))

    @materialize(model, TABLE, by="spark")
    def fit():
        model.add_metadata({"rows": 3})
        add_asset_metadata(model, {"loss": 0.5})
        add_asset_metadata(TABLE, {"rows": 4})

    in_time(flow(lambda: fit(), name="training"))
    made = {each.asset: each for each in materializations_of(stored.run())}
    assert made[model.key].metadata == {"rows": 3, "loss": 0.5} and made[TABLE].metadata == {"rows": 4}
    assert made[model.key].properties == {"name": "M", "owners": ["ann"], "url": "http://m"}
    assert {(each.task, each.made_by) for each in made.values()} == {("fit", "spark")}
    known = {each.asset: each for each in stored.home.store.assets()}
    assert known[model.key].properties["name"] == "M" and known[model.key].state == "made"
    assert known[model.key].newest == stored.home.store.materializations(model.key)[0]
    assert known[model.key].newest.run_id == stored.run().run_id


def test_every_attempt_is_recorded_and_the_last_one_counts(stored) -> None:
    """One that failed says so; what was made once is no longer well when making it again failed."""
    fails = [True, False, True]

    @materialize(RAW, retries=1)
    def flaky():
        if fails.pop(0):
            raise ConnectionError("down")

    work = flow(lambda: flaky(return_state=True), name="work")
    in_time(work)
    store = stored.home.store
    assert [(each.attempt, each.is_made) for each in store.materializations(RAW)] == [(2, True), (1, False)]
    [known] = store.assets()
    assert known.state == "made" and known.newest.attempt == 2
    fails += [True]
    in_time(work, return_state=True)
    assert store.assets()[0].state == "failed"


def test_what_is_reused_makes_nothing(stored) -> None:
    """A result that was kept is not made again, so nothing is recorded; what comes after it is as it were."""
    kept = raw.with_options(cache_policy=INPUTS)
    work = flow(lambda: clean(kept()), name="work")
    in_time(work)
    in_time(work)
    assert stored.states() == {"raw": "Cached", "clean": "Completed"}
    assert upstream(stored.run(), CLEAN) == ([RAW], [])
    assert len(stored.home.store.materializations(RAW)) == 1


def test_a_run_that_is_repeated_keeps_its_lineage(stored) -> None:
    """What completed is taken as it is; what is made of it says so."""
    broken = [True]

    @materialize(CLEAN)
    def second(rows):
        if broken:
            raise ConnectionError(broken.pop())

    work = flow(lambda: second(raw()), name="work")
    in_time(work, return_state=True)
    in_time(work.retry, stored.run().run_id)
    assert upstream(stored.run(), CLEAN) == ([RAW], [])


def test_a_flow_that_begins_again_keeps_its_lineage(stored) -> None:
    """Also where a task run of the first attempt stands as it is."""
    broken = [True]

    @materialize(CLEAN)
    def second(rows):
        if broken:
            raise ConnectionError(broken.pop())

    in_time(flow(retries=1)(lambda: second(raw())))
    assert upstream(stored.run(), CLEAN) == ([RAW], [])


def test_an_asset_that_others_are_made_from_is_known(stored) -> None:
    """Referenced, with what uses it and what was said of it; the last word on an asset holds."""
    table = Asset(TABLE, AssetProperties(description="All rows"))
    in_time(flow(lambda: clean.with_options(asset_deps=table)(raw()), name="one"))
    known = {each.asset: each for each in stored.home.store.assets()}
    assert (known[TABLE].state, known[TABLE].used_by) == ("referenced", (CLEAN,))
    assert known[TABLE].properties == {"description": "All rows"}
    renamed = Asset(TABLE, AssetProperties(name="Rows"))
    in_time(flow(lambda: clean.with_options(asset_deps=[renamed])(), name="two"))
    assert {each.asset: each.properties for each in stored.home.store.assets()}[TABLE] == {"name": "Rows"}


def test_a_run_that_is_forgotten_takes_its_records_along(stored) -> None:
    """An asset of which no run is left is not known any more."""
    in_time(flow(given_a_value))
    assert stored.home.store.forget_run(stored.run().run_id)
    assert stored.home.store.assets() == [] and stored.home.store.materializations() == []


def test_a_bare_decorator_makes_a_task(stored) -> None:
    """As in Prefect: it makes nothing, and hands on what it was given."""

    class Work:
        @materialize
        def step(self, rows):
            return rows[0]

        @materialize(CLEAN)
        def made(self, rows):
            return rows

    in_time(flow(lambda: Work().made(Work().step([raw()]))))
    assert stored.states() == {"raw": "Completed", "step": "Completed", "made": "Completed"}
    assert materialize(by="dbt", name="called")(len).name == "called"


def test_the_diagram_of_a_flow_that_has_not_run_shows_its_assets() -> None:
    """A drum for each, whether it is made or only needed."""
    graph = flow(given_by_a_task_that_needs_another).visualize().graph
    assert [(each.name, each.assets, each.asset_deps) for each in graph.tasks] == [
        ("raw", (RAW,), ()),
        ("look_up", (), (TABLE,)),
        ("clean", (CLEAN,), ()),
    ]


BAD = {
    "a path": lambda: materialize("rows.csv"),
    "a space": lambda: materialize("s3://lake/my rows"),
    "too long": lambda: materialize("s3://" + 600 * "x"),
    "no asset": lambda: materialize(3),
    "a dependency": lambda: task(asset_deps=["rows.csv"]),
    "an owner": lambda: AssetProperties(owners="ann"),
    "a novel": lambda: AssetProperties(description=3000 * "x"),
    "an option": lambda: materialize(RAW, retrys=3),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_what_makes_no_sense_is_refused_at_once(make) -> None:
    """Where it is written, with the way out."""
    with pytest.raises(UsageError):
        make()


def test_what_is_said_of_an_asset_is_said_by_who_makes_it(stored) -> None:
    """Outside of such a task, of another asset, or of what JSON cannot hold nothing can be said."""
    with pytest.raises(MissingContext):
        add_asset_metadata(RAW, {})

    @materialize(RAW)
    def says(key, metadata):
        add_asset_metadata(key, metadata)

    @flow
    def wrongly():
        states = [says(CLEAN, {}, return_state=True), says(RAW, {"x": object()}, return_state=True)]
        assert [type(state.data) for state in states] == [UsageError, UsageError]

    in_time(wrongly)
    assert [made.is_made for made in stored.home.store.materializations(RAW)] == [False, False]


@pytest.fixture
def secret():
    """A value that nobody should see."""
    redactor.add("hunter2-hunter2")
    yield "hunter2-hunter2"
    redactor.forget()


def test_secrets_are_kept_out(stored, secret) -> None:
    """What is noted of an asset is redacted like all that a run leaves."""

    @materialize(RAW)
    def leaks():
        add_asset_metadata(RAW, {"password": secret})

    in_time(flow(lambda: leaks()))
    database = b"".join(path.read_bytes() for path in Path(stored.home.settings.home).glob("*.db*"))
    assert "***" in json.dumps(stored.home.store.materializations(RAW)[0].to_json()) and secret.encode() not in database


def test_all_names_are_found_where_prefect_has_them() -> None:
    """``from orch_notebook.assets import …`` and ``from orch_notebook import materialize``."""
    assert front_door.materialize is materialize and set(front_door.__all__) >= {"Asset", "AssetProperties"}
    assert repr(Asset(key=RAW)) == f"Asset(key='{RAW}')" and len({Asset(RAW), Asset(RAW)}) == 1
