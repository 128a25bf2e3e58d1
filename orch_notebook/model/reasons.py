"""Why a cell gives something else in a flow than in a plain notebook, as far as rules are known.

In: the cell's code and what differs.  Out: the reason in a sentence, with what to do about it.  Each rule is one row of
:data:`RULES`; the first that fits speaks, so those that say more stand above.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orch_notebook.model.cells.effects import Effects

__all__ = ["RULES", "Rule", "reason_for"]

#: Names under which IPython keeps what cells showed, and their texts; of '_' and its kin the analysis knows.
HISTORY = r"(?<![\w.])(?:(?:Out|In|_oh|_ih)\s*[\[.)]|_i{1,3}\b|_i?\d+\b)|it reads '\w+', the history"
MAGIC = r"run_(?:line|cell)_magic\(['\"](?:{})['\"]"


@dataclass(frozen=True, slots=True)
class Rule:
    """One known reason.

    Parameters
    ----------
    name : str
        What it is about, in a word or two.
    code : str
        A regular expression for the cell's code, magics as calls of ``get_ipython()``.
    why : str
        The reason, and the way out.
    what : str
        A regular expression for what differs; by default anything.
    """

    name: str
    code: str
    why: str
    what: str = ""


RULES: tuple[Rule, ...] = (
    Rule("input", r"\binput\(|getpass\(", "A task cannot ask: nobody may be there to answer. Make it a parameter."),
    Rule(
        "history",
        HISTORY,
        "IPython keeps what cells showed in '_' and Out, and their texts in In; which cell came last is a question of "
        "the order. Give the value a name.",
    ),
    Rule(
        "magic of the session",
        MAGIC.format("who|whos|who_ls|hist|history|reset|reset_selective|xdel|store|rerun|recall|macro|notebook|save|"
                     "edit|logstart|logon|logstate|page|pastebin|psearch|load|loadpy|dhist"),
        "This magic looks at the session as it is when it is called, and a flow fills that in another order. Leave it "
        "out of the flow, or write its lines as Python.",
    ),
    Rule(
        "debugger",
        MAGIC.format("debug|pdb|tb|xmode|prun|lprun|mprun|memit|run"),
        "This magic is about the code that runs around a cell, which for a task is the flow's. Run it in a plain cell.",
    ),
    Rule(
        "timing",
        MAGIC.format("timeit|time") + r"|\btimeit\b|perf_counter|process_time|\bmonotonic\(",
        "It measures time, and beside other tasks, or within the flow, that is another. A cell that must be measured "
        "alone stays plain.",
        r"^(?:prints|complains|shows|leaves)",
    ),
    Rule(
        "capture",
        MAGIC.format("capture"),
        "%%capture keeps what a cell puts out in an object of IPython's, which is made another way for a task. Print "
        "the texts themselves, '.stdout' and '.show()', rather than the object.",
    ),
    Rule(
        "backend",
        MAGIC.format("matplotlib|pylab") + r"|matplotlib\.use\(|switch_backend|\bioff\(|interactive\(|rcdefaults|"
        r"rcParamsDefault",
        "It changes how or when figures are shown. In a flow all figures that a task leaves open are shown below it, "
        "when it ends. Close those that should not be, or call 'plt.show()'.",
    ),
    Rule(
        "reloading",
        MAGIC.format("autoreload|load_ext|reload_ext|aimport"),
        "Modules are loaded anew before each plain cell, and once before a flow. Execute this in a plain cell.",
    ),
    Rule(
        "streams",
        r"sys\.(?:__)?std(?:out|err)|redirect_std(?:out|err)|isatty|StreamHandler|basicConfig|\bos\.(?:write|dup2?)\(",
        "It uses sys.stdout or sys.stderr itself: for a task these lead to what is kept of it, not to the kernel's "
        "own stream. Only what print() needs can be relied on.",
    ),
    Rule(
        "main thread",
        r"\bsignal\b|\bthreading\b|\bset_wakeup_fd|\bmultiprocessing\b|ProcessPoolExecutor|ThreadPoolExecutor|tkinter|\bturtle\b",
        "Tasks run in threads of their own, plain cells in the kernel's main one, and this asks which thread it is "
        "in. Leave the cell plain.",
    ),
    Rule(
        "event loop",
        r"\basyncio\b|\bawait\b|nest_asyncio|get_event_loop|create_task|run_until_complete",
        "A plain cell shares the kernel's event loop, which goes on between cells; a task has one for itself, which "
        "ends with it. Await in the same cell what it starts.",
    ),
    Rule(
        "recursion",
        r"setrecursionlimit|getrecursionlimit|RecursionError|sys\._getframe|inspect\.(?:stack|currentframe|getsource)|"
        r"traceback\.|currentframe",
        "It looks at the frames it is called from, of which a task has others than a plain cell.",
    ),
    Rule(
        "namespace",
        r"\b(?:globals|locals|vars|dir)\(\)|__main__|\b__dict__\b|\b(?:exec|eval|compile)\(|__name__|__file__|__doc__|"
        r"\b(?:user_ns|push|pickle|dill|cloudpickle|joblib|shelve)\b",
        "It uses the namespace itself. A task has one of its own, with what stands above it; what it finds there by "
        "other ways than a name in its code has to be said with --inputs.",
    ),
    Rule(
        "identity",
        r"\bid\(|\bis (?!None\b|not None\b)|getrefcount|\bgc\.|\bweakref\b|__del__|getsizeof|memory_profiler|"
        r"\bmaxrss|psutil|tracemalloc|sys\.intern",
        "It asks which object a value is, or how long it lives. Values of a flow are kept longer than those of plain "
        "cells, and others may share them.",
    ),
    Rule(
        "other programs",
        r"\bos\.(?:system|popen|spawn|exec|fork)|\bsubprocess\b|\bctypes\b|\.(?:system|getoutput)\(|cython|numba",
        "What other programs and C code write comes through the process's own descriptors; while several tasks run "
        "it cannot be told whose it is. Capture it (subprocess.run(…, capture_output=True)) and print it.",
        r"^(?:prints|complains|shows)",
    ),
    Rule(
        "progress",
        r"\btqdm|progressbar|\bProgress\b|alive_bar|ipywidgets|\bwidgets\.|interact",
        "Progress bars and widgets are drawn as text where nobody watches; how often depends on the time.",
        r"^(?:prints|complains|shows)",
    ),
    Rule(
        "warnings",
        r"\bwarnings\b|simplefilter|filterwarnings|catch_warnings|showwarning",
        "Python notes in the module which warnings it has shown, and each only once: which cell shows it is a "
        "question of the order. Set the filters in one plain cell at the top.",
    ),
    Rule(
        "logging",
        r"\blogging\b|getLogger|\blogger\b|loguru",
        "Handlers and levels of loggers belong to the whole process. Set them in one plain cell at the top.",
        r"^(?:prints|complains|shows)",
    ),
    Rule(
        "chance",
        r"\brandom\b|\brand(?:int|n|om_state)?\b|\bshuffle\(|\bsample\(|\brng\b|\bseed\b|\bchoice\(|uuid|secrets\.",
        "It draws random numbers from a generator that other tasks use, too. Give it one of its own, seeded in the "
        "same cell: np.random.default_rng(0).",
    ),
    Rule(
        "clock",
        r"\btime\.(?:time|sleep|ctime|strftime)|datetime\.(?:now|today|utcnow)|Timestamp\.(?:now|today)|\bdate\.today",
        "It reads the clock.",
    ),
    Rule(
        "files",
        r"\bopen\(|\bos\.(?:listdir|path|stat|remove|getcwd|chdir|environ|walk|scandir)|\bglob\b|\bPath\(|read_|to_csv|"
        r"\bsqlite3\b|getmtime|tempfile|urlopen|urlretrieve|requests\.",
        "It reads or writes files, and which other cell does so cannot be seen in the code. Say so with --after.",
    ),
)  # fmt: skip


def reason_for(source: str, effects: Effects | None, what: str) -> str:
    """Return why a cell may give something else in a flow, with what to do about it; nothing if no rule is known.

    Parameters
    ----------
    source : str
        Its code, magics as calls of ``get_ipython()``.
    effects : Effects, optional
        What the analysis sees it do.
    what : str
        What differs, as :func:`~orch_notebook.model.outcomes.difference` says it.

    Examples
    --------
    >>> reason_for("print(Out[3])", None, "fails with KeyError: 3").partition(",")[0]
    "IPython keeps what cells showed in '_' and Out"
    >>> reason_for("print(1)", None, "prints '1' or '2'")
    ''
    """
    seen = f"{source}\n{effects.opaque}" if effects is not None else source
    for rule in RULES:
        if re.search(rule.code, seen) and re.search(rule.what, what):
            return rule.why
    if effects is not None and effects.opaque:
        return f"Nothing certain is known about it: {effects.opaque}. It waits for all above it, and all below wait."
    if effects is not None and (states := effects.state_reads | effects.state_changes):
        names = ", ".join(sorted(name.partition(":")[2] or name for name in states))
        return f"It depends on hidden state ({names}), which other cells use, too."
    return ""
