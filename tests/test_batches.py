"""The order of batches: a permutation an epoch, and a function of the seed and the step."""

from __future__ import annotations

import pytest
import torch

from airkit.training.batches import Batches


def epoch(batches: Batches, number: int) -> torch.Tensor:
    steps = range(number * batches.per_epoch, (number + 1) * batches.per_epoch)
    return torch.cat([batches.at(step) for step in steps])


@pytest.mark.parametrize(("count", "size"), [(60, 10), (60, 8), (7, 7), (1, 1), (5, 64)])
def test_an_epoch_takes_each_canvas_once(count: int, size: int) -> None:
    batches = Batches(count, size, seed=3)
    taken = epoch(batches, 2)
    assert taken.dtype == torch.int64
    assert len(taken) == count - count % min(size, count)
    assert len(set(taken.tolist())) == len(taken)
    assert 0 <= taken.min() <= taken.max() < count


def test_batches_are_of_equal_size() -> None:
    batches = Batches(60, 8, seed=0)
    assert batches.per_epoch == 7
    assert {len(batches.at(step)) for step in range(30)} == {8}


def test_a_batch_larger_than_the_split_is_all_of_it() -> None:
    batches = Batches(5, 64, seed=0)
    assert [sorted(batches.at(step).tolist()) for step in (0, 1)] == [[0, 1, 2, 3, 4]] * 2


def test_epochs_and_seeds_differ() -> None:
    batches = Batches(60, 10, seed=0)
    orders = [epoch(batches, number).tolist() for number in range(3)]
    orders.append(epoch(Batches(60, 10, seed=1), 0).tolist())
    assert len({tuple(order) for order in orders}) == 4


def test_every_canvas_has_its_turn() -> None:
    """What one epoch leaves out, others take."""
    batches = Batches(10, 6, seed=0)
    assert set(torch.cat([epoch(batches, number) for number in range(20)]).tolist()) == set(
        range(10)
    )


def test_steps_can_be_asked_for_in_any_order() -> None:
    forward, jumping = Batches(60, 8, seed=5), Batches(60, 8, seed=5)
    wanted = [forward.at(step).tolist() for step in range(30)]
    for step in (29, 3, 14, 13, 0, 28):
        assert jumping.at(step).tolist() == wanted[step]
