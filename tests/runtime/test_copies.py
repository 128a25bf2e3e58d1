"""Copies of versions: what comes back is what was there, and what would not be is refused."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from orch_notebook.runtime.copies import Copies, NotCopied, folder_name, remove_orphans
from orch_notebook.runtime.owners import this_owner

np = pytest.importorskip("numpy")


@pytest.fixture
def copies(tmp_path):
    """A place for copies."""
    found = Copies(tmp_path / "mine", 1_000_000)
    yield found
    found.close()


class Model:
    """An object with parts."""

    def __init__(self, rows) -> None:
        self.rows = rows


def test_what_is_shared_is_shared_again(copies) -> None:
    """Of versions kept together, parts they share are one part again, and a class stays that class."""
    rows = [1]
    copies.keep("c", {("rows", "a"): rows, ("model", "b"): Model(rows)}, {})
    rows.append(2)
    first, second = copies.load("c"), copies.load("c")
    assert first["rows", "a"] == [1] and first["model", "b"].rows is first["rows", "a"]
    assert type(first["model", "b"]) is Model and first["rows", "a"] is not second["rows", "a"]


def test_arrays_come_back_as_they_were(copies) -> None:
    """Large ones as well, and as writable as they were."""
    free, fixed = np.arange(1000.0), np.arange(3)
    fixed.flags.writeable = False
    copies.keep("c", {("free", "a"): free, ("fixed", "a"): fixed}, {})
    free += 1
    found = copies.load("c")
    assert found["free", "a"][0] == 0 and found["free", "a"].flags.writeable
    assert not found["fixed", "a"].flags.writeable and found["fixed", "a"].tolist() == [0, 1, 2]


def closure(rows):
    """Return a function that holds on to a list."""

    def inner():
        return rows

    inner.__module__ = "__main__"
    return inner


BASE = np.arange(6)
REFUSED = {
    "a generator": (lambda: {("g", "a"): (n for n in [1])}, "it cannot be pickled"),
    "a lock": (lambda: {("lock", "a"): [threading.Lock()]}, "it cannot be pickled"),
    "two views of one array": (lambda: {("x", "a"): BASE, ("y", "b"): BASE[2:]}, "two views of one array"),
    "a function": (lambda: {("f", "a"): closure}, "'f' is a function"),
    "a class": (lambda: {("C", "a"): Model}, "'C' is a type"),
    "a function that holds on to something": (
        lambda: {("f", "a"): [closure([1])]},
        "holds on to what it was made with",
    ),
    "something too large": (lambda: {("x", "a"): np.ones(1_000_000)}, "it takes more than 1,000,000 bytes"),
    "a long list": (lambda: {("x", "a"): list(range(1_000_000))}, "it takes more than 1,000,000 bytes"),
}


@pytest.mark.parametrize("make, why", REFUSED.values(), ids=REFUSED)
def test_what_would_not_come_back_the_same_is_refused(copies, tmp_path, make, why) -> None:
    """It says why, and leaves no file."""
    with pytest.raises(NotCopied, match=why):
        copies.keep("c", make(), {})
    with pytest.raises(NotCopied, match="it was not kept"):
        copies.load("c")
    assert list((tmp_path / "mine").glob("*")) == []


def test_parts_of_an_array_that_do_not_meet_are_no_views_of_each_other(copies) -> None:
    """Two halves come back as two arrays, which nobody can tell from halves."""
    copies.keep("c", {("x", "a"): BASE[:3], ("y", "a"): BASE[3:]}, {})
    assert copies.load("c")["y", "a"].tolist() == [3, 4, 5]


def test_the_oldest_copies_give_way_unless_they_are_held(copies) -> None:
    """All copies together stay below the limit."""
    copies.held = frozenset({"0"})
    for number in range(4):
        copies.keep(str(number), {("x", str(number)): np.ones(50_000)}, {("x", str(number)): "r1"})
    tokens = {("x", str(number)): "r1" for number in range(4)}
    assert set(copies.good(tokens)) == {"0", "3"}


def test_a_copy_is_good_for_the_versions_that_still_are_what_they_were(copies) -> None:
    """One that was made again is another."""
    copies.keep("c", {("x", "a"): 1, ("y", "b"): 2}, {("x", "a"): "r1", ("y", "b"): "r1"})
    assert copies.good({("x", "a"): "r1", ("y", "b"): "r2"}) == {"c": {("x", "a")}}


def test_copies_of_dead_sessions_are_removed(tmp_path) -> None:
    """Those of living ones stay."""
    script = "from orch_notebook.runtime.owners import this_owner; print(this_owner())"
    dead = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    for owner in (dead, this_owner()):
        (tmp_path / folder_name(owner)).mkdir()
    remove_orphans(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [folder_name(this_owner())]
