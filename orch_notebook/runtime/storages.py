"""Results that are kept elsewhere: in a folder of the person's, or wherever fsspec reaches (``s3://…``, ``memory://…``).

In: a name and bytes.  Out: a file of that name, with a head that says who made it and how it is read; signed with the
key of this installation, name included, because reading a result may run code: what was not written by it, under that
very name, counts as not there.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from orch_notebook.errors import UsageError
from orch_notebook.runtime.files import make_private_folder, write_whole
from orch_notebook.runtime.results import SIGNATURE, Results

__all__ = ["Storage", "Stored", "check_place", "place_of"]

MAGIC = b"orch-result-2\n"

#: How Prefect names the kinds of its blocks, which stand in front of a block's own name: ``s3-bucket/results``.
BLOCKS = frozenset(
    {"azure", "gcs", "gcs-bucket", "github", "local-file-system", "remote-file-system", "s3", "s3-bucket", "smb"}
)


class Stored(NamedTuple):
    """A result as bytes, and its head: ``as`` what reads it, ``made_by``, ``made_at``, ``expires_at``."""

    head: Mapping[str, Any]
    data: bytes


def _filesystem(place: str) -> tuple[Any, str]:
    """Return what reaches a place, and the path there: the one door to fsspec, which not every run needs."""
    from fsspec.core import url_to_fs

    filesystem, root = url_to_fs(place)
    return filesystem, str(root)


def check_place(place: Any) -> str:
    """Return where results are kept, as it was given; refused at once where nobody could reach it.

    Raises
    ------
    UsageError
        It names no folder and no address, or what reaches such addresses is not installed.

    Examples
    --------
    >>> check_place("results"), check_place(Path("/srv/results"))
    ('results', '/srv/results')
    >>> check_place("s3-bucket/results")
    Traceback (most recent call last):
    orch_notebook.errors.UsageError: result_storage='s3-bucket/results' is the name of a Prefect block. Say where it \
is: a folder, or an address such as s3://bucket/results.
    """
    if not isinstance(place, str | Path) and not hasattr(place, "__fspath__"):
        raise UsageError(f"result_storage is a folder, or an address such as s3://bucket/results, not {place!r}.")
    text = str(place)
    if re.search(r"://[^/@]*:[^/@]*@", text):
        raise UsageError(
            "result_storage holds a password, and where results are is recorded with the run. Leave it out: fsspec and "
            "its plugins read credentials from the environment."
        )
    if "://" in text:
        try:
            _filesystem(text)
        except (ImportError, ValueError) as error:
            raise UsageError(f"result_storage={text!r} cannot be reached: {error}") from None
    elif not text.strip():
        raise UsageError("result_storage is empty: name a folder, or an address such as s3://bucket/results.")
    elif isinstance(place, str) and text.count("/") == 1 and text.partition("/")[0] in BLOCKS:
        raise UsageError(
            f"result_storage={text!r} is the name of a Prefect block. Say where it is: a folder, or an address such as "
            "s3://bucket/results."
        )
    return text


def place_of(given: str) -> str:
    """Return a place as it holds from anywhere: a folder with its whole path, an address as it is."""
    return given if "://" in given else str(Path(given).expanduser().absolute())


class Storage:
    """Files of results at one place.

    Parameters
    ----------
    place : str
        A folder's whole path, or an address for fsspec.
    results : Results
        Signs and vouches for them.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     storage = Storage("memory://kept", Results(Path(folder)))
    ...     storage.write("daily/rows.json", {"as": "json"}, b"[1]")
    ...     storage.read("daily/rows.json")
    Stored(head={'as': 'json'}, data=b'[1]')
    """

    def __init__(self, place: str, results: Results) -> None:
        self.place = place
        self._results = results

    def write(self, name: str, head: Mapping[str, Any], data: bytes) -> None:
        """Keep a result, replacing what is there.

        Raises
        ------
        UsageError
            The name leads out of the place.
        Exception
            Whatever fsspec raises where the place cannot be written.
        """
        path = _path(name)
        start = json.dumps(dict(head)).encode()
        content = len(start).to_bytes(4, "big") + start + data
        whole = MAGIC + self._results.mark(path.encode(), b"\0", content) + content
        if "://" not in self.place:
            target = Path(self.place, path)
            make_private_folder(target.parent)
            write_whole(target, whole)
            return
        filesystem, root = _filesystem(self.place)
        target_path = f"{root.rstrip('/')}/{path}"
        # One that is written by halves bears no signature of the whole, so it counts as not there.
        try:
            filesystem.pipe_file(target_path, whole)
        except FileNotFoundError:  # a file system that has folders; buckets have none, and may not be looked into
            filesystem.makedirs(target_path.rpartition("/")[0], exist_ok=True)
            filesystem.pipe_file(target_path, whole)

    def read(self, name: str) -> Stored | None:
        """Return what is kept under a name; None if nothing is, or if this installation has not written it there."""
        try:
            path = _path(name)
            if "://" not in self.place:
                whole = Path(self.place, path).read_bytes()
            else:
                filesystem, root = _filesystem(self.place)
                whole = filesystem.cat_file(f"{root.rstrip('/')}/{path}")
        except Exception:  # noqa: BLE001 - every file system has errors of its own for what is not there
            return None
        start = len(MAGIC) + SIGNATURE
        signature, content = whole[len(MAGIC) : start], whole[start:]
        mine = self._results.mark(path.encode(), b"\0", content)
        if whole[: len(MAGIC)] != MAGIC or not hmac.compare_digest(signature, mine):
            return None
        length = int.from_bytes(content[:4], "big")
        return Stored(json.loads(content[4 : 4 + length]), content[4 + length :])


def _path(name: str) -> str:
    """Return a name as a path below the place.

    Raises
    ------
    UsageError
        It leads elsewhere.

    Examples
    --------
    >>> _path("daily//rows.json")
    'daily/rows.json'
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not name.strip() or path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise UsageError(f"A result cannot be kept as {name!r}: the name has to lie below its storage.")
    return str(path)
