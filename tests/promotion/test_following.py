"""What follows the end of runs: deployments that start after others, and people who are told, once each."""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orch_notebook.errors import CycleError, NotFound, ParameterError, UsageError
from orch_notebook.model.chains import After
from orch_notebook.model.events import RunStateChanged
from orch_notebook.model.notices import Notice, write_message
from orch_notebook.model.schedules import Interval
from orch_notebook.model.states import State, StateType
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion import worker as working
from orch_notebook.promotion.deployments import pause, promote, trigger
from orch_notebook.promotion.following import follow_ends, watch_runs
from orch_notebook.promotion.messages import Messenger
from orch_notebook.promotion.terms import Terms
from orch_notebook.promotion.worker import Worker
from orch_notebook.runtime.store.opening import open_store
from tests.books import write_book
from tests.promotion.test_worker import COMPLETED, FAILED, Stage

RUNNING = State(StateType.RUNNING)


@pytest.fixture
def put(store, settings, clock, book):
    """Promotes the notebook under a name."""

    def put(name, *after, notify=(), parameters=None, schedules=(), **terms):
        rules = tuple(rule if isinstance(rule, After) else After(rule) for rule in after)
        told = tuple(Notice.parse(each) for each in notify)
        return promote(
            store, settings, clock.now(), book, name, schedules=schedules, parameters=parameters,
            terms=Terms(starts_after=rules, notify=told, **terms),
        )  # fmt: skip

    return put


@pytest.fixture
def told():
    """What was delivered, by messengers that fail as often as `failures` says."""
    return []


@pytest.fixture
def work(store, settings, clock, told, monkeypatch):
    """Lets a worker end what waits, each run with an ending; messages are delivered into `told`."""
    monkeypatch.setattr(working, "Messenger", lambda store, clock: Messenger(store, clock, told.append))

    def work(ending=COMPLETED):
        stage = Stage(store, clock, ending)
        Worker(store, settings, slots=9, clock=clock, launcher=stage).run(until_idle=True)
        return [store.run(run_id) for run_id in stage.launched]

    return work


def facts(told):
    """Return what was told of whom."""
    return [(message.deployment, message.fact) for message in told]


def test_a_deployment_starts_after_another_with_what_it_recorded(put, work, store, clock):
    """One run begins for each completion, given values of the run before, and bears its id; chains go on."""
    put("load")
    put("report", After("load", parameters={"n": "{upstream.values.rows}"}))
    put("mail", "report")
    first = trigger(store, clock.now(), "load", {})
    store.record_value(first.run_id, "rows", 41, clock.now())
    runs = work()
    assert [run.deployment for run in runs] == ["load", "report", "mail"]
    assert [run.upstream_run_id for run in runs] == [None, runs[0].run_id, runs[1].run_id]
    assert runs[1].parameters == {"n": 41}
    assert work() == []


def test_only_the_end_that_was_meant_starts_another(put, work, store, clock):
    """Failures start what waits for failures, once they are repeated no more; completions the rest."""
    put("load", retries=1)
    put("report", "load")
    put("repair", After("load", "failed"))
    put("log", After("load", "finished"))
    trigger(store, clock.now(), "load", {})
    runs = work(FAILED)
    names = [(run.deployment, run.attempt) for run in runs]
    assert names[:2] == [("load", 1), ("load", 2)]
    assert sorted(names[2:]) == [("log", 1), ("repair", 1)]


def test_what_was_not_recorded_makes_a_missed_run_with_the_reason(put, work, store, clock):
    """A run that cannot be given what it asks for does not begin, and says why; somebody is told that."""
    put("load")
    put("report", After("load", parameters={"n": "{upstream.values.rows}"}), notify=["on=missed,to=x://y"])
    put("text", After("load", parameters={"n": "{upstream.state}"}))
    trigger(store, clock.now(), "load", {})
    work()
    [missed] = store.runs(deployment="report")
    assert (missed.state.name, "recorded no value 'rows'" in missed.state.message) == ("Missed", True)
    [ill_typed] = store.runs(deployment="text")
    assert (ill_typed.state.name, "'n' takes int" in ill_typed.state.message) == ("Missed", True)


def test_a_completion_starts_one_run_whoever_sees_it(put, store, settings, clock):
    """Two workers on connections of their own that see an end at once start what follows once."""
    put("load")
    put("report", "load")
    stage = Stage(store, clock, COMPLETED)
    for _ in range(5):
        trigger(store, clock.now(), "load", {})
    worker = Worker(store, settings, slots=9, clock=clock, launcher=stage)
    worker._claim(clock.now())
    for launch in list(worker._launches.values()):
        worker._finish(launch)
    stores = [open_store(settings) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda each: follow_ends(each, clock.now()), stores))
    for each in stores:
        each.close()
    runs = store.runs(deployment="report")
    assert (sum(counts), len(runs), len({run.upstream_run_id for run in runs})) == (5, 5, 5)


def test_a_worker_that_dies_before_it_starts_what_follows_loses_nothing(put, work, store, settings, clock, monkeypatch):
    """The end of a run is dealt with by whoever looks next."""
    put("load", notify=["on=completed,to=x://y"])
    put("report", "load")
    trigger(store, clock.now(), "load", {})

    def die(*_):
        raise KeyboardInterrupt

    stage = Stage(store, clock, COMPLETED)
    worker = Worker(store, settings, clock=clock, launcher=stage)
    worker.step()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(working, "follow_ends", die)
        worker.step()
    assert (store.runs(deployment="report"), store.messages()) == ([], [])
    assert [run.deployment for run in work()] == ["report"]


def test_who_starts_after_whom_is_checked_when_it_is_promoted(put):
    """Unknown deployments, circles and parameters are refused, and nothing is changed."""
    with pytest.raises(NotFound, match="'report' cannot start after 'load'"):
        put("report", "load")
    put("load")
    put("report", "load")
    with pytest.raises(CycleError, match="load → report → load"):
        put("load", "report")
    with pytest.raises(CycleError, match="load → load"):
        put("load", "load")
    with pytest.raises(ParameterError, match="no parameter 'm'"):
        put("report", After("load", parameters={"m": "{upstream.values.rows}"}))
    with pytest.raises(ParameterError, match="'n' takes int"):
        put("report", After("load", parameters={"n": "many"}))
    with pytest.raises(UsageError, match="--after-deployment"):
        put("alone", parameters=["n={upstream.values.rows}"])


def test_what_the_run_before_gives_need_not_be_given_besides(store, settings, clock, tmp_path, put, work):
    """A required parameter that a rule takes from the run before is not missing, and is the rule's."""
    book = write_book(tmp_path / "work" / "needs.ipynb", ("day: str", ["parameters"]), "print(day)")
    put("load")
    promote(
        store, settings, clock.now(), book, "needs", parameters=["day={upstream.parameters.n}th"],
        terms=Terms(starts_after=(After("load"),)),
    )  # fmt: skip
    trigger(store, clock.now(), "load", {"n": 5})
    assert work()[1].parameters == {"day": "5th"}


def test_paused_deployments_and_backfills_have_no_consequences(put, work, store, settings, clock):
    """What is paused is not started; what a backfill runs starts and tells nothing."""
    put("load", notify=["on=completed,to=x://y"])
    put("report", "load")
    orchestrator = Orchestrator(settings, clock=clock)
    orchestrator.deployments.backfill(orchestrator.deployments.plan_backfill("load", ["n=1..2"]))
    orchestrator.close()
    work()
    pause(store, settings, clock.now(), "report", True)
    own = trigger(store, clock.now(), "load", {})
    work()
    assert (len(store.runs(deployment="load")), store.runs(deployment="report")) == (3, [])
    assert [message.run_id for message in store.messages()] == [own.run_id]


def test_failures_and_recoveries_are_told_once(put, work, store, clock, told):
    """A failure is told when it is not repeated any more, the completion after it as a recovery, others not at all."""
    put("load", notify=["on=failed,recovered,to=x://y"], retries=1)
    for ending in (FAILED, COMPLETED, COMPLETED, FAILED):
        trigger(store, clock.now(), "load", {})
        clock.advance(1)
        work(ending)
        clock.advance(1)
    assert facts(told) == [("load", "failed"), ("load", "recovered"), ("load", "failed")]
    assert {message.state for message in store.messages()} == {"sent"}


def test_late_long_and_lacking_runs_are_told_once(put, store, settings, clock):
    """However often and by however many it is looked, each fact is one message; other deployments' runs are theirs."""
    noon = clock.now()
    put("load", notify=["on=late,too-long:1h,not-run:14:00,to=x://y"], schedules=[Interval(7200, noon)])
    put("other")
    stage = Stage(store, clock)
    worker = Worker(store, settings, slots=1, clock=clock, launcher=stage)
    trigger(store, noon, "other", {})
    trigger(store, noon + timedelta(seconds=1), "load", {})
    clock.advance(20)
    worker._messenger = Messenger(store, clock, lambda message: None)
    worker._is_draining = True
    worker.step()
    assert [message.fact for message in store.messages()] == ["late"]
    worker._is_draining = False
    worker.step()
    stage.end(stage.launched[0], COMPLETED)
    worker.step()
    lease = stage.launches[stage.launched[1]][0].lease
    store.append(lease, [(1, RunStateChanged(clock.now(), RUNNING))], noon + timedelta(days=9))
    clock.advance(3601)
    for _ in range(3):
        watch_runs(store, clock.now())
    assert [message.fact for message in store.messages()] == ["too-long:1h", "late"]
    clock.advance(86400)  # at 13:00 of the next day; on the day before a run had begun
    assert watch_runs(store, clock.now()) == 0
    clock.advance(3600)
    assert [watch_runs(store, clock.now()) for _ in range(2)] == [1, 0]
    assert "No run began on 16 January 2026 before 14:00 (UTC)." in store.messages()[0].body


def test_what_cannot_be_sent_is_tried_again_and_given_up(store, clock):
    """Each try is later than the one before, and the reason is kept."""

    def refuse(message):
        raise OSError("connection to x://y refused")

    store.file_messages([write_message(Notice("x://y"), "failed", "r1", "load", clock.now())])
    [message] = store.messages()
    waits = []
    while message.state == "waiting":
        waits.append((message.due_at - clock.now()).total_seconds())
        clock.advance(waits[-1])
        messenger = Messenger(store, clock, refuse)
        messenger.look(clock.now())
        messenger.wait()
        [message] = store.messages()
    assert waits == [0.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0]
    assert (message.state, message.attempts, message.error.startswith("connection to x://… (")) == ("given up", 8, True)


def test_who_dies_between_claim_and_word_leaves_the_message_to_be_sent_again(put, store, clock, work, told):
    """A message is claimed by one; if nothing more is heard of it, it is due again, and is told at least once."""
    put("load", notify=["on=completed,to=x://y"])
    trigger(store, clock.now(), "load", {})
    silent = Messenger(store, clock, told.append)
    work()
    [message] = told
    told.clear()
    waiting = replace(message, key="other", created_at=clock.now())
    store.file_messages([waiting, waiting])
    assert [store.claim_message(waiting, clock.now() + timedelta(seconds=90)) for _ in range(2)] == [True, False]
    silent.look(clock.now())
    silent.wait()
    assert told == []
    clock.advance(91)
    other = Messenger(store, clock, told.append)
    other.look(clock.now())
    other.wait()
    assert [each.key for each in told] == ["other"]
    assert {each.state for each in store.messages()} == {"sent"}


class Hook(BaseHTTPRequestHandler):
    """A webhook that keeps what it is sent, and refuses as long as its server says so."""

    def do_POST(self):
        """Keep a message."""
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def hook():
    """A real HTTP server that hears messages."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.heard, server.answer = [], 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # of apprise
def test_a_webhook_and_a_command_are_told(put, store, settings, clock, hook, tmp_path, monkeypatch, caplog):
    """A real server and a real command get the message; what they refuse is said without the address's secrets."""
    pytest.importorskip("apprise")
    told = tmp_path / "told.json"
    script = tmp_path / "tell.py"
    script.write_text(f"import os, sys\nopen({str(told)!r}, 'w').write(os.environ['ORCH_FACT'] + sys.stdin.read())")
    address = f"http://ann:hidden-word@127.0.0.1:{hook.server_port}/hook-of-ann"
    monkeypatch.setenv("TEAM", address)
    put("load", notify=[f"on=completed,to={address}", f"on=completed,to=command: {sys.executable} {script}"])
    trigger(store, clock.now(), "load", {})
    Worker(store, settings, clock=clock, launcher=Stage(store, clock, COMPLETED)).run(until_idle=True)
    assert {message.state for message in store.messages()} == {"sent"}
    assert [heard["title"] for heard in hook.heard] == ["load: completed"]
    said = told.read_text()
    assert said.startswith("completed{") and json.loads(said[9:])["deployment"] == "load"
    hook.answer = 500
    orchestrator = Orchestrator(settings, clock=clock)
    put("load", notify=["on=failed,to=$TEAM", "on=failed,to=$NOWHERE", "on=failed,to=nosuch://thing"])
    problems = [problem for _, problem in orchestrator.deployments.tell("load")]
    orchestrator.close()
    assert ["500" in problems[0], "NOWHERE" in problems[1], "no address" in problems[2]] == [True] * 3
    assert not [word for word in ("hidden-word", "hook-of-ann") if word in str(problems) + caplog.text]
