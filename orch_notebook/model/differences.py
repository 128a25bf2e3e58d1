"""What tells one version of a deployment from another, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher, unified_diff
from typing import Any

from orch_notebook.model.deployments import Deployment
from orch_notebook.model.schedules import schedule_from_json

__all__ = ["compare_cells", "compare_deployments"]

#: Of what ``Deployment.to_json`` tells, what says nothing about the version.
ASIDE = frozenset(("name", "version", "schema", "schedules", "created_at", "updated_at", "is_paused", "pause_reason"))


def compare_deployments(
    before: Deployment, after: Deployment, old_cells: Sequence[str], new_cells: Sequence[str]
) -> list[str]:
    """Return what differs between two versions: parameters, schedules, terms, and cells as unified diffs.

    Parameters
    ----------
    before, after : Deployment
        The versions.
    old_cells, new_cells : sequence of str
        The sources of the cells of their notebooks.
    """
    return [*_terms(before, after), *_schedules(before, after), *_cells(old_cells, new_cells, 0)]


def compare_cells(old: Sequence[str], new: Sequence[str], first: int = 0) -> list[str]:
    """Return which cells of two copies of a notebook differ, as unified diffs; the first one has the number `first`.

    Examples
    --------
    >>> compare_cells(["x = 1", "y = x"], ["x = 2", "y = x"], first=1)
    ['cell 1', '    -x = 1', '    +x = 2']
    """
    return list(_cells(old, new, first))


def _terms(before: Deployment, after: Deployment) -> Iterator[str]:
    old, new = before.to_json(), after.to_json()
    for name in new:
        if name == "parameters":
            yield from _parameters(old[name], new[name])
        elif name == "starts_after":
            was, now = ([rule.words() for rule in each.starts_after] for each in (before, after))
            yield from (f"- starts {words}" for words in was if words not in now)
            yield from (f"+ starts {words}" for words in now if words not in was)
        elif name not in ASIDE and old[name] != new[name]:
            yield f"{name}: {_shown(old[name])} -> {_shown(new[name])}"


def _parameters(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"- parameter {name} = {old[name]!r}"
        elif name not in old:
            yield f"+ parameter {name} = {new[name]!r}"
        elif old[name] != new[name]:
            yield f"parameter {name}: {old[name]!r} -> {new[name]!r}"


def _shown(value: Any) -> str:
    return "none" if value is None or value == [] else ", ".join(value) if isinstance(value, list) else str(value)


def _schedules(before: Deployment, after: Deployment) -> Iterator[str]:
    old, new = ([_schedule(row.rule, row.parameters) for row in each.schedules] for each in (before, after))
    yield from (f"- schedule {words}" for words in old if words not in new)
    yield from (f"+ schedule {words}" for words in new if words not in old)


def _schedule(rule: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    given = " ".join(f"{name}={value!r}" for name, value in parameters.items())
    return f"{schedule_from_json(rule).words()}{' with ' + given if given else ''}"


def _cells(old: Sequence[str], new: Sequence[str], count: int) -> Iterator[str]:
    for kind, first, last, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for offset in range(max(last - first, end - start)):
            was = old[first + offset] if first + offset < last else None
            now = new[start + offset] if start + offset < end else None
            yield from _cell(first + offset + count, start + offset + count, was, now)


def _cell(old_index: int, new_index: int, was: str | None, now: str | None) -> Iterator[str]:
    if was is None:
        yield f"+ cell {new_index}"
    elif now is None:
        yield f"- cell {old_index}"
    else:
        yield f"cell {new_index}"
    lines = unified_diff((was or "").splitlines(), (now or "").splitlines(), lineterm="", n=1)
    yield from (f"    {line}" for line in lines if not line.startswith(("---", "+++", "@@")))
