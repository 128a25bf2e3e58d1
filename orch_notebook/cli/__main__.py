"""``python -m orch_notebook.cli`` is ``orch``."""

from orch_notebook.cli import main

main()
