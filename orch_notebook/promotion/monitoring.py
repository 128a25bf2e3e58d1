"""What a worker tells machines: ``/health`` and Prometheus' ``/metrics``, on this machine's loopback address only.

In: the counts that a worker keeps.  Out: two pages anybody on the machine may read.  They need no token, because they
change nothing and hold no names, parameters or outputs; requests that were meant for another host are refused.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from orch_notebook.errors import UsageError

__all__ = ["Monitor", "Tally"]

#: Upper bounds of the classes by which start delays are counted, in seconds.
DELAYS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
#: Seconds without a successful look at the store after which a worker is not well.
UNWELL_AFTER = 30.0


class Tally:
    """What a worker counts about itself.

    Parameters
    ----------
    slots : int
        Runs it may execute at once.
    steady : callable
        Seconds from anywhere that nobody can set.

    Examples
    --------
    >>> tally = Tally(2, steady=lambda: 5.0)
    >>> tally.looked()
    >>> tally.started(0.03)
    >>> tally.health(executing=1)
    (True, {'status': 'ok', 'executing': 1, 'slots': 2, 'seconds_since_look': 0.0})
    """

    def __init__(self, slots: int, *, steady: Callable[[], float] = time.monotonic) -> None:
        self.slots = slots
        self.ended: Counter[str] = Counter()
        self.store_errors = 0
        self.last_error = ""
        self._steady = steady
        self._began_at = self._looked_at = steady()
        self._delays = [0] * (len(DELAYS) + 1)
        self._delay_sum = 0.0

    def looked(self) -> None:
        """Note that everything there was to do has been done."""
        self._looked_at = self._steady()
        self.last_error = ""

    def failed(self, error: Exception) -> None:
        """Note that the store could not be used."""
        self.store_errors += 1
        self.last_error = str(error)

    def started(self, delay: float) -> None:
        """Note that a run was started so many seconds after it was due."""
        self._delays[next((place for place, most in enumerate(DELAYS) if delay <= most), len(DELAYS))] += 1
        self._delay_sum += delay

    def health(self, *, executing: int) -> tuple[bool, dict[str, object]]:
        """Return whether the worker is well, and what ``/health`` says."""
        since = self._steady() - self._looked_at
        is_well = since < UNWELL_AFTER
        about: dict[str, object] = {
            "status": "ok" if is_well else "unwell",
            "executing": executing,
            "slots": self.slots,
            "seconds_since_look": round(since, 1),
        }
        if self.last_error:
            about["error"] = self.last_error
        return is_well, about

    def metrics(self, *, executing: int) -> str:
        """Return what ``/metrics`` says, in Prometheus' text format."""
        now = self._steady()
        lines = [
            *_metric("orch_worker_slots", "gauge", "Runs that may be executed at once.", self.slots),
            *_metric("orch_worker_executing", "gauge", "Runs that are being executed.", executing),
            *_metric("orch_worker_up_seconds", "counter", "Seconds since the worker began.", now - self._began_at),
            *_metric(
                "orch_worker_last_look_seconds",
                "gauge",
                "Seconds since it last did all there was to do.",
                now - self._looked_at,
            ),
            *_metric(
                "orch_worker_store_errors_total", "counter", "Looks that the store did not allow.", self.store_errors
            ),
            "# HELP orch_worker_runs_total Runs that have ended here, by the name of their state.",
            "# TYPE orch_worker_runs_total counter",
            *(f'orch_worker_runs_total{{state="{name}"}} {count}' for name, count in sorted(self.ended.items())),
            "# HELP orch_worker_start_delay_seconds From due time to start.",
            "# TYPE orch_worker_start_delay_seconds histogram",
        ]
        total = 0
        for most, count in zip((*DELAYS, "+Inf"), self._delays, strict=True):
            total += count
            lines.append(f'orch_worker_start_delay_seconds_bucket{{le="{most}"}} {total}')
        lines.append(f"orch_worker_start_delay_seconds_sum {self._delay_sum:.6f}")
        lines.append(f"orch_worker_start_delay_seconds_count {total}")
        return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, words: str, value: float) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} {kind}", f"{name} {value:.6g}"]


class Monitor:
    """Serves a worker's health and metrics on ``127.0.0.1`` until it is closed.

    Parameters
    ----------
    tally : Tally
        What it counts.
    executing : callable
        Returns how many runs are being executed.
    port : int
        The port; 0 takes a free one.

    Raises
    ------
    UsageError
        The port is taken.
    """

    def __init__(self, tally: Tally, executing: Callable[[], int], port: int) -> None:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                # A page of a browser that has been told another name for this address may not read along.
                if self.headers.get("Host", "").rpartition(":")[0] not in ("127.0.0.1", "localhost"):
                    self._say(403, "text/plain", "This is for 127.0.0.1 only.\n")
                elif self.path == "/health":
                    is_well, about = tally.health(executing=executing())
                    self._say(200 if is_well else 503, "application/json", json.dumps(about) + "\n")
                elif self.path == "/metrics":
                    self._say(200, "text/plain; version=0.0.4", tally.metrics(executing=executing()))
                else:
                    self._say(404, "text/plain", "There are /health and /metrics.\n")

            def _say(self, code: int, kind: str, text: str) -> None:
                data = text.encode()
                self.send_response(code)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Page)
        except (OSError, OverflowError) as error:
            raise UsageError(f"Nothing can be served on port {port}: {error}. Give --http another one.") from None
        self._server.daemon_threads = True
        #: Where it is.
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="orch-monitor", daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
