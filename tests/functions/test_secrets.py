"""Secrets: read by flows, and found nowhere in what they leave: the whole home is searched for the value."""

from __future__ import annotations

import base64
import stat
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from pydantic import SecretStr

from orch_notebook import (
    Secret,
    create_markdown_artifact,
    create_table_artifact,
    flow,
    get_run_logger,
    suspend_flow_run,
    task,
)
from orch_notebook.errors import FlowRunSuspended, NotFound, ParameterError, SecretExposed, UsageError
from orch_notebook.functions.entrypoints import read_entrypoint
from orch_notebook.orchestrator import open_orchestrator
from orch_notebook.promotion.deployments import promote, trigger
from orch_notebook.runtime.home import close_homes, open_home
from orch_notebook.runtime.redaction import redactor
from tests.books import write_book
from tests.functions.conftest import in_time

VALUE = "s3cr3t/t0k3n+x'9"

#: The value as it may lie in a file.
FORMS = [
    VALUE,
    repr(VALUE)[1:-1],
    urllib.parse.quote(VALUE),
    urllib.parse.quote_plus(VALUE),
    base64.b64encode(VALUE.encode()).decode(),
    base64.b64encode(VALUE.encode()).decode()[:-4],
    VALUE.replace("'", "&#x27;"),
]


@pytest.fixture(autouse=True)
def forgotten():
    """Forget the secrets of a test when it ends."""
    yield
    close_homes()
    redactor.forget()


def assert_nowhere(*folders: Path) -> None:
    """Search every file below these folders for the value."""
    close_homes()
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                found = [form for form in FORMS if form.encode() in data]
                assert not found, (path, found, data[max(0, data.find(found[0].encode()) - 200) :][:400])


def test_a_secret_is_kept_and_read(stored, orch_home) -> None:
    """Encrypted, under a name, with a key file that only its owner can read."""
    Secret("token", VALUE).save()
    assert Secret.load("token").get() == VALUE
    assert VALUE not in repr(Secret.load("token")) and str(Secret.load("token")) == "Secret('token', ***)"
    with pytest.raises(UsageError, match="kept already"):
        Secret(value="another").save("token")
    Secret(value={"user": "anna", "password": "opensesame"}).save("token", overwrite=True)
    assert Secret.load("token").get()["password"] == "opensesame"
    assert stat.S_IMODE((orch_home / "secret.key").stat().st_mode) == 0o600
    assert Secret.delete("token") and not Secret.delete("token")
    with pytest.raises(NotFound, match="orch secret set token"):
        Secret.load("token")


# what is done, and what is said
WRONG = {
    "too short": (lambda: Secret("a", "abc"), "4 characters"),
    "no value": (lambda: Secret("a"), "needs a value"),
    "no name": (lambda: Secret(value="abcdef").save(), "kept under a name"),
}


@pytest.mark.parametrize("act, said", WRONG.values(), ids=WRONG)
def test_what_cannot_be_a_secret_is_refused(stored, act, said) -> None:
    """With the way out."""
    with pytest.raises(UsageError, match=said):
        act()


def test_the_key_decides_who_can_read(stored, monkeypatch) -> None:
    """Another key, or what is none, is named; what was encrypted stays as it is."""
    from cryptography.fernet import Fernet

    Secret("token", VALUE).save()
    close_homes()
    monkeypatch.setenv("ORCH_SECRET_KEY", Fernet.generate_key().decode())
    with pytest.raises(UsageError, match="another key"):
        Secret.load("token")
    Secret("mine", VALUE).save()
    assert Secret.load("mine").get() == VALUE and "secret_key" not in repr(open_home().settings)
    close_homes()
    monkeypatch.setenv("ORCH_SECRET_KEY", "short")
    with pytest.raises(UsageError, match="ORCH_SECRET_KEY holds no key"):
        Secret.load("mine")


@task
def prints(form):
    print("token:", form(Secret.load("token").get()))


@task
def logs():
    get_run_logger().info("with %s", Secret.load("token").get())


@task
def fails(reason):
    raise ValueError(f"refused {reason} and {Secret.load('token').get()!r}")


@task
def publishes():
    create_markdown_artifact(f"# {VALUE}", description=VALUE, key="told")
    create_table_artifact([{"token": VALUE}])


@task
def returns():
    return VALUE


@task
def returns_much():
    return [VALUE] * 1000


@task
def returns_the_secret():
    return Secret.load("token")


@task(task_run_name="with-{token}")
def is_named(token):
    return len(token)


CALLS = {
    "printed": lambda: prints(str),
    "printed as repr": lambda: prints(repr),
    "printed quoted": lambda: prints(urllib.parse.quote),
    "printed in base64": lambda: prints(lambda text: base64.b64encode(f"me:{text}".encode()).decode()),
    "printed with more": lambda: prints(lambda text: f"<{text}{text}>" * 3),
    "logged": logs,
    "raised": lambda: fails("it", return_state=True),
    "published": publishes,
    "returned": returns,
    "returned in a big list": returns_much,
    "the secret itself returned": returns_the_secret,
    "in a name": lambda: is_named(VALUE),
    "submitted": lambda: is_named.submit(VALUE).result(),
}


def test_what_functions_do_with_a_value_leaves_nothing_of_it(stored, orch_home, capsys) -> None:
    """Logs, prints, errors, artifacts, results, names, parameters: the work is done, the home does not know it."""
    Secret("token", VALUE).save()

    @flow(log_prints=True, flow_run_name="for {given}", retries=1)
    def everything(given):
        for call in CALLS.values():
            call()
        raise RuntimeError(f"last: {given}")

    with pytest.raises(RuntimeError, match="s3cr3t"):
        in_time(everything, VALUE)
    with pytest.raises(UsageError):
        is_named.delay(VALUE)
    run = stored.run("everything")
    assert run.name == "for ***" and run.state.message == "RuntimeError: last: ***"
    notes = {each.task.name: each.details.get("note") or "" for each in run.tasks}
    assert "holds the value of a secret" in notes["returns"] and "holds the value of a secret" in notes["returns_much"]
    assert any("with ***" in line for line in stored.lines("everything"))
    assert_nowhere(orch_home)
    assert VALUE not in capsys.readouterr().err


def test_parameters_that_are_secrets_are_masked(stored, orch_home) -> None:
    """pydantic's SecretStr, given as a value or by the name of a secret; also when the run is suspended."""
    Secret("token", VALUE).save()

    @flow
    def uses(token: SecretStr, other: SecretStr | None = None):
        get_run_logger().info("%s", token.get_secret_value())
        suspend_flow_run(key="wait") if other else None
        return token.get_secret_value()

    assert in_time(uses, VALUE) == in_time(uses, token="secret:token") == VALUE
    assert stored.run().parameters == {"token": "SecretStr('**********')", "other": None}
    with pytest.raises(FlowRunSuspended):
        in_time(uses, VALUE, VALUE)
    run_id = stored.home.store.runs()[0].run_id
    with open_orchestrator() as orchestrator:
        orchestrator.cancel(run_id)
    with pytest.raises(NotFound, match="no secret 'none'"):
        in_time(uses, token="secret:none")
    assert_nowhere(orch_home)


def test_a_secret_parameter_of_a_deployment_is_given_by_name(stored, orch_home, tmp_path, monkeypatch) -> None:
    """Its value would lie open in the store, so it is refused, with the way out."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "secretive.py"
    path.write_text(
        "from pydantic import SecretStr\nfrom orch_notebook import flow\n"
        "@flow\ndef work(token: SecretStr):\n    return len(token.get_secret_value())\n"
    )
    home, place = open_home(), read_entrypoint(f"{path}:work")
    keep = (home.store, home.settings, home.clock.now(), place, "work")
    with pytest.raises(ParameterError, match="orch secret set token"):
        promote(*keep, parameters={"token": VALUE})
    with pytest.raises(NotFound, match="no secret 'token'"):
        promote(*keep, parameters={"token": "secret:token"})
    Secret("token", VALUE).save()
    promote(*keep, parameters={"token": "secret:token"})
    with pytest.raises(ParameterError, match="token=secret:token"):
        trigger(home.store, home.clock.now(), "work", {"token": VALUE})
    assert_nowhere(orch_home)


def test_results_and_recorded_values_do_not_lie_open(stored) -> None:
    """A secret is sent by its name; one without a name cannot be."""
    Secret("token", VALUE).save()
    with pytest.raises(SecretExposed):
        open_home().results.keep("key", {"value": VALUE}, "me")
    open_home().results.keep("key", {"value": Secret.load("token")}, "me")
    assert open_home().results.load("key").values["value"].get() == VALUE
    home = open_home()
    home.store.record_value("run", "rate", {"of": VALUE}, home.clock.now())
    assert home.store.recorded("run") == {"run": {"rate": {"of": "***"}}}


@pytest.mark.processes
@pytest.mark.kernel
def test_an_executed_notebook_and_a_worker_s_log_hold_nothing_of_it(stored, orch_home, tmp_path, monkeypatch) -> None:
    """Prints, values shown, displays, errors and logs, of tasks and of plain cells; a module's flow prints too."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    Secret("token", VALUE).save()
    show = "token = Secret.load('token').get()\nprint('x', token)\n"
    show += "display({'text/html': f'<b>{token}</b>'}, raw=True)\ntoken"
    book = write_book(
        tmp_path / "book.ipynb",
        "%load_ext orch_notebook\nfrom orch_notebook import Secret",
        "%%task shows\n" + show,
        "%flow run",
        show.replace("token =", "again =").replace("token)", "again)").replace("{token}", "{again}") + "\nagain",
        "raise ValueError(again)",
    )
    path = tmp_path / "loud.py"
    path.write_text(
        "import sys\nfrom orch_notebook import Secret, flow\n"
        "@flow\ndef work():\n    print('p', Secret.load('token').get())\n"
        "    print(Secret.load('token').get(), file=sys.stderr)\n    raise ValueError(Secret.load('token').get())\n"
    )
    home = open_home()
    promote(home.store, home.settings, home.clock.now(), read_entrypoint(f"{path}:work"), "loud")
    trigger(home.store, home.clock.now(), "loud", {})
    with open_orchestrator() as orchestrator:
        execution = orchestrator.execute(book)
        execution.wait()
        run = orchestrator.show(execution.run_id)
        executed = Path(run.executed_notebook).read_text()
    command = [sys.executable, "-m", "orch_notebook.cli", "worker", "--until-idle"]
    worker = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert run.state.message.endswith("ValueError: ***")
    assert executed.count("***") >= 5 and VALUE not in worker.stderr
    [loud] = [each for each in open_home().store.runs() if each.flow == "work"]
    assert loud.state.message == "ValueError: ***"
    assert "p ***" in (orch_home / "runs" / loud.run_id / "process.log").read_text()
    assert_nowhere(orch_home)
