"""A double of the part of the Kubernetes API that makes Jobs, as its reference has it; the real client talks to it.

It answers as ``batch/v1`` does: 201 with the object, 409 AlreadyExists, 404 NotFound, 422 Invalid, lists with equality
selectors.  An object that is deleted in the foreground stays, with a deletion timestamp, until its pods are gone.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

__all__ = ["Cluster"]

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
JOBS = re.compile(r"/apis/batch/v1/namespaces/([^/]+)/jobs(?:/([^/]+))?")


class Cluster:
    """A namespace with Jobs whose pods do what a test says."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict] = {}
        self.deleted: list[tuple[str, dict]] = []
        self.made = 0
        #: What becomes of the next requests: a status to answer with, or 0 to do it and never answer.
        self.moods: list[int] = []
        cluster = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                mood = cluster.moods.pop(0) if cluster.moods else None
                code, found = (
                    (mood, status(mood, "injected")) if mood else cluster.handle(self.command, self.path, body)
                )
                if mood == 0:
                    self.close_connection = True
                    return
                data = json.dumps(found).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.host = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def handle(self, method: str, target: str, body: dict) -> tuple[int, dict]:
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        namespace, name = JOBS.fullmatch(parts.path).groups()
        if method == "POST":
            return self._create(namespace, body)
        if method == "GET" and name is None:
            wanted = dict(pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if pair)
            items = [job for job in self.jobs.values() if wanted.items() <= job["metadata"]["labels"].items()]
            return 200, {"kind": "JobList", "apiVersion": "batch/v1", "metadata": {}, "items": items}
        if name not in self.jobs:
            return 404, status(404, "NotFound")
        if method == "DELETE":
            options = {**body, **query}
            self.deleted.append((name, options))
            if options.get("propagationPolicy") == "Foreground":
                self.jobs[name]["metadata"]["deletionTimestamp"] = "2026-01-15T12:00:00Z"
            else:
                del self.jobs[name]
            return 200, status(200, "")
        return 200, self.jobs[name]

    def _create(self, namespace: str, job: dict) -> tuple[int, dict]:
        metadata, pod = job["metadata"], job["spec"]["template"]["spec"]
        values = [*metadata.get("labels", {}).values(), *job["spec"]["template"]["metadata"]["labels"].values()]
        is_valid = (
            (job["kind"], job["apiVersion"]) == ("Job", "batch/v1")
            and NAME.fullmatch(metadata["name"])
            and all(LABEL.fullmatch(value) for value in values)
            and pod["restartPolicy"] in ("Never", "OnFailure")
            and all(isinstance(word, str) for word in pod["containers"][0]["command"])
        )
        if not is_valid:
            return 422, status(422, "Invalid")
        if metadata["name"] in self.jobs:
            return 409, status(409, "AlreadyExists")
        self.made += 1
        metadata.update(namespace=namespace, uid=str(self.made), creationTimestamp="2026-01-15T12:00:00Z")
        self.jobs[metadata["name"]] = {**job, "status": {"active": 1}}
        return 201, self.jobs[metadata["name"]]

    def end(self, name: str, kind: str = "Complete", reason: str = "") -> None:
        """Have a Job's pod end: ``Complete`` or ``Failed``."""
        self.jobs[name]["status"] = {"conditions": [{"type": kind, "status": "True", "reason": reason}]}

    def collect(self) -> None:
        """Remove what is being deleted, as the garbage collector does once its pods are gone."""
        for name, job in list(self.jobs.items()):
            if "deletionTimestamp" in job["metadata"]:
                del self.jobs[name]


def status(code: int, reason: str) -> dict:
    kind = "Success" if code == 200 else "Failure"
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": kind, "reason": reason, "code": code}
