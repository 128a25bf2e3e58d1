"""Artifacts: tables, texts, links, images and progress that a run publishes for people; and assets that tasks make.

In: a value and perhaps a key.  Out: an id; the artifact lies in the store with the run and task that made it, and
artifacts of one key are versions of one thing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from orch_notebook.errors import NotFound, UsageError
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.context import cell_scope, flow_scope, task_scope
from orch_notebook.runtime.home import open_home
from orch_notebook.runtime.store.shelves import Artifact

__all__ = [
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "update_progress_artifact",
]


def _create(kind: str, data: Any, key: str | None, description: str | None) -> str:
    if key is not None and not re.fullmatch(r"[a-z0-9-]+", key):
        raise UsageError(f"An artifact's key holds lower-case letters, digits and dashes only, not {key!r}.")
    home, flow, task = open_home(), flow_scope.get(), task_scope.get()
    cell = cell_scope.get() or (None, None)
    now = home.clock.now()
    artifact = Artifact(
        new_run_id(now),
        kind,
        data,
        key,
        description or "",
        flow.run_id if flow else cell[0],
        task.name if task else None if flow else cell[1],
        now,
    )
    home.store.save_artifact(artifact, now)
    return artifact.artifact_id


def create_table_artifact(
    table: Mapping[str, Sequence[Any]] | Sequence[Any] | Any, key: str | None = None, description: str | None = None
) -> str:
    """Publish a table: a dict of columns, a list of dicts or of lists, or a data frame; returns its id."""
    if hasattr(table, "to_dict"):
        table = table.to_dict(orient="records")
    try:
        json.dumps(table, default=str)
    except (TypeError, ValueError) as error:
        raise UsageError(f"This is no table: {error}.") from None
    return _create("table", table, key, description)


def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> str:
    """Publish a text in Markdown; returns its id."""
    return _create("markdown", str(markdown), key, description)


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> str:
    """Publish a link; returns its id."""
    return _create("link", {"link": str(link), "text": link_text or str(link)}, key, description)


def create_image_artifact(image_url: str, key: str | None = None, description: str | None = None) -> str:
    """Publish an image by its address; returns its id."""
    return _create("image", str(image_url), key, description)


def create_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> str:
    """Publish how far something is, from 0 to 100; returns its id, for :func:`update_progress_artifact`."""
    return _create("progress", _percent(progress), key, description)


def update_progress_artifact(artifact_id: str, progress: float, description: str | None = None) -> str:
    """Say how far it is now; returns the id.

    Raises
    ------
    NotFound
        There is no such progress artifact.
    """
    home = open_home()
    found = [each for each in home.store.artifacts(artifact_id=artifact_id) if each.kind == "progress"]
    if not found:
        raise NotFound(f"There is no progress artifact {artifact_id!r}.")
    [before] = found
    said = before.description if description is None else description
    after = Artifact(before.artifact_id, "progress", _percent(progress), before.name, said, before.run_id, before.task)
    home.store.save_artifact(after, home.clock.now())
    return artifact_id


def _percent(progress: float) -> float:
    if not 0 <= float(progress) <= 100:
        raise UsageError(f"Progress goes from 0 to 100; {progress!r} does not lie there.")
    return float(progress)
