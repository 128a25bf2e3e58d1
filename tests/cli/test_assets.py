"""Assets on the command line."""

from __future__ import annotations

import pytest

from orch_notebook import flow
from orch_notebook.assets import Asset, AssetProperties, add_asset_metadata, materialize
from orch_notebook.runtime.home import close_homes

RAW, CLEAN = "s3://lake/raw.csv", "s3://lake/clean.csv"


@pytest.fixture
def run_id(orch_home) -> str:
    """A run that made two assets and failed at a third."""
    found = []

    @materialize(Asset(RAW, AssetProperties(name="Raw rows", owners=["ann", "bob"])))
    def load():
        add_asset_metadata(RAW, {"rows": 3})
        return [1]

    @materialize(CLEAN, asset_deps=["postgres://db/regions"], by="dbt")
    def clean(rows):
        return rows

    @materialize("s3://lake/report")
    def report(rows):
        raise ValueError("no paper")

    @flow
    def nightly():
        from orch_notebook.runtime import flow_run

        found.append(flow_run.id)
        report(clean(load()), return_state=True)

    nightly()
    close_homes()
    return found[0]


def test_a_run_names_what_it_made(orch, run_id) -> None:
    """With what each came from, and what its task said of it."""
    said = orch("show", run_id).out
    rows = {line.split()[0]: line for line in said.splitlines() if line.startswith("s3://")}
    assert "Made" in rows[RAW] and "rows=3" in rows[RAW]
    assert f"{RAW}, postgres://db/regions (declared)" in rows[CLEAN] and "clean (dbt)" in rows[CLEAN]
    assert "Failed" in rows["s3://lake/report"]
    shown = {each["asset"]: each for each in orch("show", run_id, "--json").json["assets"]}
    assert shown[RAW]["metadata"] == {"rows": 3} and shown["s3://lake/report"]["state"] == "failed"


def test_assets_are_listed(orch, run_id) -> None:
    """Each with its state, its last run and what was made from it; one alone with every time it was made."""
    known = {each["asset"]: each for each in orch("assets", "--json").json}
    assert {key: each["state"] for key, each in known.items()} == {
        RAW: "made",
        CLEAN: "made",
        "s3://lake/report": "failed",
        "postgres://db/regions": "referenced",
    }
    assert known[RAW]["used_by"] == [CLEAN] and known[RAW]["newest"]["run_id"] == run_id
    assert "Raw rows" in orch("assets").out
    alone = orch("assets", RAW)
    assert alone.code == 0 and all(word in alone.out for word in ("Raw rows", "ann, bob", CLEAN, "rows=3"))
    assert len(orch("assets", RAW, "--json").json["times"]) == 1


def test_an_asset_that_nobody_knows(orch) -> None:
    """There is none of that key; with none at all, how one is named."""
    assert "@materialize" in orch("assets").out
    answer = orch("assets", RAW)
    assert answer.code == 2 and RAW in answer.err
