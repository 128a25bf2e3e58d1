"""The file that declares deployments, written from what the store has; `declarations` reads it.

In: deployments.  Out: TOML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orch_notebook.model.deployments import Deployment
from orch_notebook.model.durations import interval_words
from orch_notebook.model.notices import Notice, hide
from orch_notebook.model.policies import CatchUp, Overlap
from orch_notebook.model.retention import Retention
from orch_notebook.model.schedules import Cron, Interval, Once, Recurrence, schedule_from_json

__all__ = ["variable_for", "write_declarations"]


def write_declarations(deployments: Sequence[Deployment], folder: Path, *, with_secrets: bool = False) -> str:
    """Return a file that declares these deployments; notebooks below `folder` are named relative to it.

    Addresses of people to tell hold secrets: unless these are asked for, the file says in which environment variable
    of the worker each stands.
    """
    # The one place where the writer is imported: reading, which is common, needs only the standard library.
    import tomli_w

    return tomli_w.dumps({"deployments": {each.name: _table(each, folder, with_secrets) for each in deployments}})


def _table(deployment: Deployment, folder: Path, with_secrets: bool) -> dict[str, Any]:
    plan = deployment.plan
    notebook = Path(plan.notebook)
    bare = replace(plan, retries=0, retry_delay=0.0, timeout=None, queue="default", priority=0, concurrency=None)
    table: dict[str, Any] = {
        "notebook": str(notebook.relative_to(folder) if notebook.is_relative_to(folder) else notebook)
    }
    for key, value in (("kernel", plan.kernel), ("timeout", plan.timeout), ("limit", plan.concurrency)):
        if value is not None:
            table[key] = value
    for key in ("retries", "retry_delay", "queue", "priority"):
        if getattr(plan, key) != getattr(bare, key):
            table[key] = getattr(plan, key)
    if plan.overlap is not Overlap.QUEUE:
        table["overlap"] = plan.overlap.value
    if deployment.catch_up != CatchUp():
        table["catch_up"] = deployment.catch_up.text
    more: Mapping[str, Any] = {"memory": plan.memory, "env": dict(plan.env), "track": plan.is_tracked}
    more = {**more, "preload": list(plan.preload), "warm": plan.warm}
    table.update((key, value) for key, value in more.items() if value)
    if plan.tags:
        table["tags"] = list(plan.tags)
    if given := {name: value for name, value in deployment.parameters.items() if value is not None}:
        table["parameters"] = given
    if deployment.keep != Retention():
        table["keep"] = deployment.keep.text
    if deployment.starts_after:
        table["starts_after"] = [
            {key: value for key, value in rule.to_json().items() if value} for rule in deployment.starts_after
        ]
    if deployment.notices:
        table["notify"] = [
            (notice if with_secrets else replace(notice, to=variable_for(notice))).to_json()
            for notice in deployment.notices
        ]
    if deployment.schedules:
        table["schedules"] = [_rule(row.rule, row.parameters) for row in deployment.schedules]
    return table


def variable_for(notice: Notice) -> str:
    """Return an address that may stand in a file: itself, or the variable that takes the place of one with secrets."""
    return notice.to if hide(notice.to) == notice.to else f"$ORCH_NOTIFY_{notice.mark.upper()}"


def _rule(rule: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    given = {"parameters": dict(parameters)} if parameters else {}
    match schedule_from_json(rule):
        case Cron(expression, timezone):
            return {"cron": expression, "timezone": timezone, **given}
        case Interval(seconds, anchor):
            return {"every": interval_words(seconds), "start": anchor.isoformat(), **given}
        case Recurrence(text, start, timezone):
            return {"rrule": text, "start": start.isoformat(), "timezone": timezone, **given}
        case Once(at):
            return {"at": at.isoformat(), **given}
