"""Keeps secrets out of what a kernel sends (streams, results, displays, tracebacks, widgets), and so out of notebooks.

In: a kernel.  Out: its session's ``send``, in front of which every message is looked through once a secret is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orch_notebook.runtime.redaction import redactor

__all__ = ["guard"]


def guard(kernel: Any) -> Callable[[], None]:
    """Look through what a kernel sends from the first secret on; returns the way to end that."""
    session = getattr(kernel, "session", None)
    if session is None:  # IPython in a terminal
        return lambda: None
    is_open = [True]

    def begin() -> None:
        if not is_open[0] or "send" in vars(session):
            return
        send = session.send

        def send_redacted(stream: Any, msg_or_type: Any, content: Any = None, *args: Any, **kwargs: Any) -> Any:
            if isinstance(msg_or_type, dict):
                msg_or_type = {**msg_or_type, "content": redactor.redact_all(msg_or_type.get("content"))}
            return send(stream, msg_or_type, redactor.redact_all(content), *args, **kwargs)

        session.__dict__["send"] = send_redacted

    def end() -> None:
        is_open[0] = False
        session.__dict__.pop("send", None)

    redactor.when_first(begin)
    return end
