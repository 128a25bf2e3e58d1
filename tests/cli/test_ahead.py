"""``orch run`` starts the process of a notebook before it has read all that was asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orch_notebook.cli import read_run
from tests.books import write_book

WORDS = {
    "run a.ipynb": ("a.ipynb", ""),
    "run a.ipynb --json": ("a.ipynb", ""),
    "run --kernel ir a.ipynb": ("a.ipynb", "ir"),
    "run a.ipynb --kernel=ir": ("a.ipynb", "ir"),
    "run -p n=3 --parameter m=4 a.ipynb -pk=5": ("a.ipynb", ""),
    "run --timeout 10m a.ipynb": ("a.ipynb", ""),
    "run -p a.ipynb": ("", ""),
    "run": ("", ""),
    "run a.ipynb b.ipynb": ("", ""),
    "run etl.py:nightly": ("", ""),
    "run a.ipynb --runner processes": ("", ""),
    "run a.ipynb --help": ("", ""),
    "run a.ipynb --unheard-of": ("", ""),
    "check a.ipynb": ("", ""),
    "": ("", ""),
}


@pytest.mark.parametrize("words, said", WORDS.items())
def test_a_process_is_started_only_where_the_words_are_plain(words, said) -> None:
    """What says more is left to who reads all of it."""
    assert read_run(words.split()) == said


WRONG = {
    "an unknown parameter": (("-p", "m=1"), "There is no parameter 'm'"),
    "a kernel that is not there": (("--kernel", "nope"), "The kernel 'nope' is not installed"),
    "an option that wants a value": (("--timeout",), "requires an argument"),
    "a length that is none": (("--timeout", "soon"), "soon"),
}


@pytest.mark.parametrize("options, said", WRONG.values(), ids=WRONG)
def test_what_is_wrong_comes_first_and_leaves_nothing_behind(orch, tmp_path, orch_home, options, said) -> None:
    """No run, no process, no kernel; one line and code 2."""
    book = write_book(tmp_path / "one.ipynb", "%load_ext orch_notebook", "%%task a\nx = 1")
    answer = orch("run", book, *options)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err and answer.err.count("\n") == 1
    assert not list(processes_of(orch_home))
    assert orch("runs").out == "No runs.\n"


def processes_of(home: Path) -> list[int]:
    """Return the processes that were started with this home, but for this one and what it has become of."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            variables = (place / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
        if f"ORCH_HOME={home}".encode() in variables and int(place.name) != os.getpid():
            found.append(int(place.name))
    return found
