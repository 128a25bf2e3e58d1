"""The panel of a function's flow: its runs as they go, its parameters, and what it waits to be told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import nbformat
import pytest
from pydantic import BaseModel, Field

from orch_notebook import flow, pause_flow_run, suspend_flow_run, task
from orch_notebook.errors import ParameterError, UsageError
from orch_notebook.functions.flows import FunctionFlow
from orch_notebook.jupyter.function_source import FunctionSource
from orch_notebook.jupyter.widgets.forms import asked
from orch_notebook.jupyter.widgets.picture import Picture
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.runtime.home import close_homes
from orch_notebook.runtime.settings import Settings

PATIENCE = 30.0


class Approval(BaseModel):
    level: int = Field(ge=1, le=3, description="how much")
    why: Literal["fine", "late"] = "fine"


@task
def double(x: int) -> int:
    return 2 * x


@flow
def nightly(n: int, rate: float = 0.5) -> list[float]:
    return [rate * double(each) for each in range(n)]


@flow
def approve(day: str = "monday") -> Any:
    double(1)
    return pause_flow_run(wait_for_input=Approval)


@flow
def outer() -> Any:
    return approve()


def of_a_notebook() -> FunctionFlow[..., Any]:
    """A flow that is in no file, as those of a notebook's cells."""
    names = {"flow": flow, "suspend_flow_run": suspend_flow_run, "__name__": "__main__"}
    exec("@flow\ndef counts() -> int:\n    return 1 + suspend_flow_run(wait_for_input=int)", names)
    return names["counts"]


class Watched:
    """A source, and waits for what its runs come to."""

    def __init__(self, orchestrator: Orchestrator, flow: FunctionFlow[..., Any]) -> None:
        self.source = FunctionSource(orchestrator, flow, None)
        self._changed = threading.Condition()
        self.source.subscribe(self._tell)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def until(self, look: Callable[[], Any]) -> Any:
        """Wait until something is so, as the panel does: it looks whenever it is told of a change."""
        with self._changed:
            assert self._changed.wait_for(look, PATIENCE), self.source.current()
        return look()

    def state(self) -> str:
        run = self.source.current()
        return run.state.name if run is not None else ""


@pytest.fixture
def watch(orch_home: Path) -> Iterator[Callable[[FunctionFlow[..., Any]], Watched]]:
    """Makes sources over this test's own store."""
    orchestrator = Orchestrator(Settings(orch_home))
    yield lambda flow: Watched(orchestrator, flow)
    close_homes()
    orchestrator.close()


def test_a_flow_is_run_with_parameters_as_they_were_typed(watch: Any) -> None:
    """Its tasks stand there as they appear; a value that does not fit is refused before anything runs."""
    watched = watch(nightly)
    source = watched.source
    assert [(each.parameter.name, each.value) for each in source.parameters()] == [("n", ""), ("rate", "0.5")]
    assert (source.current(), source.graph().tasks) == (None, ())
    for values, said in (({}, "'n' (int) has no default"), ({"n": "many"}, "'n' takes int")):
        with pytest.raises(ParameterError) as refused:
            source.start((), values=values)
        assert said in str(refused.value)
    with pytest.raises(UsageError, match="runs as a whole"):
        source.start(("double",))
    assert source.current() is None
    source.start((), values={"n": "3"})
    watched.until(lambda: watched.state() == "Completed")
    run = source.current()
    assert [each.name for each in run.tasks] == ["double", "double-2", "double-3"]
    assert run.parameters == {"n": 3, "rate": 0.5}
    assert source.graph() == run.graph
    with pytest.raises(UsageError, match="Nothing is running"):
        source.cancel()


def test_what_a_paused_flow_asks_is_checked_and_told(watch: Any) -> None:
    """The form has the model's fields; an answer of the wrong type or beyond its limits is refused."""
    watched = watch(approve)
    source = watched.source
    source.start(())
    question = watched.until(lambda: watched.state() == "Paused" and source.question(source.current()))
    form = asked(question, source.current())
    assert [(field["name"], field["help"], field["choices"]) for field in form["fields"]] == [
        ("level", "how much · from 1 to 3", []),
        ("why", "", ["fine", "late"]),
    ]
    with pytest.raises(UsageError, match="running already"):
        source.start(())
    for answer in ({}, {"level": "high"}, {"level": "9"}, {"level": "2", "why": "bored"}):
        with pytest.raises(ParameterError):
            source.resume(answer, question.run_id)
        assert source.question(source.current()) == question
    source.resume({"level": "2", "why": "late"}, question.run_id)
    watched.until(lambda: watched.state() == "Completed")
    assert source.question(source.current()) is None


def test_a_flow_that_another_one_waits_for_asks_in_its_panel(watch: Any) -> None:
    """The question of a part is the whole's too, and is answered there."""
    watched = watch(outer)
    source = watched.source
    source.start(())
    question = watched.until(lambda: source.question(source.current()))
    assert (question.flow, question.run_id == source.current().run_id) == ("approve", False)
    source.resume({"level": "1"}, question.run_id)
    watched.until(lambda: watched.state() == "Completed")


def test_a_suspended_flow_of_a_notebook_goes_on_here(watch: Any) -> None:
    """No worker could find it; its answer is checked before it goes on."""
    watched = watch(of_a_notebook())
    source = watched.source
    source.start(())
    watched.until(lambda: watched.state() == "Suspended")
    run_id = source.current().run_id
    with pytest.raises(ParameterError, match="'input' takes int"):
        source.resume({"input": "many"}, run_id)
    source.resume({"input": "4"}, run_id)
    watched.until(lambda: watched.state() == "Completed")
    assert source.current().run_id == run_id


def test_a_run_that_waits_is_cancelled(watch: Any) -> None:
    """■ ends a run wherever it is performed; the panel's buttons say what this flow cannot do."""
    watched = watch(approve)
    source = watched.source
    controls = Picture(source).snapshot(source.orchestrator.clock.now())["controls"]
    assert (controls["run"], bool(controls["part"]), bool(controls["all"])) == ("", True, True)
    source.start(())
    watched.until(lambda: watched.state() == "Paused")
    source.cancel()
    watched.until(lambda: watched.state() == "Cancelled")


ASKING = """
from pydantic import BaseModel
from orch_notebook import flow, pause_flow_run

class Approval(BaseModel):
    level: int

@flow
def approve():
    return pause_flow_run(wait_for_input=Approval)

print("level", approve().level)
"""


@pytest.mark.kernel
def test_a_notebook_that_a_worker_executes_asks_where_its_run_is_looked_at(
    orch_home: Path, tmp_path: Path, watch: Any
) -> None:
    """Its process is another one; the panel that shows its run has the form, and the answer reaches it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(ASKING)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "asking.ipynb")
    source = watch(nightly).source
    execution = source.orchestrator.execute(tmp_path / "asking.ipynb")

    def question() -> Any:
        found = source.question(source.past(execution.run_id))
        assert found is not None or not execution.ends_within(0.05), "it has ended"
        return found

    asking = next(found for _ in range(1000) if (found := question()) is not None)
    run = source.past(execution.run_id)
    assert asked(asking, run)["words"] == "'approve' waits for an answer."
    with pytest.raises(ParameterError, match="'level' takes int"):
        source.resume({"level": "high"}, asking.run_id)
    source.resume({"level": "3"}, asking.run_id)
    execution.wait()
    run = source.past(execution.run_id)
    assert run.state.name == "Completed"
    assert "level 3" in Path(run.executed_notebook).read_text("utf-8")
