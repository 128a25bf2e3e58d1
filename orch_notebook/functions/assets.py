"""Assets as the code of a flow names them: what a task makes outside of the flow, and what is known of that.

In: keys such as ``s3://lake/rows.csv``, with properties; in a task made by ``@materialize``, what this time is known
of what it makes.  Out: values for the options of tasks, and facts that are recorded with the end of the task run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orch_notebook.errors import MissingContext, UsageError
from orch_notebook.model.assets import check_key
from orch_notebook.runtime.context import task_scope

__all__ = ["Asset", "AssetProperties", "add_asset_metadata", "asset_of"]

#: As many characters of a description as Prefect takes.
LONGEST_DESCRIPTION = 2500


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetProperties:
    """What people want to know of an asset.

    Parameters
    ----------
    name : str, optional
        What people call it.
    url : str, optional
        Where it can be looked at.
    description : str, optional
        Markdown, at most 2,500 characters.
    owners : list of str, optional
        Who answers for it.

    Raises
    ------
    UsageError
        The description is too long, or the owners are no list.
    """

    name: str | None = None
    url: str | None = None
    description: str | None = None
    owners: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.description is not None and len(self.description) > LONGEST_DESCRIPTION:
            raise UsageError(
                f"The description of an asset has at most {LONGEST_DESCRIPTION:,} characters, not "
                f"{len(self.description):,}."
            )
        if isinstance(self.owners, str):
            raise UsageError(f"The owners of an asset are a list: [{self.owners!r}].")
        object.__setattr__(self, "owners", None if self.owners is None else tuple(self.owners))

    def to_json(self) -> dict[str, Any]:
        """Return what is said, and nothing of what is not."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Asset:
    """Something that tasks make outside of the flow: a file, a table, a model, a page.

    Parameters
    ----------
    key : str
        What it is and where: ``s3://lake/rows.csv``, ``postgres://db/rows``.
    properties : AssetProperties, optional
        What people want to know of it.

    Raises
    ------
    UsageError
        The key names no asset.

    Examples
    --------
    >>> Asset("s3://lake/rows.csv", AssetProperties(name="Rows")).properties.name
    'Rows'
    """

    key: str
    properties: AssetProperties | None = None

    def __post_init__(self) -> None:
        check_key(self.key)
        if isinstance(self.properties, Mapping):
            object.__setattr__(self, "properties", AssetProperties(**self.properties))

    def add_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Note something of the asset that is being made; see :func:`add_asset_metadata`."""
        add_asset_metadata(self, metadata)

    def described(self) -> dict[str, Any]:
        """Return what is said of it."""
        return {} if self.properties is None else self.properties.to_json()

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Asset(key={self.key!r})"


def asset_of(given: Any) -> Asset:
    """Return what was given as an asset, also where only its key was.

    Raises
    ------
    UsageError
        It is neither an asset nor the key of one.
    """
    return given if isinstance(given, Asset) else Asset(given)


def add_asset_metadata(asset: str | Asset, metadata: Mapping[str, Any]) -> None:
    """Note something of an asset that the running task makes: how many rows it has, how good they are.

    Parameters
    ----------
    asset : str or Asset
        One of those that are arguments of ``@materialize``.
    metadata : mapping
        What JSON can hold; later notes are added to earlier ones.

    Raises
    ------
    MissingContext
        No task is running that makes assets.
    UsageError
        It makes others, or JSON cannot hold the metadata.
    """
    scope = task_scope.get()
    made: Mapping[str, dict[str, Any]] = (scope and scope.assets) or {}
    if not made:
        raise MissingContext("add_asset_metadata is for the code of a task that makes assets: @materialize('s3://…').")
    key = asset.key if isinstance(asset, Asset) else asset
    if key not in made:
        raise UsageError(f"This task makes {_listed(made)}; only of these it can say something, not of {key!r}.")
    try:
        json.dumps(metadata)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The metadata of an asset is what JSON can hold: {error}.") from None
    made[key].update(metadata)


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(map(repr, keys))
