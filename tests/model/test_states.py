"""The total transition table, cell by cell."""

from __future__ import annotations

import pickle

import pytest

from orch_notebook.model.states import FINAL, NAMES, TRANSITIONS, State, StateType, may_follow

#: Rows: from; columns: to, in the order of the types below.  ✓ may follow, · may not.
ORDER = list(StateType)
TABLE = {
    None:         "✓✓·······",
    "SCHEDULED":  "✓✓✓✓✓✓··✓",
    "PENDING":    "✓·✓✓✓✓✓✓✓",
    "RUNNING":    "✓·✓✓✓✓✓✓✓",
    "PAUSED":     "✓✓✓·✓✓·✓✓",
    "CANCELLING": "·····✓✓✓✓",
    "CANCELLED":  "✓✓·······",
    "COMPLETED":  "·········",
    "FAILED":     "✓✓·······",
    "CRASHED":    "✓✓·······",
}  # fmt: skip

PAIRS = [(before, after, mark == "✓") for before, row in TABLE.items() for after, mark in zip(ORDER, row, strict=True)]


@pytest.mark.parametrize("before, after, may", PAIRS, ids=[f"{before}-{after}" for before, after, _ in PAIRS])
def test_the_table_says_for_every_pair_what_may_follow(before, after, may) -> None:
    """Nothing is left open, and a fresh run begins as scheduled or pending."""
    assert may_follow(before and StateType(before), after) is may


def test_the_table_is_total() -> None:
    """Every type has a row and at least one name, and no name belongs to two types."""
    assert set(TRANSITIONS) == set(NAMES) == set(StateType) == set(ORDER)
    names = [name for found in NAMES.values() for name in found]
    assert len(names) == len(set(names))


def test_from_a_final_state_only_a_request_leads_on() -> None:
    """What has ended can be tried again or resumed; what is completed is completed for good."""
    for kind in FINAL:
        assert TRANSITIONS[kind] <= {StateType.SCHEDULED, StateType.PENDING}
    assert not TRANSITIONS[StateType.COMPLETED]


def test_every_state_can_reach_an_end() -> None:
    """From wherever a run stands there is a way to a final state."""
    for kind in set(StateType) - FINAL:
        assert TRANSITIONS[kind] & FINAL


STATES = [State(kind, name, "why") for kind, names in NAMES.items() for name in names]


@pytest.mark.parametrize("state", STATES, ids=[state.name for state in STATES])
def test_a_state_survives_json_and_pickle(state) -> None:
    """It comes back equal, and knows whether it is final."""
    assert State.from_json(state.to_json()) == state == pickle.loads(pickle.dumps(state))
    assert state.is_final is (state.type in FINAL)


def test_a_state_without_a_name_bears_the_first() -> None:
    """And one whose name belongs to another type is refused, with the names it may bear."""
    assert [State(kind).name for kind in ORDER] == [NAMES[kind][0] for kind in ORDER]
    with pytest.raises(ValueError, match="'Late' is not one of RUNNING's: Running, Retrying"):
        State(StateType.RUNNING, "Late")
