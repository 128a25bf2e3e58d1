"""``orch check``: exit codes, words and JSON that scripts can rely on."""

from __future__ import annotations

import json

import pytest

from tests.books import write_book

pytestmark = pytest.mark.kernel

LIBRARY = """
def tidy(rows):
    rows.append(99)
    return len(rows)
"""

FINDING = {"kind", "task", "cell_index", "name", "what", "others", "text", "line"}
REPORT = {"flow", "tasks", "is_clean", "findings", "notes", "order", "pairs", "turned", "runs", "seed", "compared"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The notebook's folder with a module beside it; the working directory is another."""
    place = tmp_path / "books"
    place.mkdir()
    (place / "mylib.py").write_text(LIBRARY)
    monkeypatch.chdir(tmp_path)
    return place


def test_a_race_is_found_and_the_code_says_so(orch, folder) -> None:
    """Exit code 1, the line to write, and nothing beside the notebook that was not there."""
    book = write_book(
        folder / "race.ipynb",
        ("n: int = 3", ["parameters"]),
        "%load_ext orch_notebook\nimport mylib",
        "%%task load\nrows = list(range(n))",
        "%%task count\nprint(len(rows))",
        "%%task tidy --retries 2\nm = mylib.tidy(rows)",
        "%flow run",
        "raise ValueError('what follows the run is not executed')",
    )
    answer = orch("check", book, "-p", "n=5", "--no-plain", "--json")
    assert (answer.code, answer.err) == (1, "")
    report = answer.json
    assert report.keys() == REPORT and not report["is_clean"] and report["compared"] is None
    [finding] = report["findings"]
    assert finding.keys() == FINDING
    assert (finding["kind"], finding["task"], finding["cell_index"]) == ("undeclared mutation", "tidy", 4)
    assert (finding["name"], finding["what"], finding["others"]) == ("rows", "5 items → 6 items", ["count"])
    assert finding["line"] == "%%task tidy --retries 2 --mutates rows"
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == ["mylib.py", "race.ipynb"]
    assert orch("runs").out == "No runs.\n"


def test_a_plain_notebook_is_checked_cell_by_cell(orch, folder) -> None:
    """With ``--all-cells``; what a failure or an undefined name leaves out is said, and a clean notebook gives 0."""
    book = write_book(
        folder / "plain.ipynb",
        ("n = 2", ["parameters"]),
        "import matplotlib.pyplot as plt\nx = [1] * n",
        "y = len(x)",
        "%time z = y + 1",
        "plt.plot(x);",
        "nobody_knows + 1",
        "print(z)",
        "lost = 1 / 0",
        "print(lost)",
    )
    answer = orch("check", book, "--all-cells", "-p", "n=4")
    assert (answer.code, answer.err) == (0, ""), answer
    assert answer.out.startswith("Nothing found: 6 tasks") and "; 6 cells came to what they" in answer.out
    assert "cell-5 reads 'nobody_knows'" in answer.out and "cell-8 reads 'lost'" in answer.out
    assert "cell-7 fails plainly (ZeroDivisionError: division by zero): it is left out." in answer.out


def test_what_differs_from_plain_cells_is_found(orch, folder) -> None:
    """With its cause: a plain cell between tasks, a task that asks for its thread, a name drawn anew each time."""
    book = write_book(
        folder / "plain.ipynb",
        "%load_ext orch_notebook\nimport threading, uuid\nrows = [1]",
        "%%task extend\nrows.append(2)\nopen('made.txt', 'x').close()",
        "print(len(rows))",
        "%%task where --retries 1\nhere = threading.current_thread() is threading.main_thread()\nprint(here)",
        "%%task after\nprint(not here)",
        "drawn = uuid.uuid4()",
        "%flow run",
    )
    answer = orch("check", book, "--json")
    assert (answer.code, answer.err) == (1, ""), answer
    told = [(each["kind"], each["task"], each["cell_index"]) for each in answer.json["findings"]]
    assert told == [
        ("other than plain", "cell 3", 2),
        ("other than plain", "where", 3),
        ("non-deterministic", "cell 6", 5),
    ]
    plain, where, unsteady = answer.json["findings"]
    assert "of two plain executions" in unsteady["text"]
    assert "prints '2\\n' or '1\\n'" in plain["text"] and plain["line"] == "%%task print_len"
    assert "Leave the cell plain" in where["text"] and where["others"] == ["after"]
    assert answer.json["compared"] == 6
    assert not (folder / "made.txt").exists()


UNUSABLE = {
    "no file": (None, (), "There is no notebook"),
    "no tasks": (("x = 1",), (), "With --all-cells each of its code cells counts as one."),
    "a plain cell that fails": (("%load_ext orch_notebook", "1 / 0", "%%task a\nx = 1"), (), "ZeroDivisionError"),
    "an unknown parameter": (("%load_ext orch_notebook", "%%task a\nx = 1"), ("-p", "m=1"), "m"),
    "an unknown flow": (("%load_ext orch_notebook", "%%task a\nx = 1"), ("--flow", "b"), "has no flow 'b'"),
    "no such number": (("x = 1",), ("--orders", "0"), "See 'orch check --help'"),
}


@pytest.mark.parametrize("cells, options, said", UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_checked_is_refused_in_one_line(orch, folder, cells, options, said) -> None:
    """Exit code 2, as for every command, and no finding is made up."""
    book = folder / "odd.ipynb"
    if cells is not None:
        write_book(book, *cells)
    answer = orch("check", book, *options)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err and answer.err.count("\n") == 1, answer.err


def test_the_notebook_is_not_touched(orch, folder) -> None:
    """Neither its text nor the store of the person who checks it."""
    book = write_book(folder / "one.ipynb", "%load_ext orch_notebook", "%%task a\nx = 1", "%%task b\ny = x")
    before = book.read_bytes()
    assert orch("check", book, "--no-plain").code == 0
    assert book.read_bytes() == before and json.loads(before)
