"""Secrets at rest: encrypted in the store, with a key that is not in it.

In: values and the settings.  Out: tokens that only this installation can read.  The key is ``ORCH_SECRET_KEY`` or,
where that is not set, a file of the home that only its owner can read, made with the first secret.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from functools import cache
from pathlib import Path
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.runtime.files import write_whole
from orch_notebook.runtime.redaction import redactor
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

__all__ = ["Vault", "learn_secrets"]

logger = logging.getLogger("orch_notebook")


@cache
def _fernet() -> Any:
    # The one place where the cipher is imported: it is an extra, and takes 40 ms.
    try:
        from cryptography import fernet
    except ImportError:
        raise UsageError(
            "Secrets are encrypted by the package cryptography, which is not here: pip install 'orch-notebook[secrets]'"
        ) from None
    return fernet


class Vault:
    """Encrypts and decrypts the secrets of one home."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def _cipher(self, *, make: bool = False) -> Any:
        given, path = self._settings.secret_key, self._settings.home / "secret.key"
        if given is None:
            if make and not path.exists():
                self._make_key(path)
            try:
                given = path.read_text("ascii").strip()
            except OSError as error:
                reason = error.strerror or error
                raise UsageError(f"The key of the secrets, {path}, cannot be read: {reason}.") from None
        try:
            return _fernet().Fernet(given.encode())
        except ValueError:
            where = "ORCH_SECRET_KEY" if self._settings.secret_key is not None else str(path)
            raise UsageError(f"{where} holds no key: 32 bytes in URL-safe base64 are needed.") from None

    def _make_key(self, path: Path) -> None:
        self._settings.folder()
        # Linked into place, so that of two processes that begin at once one wins and both use its key.
        mine = path.with_name(f".secret.{os.getpid()}.{secrets.token_hex(4)}")
        write_whole(mine, _fernet().Fernet.generate_key())
        try:
            os.link(mine, path)
        except FileExistsError:
            pass
        finally:
            mine.unlink(missing_ok=True)

    def seal(self, value: Any) -> str:
        """Return a value that JSON can hold, encrypted.

        Raises
        ------
        UsageError
            There is no cipher or no key.
        TypeError
            JSON cannot hold it.
        """
        return str(self._cipher(make=True).encrypt(json.dumps(value).encode()).decode())

    def open(self, token: str) -> Any:
        """Return a value that was sealed here.

        Raises
        ------
        UsageError
            It was sealed with another key.
        """
        try:
            return json.loads(self._cipher().decrypt(token.encode()))
        except _fernet().InvalidToken:
            raise UsageError("It was encrypted with another key than the present one (ORCH_SECRET_KEY).") from None


def learn_secrets(store: Store, settings: Settings) -> None:
    """Take note of all secrets of a store, so that none of their values is stored or shown by this process."""
    for name, token in store.secrets().items():
        if redactor.knows((str(settings.home), name, token)):
            continue
        try:
            redactor.add(Vault(settings).open(token))
        except UsageError as error:
            logger.warning("Secret %r cannot be read, so its value cannot be kept out of logs: %s", name, error)
