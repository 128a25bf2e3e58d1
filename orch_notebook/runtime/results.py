"""What tasks left, kept in files.

A result is a set of named values, kept under the key of the task that made them.  Files are written beside their
place and moved there, so a result is there whole or not at all.  They are signed with a key that only this
installation has, because unpickling runs code: what was not written here is not read.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orch_notebook.errors import StoreUnavailable
from orch_notebook.runtime.files import file_fingerprint, make_private_folder, place_of, write_whole
from orch_notebook.runtime.pickling import from_bytes, to_bytes
from orch_notebook.runtime.redaction import redactor

__all__ = ["SIGNATURE", "Result", "Results"]

#: Bytes of a signature.
SIGNATURE = 32


@dataclass(frozen=True, slots=True)
class Result:
    """A kept result: its values by name, when it was made, and which task run made it."""

    values: Mapping[str, Any]
    made_at: datetime
    made_by: str


class Results:
    """Results in a local folder.

    Parameters
    ----------
    folder : Path
        Where they are kept; its ``key`` file signs them.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = Results(Path(folder))
    ...     results.keep("k1", {"n": 41}, "run/load")
    ...     results.load("k1").values
    {'n': 41}
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key: bytes | None = None

    def _secret(self) -> bytes:
        if self._key is None:
            path = self._folder / "key"
            if not path.exists():
                # Linked into place, so that of two processes that begin at once one wins and both use its key.
                mine = self._folder / f".key.{os.getpid()}.{secrets.token_hex(4)}"
                write_whole(mine, secrets.token_bytes(32))
                try:
                    os.link(mine, path)
                except FileExistsError:
                    pass
                finally:
                    mine.unlink(missing_ok=True)
            self._key = path.read_bytes()
        return self._key

    def seal(self, data: bytes) -> bytes:
        """Return bytes with this installation's signature, for what is kept elsewhere than here.

        Raises
        ------
        SecretExposed
            They hold the value of a secret.
        """
        redactor.check(data)
        return self.mark(data) + data

    def open(self, sealed: bytes) -> bytes | None:
        """Return what :meth:`seal` signed; None if it was not signed by this installation."""
        signature, data = sealed[:SIGNATURE], sealed[SIGNATURE:]
        return data if self.has_signed(signature, data) else None

    def mark(self, *parts: Any) -> bytes:
        """Return this installation's signature of bytes, given in one piece or several."""
        if self._key is None:
            make_private_folder(self._folder)
        # Keyed BLAKE2 is made for this, and starts ten times as quickly as an HMAC: there is one for every task run.
        digest = hashlib.blake2b(key=self._secret(), digest_size=SIGNATURE)
        for part in parts:
            digest.update(part)
        return digest.digest()

    def has_signed(self, signature: bytes, *parts: Any) -> bool:
        """Whether a signature is what :meth:`mark` returns for these bytes."""
        return hmac.compare_digest(signature, self.mark(*parts))

    def keep(self, key: str, values: Mapping[str, Any], made_by: str, files: Mapping[str, str] | None = None) -> None:
        """Keep values under a key, replacing what is there.

        Parameters
        ----------
        key : str
            What the values depend on.
        values : mapping
            By name; what they share among themselves they share when they are loaded.
        made_by : str
            The task run that made them.
        files : mapping, optional
            Files that belong to the result: their fingerprints by path.

        Raises
        ------
        Exception
            Whatever cloudpickle raises for a value that cannot be pickled, or that it holds the value of a secret;
            nothing is kept then.
        StoreUnavailable
            The folder cannot be written.
        """
        data = to_bytes((dict(values), datetime.now(UTC), made_by))
        path = place_of(self._folder, key)
        beside = path.with_suffix(".files")
        try:
            make_private_folder(self._folder)
            sealed = self.seal(data)
            if files:
                write_whole(beside, json.dumps(dict(files)).encode())
            else:
                beside.unlink(missing_ok=True)
            write_whole(path, sealed)
        except OSError as error:
            raise StoreUnavailable(f"The result store {self._folder} cannot be written: {error.strerror}.") from None

    def kept_at(self, key: str) -> datetime | None:
        """Return when something was kept under a key, without reading it; None if nothing was, or its files changed."""
        path = place_of(self._folder, key)
        try:
            made_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except OSError:
            return None
        try:
            files = json.loads(path.with_suffix(".files").read_text("utf-8"))
        except (OSError, ValueError):
            files = {}
        return made_at if all(file_fingerprint(file) == mark for file, mark in files.items()) else None

    def load(self, key: str) -> Result | None:
        """Return what is kept under a key; None if nothing is, or if it was not written by this installation."""
        try:
            data = self.open(place_of(self._folder, key).read_bytes())
        except OSError:
            return None
        if data is None:
            return None
        try:
            values, made_at, made_by = from_bytes(data)
        except Exception:  # noqa: BLE001 - made with other versions of the libraries: as good as not there
            return None
        return Result(values, made_at, made_by)
