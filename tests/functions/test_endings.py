"""Who waits for the ends of task runs hears of them, and also that some will never be told."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from orch_notebook import task
from orch_notebook.errors import StoreUnavailable
from orch_notebook.functions.implicit import performing


def test_nobody_waits_on_when_the_store_breaks_under_a_cancelled_run(stored) -> None:
    """What is still at work then will not be heard of: who waited for it is told, and nobody else need wait."""
    begun, released, told = threading.Event(), threading.Event(), threading.Event()

    @task
    def held():
        begun.set()
        while not released.is_set():  # as code does that no stop gets out of
            with suppress(BaseException):
                released.wait()

    heard: list[bool] = []
    with pytest.raises(StoreUnavailable, match="gone"), performing("held") as performance:
        performance.submit(held, (), {})
        heard.append(begun.wait(20))
        heard.append(performance.endings.tell_idle(told.set))
        performance.engine.cancel()
        performance.engine._break(StoreUnavailable("The store is gone."))
        heard.append(told.wait(5))
        heard.append(not performance.endings.tell_idle(told.clear))
        released.set()
    assert heard == [True] * 4
