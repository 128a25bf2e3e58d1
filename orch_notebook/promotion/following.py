"""What follows from how runs go: other deployments start, and people are told.

In: the store, looked at again and again by every worker.  Out: rows.  That a run has been dealt with, the runs it
starts and the messages about it are written in one transaction, so a worker may die at any point and nothing is lost
or done twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from orch_notebook.errors import NotFound, ParameterError
from orch_notebook.model.chains import After, check_chains
from orch_notebook.model.deployments import Deployment, Plan
from orch_notebook.model.notices import Message, facts_of_end, write_message
from orch_notebook.model.parameters import Parameter, check_parameters
from orch_notebook.model.runs import FlowRun, iso, short_id
from orch_notebook.model.states import State, StateType
from orch_notebook.promotion.due import run_of
from orch_notebook.runtime.store import Store

__all__ = ["check_rules", "follow_ends", "values_of", "watch_runs"]


def follow_ends(store: Store, now: datetime) -> int:
    """Arrange what follows the runs that have ended since somebody last looked; return how many there were.

    Runs of a backfill have no consequences: whoever began it watches it.
    """
    ended = store.runs_to_follow()
    if not ended:
        return 0
    rules = store.rules()
    by_name = {each.name: each for each in rules}
    consequences = []
    for run, is_repeated in ended:
        messages: list[Message] = []
        started: list[tuple[FlowRun, Plan | None]] = []
        if run.backfill is None:
            about = by_name.get(run.deployment or "")
            messages = [] if about is None else _tell_end(store, about, run, is_repeated, now)
            started = [found for each in rules for found in _start(store, each, run, is_repeated, now)]
        consequences.append((run.run_id, messages, started))
    return store.follow(consequences)


def _tell_end(store: Store, deployment: Deployment, run: FlowRun, is_repeated: bool, now: datetime) -> list[Message]:
    asked = {fact for notice in deployment.notices for fact in notice.on}
    is_compared = "recovered" in asked and run.state.type is StateType.COMPLETED
    before = store.outcome_before(run) if is_compared else None
    facts = facts_of_end(run, is_repeated=is_repeated, before=before)
    # A run that is resumed ends again, which is another fact.
    subject = f"{run.run_id}@{iso(run.ended_at)}"
    messages = []
    for notice in deployment.notices:
        if told := [fact for fact in facts if fact in notice.on]:
            messages.append(write_message(notice, told[-1], subject, deployment.name, now, run))
    return messages


def _start(
    store: Store, deployment: Deployment, run: FlowRun, is_repeated: bool, now: datetime
) -> list[tuple[FlowRun, Plan | None]]:
    """Return the run of a deployment that the end of another one's starts, or its row if it cannot be started."""
    rule = next((each for each in deployment.starts_after if each.starts(run, is_repeated=is_repeated)), None)
    if rule is None or deployment.is_paused:
        return []
    schema = tuple(Parameter.from_json(parameter) for parameter in deployment.schema)
    made = replace(run_of(deployment, deployment.parameters, now, due_at=now), upstream_run_id=run.run_id)
    try:
        taken = rule.given(run, values_of(store, run))
        given = check_parameters(schema, {**deployment.parameters, **taken}, deployment.plan.taker)
    except ParameterError as error:
        why = State(StateType.CANCELLED, "Missed", f"Not started after run {short_id(run.run_id)}: {error}"[:500])
        return [(replace(made, state=why, ended_at=now), None)]
    return [(replace(made, parameters=given), deployment.plan)]


def values_of(store: Store, run: FlowRun) -> dict[str, Any]:
    """Return what a run recorded; what it took over from the run it repeats stands as that one recorded it."""
    found: dict[str, Any] = {}
    seen: FlowRun | None = run
    while seen is not None:
        found = {**store.recorded(seen.run_id).get(seen.run_id, {}), **found}
        seen = store.run(seen.retry_of) if seen.retry_of else None
    return found


def watch_runs(store: Store, now: datetime) -> int:
    """Write the messages about runs that are late or take too long, and about days without one; return how many."""
    messages: list[Message] = []
    late: list[FlowRun] | None = None
    going: list[FlowRun] | None = None
    for deployment in store.rules():
        for notice in deployment.notices:
            if "late" in notice.on:
                late = store.runs_late() if late is None else late
                messages += [
                    write_message(notice, "late", run.run_id, deployment.name, now, run, f"Due at {iso(run.due_at)}.")
                    for run in late
                    if run.deployment == deployment.name
                ]
            for fact, seconds in notice.lengths():
                going = store.runs_going_on() if going is None else going
                messages += [
                    write_message(notice, fact, run.run_id, deployment.name, now, run)
                    for run in going
                    if run.deployment == deployment.name and (run.seconds(now) or 0.0) > seconds
                ]
            for daily in () if deployment.is_paused else notice.dailies():
                begin, end = daily.latest(now)
                # What was promoted later could not have run by then.
                if deployment.created_at <= end and not store.has_begun(deployment.name, begin, end):
                    said = f"No run began on {begin:%d %B %Y} before {end:%H:%M} ({daily.zone})."
                    messages.append(
                        write_message(
                            notice, daily.fact, f"{deployment.name}@{begin:%F}", deployment.name, now, None, said
                        )
                    )
    new = [message for message in messages if not store.has_message(message.key)]
    if new:
        store.file_messages(new)
    return len(new)


def check_rules(store: Store, wanted: Sequence[Deployment]) -> None:
    """Check that what deployments start after is there, and that they do not start each other for ever.

    Parameters
    ----------
    wanted : sequence of Deployment
        As they shall be; they may name each other.

    Raises
    ------
    NotFound
        One starts after a deployment that there is not.
    CycleError
        The message has the path of the circle.
    """
    if not any(each.starts_after for each in wanted):
        return
    new = {each.name: each for each in wanted}
    names = {each.name for each in store.deployments()} | new.keys()
    for each in wanted:
        for rule in each.starts_after:
            if rule.deployment not in names:
                raise NotFound(
                    f"{each.name!r} cannot start after {rule.deployment!r}: there is no such deployment. There are "
                    f"{', '.join(sorted(names - {each.name})) or 'no others'}.",
                    name=rule.deployment,
                )
    rules: dict[str, tuple[After, ...]] = {each.name: each.starts_after for each in store.rules()}
    check_chains(rules | {name: each.starts_after for name, each in new.items()})
