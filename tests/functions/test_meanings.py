"""Every option and call of functions has a behaviour that shows what it means, and none is missing."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

import orch_notebook
from orch_notebook.functions.flows import FunctionFlow
from orch_notebook.functions.futures import Future, FutureList
from orch_notebook.functions.options import FlowOptions, MaterializeOptions, TaskOptions
from orch_notebook.functions.outcomes import Outcome
from orch_notebook.functions.secrets import Secret
from orch_notebook.functions.tasks import FunctionTask
from orch_notebook.functions.variables import Variable
from tests.functions import meanings
from tests.functions.conftest import in_time
from tests.test_house import ROOT

meanings.fill()

#: What is asked by other modules of ours, and by nobody else.
INTERNAL = {
    "task": {
        "bound_first",
        "may_retry",
        "name_run",
        "named",
        "perform",
        "perform_async",
        "run",
        "spec",
        "tell_end",
        "tell_start",
    },
    "flow": {"bound_first", "claimed", "named", "prepared", "run"},
    "future": {
        *(
            "args",
            "attempt",
            "context",
            "details",
            "error",
            "facts",
            "failure",
            "interrupt",
            "is_direct",
            "is_done",
            "is_observed",
        ),
        *("is_stated", "kwargs", "outcome", "performance", "state_now", "take", "task", "tell", "value", "waiters"),
    },
    "futures": set(dir(list)),
    "state": {"data", "message", "name", "type"},
    "Secret": set(),
    "Variable": set(),
}
KINDS: dict[str, type] = {
    "task": FunctionTask,
    "flow": FunctionFlow,
    "future": Future,
    "futures": FutureList,
    "state": Outcome,
    "Secret": Secret,
    "Variable": Variable,
}

#: Names of the package that are no options or calls of functions.
OTHERS = {"Orchestrator", "__version__", "load_ipython_extension", "unload_ipython_extension"}


def parameters(name: str, call: Any) -> Iterator[str]:
    """Yield the parameters of a call by which it can be told what to do."""
    taken = inspect.signature(call).parameters.values()
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    yield from (f"{name}({each.name})" for each in taken if each.kind in named and each.name != "self")


def everything() -> Iterator[str]:
    """Yield the name of every option and call that people may use."""
    yield from (f"@task({option.name})" for option in fields(TaskOptions))
    own = {option.name for option in fields(MaterializeOptions)} - {option.name for option in fields(TaskOptions)}
    yield from (f"@materialize({option})" for option in own)
    yield from (f"@flow({option.name})" for option in fields(FlowOptions))
    for word, kind in KINDS.items():
        for name in sorted(set(dir(kind)) - INTERNAL[word]):
            if not name.startswith("_"):
                yield f"{word}.{name}"
                method = inspect.getattr_static(kind, name)
                if inspect.isfunction(method) and word not in ("Secret", "Variable") and not name.startswith("on_"):
                    yield from parameters(f"{word}.{name}", method)
    for word in ("task", "flow"):
        yield f"{word}()"
        yield f"{word}.fn"
        yield from parameters(word, KINDS[word].__call__)
    yield "future.__await__"
    for name in sorted({*orch_notebook.__all__} - OTHERS):
        yield name
        found = getattr(orch_notebook, name)
        if inspect.isfunction(found) and name not in ("task", "flow"):
            yield from parameters(name, found)


def test_every_option_and_call_has_a_row() -> None:
    """A name that is added comes with what it means; one that is taken away takes its row along."""
    rows = {*meanings.ROWS, *meanings.ELSEWHERE}
    extra = {"tags(words)", "ThreadPoolTaskRunner(max_workers)", "ConcurrentTaskRunner(max_workers)"}
    assert (set(everything()) - rows, rows - set(everything()) - extra) == (set(), set())


@pytest.mark.parametrize("where", sorted(set(meanings.ELSEWHERE.values())))
def test_what_is_shown_elsewhere_is_there(where) -> None:
    """The test that a row names exists."""
    file, _, name = where.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("behaviour", dict.fromkeys(meanings.ROWS.values()), ids=lambda behaviour: behaviour.__name__)
def test_it_means_what_it_says(stored, request, behaviour) -> None:
    """As in Prefect 3, but where its defaults hurt: a call does what its name says, in a real store on real threads."""
    asked = inspect.signature(behaviour).parameters
    given = {"stored": stored} | ({"night": request.getfixturevalue("night")} if "night" in asked else {})
    in_time(behaviour, **given)
