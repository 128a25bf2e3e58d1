"""kill -9 at some points of a real worker, run process and kernel; ``python -m tests.crashes`` does it at all."""

from dataclasses import replace

import pytest

from tests.crashes.cases import CASES, play

pytestmark = [pytest.mark.processes, pytest.mark.kernel]

#: In the middle of a transaction of the worker's; when the kernel has stored; and stopped until others take over.
FEW = (
    ("sqlite", "worker killed at claim.inside"),
    ("postgres", "process killed at kernel:record.done.next"),
    ("sqlite", "all frozen at execute.cell"),
)


@pytest.mark.parametrize(("settings", "name"), FEW, indirect=["settings"])
def test_whatever_dies_the_promises_hold(settings, tmp_path, name):
    """One row per due time, no two executions at once, stored facts intact, orphans ended, one retry, slots free."""
    settings = replace(settings, lease=2.0)
    case = next(case for case in CASES if str(case) == name)
    print(play(case, tmp_path, settings))
