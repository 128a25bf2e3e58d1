"""Variables: small values by name that the flows of a store share.

Plain calls, in scripts, cells and event loops alike: nothing has to be awaited, and nothing is silently not done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.runtime.home import open_home

__all__ = ["Variable"]


class Variable:
    """A small value that JSON can hold, kept in the store under a name.

    Examples
    --------
    ::

        Variable.set("region", "eu-west")
        Variable.get("region")
    """

    @staticmethod
    def set(name: str, value: Any, tags: Sequence[str] = (), overwrite: bool = False) -> None:
        """Set a variable.

        Raises
        ------
        UsageError
            There is one of that name and `overwrite` is not given, or JSON cannot hold the value.
        """
        home = open_home()
        try:
            is_set = home.store.set_variable(name, value, home.clock.now(), tags=tags, overwrite=overwrite)
        except (TypeError, ValueError) as error:
            raise UsageError(f"Variable {name!r} cannot hold this value: {error}.") from None
        if not is_set:
            raise UsageError(f"Variable {name!r} is set already; overwrite=True replaces its value.")

    @staticmethod
    def get(name: str, default: Any = None) -> Any:
        """Return a variable's value, or `default` if there is none of that name."""
        found = open_home().store.variable(name)
        return default if found is None else found[0]

    @staticmethod
    def unset(name: str) -> bool:
        """Forget a variable; False if there was none of that name."""
        return open_home().store.unset_variable(name)

    @staticmethod
    async def aset(name: str, value: Any, tags: Sequence[str] = (), overwrite: bool = False) -> None:
        """Set a variable, for code that awaits it."""
        Variable.set(name, value, tags, overwrite)

    @staticmethod
    async def aget(name: str, default: Any = None) -> Any:
        """Return a variable's value, for code that awaits it."""
        return Variable.get(name, default)

    @staticmethod
    async def aunset(name: str) -> bool:
        """Forget a variable, for code that awaits it."""
        return Variable.unset(name)
