"""Results that a task or a flow has kept elsewhere, otherwise, or out of memory."""

from __future__ import annotations

import gc
import weakref
from datetime import timedelta
from pathlib import Path

import pytest

from orch_notebook import INPUTS, NO_CACHE, Serializer, flow, task
from orch_notebook.errors import NotFound, TaskError, UsageError
from orch_notebook.functions.outcomes import Away
from tests.functions.conftest import in_time

calls: list[object] = []


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


@pytest.fixture(params=["folder", "address"])
def place(request, tmp_path) -> str:
    """A folder, and a place that fsspec reaches."""
    return str(tmp_path / "results") if request.param == "folder" else f"memory://{tmp_path.name}"


def names_at(place: str) -> list[str]:
    """Return the names of the results that lie at a place."""
    if "://" not in place:
        return sorted(str(path.relative_to(place)) for path in Path(place).rglob("*") if path.is_file())
    import fsspec

    filesystem, root = fsspec.core.url_to_fs(place)
    return sorted(each.removeprefix(f"{root}/") for each in filesystem.find(root))


def load(n):
    calls.append(n)
    return list(range(n))


def fails_first():
    calls.append("fails")
    if calls.count("fails") < 2:
        raise ConnectionError("down")


BIG = 3000  # too big for an event


@pytest.mark.parametrize("options", [{}, {"result_serializer": "json"}, {"result_serializer": "compressed/pickle"}])
@pytest.mark.parametrize("n", [3, BIG])
@pytest.mark.parametrize("who", ["task", "flow"])
def test_results_are_kept_where_and_as_it_is_said(stored, place, who, n, options) -> None:
    """By the task, or by the flow for tasks that say nothing; a run that is repeated reads them there again."""
    said = {"result_storage": place, **options}
    kept = task(**(said if who == "task" else {}))(load)
    work = flow(name="work", **(said if who == "flow" else {}))(lambda: (kept(n), task(fails_first)()))
    assert in_time(work, return_state=True).is_failed()
    assert len(names_at(place)) == 1
    assert in_time(work.retry, stored.run().run_id)[0] == list(range(n)) and calls.count(n) == 1
    assert stored.states()["load"] == "Cached"


@pytest.mark.parametrize("n", [3, BIG])
def test_a_serializer_holds_for_results_of_the_home_too(stored, n) -> None:
    """In the event, or in its file."""
    kept = task(result_serializer="json")(load)
    work = flow(name="work")(lambda: (kept(n), task(fails_first)()))
    in_time(work, return_state=True)
    details = next(each.details for each in stored.run().tasks if each.name == "load")
    assert details["as"] == "json" and (details["kept"] == "file") is (n == BIG)
    assert in_time(work.retry, stored.run().run_id)[0] == list(range(n)) and calls.count(n) == 1


def test_a_policy_finds_what_other_runs_have_kept_there(stored, place) -> None:
    """In the storage alone; one that has expired or was taken away is made again, and says why."""
    kept = task(cache_policy=INPUTS, result_storage=place, cache_expiration=timedelta(hours=1))(load)
    work = flow(name="work")(lambda n: kept(n))
    assert [in_time(work, n) for n in (2, 2, 3)] == [[0, 1], [0, 1], [0, 1, 2]] and calls == [2, 3]
    elsewhere = flow(name="work")(lambda n: kept.with_options(result_storage=f"{place}-2")(n))
    in_time(elsewhere, 2)
    assert calls == [2, 3, 2] and len(names_at(place)) == 2
    in_time(flow(lambda n: kept.with_options(refresh_cache=True)(n)), 2)
    assert calls == [2, 3, 2, 2]


def test_a_storage_key_names_the_result_and_finds_it_again(stored, place) -> None:
    """As in Prefect: what stands under the name is used, whatever the inputs; and people find it by its name."""

    @task(
        result_storage=place, result_storage_key="{flow_run.flow_name}/{parameters[day]}.json", result_serializer="json"
    )
    def rows(day, n=1):
        calls.append((day, n))
        return {"day": day, "n": n}

    work = flow(name="nightly")(lambda: [rows("mon"), rows("tue", 2), rows("mon", 3)])
    assert in_time(work) == [{"day": "mon", "n": 1}, {"day": "tue", "n": 2}, {"day": "mon", "n": 1}]
    assert names_at(place) == ["nightly/mon.json", "nightly/tue.json"]
    in_time(work)
    assert calls == [("mon", 1), ("tue", 2)] and set(stored.states().values()) == {"Cached"}
    always = rows.with_options(cache_policy=NO_CACHE)
    in_time(flow(name="nightly")(lambda: always("mon", 4)))
    assert calls[-1] == ("mon", 4)
    assert in_time(flow(name="nightly")(lambda: rows("mon"))) == {"day": "mon", "n": 4}


def test_a_storage_key_alone_names_a_file_of_the_home(stored) -> None:
    """Where results are kept if nothing else is said."""
    in_time(flow(lambda: task(result_storage_key="rows")(load)(2)))
    assert (stored.home.settings.folder("results") / "named" / "rows").exists()


def test_a_name_that_is_used_again_is_not_taken_for_the_old_result(stored, place) -> None:
    """A run that is repeated takes what its own task run left there, or has it made again."""

    @task(result_storage=place, result_storage_key="rows", cache_policy=NO_CACHE)
    def rows(n):
        calls.append(n)
        return n

    work = flow(name="work")(lambda n: (rows(n), task(fails_first)()))
    in_time(work, 1, return_state=True)
    first = stored.run().run_id
    in_time(flow(lambda: rows(2)))
    assert in_time(work.retry, first)[0] == 1 and calls == [1, "fails", 2, 1, "fails"]


#: Names that cannot be made, and what is said of them.
UNNAMED = {"{parameters[week]}": "cannot be filled in", "../{parameters[n]}": "has to lie below"}


@pytest.mark.parametrize("key, said", UNNAMED.items(), ids=UNNAMED)
def test_what_cannot_be_kept_says_so(stored, place, key, said) -> None:
    """The run goes on; the task bears a note, and the log has a line where somebody counts on finding the result."""
    in_time(flow(lambda: task(result_storage=place, result_storage_key=key)(load)(2)))
    [ended] = stored.run().tasks
    assert said in ended.details["note"] and ended.state.name == "Completed" and names_at(place) == []


def test_a_value_that_a_serializer_cannot_write_is_not_kept(stored, place) -> None:
    """It is made again each time; the run's log says it, since it was to be kept."""
    kept = task(result_storage=place, result_serializer="json")(lambda: print)
    assert in_time(flow(lambda: kept())) is print
    assert any("Not kept" in line for line in stored.lines()) and names_at(place) == []


class Upper(Serializer):
    """Of the person's own."""

    type = "upper"

    def dumps(self, obj):
        return obj.upper().encode()

    def loads(self, blob):
        return blob.decode()


def test_a_serializer_of_ones_own_reads_what_it_has_written(stored, place) -> None:
    """Also when the run is repeated."""
    said = task(result_storage=place, result_serializer=Upper())(lambda: "text")
    work = flow(name="work")(lambda: (said(), task(fails_first)()))
    in_time(work, return_state=True)
    assert in_time(work.retry, stored.run().run_id)[0] == "TEXT"


def test_what_is_not_to_be_kept_is_not(stored, place) -> None:
    """`persist_result=False` has the last word, as in Prefect."""
    never = task(persist_result=False, cache_policy=INPUTS, result_storage=place)(load)
    work = flow(lambda: [never(1), never(1)])
    in_time(work)
    assert calls == [1, 1] and names_at(place) == []


# What flows return


def test_what_a_flow_returns_is_kept_where_it_says(stored, place) -> None:
    """To be read by its run's id; of a flow in a flow as of a task."""
    inner = flow(name="inner", result_storage=place, result_serializer="json")(lambda: {"rows": 3})
    outer = flow(name="outer")(lambda: (inner(), task(fails_first)()))
    assert in_time(inner) == {"rows": 3} and len(names_at(place)) == 1
    assert inner.result(stored.run().run_id) == {"rows": 3}
    in_time(outer, return_state=True)
    assert len(names_at(place)) == 2
    silent = flow(lambda: 3, name="silent")
    in_time(silent)
    with pytest.raises(NotFound, match="persist_result=True"):
        silent.result(stored.run().run_id)
    kept = flow(lambda: 3, name="kept", persist_result=True)
    in_time(kept)
    assert kept.result(stored.run().run_id) == 3


def test_a_flow_in_a_flow_keeps_results_where_the_outer_one_does(stored, place) -> None:
    """Unless it says otherwise."""
    inner = flow(name="inner")(lambda: task(load)(2))
    in_time(flow(name="outer", result_storage=place)(lambda: inner()))
    assert len([name for name in names_at(place) if name]) >= 2


# Out of memory


class Big:
    """A value that can be referred to weakly."""

    made: list[weakref.ref] = []

    def __init__(self) -> None:
        Big.made.append(weakref.ref(self))


def alive() -> int:
    gc.collect()
    return sum(ref() is not None for ref in Big.made)


@pytest.fixture(params=[{}, {"cache_policy": INPUTS}, {"retries": 1}], ids=str)
def forgetful(request):
    """A task whose results are not held."""
    Big.made.clear()
    return task(cache_result_in_memory=False, **request.param)(lambda number: Big())


@pytest.mark.parametrize("options", [{}, {"retries": 1}], ids=str)
def test_a_result_that_is_not_held_is_read_when_asked_for(stored, forgetful, options) -> None:
    """By the flow, by the tasks that come after, by a state; nobody holds it in between."""
    other = task(lambda big: type(big).__name__, name="other")
    seen = []

    @flow(**options)
    def work():
        futures = forgetful.map(range(3))
        futures.wait()
        seen.append(alive())
        assert all(type(each.value) is Away for each in futures)
        names = [other.submit(each).result() for each in futures]
        assert isinstance(futures[0].result(), Big) and isinstance(futures[0].state.result(), Big)
        seen.append(alive())
        return names

    assert in_time(work) == ["Big"] * 3 and seen == [0, 0]


def test_a_result_that_is_held_stays_the_same_object(stored) -> None:
    """As is usual; and what is called directly is its caller's."""
    Big.made.clear()
    held, called = task(lambda: Big()), task(cache_result_in_memory=False)(lambda: Big())

    @flow
    def work():
        future = held.submit()
        assert future.result() is future.result() and alive() == 1
        mine = called()
        assert mine is Big.made[-1]() and called(return_state=True).result() is not None
        return

    in_time(work)


def test_what_is_not_kept_is_held(stored) -> None:
    """Nothing that could be asked for is lost."""
    lost = task(cache_result_in_memory=False, persist_result=False)(lambda: Big())
    broken = task(cache_result_in_memory=False)(lambda: (value for value in [1]).__iter__)

    @flow
    def work():
        future = lost.submit()
        return type(future.result()).__name__, callable(broken.submit().result())

    assert in_time(work) == ("Big", True)


def test_a_result_that_is_gone_says_so(stored, tmp_path) -> None:
    """Somebody has taken it away meanwhile."""
    kept = task(cache_result_in_memory=False, result_storage=tmp_path / "results")(load)

    @flow
    def work():
        future = kept.submit(3)
        future.wait()
        for path in (tmp_path / "results").rglob("*"):
            if path.is_file():
                path.unlink()
        with pytest.raises(TaskError, match="'load' returned was kept and is not to be found"):
            future.result()

    in_time(work)


def test_a_flow_that_begins_again_reads_what_is_not_held(stored) -> None:
    """What completed is not run again."""

    @flow(retries=1)
    def work():
        rows = task(cache_result_in_memory=False)(load).submit(BIG).result()
        task(fails_first)()
        return len(rows)

    assert in_time(work) == BIG and calls == [BIG, "fails", "fails"]


def test_what_a_flow_returns_need_not_be_held(stored) -> None:
    """The state of its run reads it when it is asked."""
    Big.made.clear()
    state = in_time(flow(cache_result_in_memory=False)(lambda: Big()), return_state=True)
    assert alive() == 0 and isinstance(state.result(), Big) and state.is_completed()


def test_a_template_is_a_text() -> None:
    """Anything else is refused where it is said."""
    with pytest.raises(UsageError, match="result_storage_key"):
        task(result_storage_key=3)
    assert task(result_storage_key=None)(len).options.result_storage_key is None
