"""Runs on clusters: Kubernetes Jobs by an API double and the real client, Dask by a cluster of this process."""

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

import kubernetes.client
import pytest

from orch_notebook.errors import UsageError
from orch_notebook.promotion.clusters import find_launcher
from orch_notebook.promotion.dask import DaskLauncher
from orch_notebook.promotion.deployments import promote, trigger
from orch_notebook.promotion.kubernetes import JobLauncher, read_manifest
from orch_notebook.promotion.terms import Terms
from orch_notebook.promotion.worker import Worker
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease
from tests.books import write_book
from tests.promotion.cluster import Cluster

RUN = "019b76da-a800-7000-8000-000000000001"
LEASE = Lease(RUN, "here:1:1", 3, datetime(2026, 1, 15, 12, tzinfo=UTC))
NAME = f"orch-{RUN}-3"
MANIFEST = """
apiVersion: batch/v1
kind: Job
metadata: {labels: {team: data}}
spec:
  activeDeadlineSeconds: 7200
  template:
    spec:
      containers:
        - name: run
          image: registry.example/notebooks:1
          env:
            - name: ORCH_DATABASE_URL
              valueFrom: {secretKeyRef: {name: orch, key: url}}
"""


@pytest.fixture
def cluster():
    """An empty namespace."""
    made = Cluster()
    yield made
    made.close()


@pytest.fixture
def api(cluster):
    """The official client, pointed at the double."""
    configuration = kubernetes.client.Configuration(host=cluster.host)
    configuration.retries = False
    with kubernetes.client.ApiClient(configuration) as client:
        yield kubernetes.client.BatchV1Api(client)
        client.rest_client.pool_manager.clear()


@pytest.fixture
def launcher(api, tmp_path):
    """A launcher that looks only when a test says so."""
    path = tmp_path / "job.yaml"
    path.write_text(MANIFEST)
    found = JobLauncher(api, "flows", read_manifest(path), Settings(Path("/shared")), "ann@home", every=3600.0)
    yield found
    found.close()


def test_a_run_becomes_a_job(launcher, cluster):
    """The template keeps what it says; name, labels, command and environment are filled in, and nothing is repeated."""
    launcher(LEASE, lambda: None)
    job = cluster.jobs[NAME]
    assert job["metadata"]["labels"] == {
        "team": "data",
        "orch-notebook/run": RUN,
        "orch-notebook/worker": "ann-home",
    }
    spec = job["spec"]
    assert (spec["backoffLimit"], spec["parallelism"], spec["activeDeadlineSeconds"]) == (0, 1, 7200)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    (container,) = spec["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "orch_notebook.promotion.away", RUN, "here:1:1", "3"]
    assert [each["name"] for each in container["env"]] == ["ORCH_DATABASE_URL", "ORCH_HOME"]
    assert "valueFrom" in container["env"][0] and container["env"][1]["value"] == "/shared"


@pytest.mark.parametrize(
    ("kind", "reason", "said"),
    [
        ("Complete", "", "ended with code 0"),
        ("Failed", "DeadlineExceeded", "failed in its pod (DeadlineExceeded)"),
        ("Failed", "", "failed in its pod (no reason given)"),
        ("Suspended", "JobSuspended", None),
    ],
)
def test_a_job_that_ends_is_told_once(launcher, cluster, kind, reason, said):
    """Only the conditions that the reference calls final count."""
    told = []
    launch = launcher(LEASE, lambda: told.append(launch.said))
    launcher.look()
    assert told == []
    cluster.end(NAME, kind, reason)
    launcher.look()
    launcher.look()
    assert told == ([said] if said else [])
    assert launch.ended.is_set() == bool(said)


def test_a_job_that_somebody_deletes_is_missed(launcher, cluster):
    """One list may be old; when the second lacks it too, the run is told to have lost its Job."""
    launch = launcher(LEASE, lambda: None)
    del cluster.jobs[NAME]
    launcher.look()
    assert not launch.ended.is_set()
    launcher.look()
    assert launch.said == "had its Job deleted"


def test_an_answer_that_gets_lost_makes_no_second_job(launcher, cluster, caplog):
    """The Job was made although nobody heard; it is followed, and asking again meets the one that there is."""
    caplog.set_level(logging.WARNING, "orch_notebook.worker")
    cluster.moods = [0]
    launch = launcher(LEASE, lambda: None)
    assert "did not answer" in caplog.text
    launcher(LEASE, lambda: None)
    assert cluster.made == 1
    assert not launch.ended.is_set()


@pytest.mark.parametrize("code", [403, 422, 429, 500])
def test_a_refusal_is_the_end_of_that_run_alone(launcher, cluster, store, settings, clock, book, code):
    """The run has crashed and says why; the worker goes on, and the repetition is made."""
    promote(store, settings, clock.now(), book, "nightly", terms=Terms(retries=1))
    run_id = trigger(store, clock.now(), "nightly", {}).run_id
    cluster.moods = [code]
    worker = Worker(store, settings, clock=clock, launcher=launcher)
    worker.step()
    assert f"Kubernetes refuses the Job: {code}" in store.run(run_id).state.message
    worker.step()
    assert len(cluster.jobs) == 1
    (again,) = (run for run in store.runs() if run.retry_of == run_id)
    assert again.state.name == "Pending"


def test_a_loop_outlives_an_api_that_is_away(api, cluster, tmp_path):
    """Looks fail for a while; then what has ended meanwhile is told."""
    path = tmp_path / "job.yaml"
    path.write_text(MANIFEST)
    ended = threading.Event()
    launcher = JobLauncher(api, "flows", read_manifest(path), Settings(Path("/shared")), "ann", every=0.01)
    launcher(LEASE, ended.set)
    cluster.moods = [500, 503, 0, 429]
    cluster.end(NAME)
    assert ended.wait(30)
    launcher.close()


def test_what_a_dead_worker_left_is_deleted(launcher, cluster):
    """Jobs of this worker's name that it does not know go, once; those of others and those that ended stay."""
    launcher(LEASE, lambda: None)
    for number, worker in enumerate(("ann-home", "ann-home", "bob")):
        other = launcher.manifest(f"left-{number}", LEASE)
        other["metadata"]["labels"]["orch-notebook/worker"] = worker
        cluster.handle("POST", "/apis/batch/v1/namespaces/flows/jobs", other)
    cluster.end("left-1")
    launcher.look()
    launcher.look()
    assert [name for name, _ in cluster.deleted] == ["left-0"]


def test_stopping_a_run_deletes_its_job_with_its_pod(launcher, cluster):
    """In the foreground, so that the Job is gone only when its pod is; at once when the run was taken over."""
    launch = launcher(LEASE, lambda: None)
    launch.stop()
    launcher.look()
    assert not launch.ended.is_set()
    launch.end()
    assert [options.get("propagationPolicy") for _, options in cluster.deleted] == ["Foreground", "Foreground"]
    assert str(cluster.deleted[1][1]["gracePeriodSeconds"]) == "0"
    cluster.collect()
    launcher.look()
    launcher.look()
    assert launch.said == "had its Job deleted"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Pod", "needs spec"),
        ("a: [", "is no manifest"),
        (MANIFEST.replace("Job", "CronJob"), "of kind 'CronJob'"),
    ],
)
def test_a_template_that_is_no_job_is_refused(tmp_path, text, words):
    """Before anything runs, with what is missing."""
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_manifest(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dask:tcp://nowhere:1", "Set ORCH_DATABASE_URL"),
        ("kubernetes:job.yaml", "Set ORCH_DATABASE_URL"),
        ("kubernetes", "Write local, dask:ADDRESS or kubernetes:MANIFEST"),
        ("nomad:x", "There is no launcher 'nomad:x'"),
    ],
)
def test_a_launcher_that_cannot_be_is_refused(text, words):
    """A store in a file belongs to one machine; other names are unknown."""
    with pytest.raises(UsageError, match=words):
        find_launcher(text, Settings(Path("/nowhere")), "ann")
    assert find_launcher("local", Settings(Path("/nowhere")), "ann") is None


@pytest.mark.kernel
@pytest.mark.processes
@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_a_dask_cluster_executes_a_run(store, settings, tmp_path):
    """The run's record is as from a worker of this machine; what it left can be read."""
    import distributed

    book = write_book(tmp_path / "book.ipynb", "open('left', 'w').write('here')")
    promote(store, settings, store.now(), book, "nightly")
    run_id = trigger(store, store.now(), "nightly", {}).run_id
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="inproc"
    ) as cluster:
        launcher = DaskLauncher(settings, cluster)
        Worker(store, settings, launcher=launcher).run(until_idle=True)
        launcher.close()
    assert store.run(run_id).state.name == "Completed"
    assert (tmp_path / "left").read_text() == "here"
