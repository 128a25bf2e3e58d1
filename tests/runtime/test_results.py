"""Kept results: there whole or not at all, and only what was written here is read."""

from __future__ import annotations

import stat
import threading

import pytest

from orch_notebook.errors import StoreUnavailable
from orch_notebook.runtime.files import write_whole
from orch_notebook.runtime.results import Results


@pytest.fixture
def folder(tmp_path):
    """Where results may be kept; it does not exist yet."""
    return tmp_path / "results"


@pytest.fixture
def results(folder):
    """An empty store of results."""
    return Results(folder)


def files(folder):
    return sorted(path for path in folder.iterdir() if path.name != "key")


def test_what_was_kept_is_loaded(folder, results) -> None:
    """Values, who made them and when; also by another process of this installation."""
    results.keep("k1", {"n": 41, "f": lambda x: x + 1}, "run/load")
    found = Results(folder).load("k1")
    assert found.values["n"] == 41 and found.values["f"](1) == 2 and found.made_by == "run/load"
    assert found.made_at.tzinfo is not None


def test_another_key_finds_nothing(folder, results) -> None:
    """Neither before nor after something was kept."""
    assert results.load("k2") is None
    results.keep("k1", {}, "run/load")
    assert results.load("k2") is None


def test_keeping_again_replaces(folder, results) -> None:
    """The newest counts, and nothing else is left lying about."""
    for number in (1, 2):
        results.keep("k1", {"n": number}, "run/load")
    assert results.load("k1").values == {"n": 2} and len(files(folder)) == 1


def test_only_its_owner_can_read_it(folder, results) -> None:
    """Folder 0700, files 0600, the key too."""
    results.keep("k1", {}, "run/load")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def flip(data):
    return data[:-1] + bytes([data[-1] ^ 1])


SPOILT = {
    "one bit": flip,
    "cut short": lambda data: data[: len(data) // 2],
    "only its head": lambda data: data[:20],
    "empty": lambda data: b"",
    "another head": lambda data: b"X" + data[1:],
    "unsigned": lambda data: data[:14] + bytes(32) + data[46:],
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_spoilt_file_is_as_good_as_none(folder, results, spoil) -> None:
    """It is not unpickled, for that would run what stands in it."""
    results.keep("k1", {"n": 1}, "run/load")
    [path] = files(folder)
    path.write_bytes(spoil(path.read_bytes()))
    assert results.load("k1") is None


def test_what_another_installation_wrote_is_not_read(tmp_path, folder, results) -> None:
    """A file signed with a foreign key is not opened, though it is sound."""
    other = Results(tmp_path / "other")
    other.keep("k1", {"n": 1}, "run/load")
    results.keep("k0", {}, "run/load")
    [theirs] = files(tmp_path / "other")
    (folder / theirs.name).write_bytes(theirs.read_bytes())
    assert results.load("k1") is None


class OfAnotherVersion:
    """Something that can be written and not be read back."""

    def __reduce__(self):
        return (int, ("not a number",))


def test_what_cannot_be_read_back_is_as_good_as_none(results) -> None:
    """A library of another version is a reason to run again, not to fail."""
    results.keep("k1", {"x": OfAnotherVersion()}, "run/load")
    assert results.load("k1") is None


def test_what_cannot_be_pickled_leaves_what_was_there(folder, results) -> None:
    """The error is the caller's to explain; no half file is left."""
    results.keep("k1", {"n": 1}, "run/load")
    with pytest.raises(TypeError):
        results.keep("k1", {"lock": threading.Lock()}, "run/load")
    assert results.load("k1").values == {"n": 1} and len(files(folder)) == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path) -> None:
    """In one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"result store .*file.* cannot be written"):
        Results(tmp_path / "file" / "results").keep("k1", {}, "run/load")


def test_of_many_that_begin_at_once_all_use_one_key(folder) -> None:
    """Whoever makes the key first, every one can read what any of them kept."""
    gate = threading.Barrier(6)

    def begin(number):
        gate.wait(20)
        Results(folder).keep(f"k{number}", {"n": number}, "run/load")

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [Results(folder).load(f"k{number}").values["n"] for number in range(6)] == list(range(6))


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    """Until the last moment the old content stands; afterwards no scrap is left."""
    path = tmp_path / "file"
    write_whole(path, b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
