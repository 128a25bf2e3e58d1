"""What Binder does with ``binder/``, done here in a clean virtual environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import venv
from pathlib import Path
from typing import Any

import pytest

from tests.test_house import ROOT, project_files
from tests.waiting import until

BINDER = ROOT / "binder"


def test_the_scripts_can_be_run_and_name_what_exists() -> None:
    """Binder's scripts are executable and sound; the extra they install and the notebook they open are there."""
    for name in ("postBuild", "start"):
        assert os.access(BINDER / name, os.X_OK)
        subprocess.run(["bash", "-n", BINDER / name], check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = re.search(r"\.\[(\w+)\]", (BINDER / "postBuild").read_text())
    assert extra and extra[1] in project["optional-dependencies"]
    opened = re.search(r"first=/lab/tree/(\S+)", (BINDER / "start").read_text())
    assert opened and (ROOT / opened[1]).is_file()
    version = (BINDER / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project as git would hand it to Binder."""
    folder = tmp_path / "checkout"
    for path in project_files():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return folder


def _opened(info: Path) -> Any:
    """The page of the server that says in a file where it is; None as long as it does not, or is not there yet."""
    try:
        return urllib.request.urlopen(f"{json.loads(info.read_text())['url']}?token=t")
    except (OSError, ValueError, KeyError):
        return None


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.skipif(os.environ.get("CI") != "true", reason="installs everything anew, which takes a minute: CI=true")
def test_a_clean_environment_opens_the_first_notebook_and_runs_it(
    tmp_path: Path, checkout: Path, environment: dict[str, str]
) -> None:
    """After ``postBuild`` and ``start``, as Binder calls them, JupyterLab leads to the first notebook, and it runs."""
    venv.create(tmp_path / "venv", with_pip=True)
    env = {name: value for name, value in environment.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env["PATH"] = f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{env['PATH']}"
    subprocess.run([checkout / "binder" / "postBuild"], cwd=checkout, env=env, check=True, stdout=sys.stderr)

    options = ["--ip=127.0.0.1", "--no-browser", "--allow-root", "--IdentityProvider.token=t", "--ServerApp.port=0"]
    command = [checkout / "binder" / "start", "jupyter", "lab", *options]
    with subprocess.Popen(command, cwd=checkout, env=env, stdin=subprocess.DEVNULL) as server:
        try:
            info = Path(env["JUPYTER_RUNTIME_DIR"]) / f"jpserver-{server.pid}.json"
            with until(lambda: _opened(info), "the server", 60) as answer:
                assert answer.url.split("?")[0].endswith("/lab/tree/notebooks/01_first_flow.ipynb")
                assert b"JupyterLab" in answer.read()
        finally:
            server.terminate()

    command = ["orch", "run", checkout / "notebooks" / "01_first_flow.ipynb", "--json"]
    run = json.loads(subprocess.run(command, cwd=checkout, env=env, check=True, stdout=subprocess.PIPE).stdout)
    executed = json.loads(Path(run["executed_notebook"]).read_text(encoding="utf-8"))
    compare = next(cell for cell in executed["cells"] if cell["id"] == "task-compare")
    assert any("image/png" in output.get("data", {}) for output in compare["outputs"])
