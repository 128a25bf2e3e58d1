"""Sends messages: through apprise, or to a command; again after a while if that fails, and never in a run's way.

In: messages that wait in the store.  Out: what became of each.  A message is claimed before it is sent and said to be
sent afterwards; who dies between the two leaves it to be sent again, so somebody may be told twice, never not at all.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from orch_notebook.errors import StoreError, UsageError
from orch_notebook.model.notices import Message, Notice, hide, retry_after, write_message
from orch_notebook.runtime.clock import Clock
from orch_notebook.runtime.store import Store

__all__ = ["Messenger", "send", "try_notice"]

logger = logging.getLogger("orch_notebook.worker")

#: Seconds that one try may take, and after which somebody else tries.
PATIENCE = 30.0
CLAIMED = 90.0
COMMAND = "command:"


class Messenger:
    """Sends what waits, in a thread of its own that lives as long as there is something to send.

    Parameters
    ----------
    store : Store
        Where messages wait.
    clock : Clock
        The time.
    deliver : callable
        Sends one message; an error it raises is the reason to try again.
    """

    def __init__(self, store: Store, clock: Clock, deliver: Callable[[Message], object] | None = None) -> None:
        self._store = store
        self._clock = clock
        self._deliver = deliver or send
        self._thread: threading.Thread | None = None
        self._is_closed = threading.Event()

    def look(self, now: datetime) -> datetime | None:
        """Have what is due sent, without waiting for it; return when the next message is due."""
        due_at = self._store.next_message_at()
        if due_at is not None and due_at <= now and not self.is_busy:
            self._thread = threading.Thread(target=self._send_due, name="orch-messages", daemon=True)
            self._thread.start()
        return due_at

    @property
    def is_busy(self) -> bool:
        """Whether something is being sent."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self, patience: float = PATIENCE) -> None:
        """Wait until what was due has been sent."""
        if self._thread is not None:
            self._thread.join(patience)

    def close(self) -> None:
        """Wait for the message that is being sent; others wait in the store."""
        self._is_closed.set()
        self.wait()

    def _send_due(self) -> None:
        with suppress(StoreError):  # it waits, and is looked for again
            while not self._is_closed.is_set():
                due = self._store.messages_due(self._clock.now())
                if not due:
                    return
                for message in due:
                    if not self._is_closed.is_set():
                        self._send(message)

    def _send(self, message: Message) -> None:
        now = self._clock.now()
        if not self._store.claim_message(message, now + timedelta(seconds=CLAIMED)):
            return
        try:
            self._deliver(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the thread, and is told
            wait = retry_after(message.attempts + 1)
            why = _without_secrets(str(error) or type(error).__name__, message.to)
            state, due_at = "given up", None
            if wait is not None:
                state, due_at = "waiting", self._clock.now() + timedelta(seconds=wait)
            self._store.settle_message(message, state, due_at=due_at, error=why)
            logger.warning("%s could not be told to %s (%s): %s", message.title, hide(message.to), state, why)
        else:
            self._store.settle_message(message, "sent", sent_at=self._clock.now())
            logger.info("Told %s: %s", hide(message.to), message.title)


def send(message: Message) -> None:
    """Send a message now.

    Raises
    ------
    UsageError
        It could not be sent; the reason names no secret of the address.
    """
    address = _address(message.to)
    if address.startswith(COMMAND):
        _run(address.removeprefix(COMMAND), message)
    else:
        _notify(address, message)


def try_notice(notice: Notice, deployment: str, now: datetime) -> str:
    """Send a message by a rule, to try it; return what went wrong, or nothing."""
    said = "This is a test: whoever reads it will be told."
    try:
        send(write_message(notice, "completed", "test", deployment, now, None, said))
    except UsageError as error:
        return str(error)
    return ""


def _address(to: str) -> str:
    """Return an address; one that stands in an environment variable is read there."""
    if not to.startswith("$"):
        return to
    name = to.removeprefix("$").strip("{}")
    found = os.environ.get(name)
    if not found:
        raise UsageError(f"The environment variable {name}, which should hold an address, is not set here.")
    return found


def _run(command: str, message: Message) -> None:
    """Run a command: the message on its standard input as JSON, and in variables."""
    words = shlex.split(command)
    if not words:
        raise UsageError("The command that should be told is empty.")
    told: Mapping[str, str] = {
        "ORCH_TITLE": message.title,
        "ORCH_BODY": message.body,
        "ORCH_FACT": message.fact,
        "ORCH_DEPLOYMENT": message.deployment,
        "ORCH_TOLD_RUN": message.run_id or "",
    }
    data = {"title": message.title, "body": message.body, "fact": message.fact, **message.about}
    try:
        done = subprocess.run(
            words,
            input=json.dumps(data, default=str).encode(),
            env={**os.environ, **told},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"{words[0]} did not end within {PATIENCE:g} s.") from None
    except OSError as error:
        raise UsageError(f"{words[0]} could not be started: {error.strerror}.") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(f"{words[0]} ended with code {done.returncode}{': ' + said[-1] if said else ''}.")


def _notify(address: str, message: Message) -> None:
    # The one place where apprise is imported: an extra, and half a second's work.
    try:
        import apprise
    except ImportError:
        raise UsageError(
            "Telling people needs apprise, which is not installed: pip install 'orch_notebook[notify]'."
        ) from None
    kind = apprise.NotifyType.FAILURE if message.fact in BAD else apprise.NotifyType.INFO
    service = apprise.Apprise.instantiate(address, suppress_exceptions=True)
    if service is None and address.startswith("http"):
        # No service it knows by its host: a plain webhook.
        service = apprise.Apprise.instantiate(re.sub("^http", "json", address), suppress_exceptions=True)
    if service is None:
        raise UsageError(f"{hide(address)} is no address that apprise knows.")
    heard: list[str] = []
    listener = _Listener(heard)
    source = logging.getLogger("apprise")
    source.addHandler(listener)
    was, source.propagate = source.propagate, False
    try:
        is_sent = apprise.Apprise([service]).notify(body=message.body, title=message.title, notify_type=kind)
    finally:
        source.removeHandler(listener)
        source.propagate = was
    if not is_sent:
        why = " ".join(heard[-2:]) or "it was refused"
        raise UsageError(_without_secrets(f"{hide(message.to)} could not be reached: {why}", address))


#: Facts that are bad news.
BAD = ("failed", "missed", "late")


class _Listener(logging.Handler):
    """Keeps what apprise says is wrong, instead of letting it write addresses into logs."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(record.getMessage())


def _without_secrets(text: str, address: str) -> str:
    """Return a text with an address, and every part of it that may be secret, left out."""
    if address.startswith(("$", COMMAND)):
        return text
    text = text.replace(address, hide(address))
    kind, _, rest = address.partition("://")
    for part in sorted(re.split(r"[/:@?&=,]+", rest), key=len, reverse=True):
        if len(part) > 3 and part != kind:
            text = text.replace(part, "…")
    return text
