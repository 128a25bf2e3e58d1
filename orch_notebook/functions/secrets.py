"""Secrets: values that flows need and nobody should see, encrypted in the store and kept out of everything shown.

Plain calls, in scripts, cells and event loops alike.
"""

from __future__ import annotations

from typing import Any

from orch_notebook.errors import NotFound, UsageError
from orch_notebook.runtime.home import open_home
from orch_notebook.runtime.redaction import MASK, SHORTEST, redactor
from orch_notebook.runtime.vault import Vault

__all__ = ["Secret"]


class Secret:
    """A value that is encrypted where it is kept, and redacted where it would be shown.

    Parameters
    ----------
    name : str, optional
        Under which it is kept.
    value : str or JSON value
        The value; of a mapping or list, each text in it is kept out of logs.

    Raises
    ------
    UsageError
        The value is too short to be kept out of logs.

    Examples
    --------
    ::

        Secret("api-token", "s3cr3t").save()
        Secret.load("api-token").get()
    """

    def __init__(self, name: str | None = None, value: Any = None) -> None:
        if value is None or (isinstance(value, str) and len(value) < SHORTEST):
            raise UsageError(f"A secret needs a value of {SHORTEST} characters or more, to be told from other text.")
        self.name = name
        self._value = value
        redactor.add(value)

    def get(self) -> Any:
        """Return the value."""
        return self._value

    def save(self, name: str | None = None, overwrite: bool = False) -> None:
        """Keep it in the store.

        Raises
        ------
        UsageError
            It has no name, there is one of that name and `overwrite` is not given, or there is no cipher.
        """
        name = name or self.name
        if not name:
            raise UsageError("A secret is kept under a name: Secret('api-token', value).save()")
        home = open_home()
        token = Vault(home.settings).seal(self._value)
        if not home.store.set_secret(name, token, home.clock.now(), overwrite=overwrite):
            raise UsageError(f"Secret {name!r} is kept already; overwrite=True replaces its value.")
        self.name = name

    @classmethod
    def load(cls, name: str) -> Secret:
        """Return the secret of a name.

        Raises
        ------
        NotFound
            There is none.
        UsageError
            It cannot be decrypted here.
        """
        home = open_home()
        token = home.store.secrets().get(name)
        if token is None:
            raise NotFound(f"There is no secret {name!r}. Keep it: orch secret set {name}", name=name)
        try:
            return cls(name, Vault(home.settings).open(token))
        except UsageError as error:
            raise UsageError(f"Secret {name!r} cannot be read: {error}", name=name) from None

    @staticmethod
    def delete(name: str) -> bool:
        """Forget a secret; False if there was none of that name."""
        return open_home().store.unset_secret(name)

    def __repr__(self) -> str:
        return f"Secret({self.name!r}, {MASK})"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        # What is kept or sent is the name: the value never lies in a file.
        if self.name is None:
            raise UsageError("A secret without a name cannot be sent or kept; save it under one first.")
        return Secret.load, (self.name,)
