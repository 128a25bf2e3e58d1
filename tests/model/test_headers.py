"""The `%%task` line: what it may say, and what a wrong one is told."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from orch_notebook.errors import HeaderError
from orch_notebook.model.headers import (
    OPTIONS,
    TaskHeader,
    header_usage,
    is_task_name,
    parse_header,
    split_task_cell,
)
from orch_notebook.model.tasks import RetryPolicy

# a line, what differs from the bare header
GOOD = [
    ("", {}),
    ("   ", {}),
    ("load", {"name": "load"}),
    ("load # the raw rows", {"name": "load"}),
    ("'load'", {"name": "load"}),
    ("größe", {"name": "größe"}),
    ("gro\u0308ße", {"name": "größe"}),
    ("हिन्दी", {"name": "हिन्दी"}),
    ("_2.a-b", {"name": "_2.a-b"}),
    ("2", {"name": "2"}),
    ("--retries 3", {"retries": 3}),
    ("--retries=3 load", {"name": "load", "retries": 3}),
    ("--retry-delay 10", {"retry_delay": (10.0,)}),
    ("--retry-delay 1,10,1m", {"retry_delay": (1.0, 10.0, 60.0)}),
    ("--retry-delay 0", {"retry_delay": (0.0,)}),
    ("--jitter .5", {"jitter": 0.5}),
    ("--timeout 1h30m", {"timeout": 5400.0}),
    ("--timeout 5 minutes", {"timeout": 5.0, "name": "minutes"}),
    ("--cache", {"cache": True}),
    ("--cache 1h", {"cache": 3600.0}),
    ("--cache=90", {"cache": 90.0}),
    ("--cache load", {"cache": True, "name": "load"}),
    ("load --cache --run", {"cache": True, "name": "load", "run": True}),
    ("--after a,b", {"after": ("a", "b")}),
    ("--after a --after b,a", {"after": ("a", "b")}),
    ("--after 'a, b'", {"after": ("a", "b")}),
    ("--inputs x,y", {"inputs": ("x", "y")}),
    ("--inputs ''", {"inputs": ()}),
    ("--inputs=", {"inputs": ()}),
    ("--outputs m", {"outputs": ("m",)}),
    ("--mutates df", {"mutates": ("df",)}),
    ("--tag gpu --tag big,slow", {"tags": ("gpu", "big", "slow")}),
    ("--flow nightly", {"flow": "nightly"}),
    ("--run", {"run": True}),
    ("--run --run", {"run": True}),
]


@pytest.mark.parametrize(("line", "fields"), GOOD)
def test_a_header_is_read(line, fields):
    """Every option fills its field, whatever the order, and leaves the others alone."""
    header = parse_header(line)
    assert header == TaskHeader(**fields)
    assert pickle.loads(pickle.dumps(header)) == header


BAD = [
    ("--retrys 3", "%%task has no option --retrys. Did you mean --retries?"),
    ("--retry_delay 3", "%%task has no option --retry_delay. Did you mean --retry-delay?"),
    ("-retries 3", "%%task has no option -retries. Did you mean --retries?"),
    ("--colour red", "%%task has no option --colour. It has --retries, --retry-delay"),
    ("--", "%%task has no option --."),
    ("a --help", "--help stands alone"),
    ("--retries", "--retries needs a value: --retries N"),
    ("--retries --run", "--retries needs a value"),
    ("--retries three", "--retries takes a whole number from 0, not 'three'."),
    ("--retries -1", "--retries takes a whole number from 0, not '-1'."),
    ("--retries 1.5", "not '1.5'."),
    ("--retries ٣", "--retries takes a whole number"),
    ("--retries 99999999999", "--retries takes a whole number"),
    ("--retries 1 --retries 2", "--retries is given twice."),
    ("--retry-delay soon", "--retry-delay takes seconds or lengths of time"),
    ("--retry-delay 1,,2", "--retry-delay takes seconds or lengths of time"),
    ("--jitter much", "--jitter takes a number from 0, such as 0.5, not 'much'."),
    ("--jitter nan", "--jitter takes a number"),
    ("--timeout 0", "--timeout takes seconds (600) or a length of time"),
    ("a --timeout 5 minutes", "one name, but the line holds 'a' and 'minutes'"),
    ("--cache 1x", "--cache takes seconds"),
    ("--cache=long", "--cache takes seconds"),
    ("--after", "--after needs a value"),
    ("--after a+b", "--after takes names of tasks"),
    ("--after ,", "--after takes names of tasks"),
    ("--inputs x.y", "--inputs takes names of variables"),
    ("--inputs class", "--inputs takes names of variables"),
    ("--mutates ''", "--mutates takes names of variables, such as df,model, not ''."),
    ("--tag ''", "--tag takes a word"),
    ("--flow 'my flow'", "--flow takes a name"),
    ("--run=yes", "--run takes no value, but 'yes' follows it."),
    ("load clean", "A task has one name, but the line holds 'load' and 'clean'"),
    ("'my task'", "'my task' cannot name a task"),
    ("a/b", "'a/b' cannot name a task"),
    ("<b>", "'<b>' cannot name a task"),
    ("''", "'' cannot name a task"),
    ("-", "'-' cannot name a task"),
    (".hidden", "'.hidden' cannot name a task"),
    ("load 'half", "A quote opens in this line and never closes"),
]


@pytest.mark.parametrize(("line", "says"), BAD)
def test_a_bad_header_is_told_what_is_wrong(line, says):
    """The error is one line and names the option or value and what it may be."""
    with pytest.raises(HeaderError) as caught:
        parse_header(line)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="load -=,'\"#\\1.5ahmsx\t\u00e9", max_size=40))
def test_any_line_is_read_or_refused_in_one_line(line):
    """Whatever is typed ends in a header or in a HeaderError, never in another exception."""
    try:
        parse_header(line)
    except HeaderError as error:
        assert str(error)


def test_the_usage_shows_every_option():
    """Help is drawn from the same table the parser uses, and its lines fit a notebook."""
    usage = header_usage()
    for option in OPTIONS:
        assert f"{option.flag} {option.metavar}".rstrip() in usage
        assert option.help in usage
        assert hasattr(TaskHeader(), option.field)
    assert max(map(len, usage.splitlines())) <= 110


def test_a_header_gives_the_retry_policy():
    """The machine takes retries as one value."""
    assert parse_header("--retries 2 --retry-delay 5 --jitter 1").retry == RetryPolicy(2, (5.0,), 1.0)


@pytest.mark.parametrize(("text", "is_name"), [("a", True), ("", False), ("a+", False), ("a:b", False), ("a\n", False)])
def test_names_leave_room_for_selectors(text, is_name):
    """A name never holds what selectors are made of."""
    assert is_task_name(text) is is_name


CELLS = [
    "%%task load\nx = 1",
    "%%task load --retries 3\nx = 1\n",
    "%%task\nx = 1",
    "%%task",
    "%%task load   \n",
    "\n\n  \n%%task load\nx = 1",
    "    %%task load\n    x = 1\n    y = 2",
    "  %%task load\nx = 1",
    "# note\n%%task load\nx = 1",
    "x = 1\n%%task load",
    " \t%%task load\n \tx = 1",
    "%%tasks load\nx = 1",
    "%%taskx\nx = 1",
    "%%task?\n",
    "%%task??",
    "%%time\n%%task load",
    "%task load",
    "%%task\tload\nx = 1",
    "%% task load\nx = 1",
    "%%task load\r\nx = 1\r\n",
    "%%task load\n\n\nx = 1\n\n",
    "%%task load\nprint('''\n    deep''')",
    "",
    "\n",
    "s = '%%task'",
]


@pytest.mark.parametrize("source", CELLS)
def test_task_cells_are_parted_as_ipython_parts_them(source):
    """What we take for a task cell is what IPython would hand to the magic, with the same line and body."""
    transformed = TransformerManager().transform_cell(source)
    parted = split_task_cell(source)
    if parted is None:
        assert not transformed.startswith("get_ipython().run_cell_magic('task',")
    else:
        assert transformed == "get_ipython().run_cell_magic({!r}, {!r}, {!r})\n".format("task", *parted)
