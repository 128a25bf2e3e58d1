"""Deployments declared in a file beside the notebooks: ``orch.toml``, or ``[tool.orch]`` of a ``pyproject.toml``.

In: a file.  Out: what it declares, and what tells that from what the store has.  The way back is `exporting`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from orch_notebook.errors import OrchError, ScheduleError, UsageError
from orch_notebook.model.chains import After
from orch_notebook.model.deployments import Deployment
from orch_notebook.model.differences import compare_deployments
from orch_notebook.model.durations import parse_interval
from orch_notebook.model.notices import Notice
from orch_notebook.model.policies import CatchUp, Overlap
from orch_notebook.model.retention import Retention
from orch_notebook.model.schedules import Cron, Interval, Once, Recurrence, Schedule, schedule_from_json
from orch_notebook.model.sizes import parse_size
from orch_notebook.model.zones import parse_instant
from orch_notebook.promotion.booting import environment_of
from orch_notebook.promotion.deployments import compose
from orch_notebook.promotion.following import check_rules
from orch_notebook.promotion.notebooks import cells_of
from orch_notebook.promotion.terms import Terms, Timed
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

__all__ = ["Change", "compare_declarations", "find_declarations", "read_declarations"]

FILES = ("orch.toml", "pyproject.toml")
KEYS = (
    "notebook", "schedules", "parameters", "retries", "retry_delay", "timeout", "kernel", "queue", "priority", "limit",
    "overlap", "catch_up", "tags", "memory", "env", "preload", "warm", "track", "starts_after", "notify", "keep",
)  # fmt: skip
AFTER_KEYS = ("deployment", "on", "parameters")
NOTICE_KEYS = ("on", "to", "title", "body")
#: What may be said once for all deployments of a file that use a kernel.
KERNEL_KEYS = ("preload", "warm")
RULES = ("cron", "every", "rrule", "at")
SCHEDULE_KEYS = (*RULES, "timezone", "start", "parameters")


@dataclass(frozen=True, slots=True)
class Declaration:
    """One deployment as a file declares it."""

    name: str
    notebook: Path
    schedules: tuple[Timed, ...]
    parameters: Mapping[str, Any]
    terms: Terms


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one deployment.

    Parameters
    ----------
    kind : str
        ``new``, ``changed``, ``same`` or ``gone``.
    wanted : Deployment or None
        As it shall be; None if it shall go.
    lines : tuple of str
        What differs, for people.
    """

    name: str
    kind: str
    wanted: Deployment | None
    lines: tuple[str, ...] = ()


def find_declarations(folder: Path) -> Path:
    """Return the file of a folder that declares deployments.

    Raises
    ------
    UsageError
        There is none.
    """
    for name in FILES:
        path = folder / name
        if path.is_file() and (name == FILES[0] or "orch" in _load(path).get("tool", {})):
            return path
    raise UsageError(f"There is no orch.toml in {folder}, nor a pyproject.toml with [tool.orch].")


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}.") from None


def read_declarations(path: Path, now: datetime) -> list[Declaration]:
    """Read what a file declares; paths in it are relative to its folder.

    Parameters
    ----------
    now : datetime
        Intervals count from here unless they say from when.

    Raises
    ------
    UsageError
        A key is unknown or has a value it cannot have; the message says where.
    """
    content = _load(path)
    if path.name == FILES[1]:
        content = content.get("tool", {}).get("orch", {})
    _check_keys(content, ("deployments", "kernels"), f"{path.name}")
    kernels = content.get("kernels", {})
    for name, table in kernels.items():
        _check_keys(table, KERNEL_KEYS, f"{path.name}, kernel {name!r}")
    tables = content.get("deployments", {})
    if not isinstance(tables, dict):
        raise UsageError(f"{path.name}: deployments is no table: write [deployments.NAME].")
    found = []
    for name, table in tables.items():
        where = f"{path.name}, deployment {name!r}"
        if not isinstance(table, dict):
            raise UsageError(f"{where} is no table: write [deployments.{name}].")
        try:
            found.append(_read(path.parent, name, table, where, now, kernels))
        except (TypeError, ValueError, OrchError) as error:
            if str(error).startswith(where):
                raise
            raise UsageError(f"{where}: {error}") from None
    return found


def _check_keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(known)}."
            raise UsageError(f"{where}: there is no {key!r}.{hint}")


def _read(
    folder: Path,
    name: str,
    table: Mapping[str, Any],
    where: str,
    now: datetime,
    kernels: Mapping[str, Mapping[str, Any]],
) -> Declaration:
    _check_keys(table, KEYS, where)
    if not isinstance(table.get("notebook"), str):
        raise UsageError(f'{where} names no notebook: notebook = "PATH".')
    kernel = environment_of(folder / table["notebook"], table.get("kernel")).kernel if kernels else ""
    table = {**kernels.get(kernel, {}), **table}
    overlap = table.get("overlap")
    terms = Terms(
        retries=int(table.get("retries", 0)),
        retry_delay=_length(table.get("retry_delay", 0)),
        timeout=_length(table["timeout"]) if "timeout" in table else None,
        kernel=table.get("kernel"),
        queue=str(table.get("queue", "default")),
        priority=int(table.get("priority", 0)),
        concurrency=int(table["limit"]) if "limit" in table else None,
        overlap=None if overlap is None else Overlap.parse(str(overlap)),
        catch_up=CatchUp.parse(str(table.get("catch_up", "latest"))),
        tags=tuple(map(str, table.get("tags", ()))),
        memory=parse_size(table["memory"]) if "memory" in table else None,
        env={name: str(value) for name, value in table.get("env", {}).items()},
        preload=tuple(map(str, _listed(table.get("preload", ())))),
        warm=int(table.get("warm", 0)),
        track=bool(table.get("track", False)),
        starts_after=tuple(_after(rule, where) for rule in _listed(table.get("starts_after", ()))),
        notify=tuple(_notice(rule, where) for rule in _listed(table.get("notify", ()))),
        keep=Retention.parse(str(table.get("keep", ""))),
    )
    schedules = []
    for place, rule in enumerate(table.get("schedules", ()), 1):
        here = f"{where}, schedule {place}"
        _check_keys(rule, SCHEDULE_KEYS, here)
        schedules.append(Timed(_schedule(rule, here, now), _plain(rule.get("parameters", {}))))
    return Declaration(name, folder / table["notebook"], tuple(schedules), _plain(table.get("parameters", {})), terms)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _after(rule: Any, where: str) -> After:
    if isinstance(rule, str):
        return After(rule)
    _check_keys(rule, AFTER_KEYS, f"{where}, starts_after")
    if "deployment" not in rule:
        raise UsageError(f'{where}, starts_after: after which? deployment = "NAME".')
    return After.from_json({**rule, "parameters": _plain(rule.get("parameters", {}))})


def _notice(rule: Any, where: str) -> Notice:
    if isinstance(rule, str):
        return Notice.parse(rule)
    _check_keys(rule, NOTICE_KEYS, f"{where}, notify")
    if not isinstance(rule.get("to"), str):
        raise UsageError(f'{where}, notify: nobody to tell: to = "ADDRESS".')
    on = {} if "on" not in rule else {"on": tuple(map(str, _listed(rule["on"])))}
    return Notice(**{**rule, **on})


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    # TOML knows dates; parameters travel as JSON, in which they are texts.
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}


def _length(value: Any) -> float:
    return parse_interval(value) if isinstance(value, str) else float(value)


def _schedule(rule: Mapping[str, Any], where: str, now: datetime) -> Schedule:
    given = [key for key in RULES if key in rule]
    if len(given) != 1:
        raise ScheduleError(f"{where}: give one of {', '.join(RULES)}.")
    zone = rule.get("timezone", "UTC")
    start = parse_instant(_text(rule["start"]), zone) if "start" in rule else None
    match given[0]:
        case "cron":
            return Cron(rule["cron"], zone)
        case "every":
            return Interval(_length(rule["every"]), start or now)
        case "rrule":
            if start is None:
                raise ScheduleError(f"{where}: a recurrence rule needs a start, from which it counts.")
            return Recurrence(rule["rrule"], start, zone)
        case _:
            return Once(parse_instant(_text(rule["at"]), zone))


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def compare_declarations(
    store: Store, settings: Settings, now: datetime, path: Path, *, prune: bool = False
) -> list[Change]:
    """Return what bringing the store in line with a file would change.

    Parameters
    ----------
    prune : bool
        Whether deployments of notebooks below the file's folder go that it does not declare.

    Raises
    ------
    UsageError
        The file, or a notebook it names, cannot be used.
    """
    changes = []
    declared = read_declarations(path, now)
    for each in declared:
        wanted = compose(
            settings,
            now,
            each.notebook,
            each.name,
            schedules=each.schedules,
            parameters=each.parameters,
            terms=each.terms,
        )
        old = store.deployment(each.name)
        if old is None:
            lines = [f"+ schedule {schedule_from_json(row.rule).words()}" for row in wanted.schedules]
            if each.terms.preload:
                lines.append(f"+ preload {', '.join(each.terms.preload)}")
            if each.terms.warm:
                lines.append(f"+ warm {each.terms.warm}")
            changes.append(Change(each.name, "new", wanted, tuple(lines)))
            continue
        lines = compare_deployments(old, wanted, cells_of(old), cells_of(wanted))
        changes.append(Change(each.name, "changed" if lines else "same", wanted, tuple(lines)))
    check_rules(store, [change.wanted for change in changes if change.wanted is not None])
    if prune:
        names = {each.name for each in declared}
        below = [old for old in store.deployments() if Path(old.plan.notebook).is_relative_to(path.parent.absolute())]
        changes += [Change(old.name, "gone", None) for old in below if old.name not in names]
    return changes
