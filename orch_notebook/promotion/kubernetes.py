"""A launcher that has each run executed as a Kubernetes Job.

In: a namespace's API and a manifest.  Out: a :data:`~orch_notebook.promotion.launching.Launcher`.  A loop looks at the
Jobs of this worker every few seconds and compares them with what it launched: what has ended is told, what is gone is
told, too, and Jobs that a worker of the same name left behind are deleted.  Jobs are named after run and lease, so one
that was made although the answer got lost is found again instead of made twice.

The Job's image needs Python with orch_notebook, and what the notebooks import; its pod must reach the store (so it is
PostgreSQL) and see the same files under the same paths: mount a shared volume in the manifest.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.promotion.launching import Launch, Launcher
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease

__all__ = ["JobLauncher", "launch_on_kubernetes", "read_manifest"]

logger = logging.getLogger("orch_notebook.worker")

LOOK_EVERY = 2.0
#: Seconds that a pod may wait for a node and for its image before it begins.
STARTING = 600.0
#: Looks at which a Job must be missing before it counts as gone: a list may be a little old.
MISSING = 2
LABEL, WORKER = "orch-notebook/run", "orch-notebook/worker"


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the template of the Jobs: a manifest of kind Job in YAML or JSON, as for ``kubectl create``.

    Raises
    ------
    UsageError
        It is no Job with a container.
    """
    yaml = _client()[1]
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
        found["spec"]["template"]["spec"]["containers"][0]["image"]
    except OSError as error:
        raise UsageError(f"The manifest {path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, KeyError, IndexError, TypeError, UnicodeDecodeError):
        raise UsageError(
            f"{path} is no manifest of a Job: it needs spec.template.spec.containers with an image."
        ) from None
    if found.get("kind") != "Job":
        raise UsageError(f"{path} is of kind {found.get('kind')!r}. A run is executed as a Job.")
    return dict(found)


class JobLauncher:
    """Launches runs as Jobs and follows them.

    Parameters
    ----------
    api : BatchV1Api
        The official client.
    namespace : str
        Where the Jobs are.
    manifest : mapping
        Their template; the first container executes the run.
    settings : Settings
        What the container must know of them is set in its environment, the address of the store aside: that may hold a
        password, so the manifest takes it from a Secret.
    worker : str
        The name that this worker always has; Jobs of that name which it does not know are left over.
    every : float
        Seconds between two looks.
    """

    def __init__(
        self,
        api: Any,
        namespace: str,
        manifest: Mapping[str, Any],
        settings: Settings,
        worker: str,
        *,
        every: float = LOOK_EVERY,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._manifest = manifest
        self._environment = {"ORCH_HOME": str(settings.home)}
        self._worker = re.sub(r"[^A-Za-z0-9_.-]", "-", worker)[:63].strip("-_.")
        self._every = every
        self._known: dict[str, tuple[Launch, Callable[[], None]]] = {}
        self._missing: dict[str, int] = {}
        self._lock = threading.Lock()
        self._error = _client()[0].client.ApiException
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="orch-jobs", daemon=True)
        self._thread.start()

    def __call__(self, lease: Lease, told: Callable[[], None]) -> Launch:
        """Make the Job of a claimed run.

        Raises
        ------
        OSError
            The API refuses it.
        """
        name = f"orch-{lease.run_id}-{lease.token}"
        launch = Launch(lease, lambda: self._delete(name), lambda: self._delete(name, grace=0), starting=STARTING)
        with self._lock:  # known before it is there, so that a look in between does not take it for left over
            self._known[name] = launch, told
        try:
            self._api.create_namespaced_job(self._namespace, self.manifest(name, lease))
        except self._error as error:
            if error.status != 409:  # it is there already: the answer to an earlier try got lost
                with self._lock:
                    del self._known[name]
                raise OSError(0, f"Kubernetes refuses the Job: {error.status} {error.reason}") from None
        except Exception as error:  # noqa: BLE001 - the API cannot be reached, in any of a dozen ways
            # Whether the Job was made nobody knows; the loop finds it if it was, and if not, that it is missing.
            logger.warning("The Job of run %s: Kubernetes did not answer (%s).", lease.run_id, error)
        return launch

    def manifest(self, name: str, lease: Lease) -> dict[str, Any]:
        """Return the Job of a run: the template with name, labels, command and environment filled in."""
        job: dict[str, Any] = _copy(self._manifest)
        labels = {LABEL: lease.run_id, WORKER: self._worker}
        metadata = job.setdefault("metadata", {})
        metadata.pop("generateName", None)
        metadata["name"] = name
        metadata["labels"] = {**metadata.get("labels", {}), **labels}
        spec = job["spec"]
        # Who repeats what, and when, the deployment says: Kubernetes must not.
        spec.update(backoffLimit=0, completions=1, parallelism=1)
        spec.setdefault("ttlSecondsAfterFinished", 3600)
        pod = spec["template"]
        pod.setdefault("metadata", {}).setdefault("labels", {}).update(labels)
        pod["spec"]["restartPolicy"] = "Never"
        container = pod["spec"]["containers"][0]
        command = ["python", "-m", "orch_notebook.promotion.away", lease.run_id, lease.owner, str(lease.token)]
        container.update(command=command, args=[])
        given = {each["name"] for each in container.setdefault("env", [])}
        container["env"] += [
            {"name": key, "value": value} for key, value in self._environment.items() if key not in given
        ]
        return job

    def close(self) -> None:
        """End the loop."""
        self._is_closed.set()
        self._thread.join(10.0)

    def _follow(self) -> None:
        while not self._is_closed.wait(self._every):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - an API that is away for a while must not end the loop
                logger.warning("Kubernetes does not answer: %s", str(error).splitlines()[0] if str(error) else error)

    def look(self) -> None:
        """Compare the Jobs that there are with those that were launched, once."""
        with self._lock:
            before = dict(self._known)
        listed = self._api.list_namespaced_job(self._namespace, label_selector=f"{WORKER}={self._worker}")
        jobs = {job.metadata.name: job for job in listed.items}
        for name, (launch, told) in before.items():
            said = _how_it_ended(jobs[name]) if name in jobs else self._how_it_is_missing(name)
            if name in jobs:
                self._missing.pop(name, None)
            if said is None:
                continue
            with self._lock:
                self._known.pop(name, None)
            self._missing.pop(name, None)
            launch.said = said
            launch.ended.set()
            told()
            if name in jobs and said != "ended with code 0":
                logger.warning("The Job %s %s; its pod's log says more.", name, said)
        with self._lock:
            known = set(self._known)
        for name, job in jobs.items():
            # A worker of this name that died left it behind; its run is ended and repeated by the record.
            is_going = job.metadata.deletion_timestamp is not None or _how_it_ended(job) is not None
            if name not in known and name not in before and not is_going:
                logger.warning("The Job %s belongs to no run of this worker and is deleted.", name)
                self._delete(name)

    def _how_it_is_missing(self, name: str) -> str | None:
        self._missing[name] = self._missing.get(name, 0) + 1
        return "had its Job deleted" if self._missing[name] >= MISSING else None

    def _delete(self, name: str, grace: int | None = None) -> None:
        options = {} if grace is None else {"grace_period_seconds": grace}
        try:
            # Else the pod would live on without its Job.
            self._api.delete_namespaced_job(name, self._namespace, propagation_policy="Foreground", **options)
        except self._error as error:
            if error.status != 404:
                logger.warning("The Job %s could not be deleted: %s %s", name, error.status, error.reason)
        except Exception as error:  # noqa: BLE001 - who asks for an end cannot do more; the lease does the rest
            logger.warning("The Job %s could not be deleted: %s", name, error)


def _how_it_ended(job: Any) -> str | None:
    """Return how a Job ended, from its conditions; None while it goes on."""
    for condition in (job.status and job.status.conditions) or ():
        if condition.status == "True" and condition.type == "Complete":
            return "ended with code 0"
        if condition.status == "True" and condition.type == "Failed":
            return f"failed in its pod ({condition.reason or 'no reason given'})"
    return None


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value


def launch_on_kubernetes(settings: Settings, template: Path, worker: str) -> Launcher:
    """Return the launcher that executes runs as Jobs, in the cluster that ``kubectl`` talks to or that this pod is in.

    Raises
    ------
    UsageError
        The client is not installed, there is no cluster, or the template is no Job.
    """
    client, _ = _client()
    manifest = read_manifest(template)
    try:
        client.config.load_config()
    except client.config.ConfigException as error:
        raise UsageError(f"There is no Kubernetes cluster here: {error}") from None
    namespace = manifest.get("metadata", {}).get("namespace", "default")
    return JobLauncher(client.client.BatchV1Api(), namespace, manifest, settings, worker)


def _client() -> tuple[Any, Any]:
    # The one place where the client is loaded, which takes most of a second.
    try:
        import kubernetes.client
        import kubernetes.config
        import yaml
    except ImportError:
        raise UsageError("The Kubernetes client is not installed: pip install 'orch_notebook[kubernetes]'.") from None
    return kubernetes, yaml
