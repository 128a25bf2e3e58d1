"""Names of tasks: what a person would call a cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch_notebook.model.headers import is_task_name
from orch_notebook.model.naming import LONGEST, heading_of, name_for

# source, names taken, name
NAMED = {
    "its first comment": ("# Load the data!\nx = 1", (), "load_the_data"),
    "its comment's first words": ("# Clean it, then look\nx = 1", (), "clean_it"),
    "a comment with a number": ("# 2.1) Split the rows\nx = 1", (), "split_the_rows"),
    "a comment in another script": ("# Größe messen", (), "größe_messen"),
    "a long comment": ("# " + "word " * 20, (), "word_word_word_word_word_word"),
    "a long comment cut where it hangs": (
        "# Measure the mean width and the height of it",
        (),
        "measure_the_mean_width",
    ),
    "a comment of one word": ("# imports\nx = 1", (), "imports"),
    "not code taken out": ("# x = old()\ntotal = 1", (), "total"),
    "not a magic taken out": ("# !pip install it\ntotal = 1", (), "total"),
    "not a line drawn": ("# -----\ntotal = 1", (), "total"),
    "its output": ("df = read()", (), "df"),
    "its last output": ("raw = 1\nclean = 2", (), "clean"),
    "the first of a tuple": ("train, test = split(df)", (), "train"),
    "an annotated output": ("size: int = 1", (), "size"),
    "a changed column": ("df['b'] = 1", (), "df"),
    "an output inside of with": ("with open('a') as f:\n    text = f.read()", (), "text"),
    "not a scratch name": ("fig, ax = plt.subplots()\nax.plot(xs)", (), "plot"),
    "a scratch name where there is nothing else": ("x = 1", (), "x"),
    "what is free": ("total = 1", ("total", "total_2"), "total_3"),
    "what it prints": ("print(total)", (), "print_total"),
    "what it prints of": ("print(df.mean())", (), "print_df"),
    "a text it prints": ("print('hello')", (), "print"),
    "what it shows": ("df", (), "show_df"),
    "what it calls": ("df.groupby('a').mean()", (), "df_mean"),
    "a method that fits": ("model.fit(X, y)", (), "model_fit"),
    "what it draws": ("plt.figure()\nplt.scatter(a, b)\nplt.title('t')\nplt.show()", (), "scatter"),
    "what a library does": ("np.sqrt(2)", (), "sqrt"),
    "what a loop does": ("for each in rows:\n    print(each)", (), "print_each"),
    "what is awaited": ("await fetch(url)", (), "fetch"),
    "what is timed": ("get_ipython().run_cell_magic('time', '', 'model = fit(X)\\n')", (), "model"),
    "a shell command": ("get_ipython().system('ls -l data')", (), "ls_l"),
    "not a comparison": ("1 == 2", (), "task"),
    "an assertion": ("assert 1", (), "task"),
    "nothing": ("", (), "task"),
    "no Python": ("x = = 1", (), "task"),
}


@pytest.mark.parametrize(("source", "taken", "expected"), NAMED.values(), ids=NAMED)
def test_a_cell_without_a_name_gets_one(source: str, taken: tuple[str, ...], expected: str) -> None:
    """From what a person would call it."""
    assert name_for(source, taken) == expected


def test_a_heading_goes_before_all_else() -> None:
    """The first cell below a heading bears its words."""
    assert name_for("# Read it\ndf = 1", (), heading="3. Loading `wine`") == "loading_wine"
    assert name_for("# Read it\ndf = 1", (), heading="🍷") == "read_it"


def test_the_main_output_is_what_cells_below_use() -> None:
    """Of several outputs the one used most gives the name, the last among equals."""
    assert name_for("rows = 1\nrest = 2", (), used={"rows": 3, "rest": 1}) == "rows"
    assert name_for("rows = 1\nrest = 2", (), used={"rows": 1, "rest": 1}) == "rest"


# a markdown cell, its heading
HEADINGS = [
    ("# Wine", "Wine"),
    ("Words.\n\n## The data ##\nMore.", "The data"),
    ("# One\n## Two", "Two"),
    ("Loading\n-------", "Loading"),
    ("```\n# a comment in code\n```", ""),
    ("#hashtag", "hashtag"),
    ("<h3 id='a'>A <b>bold</b> plot</h3>", "A bold plot"),
    ("## [Linked](http://x.y) ![](a.png)text", "Linked text"),
    ("## The *mean* of `x_1` and **max**", "The mean of x_1 and max"),
    ("## Energy $E = mc^2$ &amp; mass", "Energy  & mass"),
    ("no heading\n\n---\n", ""),
    ("| a |\n|---|\n| 1 |", ""),
    ("", ""),
]


@pytest.mark.parametrize(("markdown", "expected"), HEADINGS)
def test_headings_are_read_as_text(markdown: str, expected: str) -> None:
    """The last heading of a cell counts, without its markup."""
    assert heading_of(markdown) == expected


@given(st.text(max_size=80), st.text(max_size=80))
def test_every_name_can_name_a_task(source: str, heading: str) -> None:
    """Whatever stands in a cell and above it, the name is one that ``%%task`` takes, and a short one."""
    name = name_for(f"# {source}\nx = 1", ("x",), heading=heading)
    assert is_task_name(name)
    assert len(name) <= LONGEST + 2
