"""Outcomes and findings: what counts as a difference, and what people are told to write."""

from __future__ import annotations

import pytest

from orch_notebook.model.findings import Finding, Report, said_chance, said_mutation, said_order, said_read
from orch_notebook.model.headers import TaskHeader, header_line, parse_header
from orch_notebook.model.outcomes import Outcome, difference, texts_of
from orch_notebook.model.views import check_html


def text(*parts, kind="stdout"):
    """Return the outputs of a task that wrote these parts."""
    return [{"output_type": "stream", "name": kind, "text": part} for part in parts]


def shown(words, **data):
    """Return the outputs of a task that showed a value."""
    return [{"output_type": "execute_result", "data": {"text/plain": words, **data}}]


SAME = {
    "addresses": (shown("<Model at 0x7f8a11112222>"), shown("<Model at 0x7f8a33334444>")),
    "parts of a text": (text("ab"), text("a", "b")),
    "clocks": (text("at 12:01:02"), text("at 13:04:05")),
    "what %time tells": (text("Wall time: 3 ms\n5"), text("Compiler : 130 ms\nWall time: 9 ms\n5")),
    "the file of a cell": (
        text('  File "/tmp/ipykernel_12/345.py", line 2\n', kind="stderr"),
        text('  File "<task load>", line 2\n', kind="stderr"),
    ),
    "a bar that was rewritten": (text("1%\r50%\r100%"), text("3%\r100%")),
    "warnings": (text("/a/b.py:3: UserWarning: no\n  f(x)\n", kind="stderr"), []),
    "other forms of a value": (shown("x", **{"text/html": "<b id=1>"}), shown("x", **{"text/html": "<b id=2>"})),
}
OTHER = {
    "printed": (text("1"), text("2")),
    "shown": (shown("1"), shown("2")),
    "nothing": (text("1"), []),
    "a picture": (shown("fig", **{"image/png": "AA"}), shown("fig", **{"image/png": "BB"})),
}


@pytest.mark.parametrize("first, second", SAME.values(), ids=SAME)
def test_what_is_nobodys_result_is_the_same(first, second) -> None:
    """Addresses, clocks, and how output came in pieces."""
    assert not difference(Outcome(has_run=True, texts=texts_of(first)), Outcome(has_run=True, texts=texts_of(second)))


@pytest.mark.parametrize("first, second", OTHER.values(), ids=OTHER)
def test_other_output_is_told(first, second) -> None:
    """In words that follow the task's name."""
    said = difference(Outcome(has_run=True, texts=texts_of(first)), Outcome(has_run=True, texts=texts_of(second)))
    assert said.partition(" ")[0] in ("prints", "shows", "draws")


DIFFERENCES = [
    (Outcome(has_run=True), Outcome(), "does not run"),
    (Outcome("ValueError: no", True), Outcome(has_run=True), "does not fail with ValueError: no"),
    (Outcome(has_run=True, made={"x": "1"}), Outcome(has_run=True), "may not make 'x'"),
    (
        Outcome(has_run=True, texts={"prints": "hi\n1"}, has_loaded=True),
        Outcome(has_run=True, texts={"prints": "1"}),
        "",
    ),
    (Outcome("E: a", True, made={"x": "1"}), Outcome("E: a", True), ""),
]


@pytest.mark.parametrize("first, second, said", DIFFERENCES)
def test_endings_and_versions_are_compared(first, second, said) -> None:
    """What a failed task leaves is not."""
    assert difference(first, second) == said


LINES = [
    "train",
    "train --retries 3 --retry-delay 1,60 --jitter 0.5 --timeout 600",
    "train --cache --after load,clean --mutates df,model",
    "train --cache 3600 --inputs a,b --outputs '' --tag gpu --flow big --run",
    "train --retry-delay 0.25 --timeout 1234567",
]


@pytest.mark.parametrize("line", LINES)
def test_a_header_is_written_as_it_is_read(line) -> None:
    """Nothing that a person has written there is lost when an option is added."""
    assert header_line(parse_header(line)) == f"%%task {line}"


HEADER = TaskHeader(name="tidy", retries=2)
SAID = [
    (said_mutation("tidy", HEADER, "df", "3 → 4 rows", "df", ["plot"]), ["'df'", "3 → 4 rows", "'plot'"]),
    (said_mutation("tidy", HEADER, "d", "1 → 2 items", "d['a']", []), ["'d' (at d['a'])"]),
    (said_order("b", HEADER, "a", "c", "prints '1' or '2'", "file:x.csv"), ["after 'a'", "'c' prints", "file 'x.csv'"]),
    (said_read("b", HEADER, "x", "fails with NameError"), ["needs 'x'"]),
    (said_chance("a", "state:random", ["b", "c"]), ["'b' and 'c'", "random.seed(0)"]),
]


@pytest.mark.parametrize("finding, words", SAID)
def test_findings_name_everything(finding, words) -> None:
    """The task, the name, what was seen, and who is concerned."""
    assert all(word in finding.text for word in words), finding.text


def test_a_report_is_shown_with_what_users_wrote_escaped() -> None:
    """Names and texts are no markup."""
    finding = Finding("hidden order", "<b>", "prints '<script>'", line="%%task <b> --after a", cell_index=3)
    report = Report("demo", 2, (finding,), ("a <note>",), runs=2)
    html = check_html(report)
    assert "<script>" not in html and "&lt;script&gt;" in html and "cell 4" in html and "a &lt;note&gt;" in html
    assert Report.from_json(report.to_json()) == report
    assert report.verdict() == "1 finding in 2 tasks (2 runs)."
