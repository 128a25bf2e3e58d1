"""What a run of a flow ought to do: two hundred lines without threads, store or engine, to compare the real ones with.

In: the same steps, fates and blows that the real flow is given.  Out: which calls stand where, what each has given,
how often the work behind each was done, and how the run stands.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from tests.functions.stage import DELAY, Step, value_of

#: How a call stands, as the store names it.
OPEN = frozenset({"Pending", "Running", "AwaitingRetry"})


@dataclass
class Called:
    """One call of the flow's body."""

    step: Step
    call: int
    number: int
    state: str = "Pending"
    left: int = 0
    started_at: float = 0.0
    due_at: float = 0.0
    value: Any = None
    is_observed: bool = False
    culprit: int | None = None
    given: tuple[Any, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


@dataclass
class Expected:
    """The run of a flow, and those that it repeats."""

    now: float = 0.0
    program: list[Step] = field(default_factory=list)
    fates: defaultdict[int, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    performed: Counter[int] = field(default_factory=Counter)
    #: What each completed call has left for the runs that repeat this one, by what it was given.
    made: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    answered: set[int] = field(default_factory=set)
    state: str = "Completed"
    calls: dict[int, Called] = field(default_factory=dict)
    position: int = -1
    #: How the body has ended, while the ends of its tasks are waited for: raise, return, suspend.
    said: str = ""
    attempt: int = 0
    again_at: float = 0.0

    # where it stands

    @property
    def is_over(self) -> bool:
        return self.state in ("Completed", "Failed", "Cancelled", "Crashed")

    @property
    def listens(self) -> bool:
        """Whether the body waits for what comes next."""
        return self.state == "Running" and not self.said and self.position == len(self.program)

    @property
    def at_gates(self) -> set[int]:
        return {called.number for called in self.calls.values() if called.state == "Running"}

    def goes_on(self, call: int) -> bool:
        """Whether a call has not ended."""
        return call in self.calls and self.calls[call].is_open

    # what is done

    def begin(self) -> None:
        """Begin a flow of which nothing is known."""
        self.program.clear()
        self.made.clear()
        self.answered.clear()
        self.go()

    def go(self) -> None:
        """Begin a run: a new one, one that repeats another, or one that was suspended."""
        self.state, self.attempt = "Running", 1
        self._begin_body()

    def _begin_body(self) -> None:
        self.calls, self.position, self.said = {}, 0, ""
        self.kept = Counter(self.made)
        self._go_on()

    def take(self, step: Step) -> None:
        """Let the body's next line be this."""
        self.program.append(step)
        self._go_on()

    def say(self, word: str) -> None:
        """Let the body end."""
        self.said = word
        self._go_on()

    def open(self, number: int, fate: str) -> None:
        """Let a task go on that waits at its gate."""
        [called] = [each for each in self.calls.values() if each.number == number and each.state == "Running"]
        self._finish(called, fate)
        self._go_on()

    def pass_time(self, seconds: float) -> None:
        """Let time pass: what takes too long is ended, what waits for its time begins."""
        self.now += seconds
        due = [each for each in self.calls.values() if each.state == "AwaitingRetry" and each.due_at <= self.now]
        late = [each for each in self.calls.values() if each.state == "Running" and self._is_late(each)]
        for called in late:
            self._finish(called, "TimedOut")
        for called in due:
            self._perform(called)
        if self.state == "AwaitingRetry" and self.again_at <= self.now:
            self.state, self.attempt = "Running", self.attempt + 1
            self._begin_body()
        self._go_on()

    def _is_late(self, called: Called) -> bool:
        return called.step.timeout is not None and called.started_at + called.step.timeout <= self.now

    def answer(self, number: int) -> None:
        """Answer what the run asks."""
        self.answered.add(number)
        if self.state == "Suspended":
            self.go()
        else:
            self.state = "Running"
            self._go_on()

    def end(self, state: str) -> None:
        """End it from outside."""
        for called in self.calls.values():
            if called.is_open:
                called.state = "Cancelled"
        self.state = state

    # what follows

    def _go_on(self) -> None:
        while self._step():
            pass
        if self.said and self.state == "Running" and not any(called.is_open for called in self.calls.values()):
            self._end_body()

    def _step(self) -> bool:
        """Do whatever can be done next; False if there is nothing."""
        for called in self.calls.values():
            if called.state == "Pending" and self._look_at(called):
                return True
        if self.state != "Running" or self.said or self.position >= len(self.program):
            return False
        step = self.program[self.position]
        if step.kind in ("pause", "suspend"):
            if step.number not in self.answered:
                if step.kind == "suspend":
                    self.said = "suspend"
                else:
                    self.state = "Paused"
                return False
        elif step.kind == "ask":
            called = self.calls[step.calls[0]]
            if called.is_open:
                return False
            self._observe(called)
        elif step.calls[0] not in self.calls:
            for place, call in enumerate(step.calls):
                self.calls[call] = Called(step, call, step.number + place, left=step.retries)
            if step.when != "all_success":
                for call in step.inputs:
                    self.calls[call].is_observed = True
            return True
        elif step.kind in ("call", "subflow"):
            called = self.calls[step.calls[0]]
            if called.is_open:
                return False
            self._observe(called)
        self.position += 1
        return True

    def _observe(self, called: Called) -> None:
        called.is_observed = True
        if called.culprit is not None:
            self._observe(self.calls[called.culprit])

    def _look_at(self, called: Called) -> bool:
        inputs = [self.calls[call] for call in called.step.inputs]
        if called.step.when == "all_success":
            bad = [each for each in inputs if not each.is_open and each.state not in ("Completed", "Cached")]
            if bad:
                called.state = "UpstreamFailed"
                called.culprit = bad[0].culprit if bad[0].culprit is not None else bad[0].call
                return True
        if any(each.is_open for each in inputs):
            return False
        called.given = tuple(each.value if each.state in ("Completed", "Cached") else Failure(each) for each in inputs)
        if self.kept[self._key(called)]:
            self.kept[self._key(called)] -= 1
            called.state, called.value = "Cached", value_of(called.number, called.given)
        else:
            self._perform(called)
        return True

    def _key(self, called: Called) -> tuple[Any, ...]:
        return called.number, called.step.kind == "subflow", repr(called.given)

    def _perform(self, called: Called) -> None:
        self.performed[called.number] += 1
        fates = self.fates[called.number]
        fate = fates.popleft() if fates else "returns"
        if fate == "waits":
            called.state, called.started_at = "Running", self.now
        else:
            self._finish(called, fate)

    def _finish(self, called: Called, fate: str) -> None:
        if fate == "returns":
            called.state, called.value = "Completed", value_of(called.number, called.given)
            self.made[self._key(called)] += 1
        elif not called.left:
            called.state = "Failed" if fate == "fails" else fate
        else:
            called.left -= 1
            if called.step.delay:
                called.state, called.due_at = "AwaitingRetry", self.now + called.step.delay
            else:
                self._perform(called)

    def _end_body(self) -> None:
        if self.said == "suspend":
            self.state = "Suspended"
            return
        failed = [each for each in self.calls.values() if each.state in ("Failed", "TimedOut")]
        if self.said == "return" and all(each.is_observed for each in failed):
            self.state = "Completed"
        elif self.attempt == 1:
            self.state, self.again_at = "AwaitingRetry", self.now + DELAY
        else:
            self.state = "Failed"


class Failure(Exception):
    """What a call is given of one that did not end well."""

    def __init__(self, called: Called) -> None:
        super().__init__(called.call, called.state)
