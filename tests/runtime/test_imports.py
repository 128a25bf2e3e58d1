"""Imports while several tasks run."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

import pytest

from orch_notebook.runtime import imports
from orch_notebook.runtime.imports import import_one_at_a_time

BODY = "from log_of_imports import log, meet\nlog.append('{name} begins')\nmeet('{name}')\nlog.append('{name} ends')\n"
LOG = """
import threading
log = []
began = {name: threading.Event() for name in ("first_of_two", "second_of_two")}
def meet(name):
    began[name].set()
    for other in began.values():
        other.wait(0.05)
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two modules, each of which gives the other the time to begin in the midst of it."""
    names = ["first_of_two", "second_of_two"]
    (tmp_path / "log_of_imports.py").write_text(LOG)
    for name in names:
        (tmp_path / f"{name}.py").write_text(BODY.format(name=name))
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [*names, "log_of_imports"]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return names


def test_modules_that_replace_themselves_are_there_before_tasks_ask_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked while one is loaded would be left with an empty module; what nobody has begun is left alone."""
    (tmp_path / "changing").mkdir()
    (tmp_path / "changing" / "__init__.py").write_text("")
    (tmp_path / "changing" / "inner.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(imports, "REPLACED", ("changing.inner", "never_heard_of.inner"))
    importlib.import_module("changing")
    import_one_at_a_time()()
    assert "changing.inner" in sys.modules
    for name in ("changing", "changing.inner"):
        monkeypatch.delitem(sys.modules, name)


def test_no_module_begins_in_the_midst_of_another(modules: list[str]) -> None:
    """Two threads import at once: one module is finished before the other begins."""
    log = importlib.import_module("log_of_imports").log
    restore = import_one_at_a_time()
    try:
        threads = [threading.Thread(target=importlib.import_module, args=(name,)) for name in modules]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        restore()
    assert [line.split()[1] for line in log] == ["begins", "ends", "begins", "ends"]


def test_a_failed_import_shows_no_frames_of_ours() -> None:
    """A traceback leads from the line that imports to what went wrong, as without us."""
    restore = import_one_at_a_time()
    try:
        with pytest.raises(ModuleNotFoundError) as caught:
            import no_such_module_anywhere  # noqa: F401
    finally:
        restore()
    assert [entry.path for entry in caught.traceback] == [Path(__file__)]


def test_the_way_back_leaves_python_as_it_was() -> None:
    """Once nobody needs it, imports go through Python's own function again."""
    before = importlib._bootstrap._find_and_load  # type: ignore[attr-defined]
    import_one_at_a_time()()
    assert importlib._bootstrap._find_and_load is before  # type: ignore[attr-defined]
