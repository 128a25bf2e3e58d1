"""Keeping house: ``orch doctor``, ``orch gc`` and ``orch db``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orch_notebook.cli.app import AsJson, app, print_json, say
from orch_notebook.errors import UsageError
from orch_notebook.model.retention import Retention
from orch_notebook.orchestrator import open_orchestrator
from orch_notebook.runtime.owners import is_dead
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.copying import back_up
from orch_notebook.runtime.store.copying import restore as restore_store

__all__ = ["db"]

db = typer.Typer(rich_markup_mode=None)
app.add_typer(db, name="db", help="Look at the store, copy it, and bring a copy back.")


def megabytes(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check store, kernels, workers and disk.

    What is wrong comes with what to do about it; the exit code is 1 then.
    """
    with open_orchestrator() as orchestrator:
        findings = orchestrator.diagnose()
    if as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        for finding in findings:
            say(f"{'✓' if finding.is_well else '✗'} {finding.subject}: {finding.text}")
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(1)


@app.command()
def gc(
    keep: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="In place of the rules that are set: 30d, 100, or 30d,100."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and remove nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove runs beyond their retention, and what nothing needs.

    What a run that goes on needs stays, and so does what the newest runs would need to be repeated from where they
    failed. Workers do the same every hour, where a rule is set.
    """
    with open_orchestrator() as orchestrator:
        rule = None if keep is None else Retention.parse(keep)
        found = orchestrator.plan_cleanup(rule)
        if not dry_run:
            orchestrator.clean_up(found)
        if as_json:
            piles = [{"kind": pile.kind, "count": pile.count, "bytes": pile.bytes} for pile in found.piles]
            print_json({"removed": not dry_run, "piles": piles, "runs": list(found.runs)})
            return
        for pile in found.piles:
            if pile.count:
                say(f"{pile.kind:<20} {pile.count:>7}  {megabytes(pile.bytes):>10}")
        total = megabytes(sum(pile.bytes for pile in found.piles))
        if not any(pile.count for pile in found.piles):
            say("Nothing to remove." + ("" if rule or orchestrator.settings.keep != Retention() else HINT))
        else:
            say(f"{total} would go; nothing has." if dry_run else f"{total} removed.")


HINT = " All runs are kept: set ORCH_KEEP=30d, promote with --keep, or say --keep here."


@db.command()
def info(as_json: AsJson = False) -> None:
    """Show where the store is, how large, and what is in it."""
    with open_orchestrator() as orchestrator:
        about = {**orchestrator.store.describe(), "rows": dict(orchestrator.store.counts())}
    if as_json:
        print_json(about)
        return
    say(f"{about['kind']} at {about['place']}")
    say(f"schema {about['schema']}, {megabytes(about['bytes'])}, check: {about['check']}")
    for kind, count in about["rows"].items():
        say(f"{kind:<12} {count:>9}")


@db.command()
def upgrade() -> None:
    """Bring the tables of the store to this version's form.

    Opening the store does the same; this says what was done.
    """
    with open_orchestrator() as orchestrator:
        before, after = orchestrator.store.migrated_from, orchestrator.store.describe()["schema"]
    what = f"from {before} to {after}" if before else f"made, {after}"
    say(f"The schema is {after} already." if before == after else f"The schema is {what}.")


@db.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to.")],
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace what is there.")] = False,
) -> None:
    """Copy the store to a file, while it is in use.

    Executed and pinned notebooks and results lie in ORCH_HOME beside it; copy that folder, too, to keep them.
    """
    size = back_up(Settings.from_environment(), file, replaces=force)
    say(f"Wrote {file}: {megabytes(size)}.")


@db.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that 'orch db backup' made.")],
    force: Annotated[bool, typer.Option("--force", "-f", help="Though runs go on, or workers live.")] = False,
) -> None:
    """Make the store what a copy of it was.

    The store as it is now is copied first, beside the file.
    """
    settings = Settings.from_environment()
    with open_orchestrator(settings) as orchestrator:
        busy = [worker.name for worker in orchestrator.workers() if not is_dead(worker.owner)]
        busy += [f"run {lease.run_id}" for lease in orchestrator.store.owned_runs() if not is_dead(lease.owner)]
    if busy and not force:
        raise UsageError(f"In use by {', '.join(busy[:3])}. Stop them first, or say --force.")
    before = file.with_name(f"{file.name}.before")
    back_up(settings, before, replaces=True)
    restore_store(settings, file)
    say(f"The store is as {file} has it. As it was before: {before}")
