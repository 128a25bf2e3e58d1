"""What can be done with deployments, in one place: a face calls one verb and shows what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orch_notebook.functions.entrypoints import Entrypoint, is_entrypoint, read_entrypoint
from orch_notebook.model.backfills import BackfillProgress
from orch_notebook.model.deployments import Deployment
from orch_notebook.model.differences import compare_deployments
from orch_notebook.model.forms import form_of
from orch_notebook.model.notices import Message, Notice
from orch_notebook.model.parameters import Parameter
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.schedules import Schedule
from orch_notebook.promotion import backfills, deployments
from orch_notebook.promotion.backfills import Backfill
from orch_notebook.promotion.declarations import Change, compare_declarations
from orch_notebook.promotion.messages import try_notice
from orch_notebook.promotion.notebooks import cells_of
from orch_notebook.promotion.terms import Given, Terms, Timed
from orch_notebook.promotion.upkeep import sweep
from orch_notebook.runtime.clock import Clock
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

__all__ = ["Deployments"]


class Deployments:
    """The deployments of a store.

    Parameters
    ----------
    store : Store
        Where they are kept.
    settings : Settings
        Where pinned notebooks go, and when a run counts as late.
    clock : Clock
        The time.
    """

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    def promote(
        self,
        notebook: str | Path | Entrypoint,
        name: str,
        *,
        schedules: Sequence[Schedule | Timed] = (),
        parameters: Given | None = None,
        terms: Terms | None = None,
    ) -> Deployment:
        """Make a notebook runnable by itself; see :func:`orch_notebook.promotion.deployments.promote`.

        A flow of a module is written ``path/to/module.py:flow`` or ``package.module:flow``.
        """
        if isinstance(notebook, str) and is_entrypoint(notebook):
            notebook = read_entrypoint(notebook)
        return deployments.promote(
            self._store,
            self._settings,
            self._clock.now(),
            notebook if isinstance(notebook, Entrypoint) else Path(notebook),
            name,
            schedules=schedules,
            parameters=parameters,
            terms=terms,
        )

    def versions(self, name: str) -> list[Deployment]:
        """Return every version of a deployment as it was promoted, oldest first.

        Raises
        ------
        NotFound
            There is no such deployment.
        """
        deployments.find(self._store, name)
        return self._store.versions(name)

    def differences(self, name: str, old: int, new: int) -> list[str]:
        """Return the lines that tell one version of a deployment from another.

        Raises
        ------
        NotFound
            There is no such deployment, or no such version of it.
        """
        before, after = (deployments.find_version(self._store, name, version) for version in (old, new))
        return compare_deployments(before, after, cells_of(before), cells_of(after))

    def plan_backfill(
        self,
        name: str,
        axes: Sequence[str],
        parameters: Given | None = None,
        *,
        reprocess: str = "none",
        is_reversed: bool = False,
    ) -> Backfill:
        """Return what a backfill would run; see :func:`orch_notebook.promotion.backfills.plan_backfill`."""
        return backfills.plan_backfill(
            self._store, name, axes, parameters or {}, reprocess=reprocess, is_reversed=is_reversed
        )

    def backfill(self, plan: Backfill, *, at_once: int = 4) -> str:
        """Make the runs of a backfill and return its id.

        Raises
        ------
        UsageError
            There is nothing to run.
        """
        return backfills.begin_backfill(self._store, self._clock.now(), plan, at_once=at_once)

    def backfill_runs(self, backfill_id: str) -> list[FlowRun]:
        """Return the last attempt of each point of a backfill, in its order, with what it recorded.

        Parameters
        ----------
        backfill_id : str
            An id, or so much of its beginning or end as is unique.

        Raises
        ------
        NotFound
            There is no such backfill.
        """
        sweep(self._store, this_owner(), self._clock.now())
        return backfills.results_of(self._store, backfills.find_backfill(self._store, backfill_id))

    def backfills(self, backfill_id: str | None = None) -> list[BackfillProgress]:
        """Return how far every backfill is, or one of them, newest first.

        Raises
        ------
        NotFound
            There is no such backfill.
        """
        sweep(self._store, this_owner(), self._clock.now())
        return self._store.backfills(backfill_id and backfills.find_backfill(self._store, backfill_id))

    def cancel_backfill(self, backfill_id: str) -> int:
        """Cancel what is left of a backfill; return how many runs that were.

        Raises
        ------
        NotFound
            There is no such backfill.
        """
        found = backfills.find_backfill(self._store, backfill_id)
        return backfills.cancel_backfill(self._store, this_owner(), self._clock.now(), found)

    def compare(self, path: Path, *, prune: bool = False) -> list[Change]:
        """Return what bringing the deployments in line with a file would change.

        Raises
        ------
        UsageError
            The file, or a notebook it names, cannot be used.
        """
        return compare_declarations(self._store, self._settings, self._clock.now(), path, prune=prune)

    def apply(self, changes: Sequence[Change]) -> None:
        """Make these changes: what is new or changed is promoted, what is gone is removed."""
        now = self._clock.now()
        for change in changes:
            if change.wanted is None:
                self.remove(change.name)
            elif change.kind != "same":
                deployments.save(self._store, self._settings, now, change.wanted)

    def remove(self, name: str) -> None:
        """Take a deployment away; its runs stay.

        Raises
        ------
        NotFound
            There is none of that name.
        """
        deployments.remove(self._store, self._settings, self._clock.now(), this_owner(), name)

    def roll_back(self, name: str, version: int) -> Deployment:
        """Promote an earlier version of a deployment again.

        Raises
        ------
        NotFound
            There is no such deployment, or no such version of it.
        """
        return deployments.roll_back(self._store, self._settings, self._clock.now(), name, version)

    def all(self) -> list[Deployment]:
        """Return all deployments by name."""
        return self._store.deployments()

    def find(self, name: str) -> Deployment:
        """Return one deployment.

        Raises
        ------
        NotFound
            There is none of that name.
        """
        return deployments.find(self._store, name)

    def form(self, name: str) -> dict[str, Any]:
        """Return the JSON schema of what a deployment takes, its own values as defaults.

        Raises
        ------
        NotFound
            There is no such deployment.
        """
        found = self.find(name)
        form = form_of(tuple(Parameter.from_json(parameter) for parameter in found.schema))
        for key, value in found.parameters.items():
            form["properties"][key]["default"] = value
        form["required"] = [key for key in form["required"] if key not in found.parameters]
        return form

    def messages(self, name: str | None = None, *, limit: int = 100) -> list[Message]:
        """Return the newest messages about deployments, or about one: waiting, sent and given up.

        Raises
        ------
        NotFound
            There is no such deployment.
        """
        if name is not None:
            self.find(name)
        return self._store.messages(name, limit)

    def tell(self, name: str) -> list[tuple[Notice, str]]:
        """Send a message by every rule of a deployment now, to try them; return each with what went wrong, if it did.

        Raises
        ------
        NotFound
            There is no such deployment.
        """
        return [(notice, try_notice(notice, name, self._clock.now())) for notice in self.find(name).notices]

    def trigger(self, name: str, parameters: Given | None = None) -> FlowRun:
        """Make a run of a deployment that is due now."""
        return deployments.trigger(self._store, self._clock.now(), name, parameters or {})

    def pause(self, name: str, is_paused: bool = True, *, reason: str = "") -> Deployment:
        """Let the schedules of a deployment rest, or wake them."""
        return deployments.pause(self._store, self._settings, self._clock.now(), name, is_paused, reason)
