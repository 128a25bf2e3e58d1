"""What a check of a flow finds, in words and as data.

In: a task, what was seen of it, and its header with what would declare that.  Out: findings, each with the line that
mends it, and the report of a whole check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orch_notebook.model.headers import TaskHeader, header_line

__all__ = [
    "KINDS",
    "Finding",
    "Report",
    "said_chance",
    "said_departure",
    "said_mutation",
    "said_order",
    "said_read",
    "said_unexplained",
    "said_unsteady",
    "said_unsteady_cell",
]

#: Each kind of finding, and what it means.
KINDS: Mapping[str, str] = {
    "undeclared mutation": "a task changes an object in place, and its source does not show it",
    "undeclared read": "a task needs a name that its source does not show",
    "hidden order": "a task depends on another through something that has no name",
    "non-deterministic": "a task gives something else each time it runs",
    "other than plain": "a cell gives something else in the flow than in a plain notebook",
    "unexplained": "a task gives something else in another order, and the cause was not found",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    task : str
        The task whose header, or source, is to be mended.
    text : str
        One or two sentences for a person.
    name : str
        What it is about: a name, a hidden state or a file.
    what : str
        What was seen: ``3 → 4 rows``.
    others : tuple of str
        Tasks that it concerns besides.
    line : str
        The first line of the task's cell that mends it; empty where none does.
    cell_index : int or None
        Position of the task's cell, where it is known.
    """

    kind: str
    task: str
    text: str
    name: str = ""
    what: str = ""
    others: tuple[str, ...] = ()
    line: str = ""
    cell_index: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": self.kind,
            "task": self.task,
            "cell_index": self.cell_index,
            "name": self.name or None,
            "what": self.what or None,
            "others": list(self.others),
            "text": self.text,
            "line": self.line or None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """Read what :meth:`to_json` wrote."""
        fields = {key: value for key, value in data.items() if value is not None}
        return cls(**{**fields, "others": tuple(data["others"])})


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of a flow came to.

    Parameters
    ----------
    flow : str
        The flow's name.
    tasks : int
        How many tasks it has.
    findings : tuple of Finding
        In the order of the notebook.
    notes : tuple of str
        What a person should know of how far the check went.
    order : tuple of str
        The other order in which the flow was run last.
    pairs, turned : int
        Pairs of tasks that may run in either order, and how many of them the other orders turned round.
    runs : int
        How often the flow, or its beginning, was run.
    seed : int
        What the other orders were drawn with.
    compared : int or None
        How many cells were compared with a plain execution; None if there was none.
    """

    flow: str
    tasks: int
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    pairs: int = 0
    turned: int = 0
    runs: int = 0
    seed: int = 0
    compared: int | None = None

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "flow": self.flow,
            "tasks": self.tasks,
            "is_clean": self.is_clean,
            "findings": [finding.to_json() for finding in self.findings],
            "notes": list(self.notes),
            "order": list(self.order),
            "pairs": self.pairs,
            "turned": self.turned,
            "runs": self.runs,
            "seed": self.seed,
            "compared": self.compared,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """Read what :meth:`to_json` wrote."""
        fields = {key: value for key, value in data.items() if key != "is_clean"}
        findings = tuple(Finding.from_json(finding) for finding in data["findings"])
        return cls(**{**fields, "findings": findings, "notes": tuple(data["notes"]), "order": tuple(data["order"])})

    def text(self) -> str:
        """Return the report as people read it in a terminal."""
        lines = [self.verdict()]
        for finding in self.findings:
            lines += ["", f"✗ {finding.kind}: {finding.text}"]
            if finding.line:
                lines.append(f"    {finding.line}")
        if remarks := self.remarks():
            lines += ["", *(f"· {remark}" for remark in remarks)]
        return "\n".join(lines)

    def remarks(self) -> tuple[str, ...]:
        """Return the notes, and what the check did not do."""
        if self.compared is not None:
            return self.notes
        return (
            *self.notes,
            "Orders of the flow were compared; 'orch check NOTEBOOK' compares it with plain cells, too.",
        )

    def verdict(self) -> str:
        """Return the outcome in one line.

        Examples
        --------
        >>> Report("demo", 3, pairs=2, turned=2, runs=2).verdict()
        'Nothing found: 3 tasks gave the same in 2 runs; 2 of 2 free pairs were turned round.'
        """
        said = f"{self.tasks} task{'s' * (self.tasks != 1)}"
        if self.is_clean:
            pairs = f"; {self.turned} of {self.pairs} free pairs were turned round" if self.pairs else ""
            plain = f"; {self.compared} cells came to what they come to in a plain notebook" if self.compared else ""
            return f"Nothing found: {said} gave the same in {self.runs} runs{pairs}{plain}."
        number = len(self.findings)
        return f"{number} finding{'s' * (number != 1)} in {said} ({self.runs} runs)."


# How each kind is said


def said_mutation(task: str, header: TaskHeader, name: str, what: str, path: str, others: Sequence[str]) -> Finding:
    """Return the finding of a change in place that the source does not show."""
    where = f"{path!r}" if path == name else f"{name!r} (at {path})"
    text = f"Task {task!r} changes {where} in place ({what}), which its source does not show."
    if others:
        text += f" {_tasks(others)} may run before or after that."
    return Finding("undeclared mutation", task, text, name, what, tuple(others), header_line(header))


def said_read(task: str, header: TaskHeader, name: str, what: str) -> Finding:
    """Return the finding of a name that a task needs and its source does not show."""
    text = f"Task {task!r} needs {name!r}, which its source does not show: without it, it {what}."
    return Finding("undeclared read", task, text, name, what, (), header_line(header))


def said_order(task: str, header: TaskHeader, before: str, seen_in: str, what: str, through: str) -> Finding:
    """Return the finding of two tasks whose order matters, though nothing named connects them."""
    text = f"Task {task!r} must run after {before!r}"
    if what:
        seen = "it" if seen_in == task else f"{seen_in!r}"
        text += f": in the other order {seen} {what}"
    text += f". They meet in {_state(through)}." if through else "."
    return Finding("hidden order", task, text, through, what, (before,), header_line(header))


def said_chance(task: str, state: str, others: Sequence[str]) -> Finding:
    """Return the finding of tasks that draw from a generator which nothing has seeded."""
    who = f"Task {task!r}" + (f" (and {_tasks(others)})" if others else "")
    verb = "draw" if others else "draws"
    seed = {"state:random": "random.seed(0)", "state:torch": "torch.manual_seed(0)"}.get(state, "np.random.seed(0)")
    text = f"{who} {verb} from {_state(state)}, which nothing seeds. Write {seed} in a cell above."
    return Finding("non-deterministic", task, text, state, "", tuple(others), "")


def said_unsteady(task: str, what: str) -> Finding:
    """Return the finding of a task that differs from run to run in the same order."""
    text = (
        f"Task {task!r} is not deterministic: run again in the same order it {what}. "
        "A time, an address, the network or a generator that is not seeded may be the cause."
    )
    return Finding("non-deterministic", task, text, "", what)


def said_unsteady_cell(task: str, what: str) -> Finding:
    """Return the finding of a cell that differs between two plain executions of its notebook."""
    text = (
        f"{_cell(task)} is not deterministic: of two plain executions of the notebook the second {what}. "
        "A time, an address, the network, a file left by the first or a generator that is not seeded may be the cause."
    )
    return Finding("non-deterministic", task, text, "", what)


def said_departure(
    task: str, what: str, why: str, *, name: str = "", others: Sequence[str] = (), line: str = ""
) -> Finding:
    """Return the finding of a cell that comes to something else in the flow than in a plain notebook."""
    how = "In the flow" if what.startswith(("fails", "does not", "leaves", "runs")) else "Plainly or in the flow"
    text = f"{how}, {_cell(task, within=True)} {what}. {why}"
    if others:
        text += f" What {_tasks(others)} {'gives' if len(others) == 1 else 'give'} follows from it."
    return Finding("other than plain", task, text, name, what, tuple(others), line)


def _cell(task: str, *, within: bool = False) -> str:
    """Return how a task is called, or a plain cell, whose name says what it is."""
    if task.startswith("cell "):
        return task if within else task.capitalize()
    return f"{'task' if within else 'Task'} {task!r}"


def said_unexplained(task: str, what: str, why: str) -> Finding:
    """Return the finding of a disagreement whose cause was not found."""
    return Finding("unexplained", task, f"In another order task {task!r} {what}. {why}", "", what)


def _tasks(names: Sequence[str]) -> str:
    shown = [repr(name) for name in names[:4]]
    if len(names) > 4:
        shown.append(f"{len(names) - 4} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _state(name: str) -> str:
    kind, _, rest = name.partition(":")
    return f"the file {rest!r}" if kind == "file" else rest if kind == "state" else f"{name!r}"
