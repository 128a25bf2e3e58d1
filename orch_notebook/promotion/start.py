"""Starts the process that executes one run: ``python -m orch_notebook.promotion.start KERNEL [MODULE …]``.

It starts that kernel, which imports those modules, and loads itself what an execution takes.  Which run it executes it
is told by a line on its standard input, see :mod:`orch_notebook.promotion.booting`.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType

from orch_notebook.promotion.notebooks import spare_formats

if __name__ == "__main__":
    spare_formats()
    # The order counts: the kernel boots while the rest is loaded, which takes half a second.
    from orch_notebook.promotion.kernels import start_ahead

    kernel, is_starting, is_asked_to_leave = None, True, False

    def leave(signum: int, frame: FrameType | None) -> None:
        """End before there is a run; who executes one ends otherwise."""
        global is_asked_to_leave
        is_asked_to_leave = True
        if is_starting:  # a kernel that is half started would be left behind
            return
        if kernel is not None:
            kernel.kill()
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    kernel = start_ahead(sys.argv[1], sys.argv[2:]) if sys.argv[1] else None
    is_starting = False
    if is_asked_to_leave:
        leave(signal.SIGTERM, None)
    from orch_notebook.promotion.process import main

    code = 1
    try:
        code = main(kernel)
    except Exception:  # noqa: BLE001 - written to the log of the process, as Python would
        traceback.print_exc()
    # All is written and everything ended; tidying up what was loaded would only take time.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
