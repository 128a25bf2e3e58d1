"""Transactions: what tasks have done counts once all of it has worked, and is undone if something fails.

In: a block of calls.  Out: at its end the commit hooks of its tasks; if it raises, their rollback hooks, the latest
first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import UsageError
from orch_notebook.functions.keeping import lock_of
from orch_notebook.runtime.home import open_home

if TYPE_CHECKING:
    from orch_notebook.functions.futures import Future

__all__ = ["Transaction", "current_transaction", "transaction"]

logger = logging.getLogger("orch_notebook")

current_transaction: ContextVar[Transaction | None] = ContextVar("orch_transaction", default=None)


class Transaction:
    """What goes on within a ``with transaction():`` block.

    Attributes
    ----------
    state : str
        ``ACTIVE``, ``COMMITTED`` or ``ROLLED_BACK``.
    """

    def __init__(self, key: str | None, parent: Transaction | None, overwrite: bool) -> None:
        self.key = key
        self.state = "ACTIVE"
        self._parent = parent
        self._values: dict[str, Any] = {}
        self._done: list[tuple[list[Callable[..., Any]], list[Callable[..., Any]], Transaction]] = []
        self._staged: tuple[Any] | None = None
        self._found: Any = None
        if key is not None and not overwrite:
            self._found = open_home().results.load(f"transaction/{key}")
            if self._found is not None:
                self.state = "COMMITTED"

    def set(self, name: str, value: Any) -> None:
        """Note a value for the hooks."""
        self._values[name] = value

    def get(self, name: str, default: Any = ...) -> Any:
        """Return a value that was noted here or in a transaction around.

        Raises
        ------
        ValueError
            Nothing was noted under this name, and no default is given.
        """
        if name in self._values:
            return self._values[name]
        if self._parent is not None:
            return self._parent.get(name, default)
        if default is ...:
            raise ValueError(f"Nothing was set under {name!r} in this transaction.")
        return default

    def stage(self, value: Any, on_rollback_hooks: Any = (), on_commit_hooks: Any = ()) -> None:
        """Hold a value that is kept under the key when the transaction commits."""
        self._staged = (value,)
        if on_rollback_hooks or on_commit_hooks:
            self._done.append((list(on_rollback_hooks), list(on_commit_hooks), self))

    def read(self) -> Any:
        """Return what an earlier transaction of this key has kept; None if none has."""
        return None if self._found is None else self._found.values["value"]

    def is_committed(self) -> bool:
        """Whether it has committed, or one of the same key has before."""
        return self.state == "COMMITTED"

    def is_rolled_back(self) -> bool:
        """Whether it was undone."""
        return self.state == "ROLLED_BACK"

    def is_active(self) -> bool:
        """Whether it goes on."""
        return self.state == "ACTIVE"

    def note(self, future: Future) -> None:
        """Take note of a task run that completed within the block."""
        options = future.task.options
        if not (options.on_rollback or options.on_commit):
            return
        if self.state == "ACTIVE":
            self._done.append((list(options.on_rollback), list(options.on_commit), self))
        else:  # it was submitted within the block, and ended after it
            self._call(list(options.on_commit if self.state == "COMMITTED" else options.on_rollback))

    def rollback(self) -> None:
        """Undo what was done: the rollback hooks, the latest first."""
        self.state = "ROLLED_BACK"
        for hooks, _, owner in reversed(self._done):
            owner._call(hooks)
        self._done.clear()

    def commit(self) -> None:
        """Let what was done count: the commit hooks, the first first."""
        if self.state == "ACTIVE":
            self.state = "COMMITTED"
            if self.key is not None and self._staged is not None:
                open_home().results.keep(f"transaction/{self.key}", {"value": self._staged[0]}, "transaction")
        for _, hooks, owner in self._done:
            owner._call(hooks)

    def _call(self, hooks: list[Callable[..., Any]]) -> None:
        for hook in hooks:
            try:
                hook(self)
            except Exception:
                logger.exception("The hook %r failed.", getattr(hook, "__name__", hook))

    def hand_over(self, parent: Transaction) -> None:
        """Leave what was done to the transaction around, which may still fail."""
        parent._done += self._done
        if self.key is not None:
            parent._done.append(([], [lambda _: self._keep()], self))
        self.state = "COMMITTED"

    def _keep(self) -> None:
        if self._staged is not None:
            open_home().results.keep(f"transaction/{self.key}", {"value": self._staged[0]}, "transaction")


@contextmanager
def transaction(
    key: str | None = None,
    *,
    isolation_level: Any = "READ_COMMITTED",
    overwrite: bool = False,
    commit_mode: Any = "LAZY",
) -> Iterator[Transaction]:
    """Bind what tasks do within the block together.

    Parameters
    ----------
    key : str, optional
        What the block makes is kept under it: a later transaction of this key finds ``is_committed()``.
    isolation_level : str
        ``READ_COMMITTED``: two blocks that want one key at once both work.  ``SERIALIZABLE``: the second waits for the
        first and finds what that has kept; within one process.
    overwrite : bool
        Begin anew although something is kept under the key.
    commit_mode : str
        ``LAZY``: inside another transaction it counts when that one does.  ``EAGER``: at once.

    Raises
    ------
    UsageError
        There is no such level or mode, or a block without a key is to be alone with it.
    """
    level = _word("isolation_level", isolation_level, ("READ_COMMITTED", "SERIALIZABLE"))
    mode = _word("commit_mode", commit_mode, ("LAZY", "EAGER"))
    if level == "SERIALIZABLE" and key is None:
        raise UsageError("A transaction is SERIALIZABLE by its key; give it one: transaction(key=…).")
    with lock_of(f"transaction/{key}") if level == "SERIALIZABLE" else nullcontext():
        yield from _transact(Transaction(key, current_transaction.get(), overwrite), mode)


def _transact(made: Transaction, mode: str) -> Iterator[Transaction]:
    parent = current_transaction.get()
    token = current_transaction.set(made)
    try:
        yield made
    except BaseException:
        made.rollback()
        raise
    else:
        if parent is not None and mode != "EAGER":
            made.hand_over(parent)
        else:
            made.commit()
    finally:
        current_transaction.reset(token)


def _word(name: str, given: Any, words: tuple[str, ...]) -> str:
    """Return an option of a transaction, as a word or a member of an Enum."""
    word = str(getattr(given, "name", given))
    if word not in words:
        raise UsageError(f"{name} of a transaction must be {' or '.join(words)}, not {given!r}.")
    return word
