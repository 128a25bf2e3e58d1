"""The commands about a notebook that nobody is running: its tasks, what depends on their order, and making it tasks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from orch_notebook.cli.app import AsJson, Notebook, Parameters, app, print_json, say
from orch_notebook.errors import UsageError
from orch_notebook.model.explanations import explain
from orch_notebook.model.views import dot, explanation_text, paint
from orch_notebook.orchestrator import open_orchestrator
from orch_notebook.promotion.reading import read_flow
from orch_notebook.promotion.taskify import taskify as make_tasks
from orch_notebook.promotion.taskify import write_taskified
from orch_notebook.runtime.layout import layout

__all__ = ["app"]

FlowName = Annotated[str | None, typer.Option("--flow", metavar="NAME", help="Which, if there are several.")]
AllCells = Annotated[bool, typer.Option("--all-cells", help="Count each code cell as a task.")]


@app.command()
def graph(
    notebook: Notebook,
    as_json: AsJson = False,
    as_dot: Annotated[bool, typer.Option("--dot", help="Print it in the DOT language.")] = False,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the diagram as SVG.")] = None,
    flow_name: FlowName = None,
    all_cells: AllCells = False,
) -> None:
    """Show a notebook's tasks and which waits for which."""
    flow = read_flow(notebook, flow=flow_name, all_cells=all_cells)
    if as_json:
        print_json(explain(flow).to_json())
    elif as_dot:
        sys.stdout.write(dot(flow.graph) + "\n")
    elif svg is not None:
        svg.write_text(paint(layout(dot(flow.graph)), flow.graph), "utf-8")
    else:
        say(explanation_text(explain(flow)))
        if not len(flow):
            say(f"'orch taskify {notebook}' writes a copy with tasks; with --all-cells each code cell counts as one.")


@app.command()
def check(
    notebook: Notebook,
    all_cells: AllCells = False,
    parameter: Parameters = None,
    flow_name: FlowName = None,
    kernel: Annotated[str | None, typer.Option(metavar="NAME", help="Kernel, if not the notebook's own.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Draw the other orders with this number.")] = 0,
    orders: Annotated[int, typer.Option(min=1, metavar="K", help="Try so many other orders.")] = 1,
    plain: Annotated[bool, typer.Option("--plain/--no-plain", help="Compare with plain cells, too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Find where a flow is not what plain cells would give.

    Runs its tasks in a kernel of their own, in the notebook's order and in others that its data allow; then all of it
    once as plain cells and once as a flow. What is found comes with the line to write; the exit code is 1 then.
    """
    with open_orchestrator() as orchestrator:
        report = orchestrator.check_notebook(
            notebook,
            parameter or (),
            flow=flow_name,
            all_cells=all_cells,
            kernel=kernel,
            seed=seed,
            orders=orders,
            plain=plain,
        )
    if as_json:
        print_json(report.to_json())
    else:
        say(report.text())
    if not report.is_clean:
        raise typer.Exit(1)


@app.command()
def taskify(
    notebook: Notebook,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; NOTEBOOK-tasks.ipynb by default.")
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Change the notebook itself.")] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write an ordinary notebook with its cells made tasks.

    Running the result gives the same outputs in the same cells. What was in the file stays as it was, outputs too.
    """
    if output is not None and in_place:
        raise UsageError("--in-place and --output exclude each other.")
    target = notebook if in_place else output or notebook.with_name(f"{notebook.stem}-tasks.ipynb")
    if not in_place and target.exists() and notebook.exists() and target.samefile(notebook):
        raise UsageError(f"{target} is the notebook itself. Say --in-place to change it.")
    made = make_tasks(notebook)
    write_taskified(made, target, replaces=in_place or force)
    shift, plan = made.shift, made.plan
    if as_json:
        print_json(
            {
                "notebook": str(target),
                "tasks": [{"name": name, "cell_index": index + shift} for index, name in plan.tasks.items()],
                "parameters": None if plan.parameters is None else plan.parameters + shift,
                "kept": [{"cell_index": index + shift, "why": why} for index, why in plan.kept.items()],
            }
        )
        return
    say(f"Wrote {target}: {len(plan.tasks)} task{'s' if len(plan.tasks) > 1 else ''}.")
    for index, name in plan.tasks.items():
        say(f"  cell {index + shift + 1:<4} {name}")
    if plan.parameters is not None:
        say(f"Cell {plan.parameters + shift + 1} is tagged 'parameters': set its values with 'orch run -p NAME=VALUE'.")
    for index, why in plan.kept.items():
        say(f"Cell {index + shift + 1} has to be executed at its place ({why}); all above it stay plain cells.")
    say(f"Run it: orch run {target}    Look at it: orch graph {target}")
