"""Magics inside task cells: they see the task's names, bind into the task, and keep its lines and its outputs."""

from __future__ import annotations

import pytest

from orch_notebook.model.views.words import plain
from tests.kernels import Kernel, Outcome

pytestmark = pytest.mark.kernel

#: Plain cells, task cells, and what the last of them shows.  Each runs beside its twin, which has `n` three times as
#: large and whose names end in `_twin`; so what one sees of the other would show.
BOOKS = {
    "%time binds": (["n = N", "%time m = [n * k for k in range(3)]", "m"], "[0, N, 2N]"),
    "%time gives its value": (["n = N", "%time n + 1"], "N+1"),
    "%time calls what the task defines": (
        ["n = N", "def f(k):\n    return k * n\n%time m = f(2)", "m"], "2N"),
    "%%time binds": (["n = N", "%%time\nm = n + 1\nk = [m for _ in range(2)]", "m, k[1]"], "(N+1, N+1)"),
    "%%time gives its last value": (["n = N", "%%time\nm = n + 1\nm"], "N+1"),
    "%%time and a version above": (["n = N", "before = n", "%%time\nn = n + 1", "before, n"], "(N, N+1)"),
    "%%time defines": (["n = N", "%%time\ndef f():\n    return n\nclass C:\n    k = n", "f(), C.k"], "(N, N)"),
    "%timeit binds nothing": (["n = N", "%timeit -q -n1 -r1 m = n\n'm' in globals(), n"], "(False, N)"),
    "%%timeit sees": (["n = [N]", "%%timeit -q -n1 -r1\nn.append(1)", "n[0]"], "N"),
    "%%capture keeps text": (["n = N", "%%capture out\nprint('n is', n)", "out.stdout"], r"'n is N\n'"),
    "%%capture keeps its last value": (["n = N", "%%capture out\nn", "out.outputs[0].data['text/plain']"], "'N'"),
    "%%capture leaves what it is told": (["n = N", "%%capture --no-stdout out\nprint(n)", "out.stdout"], "''"),
    "%%capture keeps what is wrong with a magic": (
        ["n = N", "%%capture out\n%%nosuchmagic\nn", "'nosuchmagic' in out.stderr"], "True",
    ),
    "%%capture keeps nothing where a semicolon ends": (
        ["n = N", "%%capture out\nprint(n);", "'out' in globals()"], "False",
    ),
    "%%capture binds": (["n = N", "%%capture\nm = n + 1", "m"], "N+1"),
    "one in the other": (["n = N", "%%time\n%%capture out\nprint(n)", "out.stdout"], r"'N\n'"),
    "user_ns": (["n = N", "get_ipython().user_ns['n']"], "N"),
    "user_ns, bound into": (["n = N", "get_ipython().user_ns['m'] = n", "m"], "N"),
    "a shell line": (["n = N", "lines = !echo {n}\nlines[0]"], "'N'"),
    "a magic that lists names": (["n = N", "names = %who_ls int\n'n' in names"], "True"),
}  # fmt: skip


def value(text: str, n: int) -> str:
    """The expected text for one value of ``n``."""
    return text.replace("2N", str(2 * n)).replace("N+1", str(n + 1)).replace("N", str(n))


def values(outcome: Outcome) -> list[str]:
    assert not outcome.error, outcome.error
    return [out["data"]["text/plain"] for out in outcome.outputs if out["output_type"] == "execute_result"]


@pytest.mark.parametrize(("cells", "expected"), BOOKS.values(), ids=BOOKS)
def test_a_magic_works_on_the_names_of_its_task(kernel: Kernel, cells: list[str], expected: str) -> None:
    """As in a plain cell, for whichever version of a name the task is bound to."""
    kernel.run("%reset -sf")
    kernel.run("%reload_ext orch_notebook")
    # The same notebook twice over, its second half with other values: nothing of one half may be seen in the other.
    for half, n in enumerate((5, 15)):
        for number, cell in enumerate(cells):
            kernel.run(f"%%task t{half}{number}\n{value(cell, n) if not number else cell}")
    found = values(kernel.run("%flow run --quiet"))
    assert sorted(found) == sorted(value(expected, n) for n in (5, 15))


FAILING = {
    "%%time": ("%%time\nn = 0\n\nm = 1 / n", 5),
    "%%capture": ("%%capture\nprint('seen')\nm = 1 / 0", 4),
    "both": ("%%time\n%%capture\nm = 1 / 0", 4),
    "after blank lines": ("\n\n%%time\nm = 1 / 0", 5),
}


@pytest.mark.parametrize(("cell", "line"), FAILING.values(), ids=FAILING)
def test_an_error_below_a_cell_magic_tells_its_line(kernel: Kernel, cell: str, line: int) -> None:
    """At the line that the person wrote, and nothing of what ran the magic is shown; the task fails, or is captured."""
    kernel.run("%reset -sf")
    kernel.run("%reload_ext orch_notebook")
    number = kernel.run("0").outputs[0]["execution_count"] + 1
    kernel.run(f"%%task broken\n{cell}")
    shown = plain(kernel.run("%flow run --quiet").traceback)
    assert f"Cell In[{number}], line {line}\n" in shown
    assert f"----> {line} " in shown
    assert ("FlowRunFailed" in shown) != ("%%capture" in cell)
    for ours in ("cellmagics", "bodies.py", "run_cell_magic"):
        assert ours not in shown


CAPTURED = ("%%capture out\nprint('so far')\nm = 1\n1 / 0\nk = 2", "print(repr(out.stdout), m, 'k' in globals())")


@pytest.mark.parametrize("is_flow", (False, True), ids=("plain", "flow"))
def test_an_error_below_capture_is_shown_and_the_cell_goes_on(kernel: Kernel, is_flow) -> None:
    """In a task as in a plain cell: with the error below it, what was written captured, and what was bound kept."""
    kernel.run("%reset -sf")
    kernel.run("%reload_ext orch_notebook")
    shown = [kernel.run(f"%%task t{n}\n{cell}" if is_flow else cell) for n, cell in enumerate(CAPTURED)]
    shown += [kernel.run("%flow run --quiet")] * is_flow
    assert [each.status for each in shown] == ["ok"] * len(shown)
    assert "ZeroDivisionError: division by zero" in [each.error for each in shown]
    assert "".join(each.stream() for each in shown) == "'so far\\n' 1 False\n"


def test_capturing_takes_nothing_from_a_task_beside(fresh_kernel: Kernel) -> None:
    """Two tasks at work at once, one of them captured: each keeps its own."""
    meeting = (
        "import threading\nfrom collections import defaultdict\n"
        "barriers = defaultdict(lambda: threading.Barrier(2))\ndef meet(when):\n    return barriers[when].wait(30)\n"
    )
    for cell in (
        f"from pathlib import Path\nPath('meeting.py').write_text({meeting!r});",
        "%load_ext orch_notebook\nfrom meeting import meet",
        "%%task a\n%%capture out\na = meet(1)\nprint('captured')\na = meet(2)",
        "%%task b\nb = meet(1)\nprint('beside')\nb = meet(2)",
        "%%task c\nprint('it was', out.stdout)",
    ):
        assert not fresh_kernel.run(cell).error
    shown = fresh_kernel.run("%flow run --quiet")
    assert not shown.error, shown.error
    assert sorted(shown.stream().splitlines()) == ["", "beside", "it was captured"]


def test_plain_cells_keep_ipythons_magics(kernel: Kernel) -> None:
    """While the extension is loaded, and after it has gone."""
    for load in ("%reload_ext orch_notebook", "%unload_ext orch_notebook"):
        kernel.run(load)
        assert "Wall time" in kernel.run("%%time\nx = 1").stream()
        kernel.run("%%capture out\nprint('plain')")
        assert kernel.run("out.stdout").data() == ["'plain\\n'"]
        assert (
            "_route" not in kernel.run("get_ipython().magics_manager.magics['cell']['time']").data()[0] or "%re" in load
        )


ALIAS = """
import threading
from IPython.core.magic import register_line_magic
both = threading.Barrier(2)
@register_line_magic
def slow(line): return both.wait(20)
%alias_magic -l slower slow
places = []
def call(): places.append(get_ipython().run_line_magic("slower", ""))
threads = [threading.Thread(target=call) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(places))
"""


def test_an_alias_may_be_called_by_two_tasks_at_once(kernel: Kernel) -> None:
    """IPython takes the second call for a recursion; with the extension it only does so within one thread."""
    kernel.run("%load_ext orch_notebook")
    assert kernel.run(ALIAS).stream().endswith("[0, 1]\n")
    kernel.run("%unload_ext orch_notebook")
    assert kernel.run("from IPython.core.magic import MagicAlias\nprint('_in_call' in vars(MagicAlias))").stream() == (
        "False\n"
    )
    kernel.run("%load_ext orch_notebook")


def test_a_future_import_may_stand_anywhere(kernel: Kernel) -> None:
    """As in IPython, which compiles statement by statement."""
    kernel.run("%reload_ext orch_notebook")
    kernel.run("%%task late_import\n%matplotlib inline\nfrom __future__ import division\nhalf = 1 / 2")
    assert kernel.run("%flow run late_import").status == "ok"
    assert kernel.run("print(half)").stream() == "0.5\n"


GATE = """
import sys, threading, types
made = sys.modules["gate"] = types.ModuleType("gate")
made.events = {name: threading.Event() for name in ("in", "out")}
made.open = lambda name, events=made.events: events[name].set()
made.wait = lambda name, events=made.events: events[name].wait(30)
made.both = lambda one, other: (made.open(one), made.wait(other))
"""


def test_timeit_takes_back_nothing_that_others_publish_meanwhile(fresh_kernel: Kernel) -> None:
    """It keeps and puts back the names of its surroundings, which for a task are those of the whole notebook."""
    for cell in (
        "%load_ext orch_notebook",
        GATE,
        "import gate\nfresh = 'old'",
        "%%task slow\n%timeit -q -n1 -r1 x = gate.both('in', 'out')",
        "%%task early\nw = gate.wait('in')\nfresh = 'new'",
        "%%task free --after early\nv = gate.open('out')",
    ):
        assert not fresh_kernel.run(cell).error
    assert not fresh_kernel.run("%flow run --quiet").error
    assert fresh_kernel.run("fresh, w").data() == ["('new', True)"]
