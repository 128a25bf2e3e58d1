"""What every test may ask for, and the walls around all of them.

The whole session runs in a world of its own: HOME, Jupyter's and IPython's folders and matplotlib's cache lie in one
temporary folder, so that nothing of the person who runs the tests is read or written, and a machine without a HOME
does as well as any other.  Every test has its own ``ORCH_HOME``.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.databases.postgres import HOW_TO_INSTALL, PostgresServer, find_postgres
from tests.kernels import Kernel

#: Not a test module but the command that runs them all.
collect_ignore = ["run.py"]

# How hard property tests look: 300 examples in the suite, many more where the night is long
# (HYPOTHESIS_PROFILE=nightly).
# There are no deadlines: the machine that runs the tests may be busy with something else.
settings.register_profile("suite", max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", settings.get_profile("suite"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

#: Folders of the session's own world, by the variable that points to each.
FOLDERS = {
    "HOME": "home",
    "XDG_CONFIG_HOME": "home/.config",
    "XDG_CACHE_HOME": "home/.cache",
    "XDG_DATA_HOME": "home/.local/share",
    "JUPYTER_CONFIG_DIR": "jupyter/config",
    "JUPYTER_DATA_DIR": "jupyter/data",
    "JUPYTER_RUNTIME_DIR": "jupyter/runtime",
    "JUPYTERLAB_SETTINGS_DIR": "lab/settings",
    "JUPYTERLAB_WORKSPACES_DIR": "lab/workspaces",
    "IPYTHONDIR": "ipython",
    "MPLCONFIGDIR": "matplotlib",
}

#: What the person's shell may say and the tests should not hear.
UNSET = (
    "ORCH_DATABASE_URL",
    "JUPYTER_PATH",
    "JUPYTER_CONFIG_PATH",
    "JPY_PARENT_PID",
    "MPLBACKEND",
    "NO_COLOR",
    "COLUMNS",
)

world = pytest.StashKey[Path]()
count = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """Build the session's own world before any test module is imported."""
    root = config.stash[world] = Path(tempfile.mkdtemp(prefix="orch-tests-"))
    for variable, folder in FOLDERS.items():
        path = root / folder
        path.mkdir(parents=True, exist_ok=True)
        os.environ[variable] = str(path)
    for variable in list(os.environ):
        if variable in UNSET or variable.startswith("ORCH_"):
            del os.environ[variable]
    os.environ["ORCH_HOME"] = str(root / "orch")
    # Kernels of this environment come before any that the machine knows under the same name.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse names that change from process to process: several cannot share such tests out among them."""
    if " at 0x" in item.name:
        raise pytest.UsageError(f"{item.nodeid} bears an address; give its parameters ids.")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the world again."""
    if world in config.stash:
        shutil.rmtree(config.stash[world], ignore_errors=True)


@pytest.fixture(autouse=True)
def orch_home(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> Path:
    """An ``ORCH_HOME`` that this test alone uses; it does not exist yet, as on a new user's first day.

    Every test begins in the project's folder, wherever the one before has left this process.
    """
    monkeypatch.chdir(pytestconfig.rootpath)
    path = pytestconfig.stash[world] / "homes" / str(next(count))
    monkeypatch.setenv("ORCH_HOME", str(path))
    return path


@pytest.fixture
def environment(orch_home: Path) -> dict[str, str]:
    """The environment for a process this test starts: that of the session with the test's own ``ORCH_HOME``."""
    return dict(os.environ)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole session."""
    if find_postgres() is None:
        pytest.skip(f"There is no PostgreSQL here. {HOW_TO_INSTALL}")
    server = PostgresServer()
    yield server
    server.close()


def start_kernel(folder: Path) -> Kernel:
    return Kernel(folder, {**os.environ, "ORCH_HOME": str(folder / ".orch")})


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One IPython kernel for all tests of a module, in a folder and with an ``ORCH_HOME`` of its own.

    Tests share its names; one that needs a clean slate, or may kill the kernel, asks for `fresh_kernel`.
    """
    with start_kernel(tmp_path_factory.mktemp("kernel")) as running:
        yield running


@pytest.fixture
def fresh_kernel(tmp_path: Path) -> Iterator[Kernel]:
    """An IPython kernel that nobody has used, for this test alone."""
    with start_kernel(tmp_path) as running:
        yield running
