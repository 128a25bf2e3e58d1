"""Measures the peak memory of a kernel: a 300 MB frame that is rebound ten times, plainly and as a flow in order.

``python memory.py plain`` and ``python memory.py flow`` print the kernel's highest resident size in MiB.  Plain cells
get none of the package's own code, so what loading it takes counts against the flow.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from jupyter_client.manager import start_new_kernel

LOAD = "import numpy as np, pandas as pd\ndf = pd.DataFrame(np.ones((3_932_160, 10)))"
REBIND = "df = df * 1.01"
CELLS = [LOAD, *[REBIND] * 10, "total = float(df.iloc[0].sum())"]


def main(how: str) -> None:
    """Execute the cells in a real kernel and print its peak."""
    manager, client = start_new_kernel(cwd=tempfile.mkdtemp())
    try:
        if how == "plain":
            cells = CELLS
        else:
            tasks = [f"%%task t{number}\n{cell}" for number, cell in enumerate(CELLS)]
            cells = ["%load_ext orch_notebook", *tasks, "%flow run"]
        for cell in cells:
            reply = client.execute_interactive(cell, timeout=300, output_hook=lambda message: None)
            assert reply["content"]["status"] == "ok", reply["content"]
        shown: list[str] = []
        client.execute_interactive(
            "import os; print(os.getpid(), total)",
            timeout=60,
            output_hook=lambda message: shown.append(message["content"].get("text", "")),
        )
        status = Path(f"/proc/{''.join(shown).split()[0]}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        print(int(found[1]) / 1024)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main(sys.argv[1])
