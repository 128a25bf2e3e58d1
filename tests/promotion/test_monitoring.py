"""What a worker tells machines, and what becomes of its runs when it is asked to end."""

import json
import logging
import urllib.error
import urllib.request
from contextlib import closing

import pytest

from orch_notebook.cli.lines import JsonLines
from orch_notebook.errors import UsageError
from orch_notebook.promotion.monitoring import Monitor, Tally


class Steady:
    """Seconds that pass when a test says so."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def steady():
    """Seconds in the test's hands."""
    return Steady()


@pytest.fixture
def tally(steady):
    """A tally of two slots."""
    return Tally(2, steady=steady)


@pytest.fixture
def monitor(tally):
    """Its pages, on a free port."""
    with closing(Monitor(tally, lambda: 1, 0)) as found:
        yield found


def get(monitor, path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{monitor.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_worker_is_unwell_when_it_has_not_looked_for_long(monitor, tally, steady):
    """While the store answers it is well; after half a minute of failures it is not, and says why."""
    code, text = get(monitor, "/health")
    assert (code, json.loads(text)["status"]) == (200, "ok")
    tally.failed(OSError("The store is locked."))
    steady.now += 31
    code, text = get(monitor, "/health")
    assert code == 503
    about = {
        "status": "unwell",
        "executing": 1,
        "slots": 2,
        "seconds_since_look": 31.0,
        "error": "The store is locked.",
    }
    assert json.loads(text) == about
    tally.looked()
    assert get(monitor, "/health")[0] == 200


def test_metrics_are_what_prometheus_reads(monitor, tally):
    """Every sample has a type; classes of delays add up."""
    tally.ended["Completed"] += 3
    for delay in (0.004, 0.2, 4000.0):
        tally.started(delay)
    code, text = get(monitor, "/metrics")
    assert code == 200
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    typed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {
        name.partition("{")[0].removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in samples
    } == typed
    assert samples['orch_worker_runs_total{state="Completed"}'] == "3"
    assert samples['orch_worker_start_delay_seconds_bucket{le="0.01"}'] == "1"
    assert samples['orch_worker_start_delay_seconds_bucket{le="300.0"}'] == "2"
    assert samples['orch_worker_start_delay_seconds_bucket{le="+Inf"}'] == "3"


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [("/", {}, 404), ("/metrics", {"Host": "evil.example:80"}, 403), ("/health", {"Host": "localhost:1"}, 200)],
)
def test_only_these_pages_and_only_for_this_machine(monitor, path, headers, code):
    """A page of a browser that was led here under another name reads nothing."""
    assert get(monitor, path, **headers)[0] == code


def test_a_port_that_is_taken_is_named(monitor, tally):
    """The message says what to do."""
    with pytest.raises(UsageError, match="Give --http another one"):
        Monitor(tally, lambda: 0, monitor.port)


def test_a_log_line_is_one_json_object():
    """Also when a traceback comes with it."""
    try:
        raise ValueError("naïve")
    except ValueError as error:
        record = logging.LogRecord("orch_notebook.worker", 40, "", 1, "Run %s", ("r1",), (ValueError, error, None))
    found = json.loads(JsonLines().format(record))
    assert {**found, "at": ""} == {
        "at": "",
        "level": "error",
        "logger": "orch_notebook.worker",
        "message": "Run r1",
        "error": "ValueError: naïve",
    }
