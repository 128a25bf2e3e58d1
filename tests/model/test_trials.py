"""Two executions of a notebook: which cells depart, and which reason is told."""

from __future__ import annotations

import pytest

from orch_notebook.model.cells import analyse
from orch_notebook.model.findings import Report, said_departure, said_unsteady_cell
from orch_notebook.model.outcomes import Outcome
from orch_notebook.model.reasons import RULES, reason_for
from orch_notebook.model.trials import Departure, Trial, departures


def trial(*cells, **names) -> Trial:
    """Return an execution whose cells printed these texts, or failed where they begin with '!', and left these."""
    outcomes = [
        Outcome(text[1:], has_run=True) if text.startswith("!") else Outcome(has_run=True, texts={"prints": text})
        for text in cells
    ]
    return Trial(dict(enumerate(outcomes)), names)


DEPARTURES = {
    "nothing": (trial("a", x="1"), trial("a", x="1"), []),
    "a text": (trial("a", "b"), trial("a", "c"), [(1, "prints 'b' or 'c'")]),
    "an error": (trial("a"), trial("!KeyError: 'x'"), [(0, "fails with KeyError: 'x'")]),
    "no error": (trial("!KeyError: 'x'"), trial("a"), [(0, "does not fail with KeyError: 'x'")]),
    "a value": (trial("a", "b", x="1"), trial("a", "b", x="2"), [(1, "leaves another 'x'")]),
    "a value too much": (trial("a", "b"), trial("a", "b", x="2"), [(1, "leaves 'x'")]),
    "a value too few": (trial("a", "b", x="2"), trial("a", "b"), [(1, "does not leave 'x'")]),
    "a value of a cell that printed something else": (trial("a", "b", x="1"), trial("a", "c", x="2"), [(1, "prints")]),
    "a value of a cell that fails": (trial("a", "!E: no", x="1"), trial("a", "!E: no"), []),
    "a value that nobody is known to make": (trial("a", y="1"), trial("a", y="2"), [(None, "leaves another 'y'")]),
    "a cell that is not there": (trial("a", "b"), trial("a"), []),
}


@pytest.mark.parametrize("expected, found, departed", DEPARTURES.values(), ids=DEPARTURES)
def test_each_cell_that_departs_is_told_once(expected, found, departed) -> None:
    """With what differs first: its error, what it put out, what it left."""
    said = departures(expected, found, {"x": 1})
    assert [each.cell for each in said] == [cell for cell, _ in departed]
    assert all(each.what.startswith(what) for each, (_, what) in zip(said, departed, strict=True))


def test_cells_may_be_left_out() -> None:
    """Those that did not run because others failed."""
    assert departures(trial("a", "b"), trial("c", "d"), {}, {1}) == [Departure(0, "prints 'a' or 'c'")]


def test_a_trial_travels_as_json() -> None:
    """By the names of its tasks."""
    found = Trial.from_json(Trial({"load": Outcome("E: x", True, texts={"prints": "1"})}, {"x": "12"}).to_json())
    assert found.cells["load"] == Outcome("E: x", True, texts={"prints": "1"}) and found.names == {"x": "12"}


REASONS = {
    "name = input('who? ')": "input",
    "print(_ + 1)": "history",
    "_3.head()": "history",
    "Out[3].head()": "history",
    "get_ipython().run_line_magic('whos', '')": "magic of the session",
    "get_ipython().run_line_magic('debug', '')": "debugger",
    "get_ipython().run_line_magic('timeit', 'f(x)')": "timing",
    "get_ipython().run_cell_magic('capture', 'out', 'print(1)')\nout": "capture",
    "plt.ioff()\nplt.plot(x)": "backend",
    "get_ipython().run_line_magic('autoreload', '2')": "reloading",
    "print(sys.stdout.isatty())": "streams",
    "signal.signal(signal.SIGINT, stop)": "main thread",
    "asyncio.get_event_loop()": "event loop",
    "sys.setrecursionlimit(50)": "recursion",
    "print(len(globals()))": "namespace",
    "print(a is b)": "identity",
    "os.system('ls')": "other programs",
    "for row in tqdm(rows): pass": "progress",
    "warnings.warn('old')": "warnings",
    "logging.info('x')": "logging",
    "print(random.random())": "chance",
    "datetime.now()": "clock",
    "print(os.listdir('.'))": "files",
}


@pytest.mark.parametrize("code, name", REASONS.items())
def test_a_known_reason_is_told(code, name) -> None:
    """Each rule has a row, and the rule meant speaks first."""
    [rule] = [rule for rule in RULES if rule.name == name]
    assert reason_for(code, analyse(code), "prints '1' or '2'") == rule.why


def test_every_rule_has_a_row() -> None:
    """So that none is never tried."""
    assert {rule.name for rule in RULES} == set(REASONS.values())


@pytest.mark.parametrize(
    "code, words",
    [
        ("x = 1\nfor _ in range(3):\n    print(x)", ""),
        ("_, y = pair", ""),
        ("print(df.x is None)", ""),
        ("exec_time = 3", ""),
        ("get_ipython().run_line_magic('sql', 'select 1')", "Nothing certain is known"),
        ("import numpy as np\nnp.set_printoptions(precision=2)", "hidden state (display)"),
    ],
)
def test_what_no_rule_knows_is_told_by_the_analysis(code, words) -> None:
    """What is opaque or touches hidden state, and nothing is made up beyond that."""
    said = reason_for(code, analyse(code), "prints '1' or '2'")
    assert words in said if words else said == ""


def test_departures_are_said_with_what_follows_from_them() -> None:
    """Of a task or a plain cell, and whichever of the two executions it was."""
    found = said_departure("tidy", "prints 'a' or 'b'", "Why.", others=["plot", "save"], line="%%task tidy")
    assert found.text == (
        "Plainly or in the flow, task 'tidy' prints 'a' or 'b'. Why. What 'plot' and 'save' give follows from it."
    )
    assert said_departure("cell 3", "fails with E: x", "Why.").text == "In the flow, cell 3 fails with E: x. Why."
    assert said_unsteady_cell("cell 3", "prints").text.startswith(
        "Cell 3 is not deterministic: of two plain executions"
    )


def test_a_report_says_whether_plain_cells_were_compared() -> None:
    """What a check did not do is said, so that nobody relies on it."""
    assert "'orch check NOTEBOOK' compares it with plain cells" in Report("demo", 2, runs=2).text()
    report = Report("demo", 2, runs=2, compared=3)
    assert report.text() == (
        "Nothing found: 2 tasks gave the same in 2 runs; 3 cells came to what they come to in a plain notebook."
    )
    assert Report.from_json(report.to_json()) == report
