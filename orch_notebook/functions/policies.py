"""What a task's result depends on: the policies that say when one may be used again.

In: one call of a task.  Out: its recipe, a digest for every part that counts (each input, the function with the helpers
it calls, the flow's parameters, the run), and the key made of it.  Two calls with the same key would give the same; of
two that differ, the recipes tell what changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orch_notebook.errors import UsageError

__all__ = [
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "CachePolicy",
    "CallParts",
    "compare_recipes",
    "key_of",
    "task_input_hash",
]

#: By part: the digest of what it is.
Recipe = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CallParts:
    """What a policy may make a key of.

    Parameters
    ----------
    task : object
        The task.
    inputs : mapping
        The arguments by parameter.
    parameters : mapping
        What the flow was given.
    run_id : str
        The flow run; of a repeated run, the first of its line.
    digest : callable
        ``digest(name, value)`` returns what tells a value from others.
    source : callable
        Returns what tells the function, with the helpers it calls, from others.
    """

    task: Any
    inputs: Mapping[str, Any]
    parameters: Mapping[str, Any]
    run_id: str
    digest: Callable[[str, Any], str]
    source: Callable[[], str]


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Which parts of a call its result depends on; ``+`` joins two, ``- "name"`` leaves an input out.

    Parameters
    ----------
    parts : tuple of str
        ``inputs``, ``source``, ``parameters``, ``run``.
    without : frozenset of str
        Inputs and parameters that do not count.
    functions : tuple of callable
        ``function(context, inputs)`` returns a word that counts, or None for "do not cache".
    isolation_level : str
        ``READ_COMMITTED``: two runs that want one key at once both work.  ``SERIALIZABLE``: the second waits for the
        first, and takes its result.

    Examples
    --------
    >>> (INPUTS + TASK_SOURCE - "verbose").without
    frozenset({'verbose'})
    """

    parts: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    functions: tuple[Callable[..., str | None], ...] = ()
    isolation_level: str = "READ_COMMITTED"
    is_off: bool = field(default=False, repr=False)

    def __add__(self, other: CachePolicy) -> CachePolicy:
        if not isinstance(other, CachePolicy):
            return NotImplemented
        if self.is_off or other.is_off:
            return other if self.is_off else self
        levels = {self.isolation_level, other.isolation_level}
        return CachePolicy(
            tuple(dict.fromkeys((*self.parts, *other.parts))),
            self.without | other.without,
            (*self.functions, *other.functions),
            "SERIALIZABLE" if "SERIALIZABLE" in levels else "READ_COMMITTED",
        )

    def __sub__(self, name: str) -> CachePolicy:
        if not isinstance(name, str):
            return NotImplemented
        return replace(self, without=self.without | {name})

    def configure(
        self, *, isolation_level: Any = None, key_storage: Any = None, lock_manager: Any = None
    ) -> CachePolicy:
        """Return a copy with another isolation level; where keys and locks are kept is the store's matter."""
        level = getattr(isolation_level, "name", isolation_level) or self.isolation_level
        if level not in ("READ_COMMITTED", "SERIALIZABLE"):
            raise UsageError(f"isolation_level must be READ_COMMITTED or SERIALIZABLE, not {isolation_level!r}.")
        return replace(self, isolation_level=level)

    def recipe(self, call: CallParts) -> Recipe | None:
        """Return a digest for each part of a call that counts; None if it is not to be cached."""
        if self.is_off:
            return None
        found: dict[str, str] = {}
        if "source" in self.parts:
            found["source"] = call.source()
        if "inputs" in self.parts:
            for name, value in call.inputs.items():
                if name not in self.without:
                    found[f"input {name!r}"] = call.digest(name, value)
        if "parameters" in self.parts:
            for name, value in call.parameters.items():
                if name not in self.without:
                    found[f"flow parameter {name!r}"] = call.digest(name, value)
        if "run" in self.parts:
            found["run"] = call.run_id
        for number, function in enumerate(self.functions):
            word = function(call, {name: value for name, value in call.inputs.items() if name not in self.without})
            if word is None:
                return None
            found[f"key {number + 1}" if number else "key"] = str(word)
        return found


INPUTS = CachePolicy(("inputs",))
TASK_SOURCE = CachePolicy(("source",))
FLOW_PARAMETERS = CachePolicy(("parameters",))
RUN_ID = CachePolicy(("run",))
NO_CACHE = CachePolicy(is_off=True)
DEFAULT = INPUTS + TASK_SOURCE + RUN_ID


def key_of(recipe: Recipe) -> str:
    """Return the key that a recipe makes.

    Examples
    --------
    >>> key_of({"input 'x'": "1"}) == key_of({"input 'x'": "1"}), key_of({"input 'x'": "2"})[:8]
    (True, '455e7c5e')
    """
    parts = "".join([f"{part}={mark};" for part, mark in sorted(recipe.items())])
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def compare_recipes(before: Recipe, after: Recipe) -> str:
    """Return in words what changed between two calls; empty if nothing did.

    Examples
    --------
    >>> compare_recipes({"source": "a", "input 'x'": "1"}, {"source": "b", "input 'x'": "2"})
    "its source and input 'x' changed"
    """
    changed = ["its source" if part == "source" else part for part in after if before.get(part) != after[part]]
    changed += [f"{part} is gone" for part in before if part not in after]
    if not changed:
        return ""
    *most, last = changed
    said = f"{', '.join(most)} and {last}" if most else last
    return said if last.endswith("is gone") else f"{said} changed"


def task_input_hash(context: Any, arguments: Mapping[str, Any]) -> str | None:
    """Return a key of a task and its arguments; for ``cache_key_fn=task_input_hash``."""
    if not isinstance(context, CallParts):
        raise UsageError("task_input_hash is for cache_key_fn=task_input_hash.")
    marks = {name: context.digest(name, value) for name, value in arguments.items()}
    return key_of({"task": getattr(context.task, "name", ""), "source": context.source(), **marks})
