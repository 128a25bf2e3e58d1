"""The first line of a task cell: ``%%task [NAME] [options]``.

In: that line, or a cell's source.  Out: a :class:`TaskHeader`, or a :class:`~orch_notebook.errors.HeaderError` that
names what is wrong with it.  All options stand in one table, which also yields the usage text, so the magic, its help,
the reader of notebooks nobody is running and the documentation cannot tell different stories.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from keyword import iskeyword
from textwrap import dedent
from typing import Any
from unicodedata import normalize

from orch_notebook.errors import HeaderError, ScheduleError
from orch_notebook.model.durations import parse_interval
from orch_notebook.model.tasks import RUNNER_WORDS, RUNNERS, RetryPolicy, read_resources

__all__ = [
    "OPTIONS",
    "Option",
    "TaskHeader",
    "header_line",
    "header_usage",
    "is_task_name",
    "parse_header",
    "split_task_cell",
]

MAGIC = "task"
NAME_RULE = "letters, digits, _ - and ., beginning with a letter, digit or _"


@dataclass(frozen=True, slots=True)
class TaskHeader:
    """What a ``%%task`` line says.

    Parameters
    ----------
    name : str or None
        The task's name; ``None`` lets the cell choose one.
    retries : int
        Tries after the first.
    retry_delay : tuple of float
        Seconds before each of them; the last repeats.
    jitter : float
        Each wait varies by up to this share.
    timeout : float or None
        Seconds an attempt may take.
    cache : None, True or float
        Keep the result: not, for good, or for so many seconds.
    after : tuple of str
        Tasks to wait for besides those whose names are read.
    inputs, outputs : tuple of str or None
        Names read and bound, in place of what the source shows; ``None`` trusts the source.
    mutates : tuple of str
        Names changed in place besides what the source shows.
    tags : tuple of str
        Words to select by.
    runner : str or None
        Where its body is performed; ``None`` leaves that to the run.
    resources : tuple of (str, float)
        What it needs while it runs.
    flow : str or None
        The flow it belongs to, where a notebook has several.
    run : bool
        Whether executing the cell also runs the task.
    """

    name: str | None = None
    retries: int = 0
    retry_delay: tuple[float, ...] = ()
    jitter: float = 0.0
    timeout: float | None = None
    cache: bool | float | None = None
    after: tuple[str, ...] = ()
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    mutates: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    runner: str | None = None
    resources: tuple[tuple[str, float], ...] = ()
    flow: str | None = None
    run: bool = False

    @property
    def retry(self) -> RetryPolicy:
        """The retry options as the machine takes them."""
        return RetryPolicy(self.retries, self.retry_delay, self.jitter)


def is_task_name(text: str) -> bool:
    """Whether a task or flow may bear this name.

    Examples
    --------
    >>> is_task_name("train-rf.v2"), is_task_name("größe"), is_task_name("a b"), is_task_name("-x")
    (True, True, False, False)
    """
    # Whatever may continue a Python identifier: letters, digits, and the marks that many scripts write vowels with.
    return bool(text) and text[0] not in "-." and all(sign in "-." or f"a{sign}".isidentifier() for sign in text)


# Each reader turns one value's text into what the header holds, or raises ValueError saying what it takes.


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError("takes a whole number from 0")
    return int(text)


def _share(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text, re.ASCII):
        raise ValueError("takes a number from 0, such as 0.5")
    return float(text)


def _length(text: str) -> float:
    try:
        seconds = parse_interval(text)
    except ScheduleError:
        seconds = 0.0
    if seconds <= 0:
        raise ValueError("takes seconds (600) or a length of time (10m, 1h30m)")
    return seconds


def _delays(text: str) -> tuple[float, ...]:
    try:
        return tuple(parse_interval(part) for part in text.split(","))
    except ScheduleError:
        raise ValueError("takes seconds or lengths of time, one (10) or one for each retry (1,10,1m)") from None


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _tasks(text: str) -> tuple[str, ...]:
    names = tuple(normalize("NFC", name) for name in _words(text))
    if not names or not all(map(is_task_name, names)):
        raise ValueError("takes names of tasks, such as load,clean")
    return names


def _variables(text: str) -> tuple[str, ...]:
    names = _words(text)
    if not all(name.isidentifier() and not iskeyword(name) for name in names):
        raise ValueError("takes names of variables, such as df,model ('' for none)")
    return names


def _some_variables(text: str) -> tuple[str, ...]:
    if not (names := _variables(text)):
        raise ValueError("takes names of variables, such as df,model")
    return names


def _tags(text: str) -> tuple[str, ...]:
    tags = _words(text)
    if not tags or any(re.search(r"\s", tag) for tag in tags):
        raise ValueError("takes a word, such as gpu")
    return tags


def _runner(text: str) -> str:
    if text not in RUNNERS:
        raise ValueError(f"takes {RUNNER_WORDS}")
    return text


def _resources(text: str) -> tuple[tuple[str, float], ...]:
    if not (found := read_resources(text)):
        raise ValueError("takes names with an amount, such as GPU=1")
    return tuple(found.items())


def _name(text: str) -> str:
    if not is_task_name(text):
        raise ValueError(f"takes a name: {NAME_RULE}")
    return normalize("NFC", text)


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the line.

    Parameters
    ----------
    flag : str
        As it is typed.
    field : str
        The field of :class:`TaskHeader` it fills.
    metavar : str
        What follows it; empty for a switch, in brackets when it may be left out.
    help : str
        One line for people.
    read : callable
        From the value's text to the field's value; raises ``ValueError`` saying what it takes.
    repeats : bool
        Whether it may be given again, adding to what came before.
    """

    flag: str
    field: str
    metavar: str
    help: str
    read: Callable[[str], Any] = _words
    repeats: bool = False


#: Every option, in the order in which help shows them.
OPTIONS: tuple[Option, ...] = (
    Option("--retries", "retries", "N", "try again up to N times after a failure", _count),
    Option("--retry-delay", "retry_delay", "SECONDS[,…]", "wait before each retry: 10, 1m or 1,10,60", _delays),
    Option("--jitter", "jitter", "SHARE", "vary each wait by up to this share, such as 0.5", _share),
    Option("--timeout", "timeout", "SECONDS", "end an attempt that takes longer: 600, 10m", _length),
    Option("--cache", "cache", "[SECONDS]", "keep the result while nothing it depends on changes, or for 1h", _length),
    Option("--after", "after", "TASK[,…]", "wait for these tasks too", _tasks, repeats=True),
    Option("--inputs", "inputs", "NAME[,…]", "the names it reads, instead of those the code shows", _variables, True),
    Option("--outputs", "outputs", "NAME[,…]", "the names it binds, instead of those the code shows", _variables, True),
    Option("--mutates", "mutates", "NAME[,…]", "names it changes in place", _some_variables, repeats=True),
    Option("--tag", "tags", "WORD[,…]", "words to select it by", _tags, repeats=True),
    Option("--runner", "runner", "NAME", f"where its code runs: {RUNNER_WORDS}", _runner),
    Option("--resource", "resources", "NAME=N[,…]", "what it needs while it runs: GPU=1", _resources, repeats=True),
    Option("--flow", "flow", "NAME", "the flow it belongs to", _name),
    Option("--run", "run", "", "run it now, after those it needs that have not run yet"),
)

BY_FLAG = {option.flag: option for option in OPTIONS}


def header_usage() -> str:
    """Return the help of ``%%task``, drawn from the table of options.

    Examples
    --------
    >>> print(header_usage().splitlines()[0])
    %%task [NAME] [options]
    """
    rows = [("NAME", NAME_RULE), *((f"{option.flag} {option.metavar}".rstrip(), option.help) for option in OPTIONS)]
    width = max(len(left) for left, _ in rows) + 2
    lines = ["%%task [NAME] [options]", "", "Make this cell a task of the notebook's flow.", ""]
    return "\n".join([*lines, *(f"  {left:<{width}}{right}" for left, right in rows)])


def parse_header(line: str) -> TaskHeader:
    """Read what follows ``%%task`` on its line.

    Parameters
    ----------
    line : str
        Such as ``train --retries 3 --retry-delay 1,10,60``.  Quotes work as in a shell; `` #`` begins a comment.

    Raises
    ------
    HeaderError
        In one line: an unknown option with the nearest spelling, a bad value with what it may be, a second name.

    Examples
    --------
    >>> header = parse_header("train --retries 3 --retry-delay 1,1m --tag gpu --cache 1h")
    >>> header.name, header.retry, header.tags, header.cache
    ('train', RetryPolicy(retries=3, delays=(1.0, 60.0), jitter=0.0), ('gpu',), 3600.0)
    >>> parse_header("train --retrys 3")
    Traceback (most recent call last):
    orch_notebook.errors.HeaderError: %%task has no option --retrys. Did you mean --retries?
    """
    words = _split(line)
    found: dict[str, Any] = {}
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            _take_name(word, found)
            continue
        flag, equals, value = word.partition("=")
        option = BY_FLAG.get(flag)
        if option is None:
            raise _unknown(flag)
        if not option.metavar:
            if equals:
                raise HeaderError(f"{flag} takes no value, but {value!r} follows it.", option=flag, value=value)
            found[option.field] = True
        elif equals or _has_value(option, words):
            _take_value(option, value if equals else words.pop(0), found)
        elif option.metavar.startswith("["):
            found[option.field] = True
        else:
            raise HeaderError(f"{flag} needs a value: {flag} {option.metavar} ({option.help}).", option=flag)
    return TaskHeader(**found)


def header_line(header: TaskHeader) -> str:
    """Return the line that says what a header holds; reading it gives the header back.

    Examples
    --------
    >>> header_line(parse_header("train --retry-delay 1m,5 --mutates df --retries=2 --cache"))
    '%%task train --retries 2 --retry-delay 60,5 --cache --mutates df'
    """
    words, usual = [f"%%{MAGIC}", *filter(None, [header.name])], TaskHeader()
    for option in OPTIONS:
        value = getattr(header, option.field)
        if value == getattr(usual, option.field):
            continue
        words.append(option.flag)
        if isinstance(value, tuple):
            words.append(",".join(f"{part:g}" if isinstance(part, float) else part for part in value) or "''")
        elif value is not True:
            words.append(value if isinstance(value, str) else f"{value:.15g}")
    return " ".join(words)


def _split(line: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError:
        raise HeaderError(f"A quote opens in this line and never closes: {line.strip()}", value=line) from None
    comment = next((place for place, word in enumerate(words) if word.startswith("#")), len(words))
    return words[:comment]


def _has_value(option: Option, words: list[str]) -> bool:
    if not words:
        return False
    if option.metavar.startswith("["):
        # A value that may be left out is a length of time, and those begin with a digit: `--cache 1h`, `--cache load`.
        return words[0][:1].isdigit()
    return not words[0].startswith("--")


def _take_value(option: Option, text: str, found: dict[str, Any]) -> None:
    if option.field in found and not option.repeats:
        raise HeaderError(f"{option.flag} is given twice.", option=option.flag)
    try:
        value = option.read(text)
    except ValueError as error:
        raise HeaderError(f"{option.flag} {error}, not {text!r}.", option=option.flag, value=text) from None
    found[option.field] = _joined(found.get(option.field, ()), value) if option.repeats else value


def _joined(before: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*before, *more)))


def _take_name(word: str, found: dict[str, Any]) -> None:
    if "name" in found:
        raise HeaderError(
            f"A task has one name, but the line holds {found['name']!r} and {word!r}; options begin with --.",
            value=word,
        )
    if not is_task_name(word):
        raise HeaderError(f"{word!r} cannot name a task; names hold {NAME_RULE}.", value=word)
    found["name"] = normalize("NFC", word)


def _unknown(flag: str) -> HeaderError:
    if flag in ("--help", "-h"):
        return HeaderError("--help stands alone: %%task --help.", option=flag)
    near = get_close_matches("--" + flag.strip("-").replace("_", "-"), BY_FLAG, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"It has {', '.join(BY_FLAG)}."
    return HeaderError(f"%%task has no option {flag}. {hint}", option=flag)


def split_task_cell(source: str) -> tuple[str, str] | None:
    """Part a task cell into its header line and its body, or return ``None`` if the cell is no task.

    Parameters
    ----------
    source : str
        All of the cell.  As in IPython, blank lines and a common indent before ``%%task`` do not matter; anything else
        does.

    Examples
    --------
    >>> split_task_cell("%%task load --retries 2\\nx = 1")
    ('load --retries 2', 'x = 1\\n')
    >>> split_task_cell("x = 1\\n%%task load") is None
    True
    """
    if "%%" + MAGIC not in source:
        return None
    lines = (source if source.endswith("\n") else source + "\n").splitlines(keepends=True)
    while lines and lines[0].isspace():
        del lines[0]
    lines = dedent("".join(lines)).splitlines(keepends=True)
    if not lines or not lines[0].startswith("%%"):
        return None
    magic, _, header = lines[0][2:].rstrip().partition(" ")
    return (header, "".join(lines[1:])) if magic == MAGIC else None
