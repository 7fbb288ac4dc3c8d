"""Named random streams: the same for the same name, unrelated for another."""

from __future__ import annotations

import random
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch

from airkit.system import seeds

ADDRESSES: list[tuple[Any, ...]] = [
    (seed, name, *index)
    for seed, name, index in product((0, 1, 2**40), ("guide", "batches"), ((1,), (2,), (1, 1)))
]


def test_a_stream_is_a_function_of_its_address() -> None:
    for address in ADDRESSES:
        one, other = (seeds.generator(*address).integers(2**63, size=4) for _ in range(2))
        assert (one == other).all()
        assert seeds.integer(*address) == seeds.integer(*address)


def test_streams_differ() -> None:
    drawn = {tuple(seeds.generator(*address).integers(2**63, size=2)) for address in ADDRESSES}
    assert len(drawn) == len(ADDRESSES)
    assert len({seeds.integer(*address) for address in ADDRESSES}) == len(ADDRESSES)


def test_neighbours_are_unrelated() -> None:
    """The streams of consecutive steps are no more alike than independent ones."""
    streams = [seeds.generator(0, "guide", step).standard_normal(1000) for step in range(40)]
    alike = [abs(np.corrcoef(one, other)[0, 1]) for one, other in pairwise(streams)]
    assert max(alike) < 0.15


def test_the_values_stay_what_they_are() -> None:
    """Old data files and runs are made again only as long as these hold."""
    assert seeds.integer(0, "init") == 7343407241800991739
    assert seeds.generator(7, "batches", 3).integers(1000, size=4).tolist() == [782, 303, 879, 709]


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_an_integer_seeds_torch(seed: int) -> None:
    for step in range(100):
        number = seeds.integer(seed, "guide", step)
        assert 0 <= number < 2**63
        torch.Generator().manual_seed(number)


def test_global_generators_are_left_alone() -> None:
    before = random.getstate(), np.random.get_state(legacy=False)
    seeds.generator(0, "guide").random(5)
    seeds.integer(0, "guide")
    assert str(before) == str((random.getstate(), np.random.get_state(legacy=False)))


def test_a_negative_seed_is_no_seed() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        seeds.sequence(-1, "guide")
