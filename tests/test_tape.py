from __future__ import annotations

import pytest
import torch
from torch import Tensor

from airkit.model.tape import Known, Tape, afresh


def _parts(*values: float) -> tuple[Tensor, ...]:
    return tuple(torch.full((2, 3), value) for value in values)


def _never() -> tuple[Tensor, ...]:
    raise AssertionError("computed twice")


def _played(known: Known) -> list[list[float]]:
    return [part[:, 0].tolist() for part in known(_never)]


def test_without_a_tape_all_is_computed_each_time() -> None:
    weights, calls = torch.ones(2, requires_grad=True), []

    def compute() -> tuple[Tensor, ...]:
        calls.append(weights * 2)
        return (calls[-1],)

    one, other = afresh(compute), afresh(compute)
    assert len(calls) == 2
    assert one[0] is calls[0]
    assert not one[0].requires_grad
    assert torch.equal(one[0], other[0])


def test_slots_come_back_side_by_side_in_the_order_of_calls() -> None:
    tape = Tape()
    for slot in range(3):
        known = tape.record()
        for call in (10, 20):
            (given,) = known(lambda: _parts(call + slot))  # noqa: B023
            assert given[0, 0] == call + slot
    known = tape.replay()
    assert _played(known) == [[10.0, 10.0, 11.0, 11.0, 12.0, 12.0]]
    assert _played(known) == [[20.0, 20.0, 21.0, 21.0, 22.0, 22.0]]


def test_calls_give_one_part_or_more() -> None:
    tape = Tape()
    for slot in range(2):
        known = tape.record()
        known(lambda: _parts(slot, slot + 5))  # noqa: B023
        known(lambda: _parts(slot + 7))  # noqa: B023
    known = tape.replay()
    assert _played(known) == [[0.0, 0.0, 1.0, 1.0], [5.0, 5.0, 6.0, 6.0]]
    assert _played(known) == [[7.0, 7.0, 8.0, 8.0]]


def test_one_slot_is_enough_and_its_tensors_are_its_own() -> None:
    """What is played gets a history of gradients, which what was recorded must not share."""
    tape = Tape()
    (given,) = tape.record()(lambda: _parts(4))
    (played,) = tape.replay()(_never)
    assert torch.equal(played, given)
    assert played is not given


def test_what_is_recorded_has_no_gradient() -> None:
    tape, weights = Tape(), torch.ones(2, 3, requires_grad=True)
    (given,) = tape.record()(lambda: (weights * 2,))
    (played,) = tape.replay()(_never)
    assert not given.requires_grad
    assert not played.requires_grad


def test_a_tape_can_be_played_again() -> None:
    tape = Tape()
    tape.record()(lambda: _parts(1))
    assert _played(tape.replay()) == _played(tape.replay()) == [[1.0, 1.0]]


def test_more_calls_than_were_recorded_are_a_mistake() -> None:
    tape = Tape()
    tape.record()(lambda: _parts(1))
    known = tape.replay()
    known(_never)
    with pytest.raises(StopIteration):
        known(_never)


def test_slots_of_unlike_calls_are_a_mistake() -> None:
    tape = Tape()
    one, other = tape.record(), tape.record()
    one(lambda: _parts(1))
    one(lambda: _parts(2))
    other(lambda: _parts(3))
    known = tape.replay()
    known(_never)
    with pytest.raises(ValueError, match="zip"):
        known(_never)


def test_calls_of_unlike_parts_are_a_mistake() -> None:
    tape = Tape()
    tape.record()(lambda: _parts(1))
    tape.record()(lambda: _parts(1, 2))
    with pytest.raises(ValueError, match="zip"):
        tape.replay()(_never)
