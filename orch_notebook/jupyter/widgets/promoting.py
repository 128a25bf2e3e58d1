"""The panel's promote page: a notebook made to run by itself, and what has been promoted from it.

In: questions of the page, with fields as a person typed them.  Out: plain JSON, as ``pages.PromoteForm`` and
``pages.Preview`` describe it.  The words of the command line and this form go through the same readers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from orch_notebook.errors import OrchError, UsageError
from orch_notebook.jupyter.widgets.forms import given
from orch_notebook.jupyter.widgets.pages import DeploymentLine, Preview, PromoteForm
from orch_notebook.jupyter.widgets.sources import Given
from orch_notebook.model.deployments import Deployment
from orch_notebook.model.durations import parse_interval
from orch_notebook.model.notices import FACTS, Notice
from orch_notebook.model.policies import CatchUp, Overlap
from orch_notebook.model.schedules import Cron, Schedule, preview, schedule_from_json
from orch_notebook.model.views import LOOKS
from orch_notebook.model.zones import find_zone
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.terms import Terms, read_schedules

__all__ = ["PromotePage"]

DUE = "%a %d %b %H:%M"


class PromotePage:
    """Answers what the promote page of one notebook asks.

    Parameters
    ----------
    orchestrator : Orchestrator
        Promotes.
    path : callable
        Returns the saved notebook; raises an ``OrchError`` that says why there is none.
    parameters : callable
        Returns what the notebook can be given, with the values it has now.
    """

    def __init__(
        self, orchestrator: Orchestrator, path: Callable[[], Path], parameters: Callable[[], Sequence[Given]]
    ) -> None:
        self._orchestrator = orchestrator
        self._path = path
        self._parameters = parameters

    def __call__(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the form, a preview of a schedule, or what came of an act.

        Raises
        ------
        OrchError
            What was asked for cannot be done.
        """
        match question:
            case {"do": "preview"}:
                return {"preview": self.preview(question)}
            case {"do": "form"}:
                said = ""
            case {"do": "promote"}:
                said = self._promote(question)
            case {"do": "trigger", "name": str(name)}:
                run = self._orchestrator.deployments.trigger(name)
                said = f"A run of {name!r} is due now ({run.run_id[-8:]})."
            case {"do": "pause" | "unpause" as verb, "name": str(name)}:
                self._orchestrator.deployments.pause(name, verb == "pause")
                said = f"{name!r} rests: its schedules make no runs." if verb == "pause" else f"{name!r} runs again."
            case _:
                raise UsageError("The promote page cannot answer this.")
        return {"form": self.form(said)}

    def form(self, said: str = "") -> PromoteForm:
        """Return what the form begins with, and the deployments of the notebook."""
        problem, words, path = "", "", None
        try:
            path = self._path()
            saved_at = datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone()
            words = f"{path.name} as saved at {saved_at:%H:%M:%S}"
        except (OrchError, OSError) as error:
            problem = str(error)
        found = [each for each in self._orchestrator.deployments.all() if path and each.plan.notebook == str(path)]
        return {
            "name": found[0].name if found else path.stem if path else "",
            "notebook": words,
            "problem": problem,
            "zones": sorted(available_timezones()),
            "zone": _local_zone(),
            "parameters": given(self._parameters()),
            "deployments": [self._line(each) for each in found],
            "has_worker": bool(self._orchestrator.workers()),
            "facts": list(FACTS.items()),
            "said": said,
        }

    def _line(self, deployment: Deployment) -> DeploymentLine:
        now = self._orchestrator.clock.now()
        schedules = [schedule_from_json(row.rule) for row in deployment.schedules]
        due = [moment for schedule in schedules if (moment := schedule.next(now)) is not None]
        runs = self._orchestrator.runs(deployment=deployment.name, limit=8)
        return {
            "name": deployment.name,
            "version": deployment.version,
            "schedules": [_words(schedule) for schedule in schedules],
            "next": f"{min(due).astimezone():{DUE}}" if due and not deployment.is_paused else "",
            "is_paused": deployment.is_paused,
            "runs": [(LOOKS[run.state.name].tone, LOOKS[run.state.name].word, run.run_id) for run in runs],
            "tells": [notice.shown() for notice in deployment.notices],
        }

    def preview(self, question: Mapping[str, Any]) -> Preview:
        """Return a schedule in plain words, its next five due times and who will be told; or what is wrong with it."""
        notice, doubt = "", ""
        try:
            notice = " and ".join(each.shown() for each in _notices(question))
        except OrchError as error:
            doubt = str(error)
        try:
            schedules = self._schedules(question)
            zone = find_zone(str(question.get("zone") or "UTC"))
            due = preview(schedules, self._orchestrator.clock.now(), zone) if schedules else []
        except OrchError as error:
            return {"words": "", "due": [], "problem": str(error), "notice": notice, "doubt": doubt}
        return {
            "words": " and ".join(map(_words, schedules)) or "It runs when somebody asks for it.",
            "due": [f"{each.local:{DUE}}" + (f" ({each.note})" if each.note else "") for each in due],
            "problem": "",
            "notice": notice,
            "doubt": doubt,
        }

    def _schedules(self, question: Mapping[str, Any]) -> list[Schedule]:
        cron, every = (str(question.get(name) or "").strip() for name in ("cron", "every"))
        zone = str(question.get("zone") or "UTC") if cron else None
        return read_schedules(self._orchestrator.clock.now(), [cron] * bool(cron), [every] * bool(every), (), zone)

    def _promote(self, question: Mapping[str, Any]) -> str:
        def text(name: str) -> str:
            return str(question.get(name) or "").strip()

        def number(name: str) -> int:
            if not text(name).isdecimal():
                raise UsageError(f"{name.capitalize()}: a whole number from 0, not {text(name)!r}.")
            return int(text(name))

        terms = Terms(
            retries=number("retries") if text("retries") else 0,
            retry_delay=parse_interval(text("delay")) if text("delay") else 0.0,
            timeout=parse_interval(text("timeout")) if text("timeout") else None,
            queue=text("queue") or "default",
            overlap=Overlap.parse(text("overlap")) if text("overlap") else None,
            catch_up=CatchUp.parse(text("catch_up") or "latest"),
            notify=_notices(question),
        )
        values = question.get("values")
        made = self._orchestrator.deployments.promote(
            self._path(),
            text("name"),
            schedules=self._schedules(question),
            parameters=dict(values) if isinstance(values, Mapping) else {},
            terms=terms,
        )
        return f"Promoted: {made.name!r}, version {made.version}."


def _notices(question: Mapping[str, Any]) -> tuple[Notice, ...]:
    """Return who is told what; nobody where no address is given."""
    to, on = (str(question.get(name) or "").strip() for name in ("notify", "on"))
    return (Notice.parse(f"on={on},to={to}"),) if to else ()


def _words(schedule: Schedule) -> str:
    return schedule.explained() if isinstance(schedule, Cron) else schedule.words()


def _local_zone() -> str:
    """Return the name of this machine's time zone; UTC where it does not tell."""
    target = Path("/etc/localtime").resolve()
    name = "/".join(target.parts[target.parts.index("zoneinfo") + 1 :]) if "zoneinfo" in target.parts else ""
    return name if name in available_timezones() else "UTC"
