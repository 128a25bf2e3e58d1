"""Two machines whose clocks are two hours apart share a store."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orch_notebook.promotion.deployments import promote, trigger
from orch_notebook.promotion.terms import Terms
from tests.waiting import until

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_workers_whose_clocks_are_wrong_leave_each_other_alone(settings, store, book):
    """For several leases' time neither takes the other's run for lost, and what is due begins by the store's clock."""
    settings = replace(settings, lease=0.5)
    promote(store, settings, store.now(), book, "nightly", terms=Terms(retries=1))
    for _ in range(2):
        trigger(store, store.now(), "nightly", {})
    trigger(store, store.now() + timedelta(minutes=30), "nightly", {})
    environment = {**os.environ, **settings.environment, "ORCH_LEASE": "0.5"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.promotion.shifted", name, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        for name, seconds in (("early", 3600), ("late", -3600))
    ]
    try:

        def both_go_on():
            leases = store.owned_runs()
            return {lease.owner: lease for lease in leases} if len(leases) == 2 else None

        first = until(both_go_on)

        def have_been_renewed():
            return all(
                lease.expires_at > first[lease.owner].expires_at + timedelta(seconds=2) for lease in store.owned_runs()
            )

        until(have_been_renewed)
        assert {lease.token for lease in store.owned_runs()} == {1}
        (settings.home / "go").touch()

        def are_over():
            return not store.owned_runs()

        until(are_over)
    finally:
        said = [worker.communicate(timeout=30)[0].decode() for worker in workers]
    assert sorted(run.state.name for run in store.runs()) == ["Completed", "Completed", "Scheduled"], said
    assert {run.worker for run in store.runs() if run.worker} == {"early", "late"}
    assert not any("lost" in each or "owned by another" in each for each in said)
    now = datetime.now(UTC)
    assert all(abs(run.ended_at - now) < timedelta(minutes=5) for run in store.runs() if run.ended_at)
