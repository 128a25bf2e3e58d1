"""The commands of ``orch``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from orch_notebook.cli.app import AsJson, Name, RunId, app, columns, console, print_json, say
from orch_notebook.cli.modules import perform
from orch_notebook.cli.promoting import AfterDeployment, Keep, Notify, OnEnding, say_promoted
from orch_notebook.cli.tables import deployments_table, local, run_view, runs_table
from orch_notebook.cli.watching import see_through
from orch_notebook.errors import UsageError
from orch_notebook.functions.entrypoints import is_entrypoint
from orch_notebook.model.chains import After
from orch_notebook.model.durations import parse_interval
from orch_notebook.model.explanations import explain
from orch_notebook.model.notices import Notice
from orch_notebook.model.policies import CatchUp, Overlap
from orch_notebook.model.retention import Retention
from orch_notebook.model.runs import iso, short_id
from orch_notebook.model.schedules import schedule_from_json
from orch_notebook.model.sizes import parse_size
from orch_notebook.model.states import NAMES, StateType
from orch_notebook.model.tasks import RUNNER_WORDS, RUNNERS
from orch_notebook.model.views import dot, explanation_text, paint
from orch_notebook.orchestrator import open_orchestrator
from orch_notebook.promotion.reading import read_flow
from orch_notebook.promotion.taskify import taskify as make_tasks
from orch_notebook.promotion.taskify import write_taskified
from orch_notebook.promotion.terms import Terms, read_schedules, read_variables
from orch_notebook.runtime.layout import layout

__all__ = ["app"]

Notebook = Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="Path of the notebook.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter; may be repeated.")
]
Kernel = Annotated[str | None, typer.Option(metavar="NAME", help="Kernel, if not the notebook's own.")]
Timeout = Annotated[str | None, typer.Option(metavar="LENGTH", help="The longest a run may take: 10m, 2h.")]


def seconds(length: str | None) -> float | None:
    """Return a length of time in seconds."""
    return None if length is None else parse_interval(length)


@app.command()
def run(
    notebook: Annotated[
        Path, typer.Argument(metavar="NOTEBOOK", help="Path of the notebook, or a flow: etl.py:nightly.")
    ],
    parameter: Parameters = None,
    kernel: Kernel = None,
    timeout: Timeout = None,
    runner: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Of tasks that name none: {RUNNER_WORDS}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Execute a notebook, or a flow of a module, now.

    Its tasks are shown as they go.
    """
    if runner is not None:
        if runner not in RUNNERS:
            raise UsageError(f"--runner takes {RUNNER_WORDS}, not {runner!r}.")
        os.environ["ORCH_RUNNER"] = runner  # so that the process which executes a notebook sees it too
    if is_entrypoint(str(notebook)):
        if kernel is not None:
            raise UsageError("A kernel executes notebooks; a flow of a module runs in Python itself.")
        raise typer.Exit(perform(str(notebook), parameter or (), seconds(timeout), as_json))
    with open_orchestrator() as orchestrator:
        execution = orchestrator.execute(notebook, parameter or (), kernel=kernel, timeout=seconds(timeout))
        see_through(orchestrator, execution, as_json)


@app.command()
def promote(
    notebook: Notebook,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the deployment; the file's by default.")
    ] = None,
    cron: Annotated[list[str] | None, typer.Option(metavar="EXPR", help="When, as cron: '0 6 * * *'.")] = None,
    every: Annotated[list[str] | None, typer.Option(metavar="LENGTH", help="How often: 30s, 10m, 1h30m.")] = None,
    rrule: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="As a calendar rule: 'FREQ=MONTHLY;BYDAY=-1FR'.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="ISO", help="What --every and --rrule count from; now by default.")
    ] = None,
    at: Annotated[list[str] | None, typer.Option(metavar="ISO", help="Once, at this moment: 2026-11-20T06:00.")] = None,
    tz: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Time zone of the wall clock meant; UTC by default.")
    ] = None,
    parameter: Parameters = None,
    retries: Annotated[int, typer.Option(metavar="N", help="Repetitions of a run that fails or crashes.")] = 0,
    retry_delay: Annotated[str, typer.Option(metavar="LENGTH", help="Wait before each repetition.")] = "0",
    timeout: Timeout = None,
    kernel: Kernel = None,
    queue: Annotated[str, typer.Option(metavar="NAME", help="Where workers look for its runs.")] = "default",
    priority: Annotated[int, typer.Option(metavar="N", help="Of the runs that are due, higher ones go first.")] = 0,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Runs of it that may go on at once.")] = None,
    overlap: Annotated[
        str | None, typer.Option(metavar="POLICY", help="While they do, a due run may queue, skip or cancel them.")
    ] = None,
    catch_up: Annotated[
        str,
        typer.Option(metavar="POLICY", help="Due times nobody saw: latest, all, skip, limit:N or window:LENGTH."),
    ] = "latest",
    tag: Annotated[list[str] | None, typer.Option(metavar="WORD", help="Word to find its runs by.")] = None,
    memory_limit: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory a run may take: 512MB, 2GB.")] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Environment variable of its runs; nothing secret.")
    ] = None,
    after: AfterDeployment = None,
    on: OnEnding = "completed",
    notify: Notify = None,
    keep: Keep = "",
    track: Annotated[bool, typer.Option("--track", help="Execute the file as it stands at each run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a notebook run by itself, on a schedule or on request.

    What is promoted is the notebook as it stands in the file now, or with --track as it stands at each run; workers
    execute it. Promoting it again under the same name makes a new version.
    """
    with open_orchestrator() as orchestrator:
        now = orchestrator.clock.now()
        schedules = read_schedules(now, cron or (), every or (), at or (), tz, rrule or (), start)
        terms = Terms(
            retries=retries,
            retry_delay=parse_interval(retry_delay),
            timeout=seconds(timeout),
            kernel=kernel,
            queue=queue,
            priority=priority,
            concurrency=limit,
            overlap=None if overlap is None else Overlap.parse(overlap),
            catch_up=CatchUp.parse(catch_up),
            tags=tuple(tag or ()),
            memory=parse_size(memory_limit) if memory_limit else None,
            env=read_variables(env or ()),
            starts_after=tuple(After(each, on) for each in after or ()),
            notify=tuple(map(Notice.parse, notify or ())),
            keep=Retention.parse(keep),
            track=track,
        )
        deployment = orchestrator.deployments.promote(
            notebook, name or notebook.stem, schedules=schedules, parameters=parameter or (), terms=terms
        )
        say_promoted(orchestrator, deployment, schedules, tz, as_json)


@app.command()
def deployments(as_json: AsJson = False) -> None:
    """List the deployments."""
    with open_orchestrator() as orchestrator:
        found = orchestrator.deployments.all()
        if as_json:
            print_json([deployment.to_json() for deployment in found])
        elif not found:
            say("No deployments yet. Make one: orch promote NOTEBOOK --name NAME")
        else:
            console.print(deployments_table(found, orchestrator.clock.now(), columns()))


@app.command()
def trigger(name: Name, parameter: Parameters = None, as_json: AsJson = False) -> None:
    """Have a deployment run now."""
    with open_orchestrator() as orchestrator:
        made = orchestrator.deployments.trigger(name, parameter or ())
        if as_json:
            print_json(made.to_json())
        else:
            say(f"Run {made.run_id} waits for a worker. Watch it: orch show {short_id(made.run_id)}")


@app.command()
def pause(
    name: Name, reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for others to read.")] = ""
) -> None:
    """Let the schedules of a deployment rest."""
    with open_orchestrator() as orchestrator:
        orchestrator.deployments.pause(name, reason=reason)
        say(f"{name} is paused. What waits already still runs; 'orch trigger' works as before.")


@app.command()
def unpause(name: Name) -> None:
    """Wake the schedules of a deployment.

    What passed meanwhile is not made up for.
    """
    with open_orchestrator() as orchestrator:
        deployment = orchestrator.deployments.pause(name, False)
        now = orchestrator.clock.now()
        for schedule in deployment.schedules:
            rule = schedule_from_json(schedule.rule)
            say(f"{name} is awake: {rule.words()}; next {local(rule.next(now)) or 'never'}")


def _check_state(state: str | None) -> str | None:
    known = {name.lower() for names in NAMES.values() for name in names} | {kind.value.lower() for kind in StateType}
    if state is not None and state.lower() not in known:
        raise UsageError(
            f"There is no state {state!r}. States are {', '.join(n for ns in NAMES.values() for n in ns)}."
        )
    return state


@app.command()
def runs(
    deployment: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this deployment.")] = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="Only in this state: failed, late, …")] = None,
    parent: Annotated[str | None, typer.Option(metavar="RUN", help="Only those that this run started.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="K", help="At most so many, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest runs."""
    with open_orchestrator() as orchestrator:
        found = orchestrator.runs(deployment=deployment, state=_check_state(state), parent_run_id=parent, limit=limit)
        if as_json:
            print_json([each.to_json() for each in found])
        elif not found:
            say("No runs.")
        else:
            # What a notebook's own %flow run did is part of its run: 'orch show' has its tasks.
            shown = [each for each in found if parent is not None or each.parent_run_id is None]
            console.print(runs_table(shown, orchestrator.clock.now(), columns()))


@app.command()
def show(
    run_id: RunId,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the executed notebook as HTML.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one run with its tasks."""
    with open_orchestrator() as orchestrator:
        found = orchestrator.show(run_id)
        if html is not None:
            say(str(orchestrator.export_html(found, html)))
        elif as_json:
            print_json(found.to_json(with_tasks=True))
        else:
            say(f"Run {found.run_id}")
            console.print(run_view(found, orchestrator.clock.now(), columns()))
            if found.executed_notebook:
                say(f"\nExecuted notebook: {found.executed_notebook}")


@app.command()
def logs(
    run_id: RunId,
    task: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this task.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="K", help="At most so many lines, the newest.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Print what a run wrote."""
    with open_orchestrator() as orchestrator:
        lines = orchestrator.all_logs(run_id, task, limit=limit)
        if as_json:
            fields = ("task", "attempt", "level", "text")
            print_json(
                [{"at": iso(line.at), "run_id": of, **{f: getattr(line, f) for f in fields}} for of, line in lines]
            )
            return
        for _, line in lines:
            mark = {40: "E", 50: "E", 30: "W"}.get(line.level, " ")
            where = f"[{line.task}] " if line.task else ""
            sys.stdout.write(f"{line.at.astimezone():%H:%M:%S} {mark} {where}{line.text}\n")


@app.command()
def cancel(run_id: RunId) -> None:
    """Cancel a run, wherever it is executed."""
    with open_orchestrator() as orchestrator:
        found = orchestrator.show(orchestrator.cancel(run_id).run_id)
        say(f"Run {found.run_id} is {'cancelled' if found.state.is_final else 'asked to stop'}.")


@app.command()
def graph(
    notebook: Notebook,
    as_json: AsJson = False,
    as_dot: Annotated[bool, typer.Option("--dot", help="Print it in the DOT language.")] = False,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the diagram as SVG.")] = None,
    flow_name: Annotated[
        str | None, typer.Option("--flow", metavar="NAME", help="Which, if there are several.")
    ] = None,
    all_cells: Annotated[bool, typer.Option("--all-cells", help="Count each code cell as a task.")] = False,
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


@app.command()
def check(
    notebook: Notebook,
    all_cells: Annotated[bool, typer.Option("--all-cells", help="Count each code cell as a task.")] = False,
    parameter: Parameters = None,
    flow_name: Annotated[
        str | None, typer.Option("--flow", metavar="NAME", help="Which, if there are several.")
    ] = None,
    kernel: Kernel = None,
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


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check store, kernels, workers and disk.

    What is wrong comes with what to do about it; the exit code is 1 then.
    """
    with open_orchestrator() as orchestrator:
        findings = orchestrator.diagnose()
    if as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        for finding in findings:
            say(f"{'✓' if finding.is_well else '✗'} {finding.subject}: {finding.text}")
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(1)
