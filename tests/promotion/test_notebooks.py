"""Notebooks as files: reading them, what they declare, and copies by content."""

import json
import os
import stat
import sys
from pathlib import Path
from subprocess import run

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from orch_notebook.errors import NotebookError, ParameterError
from orch_notebook.promotion.notebooks import (
    check_kernel,
    code_cells,
    content_hash,
    has_tasks,
    kernel_of,
    language_of,
    notebook_bytes,
    parameters_of,
    read_notebook,
    runs_flow,
    snapshot,
)
from orch_notebook.runtime.files import make_private_folder, write_whole


def save(path, *sources, tags=None, metadata=None):
    """Write a notebook of these code cells; `tags` by index."""
    cells = [
        new_code_cell(source, metadata={"tags": (tags or {}).get(index, [])}) for index, source in enumerate(sources)
    ]
    path.write_bytes(notebook_bytes(new_notebook(cells=cells, metadata=metadata or {})))
    return path


V4 = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
CODE = {"cell_type": "code", "source": "", "metadata": {}, "outputs": [], "execution_count": None}

# what stands in the file, what the error says
BROKEN = [
    (b"", "is empty."),
    (b" \n", "is empty."),
    (b"\xff\xfe\x00", "it is not UTF-8 text"),
    (b"x = 1", "line 1, column 1 is not JSON"),
    (b'{\n "cells": [\n<<<<<<< HEAD\n', "line 3, column 1 is not JSON"),
    (b"[" * 100_000, "nested too deeply"),
    (b"[]", "is JSON but no notebook"),
    (b'{"a": 1}', "is JSON but no notebook"),
    (b'{"nbformat": "4"}', "is JSON but no notebook"),
    (b'{"nbformat": 3, "worksheets": []}', "is in notebook format 3; open it in JupyterLab"),
    (b'{"nbformat": 5, "cells": []}', "is in notebook format 5, which is newer"),
    (b'{"nbformat": 4}', "it has no list of cells"),
    (b'{"nbformat": 4, "cells": [1]}', "it has no list of cells"),
    (json.dumps({**V4, "metadata": []}).encode(), "is not a valid notebook"),
    (json.dumps({**V4, "cells": [{"source": "x"}]}).encode(), "is not a valid notebook"),
    (json.dumps({**V4, "cells": [{**CODE, "cell_type": "odd"}]}).encode(), "is not a valid notebook"),
    (
        json.dumps({**V4, "cells": [CODE, {**CODE, "metadata": {"tags": 1}}]}).encode(),
        "notebook: cells/1/metadata/tags: ",
    ),
    (json.dumps({**V4, "cells": [{**CODE, "source": 5}]}).encode(), "is not a valid notebook"),
]


@pytest.mark.parametrize(("content", "says"), BROKEN, ids=[row[1] for row in BROKEN])
def test_a_broken_notebook_is_told_in_one_line(tmp_path, content, says):
    """Whatever is wrong with the file, the error is one line with its path and the reason."""
    path = tmp_path / "broken.ipynb"
    path.write_bytes(content)
    with pytest.raises(NotebookError) as caught:
        read_notebook(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_notebook_is_told_in_one_line(tmp_path):
    """A path that leads nowhere, to a folder, or is no path at all is said to do so."""
    with pytest.raises(NotebookError, match="There is no notebook"):
        read_notebook(tmp_path / "none.ipynb")
    with pytest.raises(NotebookError, match="is a folder"):
        read_notebook(tmp_path)
    with pytest.raises(NotebookError, match="cannot be read"):
        read_notebook("a\0b.ipynb")
    with pytest.raises(NotebookError, match="cannot be read"):
        read_notebook(tmp_path / ("x" * 400))


def test_cells_get_ids_that_stay(tmp_path):
    """Ids that lack, repeat or are malformed are given by position, the same at every reading; good ones stay."""
    cells = [{**CODE, "id": given} for given in ("keep", "keep", "no good", "cell-4")] + [CODE]
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps({**V4, "nbformat_minor": 2, "cells": cells}))
    first, second = read_notebook(path), read_notebook(path)
    assert [cell.id for cell in first.cells] == ["keep", "cell-1", "cell-2", "cell-4", "cell-4-2"]
    assert first == second
    nbformat.validate(first)


def test_sources_in_lines_are_joined(tmp_path):
    """Sources come as one text however the file splits them, also behind a byte order mark."""
    path = tmp_path / "lines.ipynb"
    cell = {**CODE, "id": "a", "source": ["x = 1\n", "y = 2"]}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({**V4, "cells": [cell]}).encode())
    assert read_notebook(path).cells[0].source == "x = 1\ny = 2"


def test_what_scripts_leave_out_is_filled_in(tmp_path):
    """A notebook written by a script may lack what no front end misses."""
    path = tmp_path / "bare.ipynb"
    cells = [{"cell_type": "code", "source": "x = 1"}, {"cell_type": "markdown"}]
    path.write_text(json.dumps({"nbformat": 4, "metadata": {"kernelspec": {"name": "python3"}}, "cells": cells}))
    notebook = read_notebook(path)
    assert [cell.source for cell in notebook.cells] == ["x = 1", ""]
    assert kernel_of(notebook) == "python3"


def test_parameters_come_from_the_tagged_cell(tmp_path):
    """The first cell tagged `parameters` declares them; a notebook without one declares none."""
    path = save(tmp_path / "a.ipynb", "x = 0", "n: int = 5  # rows", "n = 7", tags={1: ["parameters"]})
    assert [parameter.words() for parameter in parameters_of(read_notebook(path))] == ["n: int = 5"]
    assert parameters_of(read_notebook(save(path, "n = 5"))) == ()
    with pytest.raises(ParameterError, match="line 1"):
        parameters_of(read_notebook(save(path, "n = = 5", tags={0: ["parameters"]})))


def test_code_cells_are_those_that_run():
    """Prose, blank cells and cells tagged to be skipped do not count; indexes are those of the notebook."""
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# Title"),
            new_code_cell("x = 1"),
            new_code_cell("  \n"),
            new_code_cell("y = 2", metadata={"tags": ["skip-execution"]}),
            new_code_cell("z = 3"),
        ]
    )
    notebook.cells[4].metadata["tags"] = "not a list"
    assert [index for index, _ in code_cells(notebook)] == [1, 4]


# cells, whether they hold tasks, whether they run the flow
FLOWS = [
    (["x = 1"], False, False),
    (["%%task load\nx = 1"], True, False),
    (["%%task load\nx = 1", "%flow run"], True, True),
    (["x = 1\n%flow  run --background"], False, True),
    (["  %flow run train+"], False, True),
    (["flow run"], False, True),
    (["ended = %flow run"], False, True),
    (["get_ipython().run_line_magic('flow', 'run --all')"], False, True),
    (["if ready:\n    %flow run"], False, True),
    (["# %flow run"], False, False),
    (["%flow runs"], False, False),
    (["%flow graph"], False, False),
    (["print('%flow run')"], False, False),
    (["flow.run()"], False, False),
]


@pytest.mark.parametrize(("sources", "tasks", "runs"), FLOWS)
def test_tasks_and_flow_runs_are_seen_without_running(sources, tasks, runs):
    """Task cells and lines that run the flow are found in the source."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    assert (has_tasks(notebook), runs_flow(notebook)) == (tasks, runs)


def test_kernel_and_language_have_defaults():
    """A notebook that names no kernel or language is taken for Python."""
    assert (kernel_of(new_notebook()), language_of(new_notebook())) == ("python3", "python")
    other = new_notebook(metadata={"kernelspec": {"name": "ir", "display_name": "R"}, "language_info": {"name": "R"}})
    assert (kernel_of(other), language_of(other)) == ("ir", "r")


def test_a_missing_kernel_lists_those_installed():
    """The error is one line with the kernel asked for and those that are there."""
    assert check_kernel("python3") == "python3"
    for name in ("no-such", "", "../evil"):
        with pytest.raises(NotebookError, match=r"is not installed here; installed: .*python3"):
            check_kernel(name)


def test_the_content_hash_follows_what_runs():
    """Code, its order, tags and the kernel change the digest; prose, outputs, ids and other metadata do not."""

    def digest(*cells, **metadata):
        return content_hash(new_notebook(cells=list(cells), metadata=metadata))

    base = digest(new_code_cell("x = 1"), new_code_cell("y = 2"))
    same = digest(
        new_markdown_cell("prose"),
        new_code_cell("x = 1", outputs=[new_output("stream", text="1")], execution_count=3),
        new_code_cell("y = 2", metadata={"collapsed": True}),
        authors=["A"],
    )
    assert same == base
    different = [
        digest(new_code_cell("y = 2"), new_code_cell("x = 1")),
        digest(new_code_cell("x = 1"), new_code_cell("y = 3")),
        digest(new_code_cell("x = 1"), new_code_cell("y = 2", metadata={"tags": ["parameters"]})),
        digest(new_code_cell("x = 1"), new_code_cell("y = 2"), kernelspec={"name": "other", "display_name": "Other"}),
        digest(new_code_cell("x = 1\ny = 2")),
    ]
    assert base not in different
    assert len(set(different)) == len(different)


def test_a_snapshot_is_addressed_by_its_content(tmp_path):
    """Running the notebook or saving it again makes no new copy, an edit does, and the older copy stays as it was."""
    path = save(tmp_path / "a {b} c.ipynb", "x = 1", "y = 2")
    folder = tmp_path / "kept" / "snapshots"
    first = snapshot(path, folder)
    assert [cell.source for cell in read_notebook(first).cells] == ["x = 1", "y = 2"]
    original = first.read_bytes()

    executed = read_notebook(path)
    executed.cells[0].outputs = [new_output("stream", text="secret")]
    executed.cells[0].execution_count = 4
    executed.metadata["papermill"] = {"duration": 1}
    path.write_bytes(notebook_bytes(executed))
    assert snapshot(path, folder) == first
    assert b"secret" not in first.read_bytes()

    executed.cells[0].source = "x = 2"
    path.write_bytes(notebook_bytes(executed))
    second = snapshot(path, folder)
    assert second != first
    assert first.read_bytes() == original
    assert sorted(folder.iterdir()) == sorted([first, second])


def test_a_damaged_snapshot_is_mended(tmp_path):
    """A copy that no longer holds its content is written again."""
    path = save(tmp_path / "a.ipynb", "x = 1")
    copy = snapshot(path, tmp_path / "kept")
    whole = copy.read_bytes()
    copy.write_bytes(whole[:10])
    assert snapshot(path, tmp_path / "kept").read_bytes() == whole


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_snapshots_are_private(tmp_path):
    """Copies are for their owner only, whatever the umask."""
    before = os.umask(0)
    try:
        copy = snapshot(save(tmp_path / "a.ipynb", "x = 1"), tmp_path / "kept" / "deep")
    finally:
        os.umask(before)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(copy.parent.parent.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path):
    """A snapshot that cannot be kept is one line, not a traceback of the file system."""
    path = save(tmp_path / "a.ipynb", "x = 1")
    with pytest.raises(NotebookError, match=r"No copy of .* can be kept in"):
        snapshot(path, path / "inside")


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    """When the disk refuses, what stood there stays whole and nothing half-written remains."""
    path = write_whole(make_private_folder(tmp_path / "out") / "a", b"old")

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_half_a_character_does_not_lose_the_notebook():
    """What cannot be stored as UTF-8 is replaced by a question mark."""
    assert b"a?b" in notebook_bytes(new_notebook(cells=[new_code_cell("'a\ud800b'")]))


def test_looking_is_cheap_until_a_notebook_is_read():
    """Importing the module loads neither nbformat nor jupyter_client."""
    code = (
        "import sys, orch_notebook.promotion.notebooks; "
        "sys.exit(bool({'nbformat', 'jupyter_client', 'pydantic'} & set(sys.modules)))"
    )
    assert run([sys.executable, "-c", code], check=False, cwd=Path.cwd()).returncode == 0
