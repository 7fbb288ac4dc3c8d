"""A step is a function of the seed and its number: canvases, learning rate, prior, noise."""

from __future__ import annotations

import math
import platform
import subprocess
import sys
from typing import Any

import pytest
import torch
from tiny_runs import config, trainer

from airkit.model.counts import log_count_prior
from airkit.training.batches import Batches
from airkit.training.optimiser import rate_factor

# Batches


def epoch(batches: Batches, number: int) -> list[int]:
    steps = range(number * batches.per_epoch, (number + 1) * batches.per_epoch)
    found = [batches.at(step) for step in steps]
    assert {each.dtype for each in found} == {torch.int64}
    assert {len(each) for each in found} == {batches.size}
    return [int(index) for each in found for index in each]


@pytest.mark.parametrize(("count", "size"), [(60, 10), (60, 8), (7, 7), (1, 1), (5, 64)])
def test_an_epoch_takes_each_canvas_once(count: int, size: int) -> None:
    """What one epoch leaves out, others take."""
    epochs = [epoch(Batches(count, size, seed=3), number) for number in range(20)]
    for taken in epochs:
        assert len(set(taken)) == len(taken) == count - count % min(size, count)
    assert set().union(*epochs) == {*range(count)}


def test_epochs_and_seeds_differ() -> None:
    places = [(0, 0), (0, 1), (0, 2), (1, 0)]
    orders = {tuple(epoch(Batches(60, 10, seed), number)) for seed, number in places}
    assert len(orders) == 4


def test_batches_can_be_asked_for_in_any_order() -> None:
    forward, jumping = Batches(60, 8, seed=5), Batches(60, 8, seed=5)
    wanted = [forward.at(step).tolist() for step in range(30)]
    for step in (29, 3, 14, 13, 0, 28):
        assert jumping.at(step).tolist() == wanted[step]


# Steps


@pytest.mark.parametrize("looks", ["argmax", "drawn"])
@pytest.mark.parametrize("estimator", ["exact", "nvil"])
def test_a_step_is_a_function_of_its_number(looks: str, estimator: str) -> None:
    """Its loss does not depend on the steps asked for before."""
    keys: dict[str, Any] = {"guide__looks": looks, "train__estimator": estimator}
    keys |= {"train__learning_rate": 1e-10, "train__baseline_learning_rate": 1e-10}
    model = trainer(**keys)
    losses = [model.step(step).item() for step in range(8)]
    assert model.step(3).item() == pytest.approx(losses[3], rel=1e-6)
    assert trainer(**keys).step(7).item() == pytest.approx(losses[7], rel=1e-6)
    assert len(set(losses)) == 8


def test_learning_rate() -> None:
    cooldown = config(train__steps=100)
    assert {rate_factor(cooldown, step) for step in (0, 7, 50)} == {1}
    assert rate_factor(cooldown, 75) == pytest.approx(0.5)
    assert rate_factor(cooldown, 99) == pytest.approx(0.02)
    assert rate_factor(cooldown, 100) == rate_factor(cooldown, 150) == 0
    cosine = config(train__steps=100, train__schedule="cosine")
    assert rate_factor(cosine, 0) == 1
    assert rate_factor(cosine, 50) == pytest.approx(0.5)
    assert rate_factor(cosine, 25) == pytest.approx((2 + math.sqrt(2)) / 4)
    assert 0 < rate_factor(cosine, 99) < 1e-3
    assert rate_factor(cosine, 100) == rate_factor(cosine, 150) == 0
    constant = config(train__schedule="constant")
    assert {rate_factor(constant, step) for step in (0, 7, 10**6)} == {1}
    rising = config(train__schedule="constant", train__warmup=3)
    assert [rate_factor(rising, step) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    late = config(train__steps=100, train__warmup=1000)
    assert rate_factor(late, 75) == pytest.approx(0.5 * 76 / 1001)
    assert config().warmup == 0
    assert config(model__compositing="over").warmup == 100
    assert config(model__polarity="both").warmup == 100


def test_the_learning_rates_reach_adam() -> None:
    own: dict[str, Any] = {"train__learning_rate": 0.01, "train__baseline_learning_rate": 0.3}
    model = trainer(train__steps=10, train__estimator="nvil", **own)
    for step in (0, 4, 9):
        model.step(step)
        factor = rate_factor(model.config, step)
        rates = [group["lr"] for group in model.optimiser.state_dict()["param_groups"]]
        assert rates == [0.01 * factor, 0.3 * factor]


@pytest.mark.parametrize("beta2", [0.98, 0.5])
def test_beta2_reaches_adam(beta2: float) -> None:
    model = trainer(train__beta2=beta2)
    model.step(0)
    after = model.optimiser.adam.state_dict()["state"]
    for index, parameter in enumerate(model.optimiser.parameters[0]):
        assert parameter.grad is not None
        first = (1 - beta2) * parameter.grad.square()
        torch.testing.assert_close(after[index]["exp_avg_sq"], first)


def test_the_prior_of_a_step() -> None:
    model = trainer(
        prior__schedule="linear", prior__anneal_from=0.5, prior__ratio=0.1, prior__anneal_duration=4
    )
    for step, ratio in ((0, 0.5), (1, 0.4), (4, 0.1), (9, 0.1)):
        expected = log_count_prior("geometric", ratio, 3)
        assert torch.allclose(model.inputs(step)[2], expected)
    with_other = trainer(prior__schedule="constant", prior__ratio=0.1)
    assert model.backward(9).item() == with_other.backward(9).item()
    assert model.backward(0).item() != with_other.backward(0).item()


# Memory

SCRIPT = """
import torch
from airkit.training.step import keep_freed_memory

def on_the_heap():
    block = torch.empty(24 * 2**20, dtype=torch.uint8)
    (heap,) = (line.split()[0] for line in open("/proc/self/maps") if line.endswith("[heap]\\n"))
    start, end = (int(each, 16) for each in heap.split("-"))
    return start <= block.data_ptr() < end

before = on_the_heap()
keep_freed_memory()
print(before, on_the_heap())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries differ")
def test_large_blocks_come_from_the_heap_once_memory_is_kept() -> None:
    """So that they stay with the process when they are freed."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"
