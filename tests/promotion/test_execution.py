"""Executing notebooks in real kernels: outputs in their cells, true statuses however it ends."""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from orch_notebook.errors import NotebookError, ParameterError
from orch_notebook.promotion.execution import Stop, execute
from orch_notebook.promotion.notebooks import notebook_bytes, read_notebook

pytestmark = pytest.mark.kernel


class Told:
    """Progress that remembers, and calls `react` when it is told something."""

    def __init__(self, react=None):
        self.said = []
        self.react = react or (lambda *_: None)

    def cell_started(self, index, cell_id):
        self.said.append(("started", index, cell_id))
        self.react("started", index)

    def cell_ended(self, index, cell_id, error):
        self.said.append(("ended", index, error["ename"] if error else None))
        self.react("ended", index)

    def output(self, index, message):
        self.said.append(("output", index, message["name"], message["text"]))
        self.react("output", index)

    def text(self, index):
        return "".join(entry[3] for entry in self.said if entry[0] == "output" and entry[1] == index)


def write(path, *cells):
    """Write a notebook; a cell is a source, or a source with its tags, or a node."""
    nodes = []
    for number, cell in enumerate(cells):
        if isinstance(cell, str):
            cell = (cell, [])
        if isinstance(cell, tuple):
            cell = new_code_cell(textwrap.dedent(cell[0]).strip(), metadata={"tags": cell[1]})
        cell["id"] = f"c{number}"
        nodes.append(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(notebook_bytes(new_notebook(cells=nodes, metadata={"language_info": {"name": "python"}})))
    return path


def statuses(notebook):
    return [cell.metadata.papermill.status for cell in notebook.cells]


def texts(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def kinds(cell):
    return [output.output_type for output in cell.outputs]


SEND = """
kernel = get_ipython().kernel

def send(kind, content, display_id):
    kernel.session.send(
        kernel.iopub_socket, kind, content, parent=kernel.get_parent(),
        metadata={"orch_notebook": {"display_id": display_id}},
    )

def bundle(text):
    return {"data": {"text/plain": text}, "metadata": {}}
"""

BUSY = """
print("before", flush=True)
send("stream", {"name": "stdout", "text": "one line\\n"}, "badge-a")
send("stream", {"name": "stdout", "text": "another\\n"}, "badge-a")
send("display_data", {**bundle("figure"), "transient": {"display_id": "figure-a"}}, "badge-a")
send("execute_result", {**bundle("'last'"), "execution_count": 99}, "badge-a")
send("stream", {"name": "stdout", "text": "to be cleared\\n"}, "badge-b")
send("clear_output", {"wait": True}, "badge-b")
send("display_data", {**bundle("Pending"), "transient": {"display_id": "badge-b"}}, "badge-b")
print("between", flush=True)
send("stream", {"name": "stderr", "text": "after clearing\\n"}, "badge-b")
send("error", {"ename": "ValueError", "evalue": "bad", "traceback": ["tb"]}, "badge-b")
send("update_display_data", {**bundle("Completed"), "transient": {"display_id": "badge-a"}}, "")
send("update_display_data", {**bundle("figure 2"), "transient": {"display_id": "figure-a"}}, "badge-a")
send("stream", {"name": "stdout", "text": "nobody's\\n"}, "no-such-badge")
print("after")
"""

CELLS = [
    ("n: int = 1\nday = 'monday'  # which", ["parameters"]),
    new_markdown_cell("# Prose"),
    "import os\nprint(n, day, os.getcwd(), os.environ['ORCH_RUN_ID'], open('data.txt').read(), sep='|')".replace(
        "import os", "import os, sys"
    ),
    SEND,
    "from IPython.display import display\ndisplay({'text/plain': 'Pending'}, raw=True, display_id='badge-a');",
    "display({'text/plain': 'Pending'}, raw=True, display_id='badge-b');",
    "display({'text/plain': 'Pending'}, raw=True, display_id='badge-a');\nprint('shown again')",
    BUSY,
    "for row in range(10_000):\n    print('x' * 99)",
    "import time\nfor percent in range(5):\n    print(f'\\r{percent} %', end='', flush=True)\nprint()",
    ("1 / 0", ["raises-exception"]),
    "   ",
    ("never", ["skip-execution"]),
    "import ipywidgets\nipywidgets.IntSlider()",
    "from IPython.display import clear_output\nprint('gone')\nclear_output()\nprint('stays')",
    "6 * 7",
    "caught = ipywidgets.Output()\nwith caught:\n    print('caught')\nprint('beside')",
]


@pytest.fixture(scope="module")
def success(tmp_path_factory):
    """One execution of a notebook that does most of what can be done, in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("a {b} c") / "näme {x}"
    path = write(folder / "the {note} book.ipynb", *CELLS)
    (folder / "data.txt").write_text("rows")
    before = path.read_bytes()
    told = Told()
    execution = execute(
        path,
        output=folder / "out {y}" / "done.ipynb",
        parameters={"n": "5"},
        env={"ORCH_RUN_ID": "run-1"},
        metadata={"run_id": "run-1"},
        progress=told,
    )
    assert path.read_bytes() == before
    return execution, nbformat.read(execution.output, as_version=4), told, folder


def cell_of(notebook, number):
    return next(cell for cell in notebook.cells if cell.id == f"c{number}")


def test_a_notebook_that_runs_through_is_completed(success):
    """Every cell is completed, the copy is a valid notebook, private, and says where it came from."""
    execution, notebook, _, folder = success
    assert execution.ok
    assert (execution.kind, execution.cell_index, execution.ename) == ("completed", None, "")
    nbformat.validate(notebook)
    assert set(statuses(notebook)) == {"completed"}
    assert notebook.metadata.papermill.exception is None
    assert notebook.metadata.papermill.input_path == str(folder / "the {note} book.ipynb")
    about = notebook.metadata.orch_notebook
    assert (about.run_id, about.outcome, about.parameters) == ("run-1", "completed", {"n": 5})
    if os.name != "nt":
        assert stat.S_IMODE(execution.output.stat().st_mode) == 0o600
    assert cell_of(notebook, 15).outputs[0].data["text/plain"] == "42"


def test_parameters_are_injected_as_papermill_does(success):
    """Given values come in a tagged cell after the defaults; those not given keep theirs."""
    _, notebook, _, folder = success
    assert [cell.metadata.tags for cell in notebook.cells[:2]] == [["parameters"], ["injected-parameters"]]
    assert notebook.cells[1].source == "# Parameters\nn = 5\n"
    assert texts(cell_of(notebook, 2)) == f"5|monday|{folder}|run-1|rows\n"


def test_progress_speaks_of_the_original_cells(success):
    """Every cell that runs is told once, by its index in the original; injected, blank and skipped ones are not."""
    _, _, told, _ = success
    started = [(index, cell_id) for what, index, cell_id in (entry[:3] for entry in told.said) if what == "started"]
    ran = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16]
    assert started == [(index, f"c{index}") for index in ran]
    assert [entry[1] for entry in told.said if entry[0] == "ended"] == ran
    assert all(entry[2] is None for entry in told.said if entry[0] == "ended")


def test_a_tasks_messages_go_to_its_own_cell(success):
    """What bears a badge's id lands in the cell that first showed that badge, whoever is running."""
    _, notebook, told, _ = success
    task = cell_of(notebook, 4)
    assert kinds(task) == ["display_data", "stream", "display_data", "execute_result"]
    assert texts(task) == "one line\nanother\n"
    assert task.outputs[3].data["text/plain"] == "'last'"
    assert task.execution_count != 99
    assert texts(cell_of(notebook, 7)) == "before\nbetween\nnobody's\nafter\n"
    assert told.text(4) == "one line\nanother\n"
    assert told.text(7) == "before\nbetween\nnobody's\nafter\n"


def test_a_task_clears_its_own_output_but_not_its_badge(success):
    """A routed clear_output empties the task's cell down to its badge, and touches no other."""
    _, notebook, _, _ = success
    task = cell_of(notebook, 5)
    assert kinds(task) == ["display_data", "stream", "error"]
    assert texts(task) == "after clearing\n"
    assert texts(cell_of(notebook, 14)) == "stays\n"


def test_an_update_reaches_every_cell_that_shows_it(success):
    """A badge shown in two cells changes in both, and one shown through a badge changes too."""
    _, notebook, _, _ = success
    assert cell_of(notebook, 4).outputs[0].data["text/plain"] == "Completed"
    assert cell_of(notebook, 6).outputs[0].data["text/plain"] == "Completed"
    assert cell_of(notebook, 4).outputs[2].data["text/plain"] == "figure 2"
    assert cell_of(notebook, 5).outputs[0].data["text/plain"] == "Pending"


def test_much_text_stays_one_output(success):
    """A megabyte of lines is kept whole and in one piece, and so it is told."""
    _, notebook, told, _ = success
    assert kinds(cell_of(notebook, 8)) == ["stream"]
    assert len(texts(cell_of(notebook, 8))) == 1_000_000
    assert len(told.text(8)) == 1_000_000


def test_no_line_is_lost_however_fast_they_come(tmp_path):
    """Of many lines, each its own message, every one arrives, in order."""
    path = write(tmp_path / "a.ipynb", "for row in range(20_000):\n    print(row, flush=True)")
    told = Told()
    execution = execute(path, output=tmp_path / "out.ipynb", progress=told)
    assert told.text(0) == "".join(f"{row}\n" for row in range(20_000))
    assert texts(read_notebook(execution.output).cells[0]) == told.text(0)


def test_text_without_end_is_cut_with_a_note(tmp_path, monkeypatch):
    """A cell keeps so much text and says how much it did not; whoever follows gets all of it."""
    monkeypatch.setattr("orch_notebook.promotion.client.MOST_TEXT", 1000)
    path = write(tmp_path / "a.ipynb", "print('x' * 999_999)")
    told = Told()
    execution = execute(path, output=tmp_path / "out.ipynb", progress=told)
    first, note = read_notebook(execution.output).cells[0].outputs
    assert len(first.text) == 1000
    assert note.text == "[999,000 more characters of text were not kept in this notebook]\n"
    assert len(told.text(0)) == 1_000_000


def test_of_a_progress_bar_the_last_state_is_kept(success):
    """Carriage returns overwrite in the notebook as they do on a screen."""
    _, notebook, _, _ = success
    assert texts(cell_of(notebook, 9)) == "\r4 %\n" or texts(cell_of(notebook, 9)) == "4 %\n"


def test_an_expected_error_is_no_failure(success):
    """A cell tagged raises-exception may raise; the notebook goes on and is completed."""
    _, notebook, _, _ = success
    assert kinds(cell_of(notebook, 10)) == ["error"]
    assert cell_of(notebook, 10).metadata.papermill.status == "completed"


def test_no_widget_state_is_stored(success):
    """Widgets leave their words: a view without its state would show as an error."""
    _, notebook, _, _ = success
    assert "widgets" not in notebook.metadata
    (slider,) = cell_of(notebook, 13).outputs
    assert list(slider.data) == ["text/plain"]
    assert slider.data["text/plain"].startswith("IntSlider(")


def test_what_an_output_widget_catches_is_the_widgets(success):
    """A cell whose widget catches output, as those of ``interact`` do, runs like any other."""
    _, notebook, _, _ = success
    assert "beside\n" in texts(cell_of(notebook, 16))


def test_a_failing_cell_ends_the_notebook(tmp_path):
    """The failed cell says so, later ones are pending, and nothing is inserted that shifts cells."""
    path = write(tmp_path / "a.ipynb", "x = 1", "print('so far')\nraise ValueError('<b>bad</b>')", "never = 1")
    told = Told()
    execution = execute(path, output=tmp_path / "out.ipynb", progress=told)
    assert (execution.kind, execution.cell_index, execution.cell_id) == ("failed", 1, "c1")
    assert (execution.ename, execution.evalue) == ("ValueError", "<b>bad</b>")
    assert any("raise" in line for line in execution.traceback)
    notebook = read_notebook(execution.output)
    assert [cell.id for cell in notebook.cells] == ["c0", "c1", "c2"]
    assert statuses(notebook) == ["completed", "failed", "pending"]
    assert notebook.metadata.papermill.exception is True
    assert notebook.metadata.orch_notebook.ename == "ValueError"
    assert [entry[:3] for entry in told.said if entry[0] != "output"] == [
        ("started", 0, "c0"),
        ("ended", 0, None),
        ("started", 1, "c1"),
        ("ended", 1, "ValueError"),
    ]


# what a cell does, the exception it ends with
ENDS = [
    ("input('?')", "StdinNotImplementedError"),
    ("import sys\nsys.exit(2)", "SystemExit"),
    ("x = = 1", "SyntaxError"),
]


@pytest.mark.parametrize(("source", "ename"), ENDS, ids=[row[1] for row in ENDS])
def test_other_ways_to_fail(tmp_path, source, ename):
    """Asking for input, leaving and not parsing are failures of the cell, with the name of what was raised."""
    execution = execute(write(tmp_path / "a.ipynb", source, "never = 1"), output=tmp_path / "out.ipynb")
    assert (execution.kind, execution.cell_index, execution.ename) == ("failed", 0, ename)
    assert statuses(read_notebook(execution.output)) == ["failed", "pending"]


# how a kernel is ended, what the notebook says
DEATHS = [
    ("import os\nos._exit(3)", "The kernel died while this cell ran: it exited with code 3."),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "it was killed by SIGKILL, as happens when memory"),
    ("import ctypes\nctypes.string_at(0)", "it was killed by SIGSEGV."),
]


@pytest.mark.parametrize(("source", "says"), DEATHS, ids=["exit", "kill", "segfault"])
def test_the_death_of_a_kernel_is_told_in_its_cell(tmp_path, source, says):
    """The cell in which the kernel died has failed and says so in plain words; later cells are pending."""
    path = write(tmp_path / "a.ipynb", "x = 1", f"print('last words', flush=True)\n{source}", "never = 1")
    told = Told()
    execution = execute(path, output=tmp_path / "out.ipynb", progress=told)
    assert (execution.kind, execution.cell_index, execution.ename) == ("crashed", 1, "KernelDied")
    notebook = read_notebook(execution.output)
    assert statuses(notebook) == ["completed", "failed", "pending"]
    assert says in notebook.cells[1].outputs[-1].evalue
    assert notebook.metadata.orch_notebook.outcome == "crashed"
    if "SIGSEGV" in says:  # what the fault handler wrote is not lost
        assert any("Fatal Python error: Segmentation fault" in line for line in execution.traceback)
    assert told.said[-1] == ("ended", 1, "KernelDied")


def test_time_runs_out(tmp_path):
    """The running cell is interrupted, may tidy up, and the notebook has timed out."""
    source = """
        import time
        try:
            time.sleep(600)
        finally:
            print('tidied up')
    """
    path = write(tmp_path / "a.ipynb", "x = 1", source, "never = 1")
    execution = execute(path, output=tmp_path / "out.ipynb", timeout=4)
    assert (execution.kind, execution.cell_index, execution.ename) == ("timed out", 1, "TimedOut")
    assert execution.evalue == "The notebook took longer than 4 s and was interrupted."
    notebook = read_notebook(execution.output)
    assert statuses(notebook) == ["completed", "failed", "pending"]
    assert "tidied up" in texts(notebook.cells[1])
    assert [output.ename for output in notebook.cells[1].outputs if output.output_type == "error"] == [
        "KeyboardInterrupt",
        "TimedOut",
    ]


def test_a_cell_that_ignores_interrupts_is_killed(tmp_path, monkeypatch):
    """After the grace the kernel is killed, and the notebook still tells why."""
    monkeypatch.setattr("orch_notebook.promotion.stopping.GRACE", 0.5)
    source = """
        import signal, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print('deaf', flush=True)
        time.sleep(600)
    """
    stop = Stop()
    told = Told(lambda what, index: stop.request("enough") if what == "output" else None)
    execution = execute(
        write(tmp_path / "a.ipynb", source, "never = 1"), output=tmp_path / "out.ipynb", progress=told, stop=stop
    )
    assert (execution.kind, execution.cell_index, execution.ename) == ("stopped", 0, "Stopped")
    assert execution.evalue == "The notebook was interrupted: enough."
    assert statuses(read_notebook(execution.output)) == ["failed", "pending"]


def test_stopping_between_cells_starts_no_other(tmp_path):
    """A wish to stop that comes as a cell ends leaves that cell completed and the rest pending."""
    stop = Stop()
    told = Told(lambda what, index: stop.request() if what == "ended" else None)
    path = write(tmp_path / "a.ipynb", "x = 1", new_markdown_cell("prose"), "y = 2")
    execution = execute(path, output=tmp_path / "out.ipynb", progress=told, stop=stop)
    assert (execution.kind, execution.cell_index) == ("stopped", None)
    assert statuses(read_notebook(execution.output)) == ["completed", "pending", "pending"]


@pytest.mark.parametrize("grace", [5.0, 0.0])
def test_a_stop_asked_before_the_start_runs_nothing(tmp_path, grace):
    """A worker that is told to leave while a kernel starts runs no cell, whether the kernel lives through it or not."""
    stop = Stop()
    stop.request("the worker shuts down", grace)
    execution = execute(write(tmp_path / "a.ipynb", "x = 1"), output=tmp_path / "out.ipynb", stop=stop)
    assert execution.kind == "stopped"
    assert statuses(read_notebook(execution.output)) == ["pending"]


@pytest.mark.processes
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_sigterm_ends_the_kernel_and_leaves_a_true_notebook(tmp_path):
    """A process that is terminated interrupts its cell, ends its kernel and writes what happened."""
    path = write(tmp_path / "a.ipynb", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)", "never = 1")
    program = textwrap.dedent(
        f"""
        import signal
        from orch_notebook.promotion.execution import Stop, execute

        class Progress:
            def cell_started(self, index, cell_id): pass
            def cell_ended(self, index, cell_id, error): pass
            def output(self, index, message): print(message["text"], flush=True)

        stop = Stop()
        signal.signal(signal.SIGTERM, lambda *_: stop.request("the worker shuts down"))
        ended = execute({str(path)!r}, output={str(tmp_path / "out.ipynb")!r}, progress=Progress(), stop=stop)
        print(ended.kind, ended.cell_index)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    kernel = int(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert rest.strip() == "stopped 0"
    assert not Path(f"/proc/{kernel}").exists() or sys.platform != "linux"
    notebook = read_notebook(tmp_path / "out.ipynb")
    assert statuses(notebook) == ["failed", "pending"]
    assert notebook.cells[0].outputs[-1].evalue == "The notebook was interrupted: the worker shuts down."


TASKS = """
from IPython.core.magic import register_cell_magic, register_line_magic

@register_cell_magic
def task(line, cell):
    print("defined", line)

@register_line_magic
def flow(line):
    print("ran the flow:", line)
"""


# the last cell, the cells of the executed copy, whether a run was added
FLOWS = [("x = 1", 4, True), ("%flow run", 3, False)]


@pytest.mark.parametrize(("last", "count", "added"), FLOWS, ids=["added", "there"])
def test_a_notebook_that_never_runs_its_flow_gets_a_cell_that_does(tmp_path, last, count, added):
    """Tasks that nobody runs are run by a last cell; where the notebook runs them itself nothing is added."""
    path = write(tmp_path / "a.ipynb", TASKS, "%%task load\nx = 1", last)
    told = Told()
    execution = execute(path, output=tmp_path / "out.ipynb", progress=told)
    assert execution.ok
    notebook = read_notebook(execution.output)
    assert len(notebook.cells) == count
    assert ("injected-flow-run" in notebook.cells[-1].metadata.tags) is added
    assert told.text(count - 1) == "ran the flow: run\n"
    assert told.text(1) == "defined load\n"


def test_the_copy_is_written_while_cells_complete(tmp_path):
    """Between two writes lies the time asked for, by the clock that is passed in; what ended is in the file."""
    output = tmp_path / "out.ipynb"
    now = [0.0]
    seen = {}

    def react(what, index):
        if what == "ended":
            seen[index] = statuses(read_notebook(output))
            now[0] += 1.0

    path = write(tmp_path / "a.ipynb", "a = 1", "b = 2", "c = 3", "d = 4")
    execute(path, output=output, progress=Told(react), clock=lambda: now[0], save_every=1.5)
    assert seen[0] == ["pending"] * 4
    assert seen[3][:2] == ["completed", "completed"]
    assert statuses(read_notebook(output)) == ["completed"] * 4


def test_a_follower_that_fails_ends_the_execution_truthfully(tmp_path):
    """When whoever follows raises, the kernel is ended, the notebook written, and the error comes through."""

    def react(what, index):
        if what == "ended":
            raise LookupError("the lease is lost")

    path = write(tmp_path / "a.ipynb", "a = 1", "b = 2")
    with pytest.raises(LookupError, match="the lease is lost"):
        execute(path, output=tmp_path / "out.ipynb", progress=Told(react))
    assert statuses(read_notebook(tmp_path / "out.ipynb"))[1] == "pending"


def test_an_interrupt_from_the_keyboard_comes_through(tmp_path):
    """Ctrl-C ends the kernel, leaves a true notebook and is not swallowed."""

    def react(what, index):
        if what == "started" and index == 1:
            raise KeyboardInterrupt

    path = write(tmp_path / "a.ipynb", "a = 1", "b = 2", "c = 3")
    with pytest.raises(KeyboardInterrupt):
        execute(path, output=tmp_path / "out.ipynb", progress=Told(react))
    notebook = read_notebook(tmp_path / "out.ipynb")
    assert statuses(notebook) == ["completed", "failed", "pending"]
    assert notebook.cells[1].outputs[-1].evalue == "The notebook was interrupted from the keyboard."


def test_what_keeps_a_notebook_from_running_is_said_before(tmp_path):
    """A bad parameter, kernel, folder or output is refused before a kernel starts, in one line."""
    path = write(tmp_path / "a.ipynb", ("n = 1", ["parameters"]))
    output = tmp_path / "out.ipynb"
    with pytest.raises(ParameterError, match="There is no parameter 'm'"):
        execute(path, output=output, parameters={"m": 1})
    with pytest.raises(NotebookError, match="kernel 'no-such' is not installed"):
        execute(path, output=output, kernel="no-such")
    with pytest.raises(NotebookError, match="which is no folder"):
        execute(path, output=output, cwd=tmp_path / "none")
    with pytest.raises(NotebookError, match="cannot be written"):
        execute(path, output=path / "inside" / "out.ipynb")
    assert not output.exists()


# the command of a kernel that is installed but broken, what the error says
BROKEN_KERNELS = [
    (["/no/such/python", "-f", "{connection_file}"], "did not start"),
    ([sys.executable, "-c", "raise SystemExit(1)", "{connection_file}"], "did not start: Kernel died before replying"),
    ([sys.executable, "-m", "no_such_module", "{connection_file}"], "No module named no_such_module"),
]


def install(folder, monkeypatch, name, argv):
    """Install a kernel that only this test knows."""
    spec = folder / "share" / "kernels" / name
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "share"))


@pytest.mark.parametrize(("argv", "says"), BROKEN_KERNELS, ids=["missing", "dies", "lacks"])
def test_a_kernel_that_does_not_start_is_one_line(tmp_path, monkeypatch, argv, says):
    """A kernel whose program lacks or dies at once is a NotebookError that names it."""
    install(tmp_path, monkeypatch, "broken", argv)
    path = write(tmp_path / "a.ipynb", "x = 1")
    with pytest.raises(NotebookError, match=says) as caught:
        execute(path, output=tmp_path / "out.ipynb", kernel="broken")
    assert "'broken'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert statuses(read_notebook(tmp_path / "out.ipynb")) == ["pending"]


#: A kernel whose port another process takes in the last moment, the first two times.
ROBBED = """
import json, os, pathlib, socket, subprocess, sys
with open("starts", "a") as file:
    file.write("x")
command = [sys.executable, "-m", "ipykernel_launcher", "-f", sys.argv[1]]
if pathlib.Path("starts").stat().st_size > 2:
    os.execv(sys.executable, command)
about = json.loads(pathlib.Path(sys.argv[1]).read_text())
with socket.socket() as thief:
    thief.bind((about["ip"], about["shell_port"]))
    thief.listen()
    sys.exit(subprocess.run(command).returncode)
"""


def test_a_kernel_whose_port_is_taken_is_started_again(tmp_path, monkeypatch):
    """The notebook is executed by the third, and each of its cells once."""
    (tmp_path / "robbed.py").write_text(ROBBED)
    install(tmp_path, monkeypatch, "robbed", [sys.executable, str(tmp_path / "robbed.py"), "{connection_file}"])
    path = write(tmp_path / "a.ipynb", "with open('cells', 'a') as file:\n    file.write('x')")
    assert execute(path, output=tmp_path / "out.ipynb", kernel="robbed").ok
    assert (tmp_path / "starts").read_text() == "xxx"
    assert (tmp_path / "cells").read_text() == "x"


@pytest.mark.skipif(os.name != "posix", reason="There are no such sockets.")
def test_a_python_kernel_takes_no_port(tmp_path):
    """It is reached through sockets in a folder that only its owner enters and that goes with it."""
    look = """
        import json, os, stat
        from ipykernel.kernelapp import IPKernelApp
        app = IPKernelApp.instance()
        print(json.dumps([app.transport, app.ip, stat.S_IMODE(os.stat(os.path.dirname(app.ip)).st_mode)]))
    """
    ended = execute(write(tmp_path / "a.ipynb", look), output=tmp_path / "out.ipynb")
    transport, place, mode = json.loads(texts(read_notebook(ended.output).cells[0]))
    assert (transport, mode) == ("ipc", 0o700)
    assert not Path(place).parent.exists()


def test_a_notebook_that_takes_too_much_memory_is_ended_and_says_why(tmp_path):
    """What a process that the kernel started takes counts, too; the cell and the verdict tell how much it was."""
    hungry = """
        import subprocess, sys, time
        code = "held = bytearray(400_000_000); import time; time.sleep(60)"
        subprocess.run([sys.executable, "-c", code])
    """
    book = write(tmp_path / "book.ipynb", "x = 1", hungry, "print('never')")
    ended = execute(book, output=tmp_path / "out.ipynb", memory=350_000_000)
    assert (ended.kind, ended.cell_index, ended.ename) == ("failed", 1, "MemoryExceeded")
    assert ended.evalue.endswith("of memory, and may take 350 MB.")
    executed = read_notebook(tmp_path / "out.ipynb")
    assert statuses(executed) == ["completed", "failed", "pending"]
    assert "MemoryExceeded" in str(executed.cells[1].outputs)
