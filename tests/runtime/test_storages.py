"""Results elsewhere: what this installation has written under a name comes back, and nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from orch_notebook.errors import UsageError
from orch_notebook.runtime.results import Results
from orch_notebook.runtime.storages import Storage, check_place, place_of


@pytest.fixture(params=["folder", "address", "address of a folder"])
def storage(request, tmp_path) -> Storage:
    """A folder, and places that fsspec reaches."""
    places = {
        "folder": str(tmp_path / "kept"),
        "address": f"memory://{tmp_path.name}",
        "address of a folder": f"file://{tmp_path}/kept",
    }
    return Storage(places[request.param], Results(tmp_path / "key"))


def raw(storage: Storage, name: str) -> bytes:
    """Return a file as it lies there."""
    if "://" not in storage.place:
        return Path(storage.place, name).read_bytes()
    import fsspec

    return fsspec.open(f"{storage.place}/{name}").open().read()


def write_raw(storage: Storage, name: str, data: bytes) -> None:
    """Put a file there that nobody has signed."""
    if "://" not in storage.place:
        Path(storage.place, name).write_bytes(data)
        return
    import fsspec

    with fsspec.open(f"{storage.place}/{name}", "wb") as file:
        file.write(data)


def test_a_result_comes_back_as_it_was_written(storage) -> None:
    """With its head; the last one under a name counts; what is not there is none."""
    storage.write("daily/rows", {"as": "json"}, b"[1]")
    storage.write("daily/rows", {"as": "pickle"}, b"\x00" * 100)
    assert storage.read("daily/rows") == ({"as": "pickle"}, b"\x00" * 100)
    assert storage.read("daily") is None and storage.read("monthly/rows") is None


#: What somebody has done to a file.
HARM = {
    "changed": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "cut short": lambda data: data[:-1],
    "emptied": lambda data: b"",
    "another head": lambda data: data.replace(b"json", b"nosj"),
    "of no kind": lambda data: b"hello",
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_what_was_not_written_here_is_not_there(storage, harm) -> None:
    """Reading a result may run code, so nothing is read that bears no signature of the whole."""
    storage.write("rows", {"as": "json"}, b"[1]")
    write_raw(storage, "rows", harm(raw(storage, "rows")))
    assert storage.read("rows") is None


def test_a_result_stands_for_its_name_alone(storage) -> None:
    """Nobody can pass one off as another by moving it."""
    storage.write("a", {}, b"1")
    write_raw(storage, "b", raw(storage, "a"))
    assert storage.read("a") is not None and storage.read("b") is None


def test_another_installation_reads_nothing(storage, tmp_path) -> None:
    """It has another key."""
    storage.write("a", {}, b"1")
    assert Storage(storage.place, Results(tmp_path / "other")).read("a") is None


@pytest.mark.parametrize("name", ["", " ", "/etc/passwd", "../up", "a/../../up", "a\0b", "..\\up"])
def test_a_name_cannot_lead_elsewhere(storage, name) -> None:
    """It is made from parameters, which anybody may have written."""
    with pytest.raises(UsageError, match="has to lie below"):
        storage.write(name, {}, b"")
    assert storage.read(name) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_files_are_their_owners_alone(tmp_path) -> None:
    """Like those of ORCH_HOME; a folder that was there keeps its rights."""
    (tmp_path / "shared").mkdir(mode=0o755)
    Storage(str(tmp_path / "shared"), Results(tmp_path / "key")).write("deep/rows", {}, b"1")
    modes = [stat.S_IMODE((tmp_path / "shared" / each).stat().st_mode) for each in ("deep/rows", "deep", ".")]
    assert modes == [0o600, 0o700, 0o755]


def test_a_folder_is_the_same_from_anywhere(tmp_path, monkeypatch) -> None:
    """What is relative counts from where the run begins; addresses stay as they are."""
    monkeypatch.chdir(tmp_path)
    assert place_of(check_place("results")) == str(tmp_path / "results")
    assert place_of(check_place(Path("~/results"))) == str(Path.home() / "results")
    assert place_of("memory://results") == "memory://results"
