"""The ``orch`` command: a face that parses, calls one verb of the orchestrator, and shows what comes back.

Exit codes: 0 all well; 1 a run failed, or something was found wrong; 2 what was asked cannot be done as asked;
3 the store cannot be used; 130 interrupted.
"""

from __future__ import annotations

import sys

from orch_notebook.cli import commands, demo
from orch_notebook.cli.app import app
from orch_notebook.errors import FlowRunError, OrchError, StoreError

__all__ = ["app", "main"]

COMMANDS = (commands, demo)


def main() -> None:
    """Run the command; every error we know is one line on standard error."""
    try:
        app()
    except FlowRunError as error:
        sys.exit(_say(error, 1))
    except StoreError as error:
        sys.exit(_say(error, 3))
    except OrchError as error:
        sys.exit(_say(error, 2))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has had enough, as 'head' has.
        sys.stderr.close()
        sys.exit(0)


def _say(error: OrchError, code: int) -> int:
    sys.stderr.write(f"orch: {error}\n")
    return code
