"""Kills at every point, on both kinds of store: ``python -m tests.crashes [--store sqlite|postgres] [WORDS]``."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from orch_notebook.runtime.settings import Settings
from tests.crashes.cases import CASES, play
from tests.databases.postgres import PostgresServer


@contextmanager
def database(kind: str) -> Iterator[PostgresServer | None]:
    """A server for all cases of one kind of store."""
    if kind == "sqlite":
        yield None
        return
    with closing(PostgresServer()) as server:
        yield server


def main() -> int:
    """Play the cases; return 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="play only cases whose name has one of these")
    parser.add_argument("--store", choices=["sqlite", "postgres"], action="append")
    parser.add_argument("--shuffle", action="store_true", help="play them in random order")
    parser.add_argument("--keep", type=Path, help="leave the folders of cases that fail here")
    options = parser.parse_args()
    failures = 0
    for kind in options.store or ["sqlite", "postgres"]:
        with database(kind) as server:
            for case in random.sample(CASES, len(CASES)) if options.shuffle else CASES:
                if options.words and not any(word in str(case) for word in options.words):
                    continue
                folder = Path(tempfile.mkdtemp(prefix="orch-crash-", dir=options.keep))
                settings = Settings(folder / "home", None if server is None else server.url())
                began_at = time.monotonic()
                try:
                    said = play(case, folder / "work", settings)
                except AssertionError as error:
                    failures += 1
                    said = f"FAILED: {error} (see {folder})"
                print(f"{kind:9}{case!s:45}{time.monotonic() - began_at:6.1f} s  {said}", flush=True)
    print(f"{failures} failed")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
