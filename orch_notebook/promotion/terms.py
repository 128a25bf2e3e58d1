"""What a person says when a notebook is promoted: when it runs, with which values, and on which terms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from orch_notebook.errors import ScheduleError, UsageError
from orch_notebook.model.chains import After, is_taken
from orch_notebook.model.deployments import Plan
from orch_notebook.model.durations import parse_interval
from orch_notebook.model.headers import is_task_name
from orch_notebook.model.notices import Notice
from orch_notebook.model.parameters import Parameter, check_parameters, parse_assignments
from orch_notebook.model.policies import CatchUp, Overlap
from orch_notebook.model.retention import Retention
from orch_notebook.model.schedules import Cron, Interval, Once, Recurrence, Schedule
from orch_notebook.model.zones import parse_instant

__all__ = ["Given", "Terms", "Timed", "read_given", "read_schedules", "read_started", "read_variables"]

#: What the names of variables have whose values are nobody's business.
SECRET = re.compile(r"passw|secret|token|credential|api_?key|private_?key|access_?key", re.IGNORECASE)

#: Parameters by name, or as the words of a command line.
Given = Mapping[str, Any] | Sequence[str]


def read_given(
    schema: Sequence[Parameter],
    given: Given,
    *,
    standing: Mapping[str, Any] | None = None,
    taker: str = "notebook",
) -> dict[str, Any]:
    """Return parameters as they are passed on, checked by name and type.

    Parameters
    ----------
    schema : sequence of Parameter
        What the notebook takes.
    given : mapping or sequence of str
        By name, or as ``name=value`` words of a command line.
    standing : mapping, optional
        What holds where nothing is given.
    taker : str
        What takes them, in the words of an error.

    Raises
    ------
    ParameterError
        One is unknown, missing or ill-typed.
    """
    values = dict(given) if isinstance(given, Mapping) else parse_assignments(given, schema)
    return check_parameters(schema, {**(standing or {}), **values}, taker)


def read_started(
    schema: Sequence[Parameter], given: Given, rules: Sequence[After], *, taker: str = "notebook"
) -> tuple[dict[str, Any], tuple[After, ...]]:
    """Return parameters of a deployment that others start, and its rules, all checked as far as they are known.

    Values that take from the run before (``{upstream.values.rows}``) belong to the rules, and are given to each.

    Raises
    ------
    ParameterError
        One is unknown, missing or ill-typed; what a rule gives need not be given besides.
    UsageError
        Something is taken from a run before, and there is no rule that says which.
    """
    values = dict(given) if isinstance(given, Mapping) else parse_assignments(given, schema)
    taken = {name: value for name, value in values.items() if is_taken(value)}
    if taken and not rules:
        name, value = next(iter(taken.items()))
        raise UsageError(
            f"{name}={value} takes from a run before, but this starts after none: --after-deployment NAME."
        )
    rules = [replace(rule, parameters={**taken, **rule.parameters}) for rule in rules]
    started = {name for rule in rules for name in rule.parameters}
    relaxed = [replace(each, required=each.required and each.name not in started) for each in schema]
    standing = check_parameters(relaxed, {name: value for name, value in values.items() if name not in taken}, taker)
    known = {each.name for each in schema}
    checked = []
    for rule in rules:
        # What is taken is known when the run before has ended; that there is such a parameter is known now.
        plain = {name: value for name, value in rule.parameters.items() if name not in known or not is_taken(value)}
        found = check_parameters(relaxed, {**standing, **plain}, taker)
        checked.append(replace(rule, parameters={**rule.parameters, **{name: found[name] for name in plain}}))
    return standing, tuple(checked)


@dataclass(frozen=True, slots=True)
class Timed:
    """A schedule with the values its runs are given."""

    schedule: Schedule
    parameters: Mapping[str, Any] = field(default_factory=dict)


def read_schedules(
    now: datetime,
    crons: Sequence[str] = (),
    intervals: Sequence[str] = (),
    instants: Sequence[str] = (),
    timezone: str | None = None,
    recurrences: Sequence[str] = (),
    start: str | None = None,
) -> list[Schedule]:
    """Return the schedules that ``--cron``, ``--every``, ``--at``, ``--rrule``, ``--start`` and ``--tz`` describe.

    Parameters
    ----------
    now : datetime
        Intervals and recurrences count from here, unless `start` says otherwise.

    Raises
    ------
    ScheduleError
        One of them does not parse; the message says which part.
    """
    if timezone is not None and not (crons or instants or recurrences or start):
        raise ScheduleError("A time zone goes with a wall clock; give --cron, --rrule, --start or --at too.")
    if start is not None and not (intervals or recurrences):
        raise ScheduleError("A start goes with what counts from it; give --every or --rrule too.")
    zone = timezone or "UTC"
    begin = now if start is None else parse_instant(start, zone)
    found: list[Schedule] = [Cron(expression, zone) for expression in crons]
    found += [Interval(parse_interval(length), begin) for length in intervals]
    found += [Recurrence(rule, begin, zone) for rule in recurrences]
    found += [Once(parse_instant(text, zone)) for text in instants]
    for schedule in found:
        if schedule.next(now) is None:
            raise ScheduleError(f"This schedule has no due time ahead: {schedule.words()}.")
    return found


def read_variables(words: Sequence[str]) -> dict[str, str]:
    """Return environment variables from the ``NAME=VALUE`` words of a command line.

    Raises
    ------
    UsageError
        A word has no ``=``.
    """
    for word in words:
        if "=" not in word:
            raise UsageError(f"{word!r} sets no environment variable. Write NAME=VALUE.")
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _check_variable(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name.startswith("ORCH_"):
        raise UsageError(
            f"{name!r} is no name for a variable of a deployment: letters, digits and '_' are, and ORCH_ is ours."
        )
    if SECRET.search(name):
        raise UsageError(
            f"{name} looks like a secret, which a deployment would show to everybody who can read the store. "
            "Set it in the environment of the worker: its runs see that."
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """How the runs of a deployment are made and executed.

    Parameters
    ----------
    retries : int
        How often a run that failed or crashed is repeated.
    retry_delay : float
        Seconds before each repetition.
    timeout : float or None
        Seconds a run may take.
    kernel : str or None
        Name of the kernel; None takes the notebook's own.
    queue : str
        Where workers look for its runs.
    priority : int
        Of the runs that are due, higher ones go first.
    concurrency : int or None
        How many of its runs may go on at once; None for any number.
    overlap : Overlap or None
        What a due run does while as many go on; given alone, it means one at a time.
    catch_up : CatchUp
        Which of the due times that passed while nothing looked still become runs.
    tags : tuple of str
        Words to find its runs by.
    memory : int or None
        Bytes the kernel and what it starts may take.
    env : mapping
        Environment variables of the kernel; nothing secret, since everybody who reads the store can read them.
    preload : tuple of str
        Modules that its kernels have imported before the first cell.
    warm : int
        How many kernels are kept started for it before it is due, beside what each worker keeps.
    starts_after : tuple of After
        Which ends of other deployments' runs start one of it.
    notify : tuple of Notice
        Who is told what.
    keep : Retention
        How long its runs are kept; by default as the settings say.
    track : bool
        Execute the file as it stands at each run, in place of a pinned copy.

    Raises
    ------
    UsageError
        A number or a word is not right.
    """

    retries: int = 0
    retry_delay: float = 0.0
    timeout: float | None = None
    kernel: str | None = None
    queue: str = "default"
    priority: int = 0
    concurrency: int | None = None
    overlap: Overlap | None = None
    catch_up: CatchUp = field(default_factory=CatchUp)
    tags: tuple[str, ...] = ()
    memory: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    preload: tuple[str, ...] = ()
    warm: int = 0
    starts_after: tuple[After, ...] = ()
    notify: tuple[Notice, ...] = ()
    keep: Retention = field(default_factory=Retention)
    track: bool = False

    def __post_init__(self) -> None:
        if self.retries < 0 or self.retry_delay < 0 or (self.timeout is not None and self.timeout <= 0):
            raise UsageError("Retries and their delay must not be negative, and a timeout must be more than 0 seconds.")
        if self.concurrency is not None and self.concurrency < 1:
            raise UsageError("At least one run at a time must be allowed; 'orch pause' lets a deployment rest.")
        for name in self.env:
            _check_variable(name)
        for module in self.preload:
            if not all(map(str.isidentifier, module.split("."))):
                raise UsageError(f"{module!r} is no name of a module that could be imported: pandas, sklearn.svm.")
        if self.warm < 0:
            raise UsageError("No fewer than 0 kernels can be kept started.")
        for word in (self.queue, *self.tags):
            if not is_task_name(word):
                raise UsageError(f"A queue or a tag may hold letters, digits, '_', '-' and '.', so not {word!r}.")

    def plan(self, notebook: Path, pinned: Path, entrypoint: str = "", folder: Path | None = None) -> Plan:
        """Return how a worker executes a run of a notebook, or of a flow of a module; in `folder`, or the file's."""
        limit = self.concurrency if self.concurrency is not None or self.overlap is None else 1
        return Plan(
            notebook=str(notebook),
            snapshot=str(pinned),
            folder=str(folder or notebook.parent),
            kernel=self.kernel,
            retries=self.retries,
            retry_delay=self.retry_delay,
            timeout=self.timeout,
            queue=self.queue,
            priority=self.priority,
            concurrency=limit,
            overlap=self.overlap or Overlap.QUEUE,
            tags=self.tags,
            memory=self.memory,
            env=dict(self.env),
            preload=self.preload,
            warm=self.warm,
            entrypoint=entrypoint,
        )
