"""Options of flows that say how results are kept: done, or refused with the reason, never accepted and ignored."""

from __future__ import annotations

import pytest

from orch_notebook import flow, task
from orch_notebook.errors import UsageError
from tests.functions.conftest import in_time

calls: list[str] = []

# the option, and what is said
REFUSED = {
    "a block of Prefect": ({"result_storage": "s3-bucket/results"}, "is the name of a Prefect block"),
    "a kind of address that there is not": ({"result_storage": "ftpp://results"}, "cannot be reached"),
    "a password": ({"result_storage": "ftp://ann:pw@host/results"}, "holds a password"),
    "no place": ({"result_storage": 3}, "is a folder, or an address"),
    "an unknown serializer": ({"result_serializer": "yaml"}, "none that there is"),
    "no serializer": ({"result_serializer": 3}, "has dumps"),
    "a hook that is none": ({"on_crashed": ["mail"]}, "on_crashed of @flow must hold functions"),
    "another hook that is none": ({"on_cancellation": 3}, "on_cancellation of @flow must hold functions"),
    "of tasks alone": ({"viz_return_value": 1}, "no option 'viz_return_value'"),
}


@pytest.mark.parametrize("given, said", REFUSED.values(), ids=REFUSED)
def test_an_option_that_would_not_be_heeded_is_refused(given, said) -> None:
    """Where the flow is defined, not at night."""
    with pytest.raises(UsageError, match=said):
        flow(**given)(print)


# what the flow and the task say, and how often the task runs when the flow's body runs twice
PERSIST = {
    "neither says": (None, None, 1),
    "the flow says no": (False, None, 2),
    "the task says no": (None, False, 2),
    "the task says yes": (False, True, 1),
    "both say yes": (True, True, 1),
}


@pytest.mark.parametrize("of_flow, of_task, count", PERSIST.values(), ids=PERSIST)
def test_a_flow_says_for_its_tasks_whether_results_are_kept(stored, of_flow, of_task, count) -> None:
    """A task that says so itself has its way."""
    calls.clear()

    @task(persist_result=of_task)
    def work():
        calls.append("work")
        return 1

    @flow(persist_result=of_flow, retries=1)
    def fails_once():
        work()
        calls.append("body")
        if calls.count("body") < 2:
            raise ConnectionError("down")

    in_time(fails_once)
    assert calls.count("work") == count


def test_parameters_are_checked_unless_the_flow_says_no(stored) -> None:
    """`validate_parameters=False` takes what is given."""

    @flow
    def works(n: int):
        return n

    assert in_time(works, "3") == 3
    assert in_time(works.with_options(validate_parameters=False), "3") == "3"
