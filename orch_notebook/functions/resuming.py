"""Lets runs go on that wait for a person: the answer is checked, noted, and a suspended run made due again.

In: a run's id and an answer, from any process.  Out: the run, which goes on where it waits, or in a worker's process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orch_notebook.errors import NotFound, UsageError
from orch_notebook.functions.schemas import read_words
from orch_notebook.model.parameters import Parameter, check_parameters
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.states import StateType
from orch_notebook.runtime.home import Home, open_home
from orch_notebook.runtime.store.pauses import Pause

__all__ = ["answer", "resume", "resume_flow_run"]


def resume_flow_run(run_id: str, run_input: Any = None) -> None:
    """Let a paused or suspended flow run go on, with the answer that it waits for.

    Raises
    ------
    NotFound
        There is no such run.
    UsageError
        It is not paused, or was suspended by a flow that no worker can find.
    ParameterError
        The answer is not what it asks for.
    """
    home = open_home()
    run = _paused(home, run_id)
    if hasattr(run_input, "model_dump"):
        run_input = run_input.model_dump(mode="json")
    _check_worker(home, run)
    answer(home, run, run_input)
    home.store.wake_run(run_id, home.clock.now())


def resume(run_id: str, given: Mapping[str, Any] | Sequence[str] = (), home: Home | None = None) -> FlowRun:
    """Let a paused or suspended run go on, as a command line asks for it, and return it.

    Parameters
    ----------
    run_id : str
        The run.
    given : mapping or sequence of str
        The parts of the answer by name, or as ``name=value`` words; one that is a single value is called ``input``.
    home : Home, optional
        Where the run is; by default in the environment's.

    Raises
    ------
    NotFound, UsageError, ParameterError
        As for :func:`resume_flow_run`.
    """
    home = home or open_home()
    run = _paused(home, run_id)
    _check_worker(home, run)
    pause = home.store.open_pause(run_id)
    schema = _schema(pause) if pause is not None else ()
    values = dict(given) if isinstance(given, Mapping) else read_words(given, schema)
    checked = check_parameters(schema, values, "run")
    answer(home, run, checked.get("input") if pause is None or pause.kind != "model" else checked)
    home.store.wake_run(run_id, home.clock.now())
    return home.store.run(run_id) or run


def answer(home: Home, run: FlowRun, given: Any) -> None:
    """Check an answer and note it.

    Raises
    ------
    ParameterError
        It is not what the run asks for.
    """
    pause = home.store.open_pause(run.run_id)
    if pause is None:
        return
    if pause.kind == "value":
        given = check_parameters(_schema(pause), {"input": given}, "run")["input"]
    elif pause.kind == "model":
        given = check_parameters(_schema(pause), given if isinstance(given, Mapping) else {}, "run")
    home.store.answer(pause, given, home.clock.now())


def _schema(pause: Pause) -> tuple[Parameter, ...]:
    return tuple(Parameter.from_json(each) for each in pause.schema)


def _paused(home: Home, run_id: str) -> FlowRun:
    run = home.store.run(run_id)
    if run is None:
        raise NotFound(f"There is no run {run_id!r}.", run_id=run_id)
    if run.state.type is not StateType.PAUSED:
        raise UsageError(f"Run {short_id(run_id)} is {run.state.name}, not paused.", run_id=run_id)
    return run


def _check_worker(home: Home, run: FlowRun) -> None:
    if run.state.name == "Suspended" and home.store.plan(run.run_id) is None:
        raise UsageError(
            f"Flow {run.flow!r} is in no module's file, so no worker can go on with run {short_id(run.run_id)}. Where "
            f"the flow is defined: {run.flow.replace('-', '_')}.resume({run.run_id!r})",
            run_id=run.run_id,
        )
