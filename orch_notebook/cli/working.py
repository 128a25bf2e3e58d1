"""``orch worker``: the command that executes what is due."""

from __future__ import annotations

import logging
import os
import signal
import socket
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Annotated

import typer

from orch_notebook.cli.app import app
from orch_notebook.cli.lines import LogFormat, begin_log
from orch_notebook.model.durations import parse_interval
from orch_notebook.model.sizes import parse_size
from orch_notebook.orchestrator import open_orchestrator
from orch_notebook.promotion.clusters import find_launcher
from orch_notebook.promotion.monitoring import Monitor
from orch_notebook.promotion.worker import Worker

__all__ = ["app"]


@app.command()
def worker(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when nothing runs and nothing is due.")] = False,
    slots: Annotated[int, typer.Option(min=1, metavar="N", help="Runs executed at once.")] = 2,
    queue: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Queue to serve; all by default.")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name shown to people.")] = None,
    launcher: Annotated[
        str, typer.Option(metavar="WHERE", help="Where runs execute: local, dask:ADDRESS or kubernetes:MANIFEST.")
    ] = "local",
    warm: Annotated[int, typer.Option(min=0, metavar="N", help="Kernels kept started for what is due soon.")] = 0,
    preload: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="Have warm kernels import it; may be repeated.")
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory a run may take whose deployment sets no limit: 2GB.")
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(metavar="LENGTH", help="When asked to end, hand back what takes longer; by default it finishes."),
    ] = None,
    http: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=0, max=65535, help="Serve /health and /metrics on 127.0.0.1; 0: a free port."),
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="Log lines for people, or as JSON.")] = LogFormat.TEXT,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what goes wrong.")] = False,
) -> None:
    """Execute what is due, until interrupted.

    Interrupted once, it finishes what runs; interrupted twice, it ends that too.
    """
    begin_log(log_format, quiet=quiet)
    logger = logging.getLogger("orch_notebook.worker")
    with ExitStack() as stack:
        orchestrator = stack.enter_context(open_orchestrator())
        settings = orchestrator.settings
        if memory_limit is not None:
            settings = replace(settings, memory=parse_size(memory_limit))
        name = name or f"{socket.gethostname()}-{os.getpid()}"
        found = Worker(
            orchestrator.store,
            settings,
            slots=slots,
            queues=queue or None,
            name=name,
            clock=orchestrator.clock,
            launcher=find_launcher(launcher, settings, name),
            warm=warm,
            preload=preload or (),
            grace=None if grace is None else parse_interval(grace),
        )
        if http is not None:
            monitor = stack.enter_context(closing(Monitor(found.tally, lambda: found.performing, http)))
            logger.info("Health and metrics: http://127.0.0.1:%d/health and /metrics.", monitor.port)
        finishing = "Finishing what runs; interrupt again to end it.\n"
        asked = iter(((found.drain, finishing), (found.stop, "Ending what runs.\n")))

        def ask(*_: object) -> None:
            act, words = next(asked, (found.stop, ""))
            act()
            if found.performing and not quiet and log_format is LogFormat.TEXT:
                # Written past Python's buffers: a signal may arrive while they are being written.
                os.write(2, words.encode())

        signal.signal(signal.SIGINT, ask)
        signal.signal(signal.SIGTERM, ask)
        logger.info("Worker %s waits for work (%d slots).", found.name, slots)
        found.run(until_idle=until_idle)
