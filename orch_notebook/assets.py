"""``from orch_notebook.assets import Asset, AssetProperties, materialize, add_asset_metadata``."""

from __future__ import annotations

from orch_notebook.functions.assets import Asset, AssetProperties, add_asset_metadata
from orch_notebook.functions.materializing import materialize

__all__ = ["Asset", "AssetProperties", "add_asset_metadata", "materialize"]
