"""Starts the process that executes one claimed run: ``python -m orch_notebook.promotion.start RUN_ID OWNER TOKEN``."""

from __future__ import annotations

import sys

from orch_notebook.promotion.notebooks import spare_formats

if __name__ == "__main__":
    spare_formats()
    # Only now: what the process executes notebooks with loads a second faster after that.
    from orch_notebook.promotion.process import main

    sys.exit(main(sys.argv[1:]))
