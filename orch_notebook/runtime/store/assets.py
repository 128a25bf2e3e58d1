"""What tasks made outside of their flows, as the store keeps it.

It is written with the end of the attempt that made it, in the same transaction; so there is no asset whose task has not
ended so, and no such end whose assets are not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orch_notebook.model.assets import KnownAsset, Materialization, Reference
from orch_notebook.runtime.store import rows
from orch_notebook.runtime.store.connected import Connected

__all__ = ["AssetRecords"]


class AssetRecords(Connected):
    """Materializations and their lineage in a database."""

    def _record_made(self, connection: Any, made: Sequence[tuple[int, Materialization]]) -> None:
        """Write what a batch of events says of assets, within its transaction."""
        self._queries.insert_materializations(
            connection,
            [
                (
                    *(each.run_id, seq, each.asset, each.task, each.attempt, each.at.timestamp(), int(each.is_made)),
                    *(rows.storable(each.made_by), rows.facts(dict(each.properties)), rows.facts(dict(each.metadata))),
                )
                for seq, each in made
            ],
        )
        links = [
            (each.run_id, seq, each.asset, up.asset, int(up.is_declared), rows.facts(dict(up.properties)))
            for seq, each in made
            for up in each.upstream
        ]
        if links:
            self._queries.insert_lineage(connection, links)

    def materializations(self, asset: str | None = None, limit: int = 100) -> list[Materialization]:
        """Return the times that an asset, or any, was made or not, the newest first."""
        with self._read() as connection:
            found = list(self._queries.select_materializations(connection, asset=asset, limit=limit))
            return [self._materialization(connection, row) for row in found]

    def assets(self) -> list[KnownAsset]:
        """Return every asset that a run has made, tried to make, or made others from, by key."""
        with self._read() as connection:
            found = list(self._queries.select_newest_materializations(connection))
            newest = {row["asset"]: self._materialization(connection, row) for row in found}
            used: dict[str, list[str]] = {}
            for row in self._queries.select_uses(connection):
                used.setdefault(row["upstream"], []).append(row["asset"])
            said = self._queries.select_asset_properties(connection)
            properties = {row["asset"]: json.loads(row["properties"]) for row in said}
        return [
            KnownAsset(key, newest.get(key), properties.get(key, {}), tuple(used.get(key, ())))
            for key in sorted({*newest, *used})
        ]

    def _materialization(self, connection: Any, row: Mapping[str, Any]) -> Materialization:
        place = {name: row[name] for name in ("run_id", "seq", "asset")}
        return Materialization(
            row["asset"],
            row["run_id"],
            row["task"],
            row["attempt"],
            rows.known_instant(row["at"]),
            bool(row["is_made"]),
            row["made_by"],
            json.loads(row["properties"]),
            json.loads(row["metadata"]),
            tuple(
                Reference(link["upstream"], bool(link["is_declared"]), json.loads(link["properties"]))
                for link in self._queries.select_lineage(connection, **place)
            ),
        )
