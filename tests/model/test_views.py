"""What people see of a run: words, badges, summaries, rows."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import NAMES, State, StateType
from orch_notebook.model.tasks import RetryPolicy, Task
from orch_notebook.model.views import (
    LOOKS,
    TONES,
    attempt_words,
    badge_html,
    badge_text,
    duration,
    icon,
    outcome_words,
    plain_lines,
    progress_words,
    run_words,
    state_words,
    summary_html,
    summary_text,
    task_rows,
)
from orch_notebook.model.views.badges import MAX_BADGE_BYTES

NOW = datetime(2026, 11, 20, 9, 14, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>\"&"
TYPE_OF = {name: kind for kind, names in NAMES.items() for name in names}


def task_run(name: str = "load", state: str = "Pending", attempt: int = 1, **other: Any) -> TaskRun:
    """A task run that began 3.1 s ago; one in a final state ended a second later."""
    found = State(TYPE_OF[state], state, other.pop("message", ""))
    task = other.pop("task", None) or Task(name)
    began = NOW - timedelta(seconds=3.1) if attempt else None
    ended = NOW - timedelta(seconds=2.1) if attempt and found.is_final else None
    return TaskRun("run", task, found, attempt, began, ended, other)


def flow_run(state: str, *tasks: TaskRun, message: str = "", flow: str = "nightly") -> FlowRun:
    """A run that began 12 s ago; in a final state it ends now."""
    found = State(TYPE_OF[state], state, message)
    return FlowRun(
        "run",
        flow,
        found,
        NOW,
        started_at=NOW - timedelta(seconds=12),
        ended_at=NOW if found.is_final else None,
        graph=Graph(tuple(each.task for each in tasks)),
        tasks=tasks,
    )


def text_of(html: str) -> str:
    """The words of a piece of HTML; also checks that it is well formed and bears no script."""
    root = ElementTree.fromstring(html.replace("&nbsp;", " "))
    assert not [each for each in root.iter() if each.tag in ("script", "style", "svg", "iframe")]
    assert not [name for each in root.iter() for name in each.attrib if name.startswith("on")]
    return " ".join(" ".join(root.itertext()).split())


CASES = json.loads((Path(__file__).parents[2] / "js" / "test" / "durations.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("seconds", "words"), CASES)
def test_a_length_of_time_reads_the_same_in_python_and_in_the_browser(seconds: float, words: str) -> None:
    """Python and the panel's script are held to one table."""
    assert duration(seconds) == words


@pytest.mark.parametrize("name", sorted(TYPE_OF))
def test_every_state_has_a_shape_a_word_and_a_colour(name: str) -> None:
    """No state falls through, and its badge fits its size and says its word."""
    html = badge_html(task_run(state=name), NOW)
    assert LOOKS[name].word.split()[-1].lower() in text_of(html).lower() or name in ("AwaitingRetry",)
    assert icon(LOOKS[name].tone) in html
    assert len(html.encode()) <= MAX_BADGE_BYTES


STATE_WORDS = [
    ("Running", 1, {}, "Running 3.1 s"),
    ("Retrying", 2, {}, "Retrying 2 of 3 · 3.1 s"),
    ("Completed", 1, {}, "Completed 1.0 s"),
    ("Failed", 1, {}, "Failed after 1.0 s"),
    ("TimedOut", 1, {}, "Timed out after 1.0 s"),
    ("UpstreamFailed", 0, {}, "Upstream failed"),
    ("Late", 0, {"due_at": NOW - timedelta(seconds=42)}, "Late 42 s"),
    ("Late", 0, {"due_at": (NOW - timedelta(seconds=42)).isoformat()}, "Late 42 s"),
    ("AwaitingRetry", 1, {"due_at": (NOW + timedelta(seconds=8)).timestamp()}, "Retry in 8.0 s"),
    ("AwaitingRetry", 1, {"due_at": NOW}, "Retry due"),
    ("AwaitingRetry", 1, {"due_at": "nonsense"}, "Awaiting retry"),
    ("Cached", 0, {}, "Cached"),
]


@pytest.mark.parametrize(("state", "attempt", "details", "words"), STATE_WORDS)
def test_a_state_is_said_with_the_number_that_matters(
    state: str, attempt: int, details: dict[str, Any], words: str
) -> None:
    """How long it has run, which try it is, how late it is, how long it waits."""
    task = Task("load", RetryPolicy(retries=2))
    assert state_words(task_run(state=state, attempt=attempt, task=task, **details), NOW) == words


RUN_WORDS = [
    ("Running", "Running 12 s"),
    ("Completed", "Completed in 12 s"),
    ("Failed", "Failed after 12 s"),
    ("Cancelled", "Cancelled after 12 s"),
    ("Scheduled", "Scheduled"),
    ("Cancelling", "Cancelling"),
]


@pytest.mark.parametrize(("state", "words"), RUN_WORDS)
def test_a_run_is_said_with_its_length(state: str, words: str) -> None:
    """A run's state reads as half a sentence."""
    assert run_words(flow_run(state), NOW) == words


def test_progress_says_what_is_wrong_before_what_goes_on() -> None:
    """Done first, then failures, then what runs, then what waits."""
    tasks = [task_run(str(i), name) for i, name in enumerate(["Pending", "Running", "Cached", "Completed", "Failed"])]
    assert progress_words(tasks) == "2 of 5 done · 1 failed · 1 running · 1 pending"
    assert progress_words([]) == "no tasks"


def test_a_failed_run_says_what_it_leaves() -> None:
    """What completed stays, and how many tasks never began."""
    run = flow_run(
        "Failed",
        task_run("a", "Completed"),
        task_run("b", "Failed"),
        task_run("c", "UpstreamFailed", 0),
        task_run("d", "UpstreamFailed", 0),
    )
    assert outcome_words(run) == "What completed is kept. 2 tasks did not run."
    assert outcome_words(flow_run("Completed", task_run("a", "Completed"))) == ""
    assert outcome_words(flow_run("Running", task_run("a", "Running"))) == ""


def test_attempts_are_told_only_where_there_can_be_several() -> None:
    """A task without retries says nothing of attempts."""
    assert attempt_words(task_run(task=Task("load", RetryPolicy(2)), attempt=3)) == "attempt 3 of 3"
    assert attempt_words(task_run(attempt=1)) == ""
    assert attempt_words(task_run(task=Task("load", RetryPolicy(2)), attempt=0)) == ""


def test_a_badge_names_what_the_task_takes_in_and_leaves() -> None:
    """Reads, writes and mutates in one line, the same words in HTML and in text."""
    task = Task("clean", RetryPolicy(2), reads=("raw",), writes=("df", "n"), mutates=("log",))
    run = task_run(state="Running", task=task)
    assert text_of(badge_html(run, NOW)) == "Running 3.1 s clean reads raw writes df n mutates log attempt 1 of 3"
    assert badge_text(run, NOW) == "● Running 3.1 s  clean  reads raw  writes df, n  mutates log  attempt 1 of 3"


REMARKS = [
    ("Failed", {"error": "ValueError: no"}, "ValueError: no"),
    ("UpstreamFailed", {"message": "'load' failed"}, "'load' failed"),
    ("Cached", {"cached_from": "run 7"}, "result of run 7"),
    ("Completed", {"note": "cannot be pickled: always run"}, "cannot be pickled: always run"),
]


@pytest.mark.parametrize(("state", "details", "words"), REMARKS)
def test_a_badge_ends_with_the_one_thing_worth_adding(state: str, details: dict[str, Any], words: str) -> None:
    """Why it failed or never ran, where a result came from, its note."""
    run = task_run(state=state, **details)
    assert text_of(badge_html(run, NOW)).endswith(words)
    assert badge_text(run, NOW).endswith(words)


def test_text_of_users_is_shown_as_text_everywhere() -> None:
    """Names, errors, notes and tracebacks with markup in them stay words."""
    task = Task(HOSTILE, reads=(HOSTILE,), writes=(HOSTILE,), mutates=(HOSTILE,), opaque=HOSTILE)
    failed = task_run(state="Failed", task=task, error=HOSTILE, traceback=[HOSTILE, HOSTILE], note=HOSTILE)
    run = flow_run("Failed", failed, message=HOSTILE, flow=HOSTILE)
    for html in (badge_html(failed, NOW), summary_html(run, "", NOW)):
        assert "<script" not in html
        assert "alert('x')" in text_of(html)


def test_terminal_colours_and_tricks_with_direction_are_taken_out() -> None:
    """A traceback in colour reads as plain lines, IPython's ruler is dropped, and no mark turns the text around."""
    lines = plain_lines(["-" * 75, "\x1b[31mValue\x1b[0mError: no\x07", "evil\u202egnp.exe", "a\r\nb"])
    assert lines == ["ValueError: no", "evilgnp.exe", "a", "b"]


def test_a_long_traceback_keeps_its_end() -> None:
    """The last lines tell what happened; how many are left out is said."""
    lines = plain_lines([f"line {number}" for number in range(100)], most=3)
    assert lines == ["… 97 lines above", "line 97", "line 98", "line 99"]
    assert len(plain_lines(["x" * 10_000], width=80)[0]) == 80


@pytest.mark.parametrize("letter", ["a", "é", "名", "<", '"'])
def test_a_badge_stays_small_whatever_it_names(letter: str) -> None:
    """Names give way before the size does: a live badge is sent whole at each change."""
    names = tuple(f"{letter * 80}{number}" for number in range(60))
    task = Task(letter * 500, RetryPolicy(2), reads=names, writes=names, mutates=names)
    html = badge_html(task_run(state="Failed", task=task, error=letter * 5000), NOW)
    assert len(html.encode()) <= MAX_BADGE_BYTES
    assert "Failed after 1.0 s" in text_of(html)
    assert len(badge_html(task_run(state="Retrying", task=task), NOW, "12345678").encode()) <= MAX_BADGE_BYTES


@pytest.mark.parametrize("name", sorted(TYPE_OF))
def test_what_still_changes_says_as_of_when_it_is(name: str) -> None:
    """A notebook that nobody keeps up to date does not lie; what is final needs no time."""
    live, text = (badge_html(task_run(state=name), NOW, kernel) for kernel in ("k1", ""))
    is_final = State(TYPE_OF[name], name).is_final
    assert ("as of" in text_of(live), 'data-orch-kernel="k1"' in live) == (not is_final, not is_final)
    assert ("as of" in text_of(text), "data-orch-kernel" in text) == (not is_final, False)
    run = flow_run(name, task_run())
    assert (f"orch show {run.run_id}" in text_of(summary_html(run, "", NOW, "k1"))) is not is_final


def test_a_summary_shows_the_failure_with_the_lines_of_the_users_cell() -> None:
    """Which task, which attempt, which cell, the traceback, and what is kept."""
    lines = ["Cell In[7], line 2", "----> 2 linear.fit(X, y)", "ValueError: Input X contains NaN."]
    task = Task("train", RetryPolicy(2), cell_index=6)
    run = flow_run(
        "Failed",
        task_run("load", "Completed"),
        task_run(state="Failed", task=task, attempt=3, traceback=lines, error=lines[-1]),
        task_run("plot", "UpstreamFailed", 0, message="'train' failed"),
    )
    words = text_of(summary_html(run, "", NOW))
    assert words.startswith("nightly Failed after 12 s 1 of 3 done · 1 failed · 1 upstream failed")
    assert "train attempt 3 of 3, cell 7 Cell In[7], line 2" in words
    assert "What completed is kept. 1 task did not run." in words
    text = summary_text(run, NOW)
    assert "train failed (attempt 3 of 3, cell 7):" in text
    assert text.endswith("What completed is kept. 1 task did not run.")


def test_a_summary_of_a_thousand_tasks_stays_bounded_and_shows_what_matters() -> None:
    """Forty rows, the failure among them; the rest is counted; a diagram too large is left out."""
    tasks = [task_run(f"t{number}", "Failed" if number == 777 else "Completed") for number in range(1000)]
    run = flow_run("Failed", *tasks)
    html = summary_html(run, "<svg>" + "x" * 500_000, NOW)
    assert len(html.encode()) < 100_000
    assert "t777" in html
    assert "and 960 more tasks" in text_of(html)
    assert len(summary_text(run, NOW).splitlines()) < 60
    assert [row.name for row in task_rows(run, NOW, 1)] == ["t777"]


def test_a_hundred_failures_do_not_fill_the_page() -> None:
    """Five tracebacks are shown and the others counted."""
    tasks = [task_run(f"t{number}", "Failed", traceback=["boom " * 50] * 500) for number in range(100)]
    html = summary_html(flow_run("Failed", *tasks), "", NOW)
    assert len(html.encode()) < 120_000
    assert "95 more tasks failed." in text_of(html)


def test_a_summary_of_a_run_without_tasks_is_a_line() -> None:
    """A run that ended before it had tasks still shows its state and why."""
    run = flow_run("Crashed", message="The kernel died.")
    assert text_of(summary_html(run, "", NOW)) == "nightly Crashed after 12 s no tasks The kernel died."


def test_rows_carry_the_words_for_a_table() -> None:
    """Whoever draws tables gets words, not states."""
    (row,) = task_rows(flow_run("Running", task_run("load", "Running")), NOW)
    assert (row.name, row.tone, row.glyph, row.state, row.duration) == ("load", "running", "●", "Running", "3.1 s")


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance as WCAG 2 defines it."""
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Contrast ratio as WCAG 2 defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))


def mixed(one: tuple[float, ...], share: float, other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(share * a + (1 - share) * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", TONES)
@pytest.mark.parametrize(("paper", "text"), [("#ffffff", "#212121"), ("#111111", "#dddddd"), ("#212121", "#e0e0e0")])
def test_words_of_a_badge_can_be_read_on_light_and_dark_paper(name: str, paper: str, text: str) -> None:
    """Contrast of at least 4.5 with the colour that follows the theme, and of 3 with the one that stands alone."""
    mid = rgb(TONES[name].mid)
    under = mixed(mid, 0.13, rgb(paper))
    assert contrast(mixed(mid, 0.65, rgb(text)), under) >= 4.5
    assert contrast(mid, under) >= 3


@pytest.mark.parametrize("name", TONES)
def test_words_of_a_panel_can_be_read_in_both_themes(name: str) -> None:
    """The panel's own two sets of colours keep a contrast of 4.5."""
    tone = TONES[name]
    assert contrast(rgb(tone.light), rgb(tone.light_paper)) >= 4.5
    assert contrast(rgb(tone.dark), rgb(tone.dark_paper)) >= 4.5


def test_the_panels_style_sheet_has_the_same_colours() -> None:
    """The colours of states stand in Python and in CSS; they do not drift apart."""
    css = (Path(__file__).parents[2] / "js" / "src" / "panel.css").read_text(encoding="utf-8")
    light, dark = css.split('[data-orch-theme="dark"] {')
    for name, tone in TONES.items():
        for half, ink, paper in ((light, tone.light, tone.light_paper), (dark, tone.dark, tone.dark_paper)):
            assert re.search(rf"--{name}: {ink};", half), name
            assert re.search(rf"--{name}-paper: {paper};", half), name


def test_states_that_end_a_run_are_final_in_their_look_too() -> None:
    """Nothing that is over looks as if it went on."""
    over = {name for kind in (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED) for name in NAMES[kind]}
    assert not {LOOKS[name].tone for name in over} & {"running", "retrying", "pending", "paused"}
