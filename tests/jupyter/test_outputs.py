"""What tasks put out, two of each kind at once: under their own cells in the executed notebook, and sent so live."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from orch_notebook.model.views.words import plain
from orch_notebook.promotion.execution import execute
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

#: Two tasks of one kind meet here before and after what they do, so each is at work while the other is.
MEETING = """
import threading
from collections import defaultdict

barriers = defaultdict(lambda: threading.Barrier(2))


def meet(kind, when):
    return barriers[kind, when].wait(30)
"""

#: By kind: what the task ``§`` does, and the outputs that its cell then has, as ``kind of output: text``.
KINDS = {
    "lines over each other": (
        "for i in range(3):\n    print('§', i, end='\\r')\nprint()\nprint('§ done')",
        ["stdout: § 2\r\n§ done\n"],
    ),
    "a bar": (
        "from tqdm import tqdm\nfor i in tqdm(range(2), desc='§', bar_format='{desc} {n_fmt}/{total_fmt}'):\n    pass",
        ["stderr: § 2/2\n"],
    ),
    "a bar that would like to be a widget": (
        "from tqdm.auto import tqdm\n"
        "for i in tqdm(range(2), desc='§', bar_format='{desc} {n_fmt}/{total_fmt}'):\n    pass",
        ["stderr: § 2/2\n"],
    ),
    "a warning": (
        "import warnings\nwarnings.warn('careful §')",
        ["stderr: Cell: UserWarning: careful §\n  warnings.warn('careful §')\n"],
    ),
    "log records": (
        "import logging\nlog = logging.getLogger('log §')\nlog.info('unseen')\nlog.warning('seen %d', 7)",
        ["stderr: seen 7\n"],
    ),
    "both streams in turn": (
        "import sys\nprint('one §')\nprint('two §', file=sys.stderr)\nprint('three §')",
        ["stdout: one §\n", "stderr: two §\n", "stdout: three §\n"],
    ),
    "a display that is updated": (
        "handle = display('first §', display_id=True)\nprint('between §')\nhandle.update('second §')",
        ["text/plain: 'second §'", "stdout: between §\n"],
    ),
    "a display by name": (
        "from IPython.display import HTML, update_display\n"
        "display(HTML('<b>old</b>'), display_id='the §')\nupdate_display(HTML('<b>new §</b>'), display_id='the §')",
        ["text/html: <b>new §</b>"],
    ),
    "cleared for each step": (
        "from IPython.display import clear_output\n"
        "for i in range(3):\n    clear_output(wait=True)\n    print('§ at', i)",
        ["stdout: § at 2\n"],
    ),
    "rich": ("import rich\nrich.print('[bold]§[/bold]')", ["text/plain: §\n"]),
    "threads of its own": (
        "import threading\nthread = threading.Thread(target=print, args=('from a thread of §',))\n"
        "thread.start()\nthread.join()",
        ["stdout: from a thread of §\n"],
    ),
    "what awaits": (
        "import asyncio\nawait asyncio.sleep(0.01)\nprint('§ has slept')\nawait asyncio.sleep(0, '§ woke')",
        ["stdout: § has slept\n", "text/plain: '§ woke'"],
    ),
    "a last value": ("import pandas as pd\npd.DataFrame({'§': [1]})", ["text/html: <table>"]),
    "a last value nobody wants": ("'§';", []),
}
NAMES = [(kind, f"{letter}{number}") for number, kind in enumerate(KINDS) for letter in "ab"]


def task_cell(kind: str, name: str) -> str:
    """The cell of one of the two tasks of a kind; meeting comes first, and again before the last line."""
    body, last = KINDS[kind][0].replace("§", name), ""
    if "\n" not in body.splitlines()[-1] and not body.splitlines()[-1].startswith(" "):
        body, _, last = body.rpartition("\n")
    number = name[1:]
    lines = [f"%%task {name}", f"met = meet({number}, 'first')", body, f"met = meet({number}, 'then')", last]
    return "\n".join(line for line in lines if line)


def said(output: dict[str, Any]) -> str:
    """One output as its kind and its text, without places that differ from run to run."""
    if output["output_type"] == "stream":
        return f"{output['name']}: " + re.sub(r"\S*ipykernel_\d+\S*:\d+:", "Cell:", output["text"])
    data = output.get("data", {})
    if "text/html" in data and "table" in data["text/html"]:
        return "text/html: <table>"
    kind = "text/html" if "<b>" in data.get("text/html", "") else "text/plain"
    return f"{kind}: {plain(data[kind])}" if data else output["output_type"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The outputs of every task's cell, badges left out, after one execution as a worker does it."""
    folder = tmp_path_factory.mktemp("outputs")
    (folder / "meeting.py").write_text(MEETING)
    sources = ["%load_ext orch_notebook\nfrom meeting import meet", *(task_cell(*pair) for pair in NAMES), "%flow run"]
    path = folder / "book.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
    execution = execute(path, output=folder / "done.ipynb", env={"ORCH_RUN_ID": "run", "ORCH_THREADS": "64"})
    done = nbformat.read(execution.output, as_version=4)
    problems = [output for cell in done.cells for output in cell.outputs if output.output_type == "error"]
    assert not problems
    by_name = {name: cell for (_, name), cell in zip(NAMES, done.cells[1:-1], strict=True)}
    return {
        name: [output for output in cell.outputs if "orch_notebook" not in output.get("metadata", {})]
        for name, cell in by_name.items()
    }


@pytest.mark.parametrize(("kind", "name"), NAMES, ids=[f"{kind} ({name})" for kind, name in NAMES])
def test_each_task_has_its_own_outputs_and_no_others(cells, kind: str, name: str) -> None:
    """As if it had been alone, in the order in which it put them out."""
    expected = [text.replace("§", name) for text in KINDS[kind][1]]
    assert [said(output) for output in cells[name]] == expected


def test_outputs_are_sent_while_the_task_runs_and_as_its_own(fresh_kernel: Kernel, tmp_path: Path) -> None:
    """Each message says whose it is; the front end sees the first line before the task has printed its last."""
    cell = (
        "%%task {0}\nfrom pathlib import Path\nimport time\nprint('{0} begins')\n"
        "while not Path('go').exists():\n    time.sleep(0.01)\nprint('{0} ends')"
    )
    badges = {}
    for source in ("%load_ext orch_notebook", cell.format("a"), cell.format("b")):
        for message in fresh_kernel.run(source).messages:
            mark = message["content"].get("metadata", {}).get("orch_notebook") if message["content"] else None
            if mark and "task" in mark:
                badges[message["content"]["transient"]["display_id"]] = mark["task"]
    run = fresh_kernel.start("%flow run --quiet")
    early: dict[str, str] = {}
    while len(early) < 2:
        message = fresh_kernel.client.get_iopub_msg(timeout=30)
        if message["msg_type"] == "stream":
            early[badges[message["metadata"]["orch_notebook"]["display_id"]]] = message["content"]["text"]
    assert early == {"a": "a begins\n", "b": "b begins\n"}
    (tmp_path / "go").touch()
    late = [message for message in fresh_kernel.wait(run).messages if message["msg_type"] == "stream"]
    whose = {badges[m["metadata"]["orch_notebook"]["display_id"]]: m["content"]["text"] for m in late}
    assert whose == {"a": "a ends\n", "b": "b ends\n"}


PAST_PYTHON = [
    "%load_ext orch_notebook\nimport os",
    "%%task program\nimport subprocess\ndone = subprocess.run(['sh', '-c', 'echo said; echo meant >&2'])",
    "%%task code\nwritten = os.write(1, b'written' * (done.returncode == 0))",
    "%%task after\nprint('after', written)",
    "%flow run",
]


def test_what_is_written_past_python_belongs_to_the_task_that_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other programs and C code write to the descriptors stands under the task that ran, all of it, in time."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # with it a kernel does not read its descriptors
    path = tmp_path / "book.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in PAST_PYTHON]), path)
    execution = execute(path, output=tmp_path / "done.ipynb", env={"ORCH_RUN_ID": "run"})
    done = nbformat.read(execution.output, as_version=4)
    shown = [
        sorted(f"{each.name}: {each.text}" for each in cell.outputs if each.output_type == "stream")
        for cell in done.cells
    ]
    assert shown == [[], ["stderr: meant\n", "stdout: said\n"], ["stdout: written"], ["stdout: after 7\n"], []]
