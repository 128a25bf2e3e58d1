"""Who is told what about a deployment: rules, the facts that they ask for, and the words.

In: how a run ended, or how long one takes or waits, and what came before.  Out: the facts worth telling, and for every
rule that asks for one a title and a text.  When to look and how to send is for others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from difflib import get_close_matches
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.model.durations import interval_words, parse_interval
from orch_notebook.model.runs import FlowRun, iso, short_id
from orch_notebook.model.states import StateType
from orch_notebook.model.templates import check_template, fill_template
from orch_notebook.model.zones import find_zone

__all__ = ["FACTS", "Daily", "Message", "Notice", "facts_of_end", "hide", "retry_after", "write_message"]

#: What can be told, in the words a person writes, and what each means.
FACTS: Mapping[str, str] = {
    "failed": "a run failed or crashed and is not repeated any more",
    "recovered": "a run completed after one that had failed",
    "completed": "a run completed",
    "cancelled": "a run was cancelled",
    "missed": "a due time became no run",
    "late": "a run is due and has not started",
    "too-long": "a run takes longer than this: too-long:2h",
    "not-run": "no run began that day before this time: not-run:06:00, or not-run:06:00@Europe/Madrid",
}
#: Facts of which there is one for every length or time that is named.
NAMED = ("too-long", "not-run")
#: What a text may speak of.
PLACES = (
    "deployment", "fact", "what", "state", "message", "run", "run_id", "attempt", "due_at", "started_at", "ended_at",
    "duration", "parameters", "notebook", "worker",
)  # fmt: skip
TITLE = "{deployment}: {what}"
BODY = "{message}\n{run}"
#: Seconds between one try to send and the next; after the last one nobody tries again.
DELAYS = (5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0)
#: What an address begins with.
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|command:\s*\S|\$\S")
RULE = re.compile(r"(?:\s*on\s*=\s*(?P<on>.*?)\s*,)?\s*to\s*=\s*(?P<to>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Notice:
    """A rule: tell these facts there.

    Parameters
    ----------
    to : str
        An address as apprise reads it (``mailto://…``, ``slack://…``, ``https://…``), ``command: PROGRAM …``, or
        ``$NAME`` for an environment variable of the worker that holds one.
    on : tuple of str
        Facts, of :data:`FACTS`.
    title, body : str
        What is said, with places in braces; by default what anybody would want to know.

    Raises
    ------
    UsageError
        There is no such fact, or no such place to fill in.
    """

    to: str
    on: tuple[str, ...] = ("failed", "recovered")
    title: str = TITLE
    body: str = BODY

    def __post_init__(self) -> None:
        if not self.to.strip():
            raise UsageError("A notice needs somebody to tell: to=mailto://…, to=slack://…, to='command: PROGRAM'.")
        if not self.on:
            raise UsageError(f"A notice needs something to tell: on={','.join(FACTS)}.")
        for fact in self.on:
            _check_fact(fact)
        check_template(self.title, PLACES)
        check_template(self.body, PLACES)

    @classmethod
    def parse(cls, text: str) -> Notice:
        """Read a rule as it is typed; all behind ``to=`` is the address.

        Raises
        ------
        UsageError
            It is not of that form, or what stands behind ``to=`` is no address.

        Examples
        --------
        >>> Notice.parse("on=failed,too-long:2h,to=slack://a/b/c").on
        ('failed', 'too-long:2h')
        """
        found = RULE.fullmatch(text)
        if found is None:
            raise UsageError(f"A notice is written on=FACT,FACT,to=ADDRESS, not {hide(text)}.")
        if not ADDRESS.match(found["to"]):
            raise UsageError(
                f"{hide(found['to'])} is no address: write mailto://…, slack://…, https://…, command: PROGRAM, or "
                "$NAME for an environment variable of the worker that holds one."
            )
        if found["on"] is None:
            return cls(found["to"].strip())
        return cls(found["to"].strip(), tuple(fact.strip() for fact in found["on"].split(",")))

    @property
    def mark(self) -> str:
        """A short text by which two addresses are told apart without showing either."""
        return hashlib.sha256(self.to.encode()).hexdigest()[:8]

    def shown(self) -> str:
        """Return the rule for people, the secrets of its address left out.

        Examples
        --------
        >>> Notice("slack://token/secret", ("failed",)).shown()
        'failed → slack://… (b95e7ba4)'
        """
        return f"{', '.join(self.on)} → {hide(self.to)}"

    def to_json(self) -> dict[str, Any]:
        """Return what differs from a bare rule, the address with its secrets."""
        data: dict[str, Any] = {"on": list(self.on), "to": self.to}
        bare = {"title": TITLE, "body": BODY}
        return data | {key: getattr(self, key) for key, usual in bare.items() if getattr(self, key) != usual}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Notice:
        """Read what :meth:`to_json` wrote."""
        return cls(**{**data, "on": tuple(data["on"])})

    def lengths(self) -> list[tuple[str, float]]:
        """Return the facts that a run may become by taking too long, each with its seconds."""
        return [(fact, parse_interval(fact[9:])) for fact in self.on if fact.startswith("too-long:")]

    def dailies(self) -> list[Daily]:
        """Return the times of day by which a run must have begun."""
        return [Daily.parse(fact) for fact in self.on if fact.startswith("not-run:")]


def _check_fact(fact: str) -> None:
    word, _, value = fact.partition(":")
    if word not in FACTS:
        near = get_close_matches(word, FACTS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(FACTS)}."
        raise UsageError(f"Nobody can be told {fact!r}. {hint}")
    if (word in NAMED) != bool(value):
        raise UsageError(f"{fact!r} is not complete: {word} means {FACTS[word]}.")
    if word == "too-long":
        parse_interval(value)
    elif word == "not-run":
        Daily.parse(fact)


@dataclass(frozen=True, slots=True)
class Daily:
    """A time of day by which a run must have begun, in a time zone.

    Examples
    --------
    >>> Daily.parse("not-run:06:00@Europe/Madrid").zone
    'Europe/Madrid'
    """

    fact: str
    at: time
    zone: str = "UTC"

    @classmethod
    def parse(cls, fact: str) -> Daily:
        """Read ``not-run:HH:MM`` or ``not-run:HH:MM@ZONE``.

        Raises
        ------
        UsageError
            The time or the zone is none.
        """
        text, _, zone = fact.partition(":")[2].partition("@")
        if not re.fullmatch(r"\d\d:\d\d", text):
            raise UsageError(f"{fact!r} names no time of day: write not-run:06:00, or not-run:06:00@Europe/Madrid.")
        try:
            at = time.fromisoformat(text)
        except ValueError:
            raise UsageError(f"{fact!r}: {text} is no time of day.") from None
        find_zone(zone or "UTC")
        return cls(fact, at, zone or "UTC")

    def latest(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the day's beginning and this time of that day, the latest that has passed.

        Examples
        --------
        >>> from datetime import UTC
        >>> begin, end = Daily.parse("not-run:06:00").latest(datetime(2026, 3, 2, 5, tzinfo=UTC))
        >>> f"{begin:%d %H:%M} {end:%d %H:%M}"
        '01 00:00 01 06:00'
        """
        zone = find_zone(self.zone)
        day = now.astimezone(zone).date()
        if datetime.combine(day, self.at, zone) > now:
            day -= timedelta(days=1)
        return datetime.combine(day, time(), zone), datetime.combine(day, self.at, zone)


@dataclass(frozen=True, slots=True)
class Message:
    """One fact on its way to one address.

    Parameters
    ----------
    key : str
        The fact and the address: there is one message of each.
    deployment : str
        What it is about.
    run_id : str or None
        The run, if it is about one.
    fact : str
        What is told.
    to : str
        The address, with its secrets.
    title, body : str
        What is said.
    state : str
        ``waiting``, ``sent`` or ``given up``.
    attempts : int
        How often somebody tried.
    due_at : datetime or None
        When it is tried next.
    error : str
        Why the last try failed.
    """

    key: str
    deployment: str
    run_id: str | None
    fact: str
    to: str
    title: str
    body: str
    created_at: datetime
    state: str = "waiting"
    attempts: int = 0
    due_at: datetime | None = None
    sent_at: datetime | None = None
    error: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what ``orch notify list --json`` prints: no address is shown whole."""
        return {
            "deployment": self.deployment,
            "run_id": self.run_id,
            "fact": self.fact,
            "to": hide(self.to),
            "title": self.title,
            "state": self.state,
            "attempts": self.attempts,
            "error": self.error,
            "created_at": iso(self.created_at),
            "due_at": iso(self.due_at),
            "sent_at": iso(self.sent_at),
        }


def facts_of_end(run: FlowRun, *, is_repeated: bool, before: FlowRun | None) -> tuple[str, ...]:
    """Return what is worth telling of a run that has ended.

    Parameters
    ----------
    is_repeated : bool
        Whether its retry rule repeats it: then its failure is not the last word.
    before : FlowRun or None
        The last run of the deployment before it that completed, or failed for good.
    """
    match run.state.type:
        case StateType.COMPLETED:
            had_failed = before is not None and before.state.type is not StateType.COMPLETED
            return ("completed", "recovered") if had_failed else ("completed",)
        case StateType.FAILED | StateType.CRASHED:
            return () if is_repeated else ("failed",)
        case StateType.CANCELLED:
            return ("missed",) if run.state.name == "Missed" else ("cancelled",)
    return ()


def write_message(
    notice: Notice, fact: str, subject: str, deployment: str, now: datetime, run: FlowRun | None = None, said: str = ""
) -> Message:
    """Return the message that tells a fact by a rule.

    Parameters
    ----------
    subject : str
        What the fact is about: with the fact and the address it makes the message's key.
    said : str
        One line on what happened, where the run's state does not tell.
    """
    what = _what(fact)
    values: dict[str, Any] = {"deployment": deployment, "fact": fact, "what": what, "message": said}
    if run is not None:
        seconds = run.seconds(now)
        values |= {
            "state": run.state.name,
            "message": said or run.state.message,
            "run": f"Run {short_id(run.run_id)}: orch show {run.run_id}",
            "run_id": run.run_id,
            "attempt": run.attempt,
            "due_at": iso(run.due_at),
            "started_at": iso(run.started_at),
            "ended_at": iso(run.ended_at),
            "duration": None if seconds is None else interval_words(round(seconds, 1)),
            "parameters": ", ".join(f"{name}={value}" for name, value in run.parameters.items()),
            "notebook": run.notebook,
            "worker": run.worker,
        }
    title = " ".join(fill_template(notice.title, values).split())
    body = fill_template(notice.body, values).strip()
    about = {key: value for key, value in values.items() if value is not None}
    key = f"{fact}/{subject}/{notice.mark}"
    run_id = None if run is None else run.run_id
    return Message(key, deployment, run_id, fact, notice.to, title, body or title, now, due_at=now, about=about)


def _what(fact: str) -> str:
    word, _, value = fact.partition(":")
    if word == "too-long":
        return f"takes longer than {interval_words(parse_interval(value))}"
    if word == "not-run":
        return f"has not run by {value.replace('@', ' ')}"
    return {"late": "is late", "missed": "was missed", "cancelled": "was cancelled"}.get(word, word)


def retry_after(attempts: int) -> float | None:
    """Return the seconds after which a message is tried again; None when it is given up.

    Examples
    --------
    >>> retry_after(1), retry_after(99)
    (5.0, None)
    """
    return DELAYS[attempts - 1] if attempts <= len(DELAYS) else None


def hide(address: str) -> str:
    """Return an address as anybody may see it: its kind, and a mark that tells it from others.

    Examples
    --------
    >>> hide("mailto://ann:secret@example.org"), hide("$SLACK"), hide("command: notify-send orch")
    ('mailto://… (6187ce12)', '$SLACK', 'command: notify-send orch')
    """
    if address.startswith(("$", "command:")):
        return address
    kind, there, _ = address.partition("://")
    shown = f"{kind}://…" if there and re.fullmatch(r"[A-Za-z0-9+.-]+", kind) else "…"
    return f"{shown} ({hashlib.sha256(address.encode()).hexdigest()[:8]})"
