"""What completed tasks leave for the next attempt at their run, which begins in a process that knows nothing."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import numpy
import pandas
import pytest

from orch_notebook.model.events import TaskStateChanged
from orch_notebook.runtime import attempts as module
from orch_notebook.runtime.attempts import Attempts, Left
from orch_notebook.runtime.results import Results
from tests.runtime.test_programs import Notebook


@pytest.fixture
def place(tmp_path: Path) -> Attempts:
    """An attempt at a run, the first."""
    return Attempts(tmp_path / "attempts", Results(tmp_path / "results"))


def next_attempt(place: Attempts, details: dict, **how) -> Attempts:
    """Return the attempt after the one that recorded these details."""
    return Attempts(place._folder, place._results, {details["key"]: Left("run-1", "r/task", details)}, **how)


FRAME = pandas.DataFrame({"n": range(3), "word": ["a", "b", None]})
BIG = numpy.arange(30_000.0)

#: Values that are kept, and where.
KEPT = {
    "nothing": ({}, "inline"),
    "a number": ({"n": 3}, "inline"),
    "a frame": ({"df": FRAME}, "inline"),
    "an array": ({"big": BIG}, "file"),
    "a long text": ({"text": "x" * 10_000}, "file"),
}


@pytest.mark.parametrize("values, where", KEPT.values(), ids=KEPT)
def test_values_come_back_as_they_were(place, values, where):
    """Small ones travel inside the event, larger ones in a file; both come back equal."""
    details = place.keep("k", values, 0.1, {})
    assert ("file" if details["kept"] == "file" else "inline") == where
    found = next_attempt(place, details).load("k", {})
    assert found is not None
    assert found.keys() == values.keys()
    for name, value in values.items():
        same = found[name] == value
        assert bool(same) if isinstance(same, bool) else numpy.asarray(same | (value != value)).all()


#: Values that are not kept, how long they took, and a word of the reason.
LOST = {
    "a lock": ({"lock": threading.Lock()}, 1.0, "lock"),
    "a generator": ({"rows": iter([1] and (n for n in [1]))}, 1.0, "generator"),
    "more than it is worth": ({"big": numpy.ones(1_000_000)}, 0.0, "quicker"),
}


@pytest.mark.parametrize("values, seconds, word", LOST.values(), ids=LOST)
def test_what_is_not_kept_says_why(place, values, seconds, word):
    """No failure: the reason is recorded, and nothing is left on the disk."""
    details = place.keep("k", values, seconds, {})
    assert word in details["lost"]
    assert not place._folder.exists()
    assert next_attempt(place, details).load("k", {}) is None


def test_what_took_long_may_be_large(place):
    """How large a result may be grows with the time that making it took; what chance made is kept in any case."""
    values = {"big": numpy.ones(1_000_000)}
    assert place.keep("k", values, 10.0, {})["kept"] == "file"
    assert place.keep("k", values, 0.0, {}, whatever=True)["kept"] == "file"


def test_what_is_loaded_may_be_changed_and_still_shares(place):
    """Arrays can be written to, and views of one another still are."""
    whole = BIG.copy()
    details = place.keep("k", {"whole": whole, "part": whole[:5], "same": whole}, 1.0, {})
    found = next_attempt(place, details).load("k", {})
    found["whole"][0] = -1
    assert (found["part"][0], found["same"] is found["whole"]) == (-1, True)


def test_functions_are_built_over_the_namespace_they_come_to(place):
    """A function of the notebook reads its globals where it is called, also after a new start."""
    cell: dict = {"__name__": "__main__", "k": 2}
    exec("def scale(x): return x * k", cell)
    details = place.keep("k", {"scale": cell["scale"]}, 0.1, {})
    there = {"k": 7}
    found = next_attempt(place, details).load("k", there)
    assert (found["scale"](1), found["scale"].__globals__ is there) == (7, True)


@pytest.mark.parametrize("values", [{"n": 1}, {"big": BIG}], ids=["inline", "file"])
def test_what_was_not_written_here_is_not_read(place, values, tmp_path):
    """Unpickling runs code: a result that bears another installation's signature is as good as not there."""
    details = place.keep("k", values, 1.0, {})
    other = Attempts(place._folder, Results(tmp_path / "other"), {"k": Left("run-1", "r/task", details)})
    assert (other.has("k"), other.load("k", {})) == (True, None)


def test_half_a_file_is_as_good_as_none(place):
    """What a power cut left is not read."""
    details = place.keep("k", {"big": BIG}, 1.0, {})
    path = place._path("k")
    path.write_bytes(path.read_bytes()[:-7])
    assert next_attempt(place, details).load("k", {}) is None


# Whole flows: the first attempt fails, the second begins in a new namespace.


class Line:
    """The attempts at one run of some cells, each in a notebook that has just been opened."""

    def __init__(self, tmp_path: Path, *cells: str, plain: str = "") -> None:
        self.cells, self.plain = list(cells), plain
        self.folder, self.results = tmp_path / "attempts", Results(tmp_path / "results")
        self.left: dict[str, Left] = {}
        self.count = 0

    def attempt(self, again=(), **how) -> str:
        """Run once more; return the numbers of the tasks whose code was performed."""
        self.count += 1
        self.notebook = Notebook(*self.cells, plain=self.plain)
        attempts = Attempts(self.folder, self.results, self.left, again)
        states = self.notebook.run(attempts=attempts, **how)
        for event in self.notebook.recorded.events:
            details = event.details if isinstance(event, TaskStateChanged) else None
            if details and "key" in details:
                self.left[details["key"]] = Left(f"run-{self.count}", f"r{self.count}/{event.task}", details)
        return " ".join(str(n) for n, state in enumerate(states) if state not in ("Cached", "UpstreamFailed"))

    @property
    def names(self) -> dict:
        """The names after the last attempt."""
        return self.notebook.names


FAIL = "assert is_mended"
FIRST = random.Random(7)
DRAWN = [FIRST.random(), FIRST.random()]

#: Cells of which one fails, the plain cells above; what is performed in the second attempt; names at its end; and
#: what every attempt performs.
SECOND = {
    "a chain": (["a = [1]", "b = a + [2]", f"c = b + [3]\n{FAIL}", "d = c + [4]"], "", "2 3", {"d": [1, 2, 3, 4]}, ""),
    "beside what failed": (["a = 1", FAIL, "b = a + 1"], "", "1", {"a": 1, "b": 2}, ""),
    "a change in place": (
        ["rows = [1]", "rows.append(2)", FAIL, "rows.append(3)", "n = len(rows)"], "", "2",
        {"rows": [1, 2, 3], "n": 3}, "",
    ),
    "a change that fails half way": (
        ["rows = [1]", "rows.append(2)", f"rows.append(3)\n{FAIL}", "n = list(rows)"], "", "2 3", {"n": [1, 2, 3]}, "",
    ),
    "another name for what is changed": (
        ["rows = [1]", "table = {'rows': rows}", f"{FAIL}\nrows.append(2)", "n = len(table['rows'])"], "", "2 3",
        {"n": 2}, "",
    ),
    "a view of what is changed": (
        ["import numpy\na = numpy.zeros(4)", "v = a[:2]", f"{FAIL}\na[0] = 5", "s = float(v.sum())"], "", "1 2 3",
        {"s": 5.0}, "1 2",
    ),
    "what cannot be kept": (
        ["import threading\nlock = threading.Lock()", "n = 1", f"{FAIL}\nwith lock: m = n"], "", "0 2", {"m": 1}, "0",
    ),
    "a function of a task cell": (
        ["k = 2", "def f(x): return x * k", f"y = f(1)\n{FAIL}", "k = 5", "z = f(1)"], "", "2", {"y": 2, "z": 5}, "",
    ),
    "a class and what is made of it": (
        ["class C:\n    n = 1", "c = C()", f"same = isinstance(c, C)\n{FAIL}"], "", "2", {"same": True}, "",
    ),
    "a draw": (
        ["import random\nrandom.seed(7)", "a = random.random()", f"b = random.random()\n{FAIL}"], "", "2",
        {"a": DRAWN[0], "b": DRAWN[1]}, "",
    ),
    "hidden state that stays with its process": (
        ["import decimal\ndecimal.getcontext().prec = 3", f"x = str(decimal.Decimal(1) / 3)\n{FAIL}"], "", "0 1",
        {"x": "0.333"}, "0",
    ),
    "a cell that nobody can read": (["exec(code)", f"{FAIL}\ny = x"], "code = 'x = 1'", "0 1", {"y": 1}, "0 1"),
}  # fmt: skip


@pytest.mark.parametrize("cells, plain, second, names, always", SECOND.values(), ids=SECOND)
def test_the_next_attempt_begins_where_the_last_one_came_to(tmp_path, cells, plain, second, names, always):
    """What completed is loaded, what failed and what comes from it is performed, and the names are those of one run."""
    # Whether it fails is asked of a file, so that nothing the tasks are made of changes.
    flag = tmp_path / "mended"
    plain += f"\nimport pathlib\nis_mended = [pathlib.Path({str(flag)!r}).exists]\ndef look(): return is_mended[0]()"
    line = Line(tmp_path, *(cell.replace("is_mended", "look()") for cell in cells), plain=plain)
    line.attempt()
    flag.touch()
    assert line.attempt() == second
    assert {name: line.names.get(name) for name in names} == names
    assert line.attempt() == always


def test_what_has_changed_is_performed_again(tmp_path):
    """The constant a task reads, or its source: the key is another, and so is that of what comes from it."""
    line = Line(tmp_path, "a = n", "b = a + 1", "c = 1", plain="n = 1")
    assert line.attempt() == "0 1 2"
    assert line.attempt() == ""
    line.plain = "n = 5"
    assert line.attempt() == "0 1"
    line.cells[1] = "b = a + 2"
    assert line.attempt() == "1"
    assert line.names["b"] == 7


def test_from_a_task_on(tmp_path):
    """A task that is named runs again, and what comes from it; the others do not."""
    line = Line(tmp_path, "a = 1", "b = a + 1", "c = b + 1", "d = a")
    line.attempt()
    assert line.attempt(again=["t1"]) == "1 2"
    assert line.attempt(again=["t0"]) == "0 1 2 3"


def test_what_was_selected_or_asked_for_is_loaded_too(tmp_path):
    """``%flow run --all`` in a notebook that is executed again: the first time, too, each task was performed once."""
    line = Line(tmp_path, "a = 1", "b = a + 1")
    line.attempt()
    assert line.attempt(everything=True) == ""


def test_files_that_others_write_too_are_no_reason_to_run_again(tmp_path):
    """Only a file that nobody of the flow accounts for makes the task that wrote it run."""
    log, own = str(tmp_path / "log"), str(tmp_path / "own")
    line = Line(
        tmp_path,
        f"with open({log!r}, 'a') as file: file.write('a')",
        f"with open({own!r}, 'w') as file: file.write('b')",
        f"with open({log!r}, 'a') as file: file.write('c')\nwith open({log!r}) as file: assert len(file.read()) > 3",
    )
    assert line.attempt() == "0 1 2"
    assert line.attempt() == "2"
    Path(own).write_text("changed")
    assert line.attempt() == "1 2"
    assert line.attempt() == ""


def test_keeping_is_bounded_by_what_it_is_worth():
    """The figures that the documentation tells."""
    assert (module.INLINE, module.ALWAYS, module.PER_SECOND) == (4096, 100_000, 40_000_000)
