"""kill -9 at some points of a real worker, run process and kernel; ``python -m tests.crashes`` does it at all."""

import pytest

from tests.crashes.cases import CASES, play

pytestmark = [pytest.mark.processes, pytest.mark.kernel]

#: On SQLite in the middle of a transaction of the worker's; on PostgreSQL in one of the kernel's.
FEW = (("sqlite", "worker killed at claim.inside"), ("postgres", "process killed at kernel:record.done#2"))


@pytest.mark.parametrize(("settings", "name"), FEW, indirect=["settings"])
def test_whatever_dies_the_promises_hold(settings, tmp_path, name):
    """One row per due time, no two executions at once, stored facts intact, orphans ended, one retry, slots free."""
    case = next(case for case in CASES if str(case) == name)
    print(play(case, tmp_path, settings))
