"""Assets from the command line: what tasks have made outside of their flows, ``orch assets``, ``orch show``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from orch_notebook.cli.app import AsJson, app, columns, console, print_json, say
from orch_notebook.cli.tables import COLOURS, fit, moment, values
from orch_notebook.errors import NotFound
from orch_notebook.model.assets import KnownAsset, Materialization, Reference
from orch_notebook.model.runs import short_id
from orch_notebook.model.views import TONES
from orch_notebook.orchestrator import open_orchestrator

__all__ = ["made_table"]

#: The tone of each state an asset may be in.
_TONES = {"made": "completed", "failed": "failed", "referenced": "pending"}


def _state(state: str) -> Text:
    tone = _TONES[state]
    return Text(f"{TONES[tone].glyph} {state.capitalize()}", style=COLOURS[tone])


def _sources(upstream: Iterable[Reference]) -> str:
    return ", ".join(each.asset + (" (declared)" if each.is_declared else "") for each in upstream)


def made_table(made: Iterable[Materialization], width: int | None = None) -> Table:
    """Return what a run has made, one asset a row."""
    rows = [
        (
            each.asset,
            _state("made" if each.is_made else "failed"),
            each.task + (f" ({each.made_by})" if each.made_by else ""),
            _sources(each.upstream),
            values(each.metadata),
        )
        for each in made
    ]
    return fit(("Asset…", "State", "Task…", "From…", "Metadata…"), rows, width)


def _times_table(made: Iterable[Materialization], now: datetime, width: int | None) -> Table:
    rows = [
        (
            _state("made" if each.is_made else "failed"),
            moment(each.at, now, width),
            each.run_id if width is None else short_id(each.run_id),
            each.task + (f" ({each.made_by})" if each.made_by else ""),
            _sources(each.upstream),
            values(each.metadata),
        )
        for each in made
    ]
    return fit(("State", "When", "Run", "Task…", "From…", "Metadata…"), rows, width)


def _assets_table(assets: Iterable[KnownAsset], now: datetime, width: int | None) -> Table:
    rows = [
        (
            each.asset,
            each.properties.get("name") or "",
            _state(each.state),
            moment(each.newest.at if each.newest else None, now, width),
            "" if each.newest is None else each.newest.run_id if width is None else short_id(each.newest.run_id),
            each.newest.task if each.newest else "",
            _sources(each.newest.upstream) if each.newest else "",
            ", ".join(each.used_by),
        )
        for each in assets
    ]
    return fit(("Asset…", "Name…", "State", "When", "Run", "Task…", "From…", "Used by…"), rows, width)


@app.command()
def assets(
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="One asset: how and when it was made.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="K", help="At most so many times of it, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what tasks have made outside of their flows."""
    with open_orchestrator() as orchestrator:
        now, width = orchestrator.clock.now(), columns()
        known = {each.asset: each for each in orchestrator.assets()}
        if key is None:
            if as_json:
                print_json([each.to_json() for each in known.values()])
            elif not known:
                say("No assets. A task names what it makes: @materialize('s3://bucket/rows.csv')")
            else:
                console.print(_assets_table(known.values(), now, width))
            return
        if key not in known:
            raise NotFound(f"No run has made or used {key!r}. 'orch assets' lists what there is.")
        times = orchestrator.materializations(key, limit)
        if as_json:
            print_json({**known[key].to_json(), "times": [each.to_json() for each in times]})
            return
        for name, said in known[key].properties.items():
            say(f"{name.capitalize():<12} {', '.join(said) if isinstance(said, list) else said}")
        if known[key].used_by:
            say(f"{'Used by':<12} {', '.join(known[key].used_by)}")
        say()
        console.print(_times_table(times, now, width))
