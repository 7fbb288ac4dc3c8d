"""The paper's guide, step by step against PyTorch's own cell."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_factory import blobs, generator, tiny_air, tiny_config
from torch import Tensor, nn

from airkit.model.air import AIR
from airkit.model.decoders import MLPDecoder
from airkit.model.guides import Residual, Slot
from airkit.model.guides.lstm import LSTMGuide
from airkit.model.objectives.baselines import BASELINES
from airkit.model.spatial_transformer import crop

BATCH = 4


def air_of(channels: int = 1, **guide: Any) -> AIR:
    config = tiny_config(3, "lstm", pose="affine", nonlinearity="elu", channels=channels)
    return tiny_air(config.updated("guide", presence_bias=0.5, pose_sd_bias=-1.5, **guide))


def guide_of(air: AIR) -> LSTMGuide:
    assert isinstance(air.guide, LSTMGuide)
    return air.guide


def slots(seed: int) -> list[Slot]:
    """Three slots' latents, some of them absent."""
    draws = torch.randn(3, BATCH, 3 + 3 + 1 + 2, generator=generator(seed), dtype=torch.float64)
    return [
        Slot((each[:, 6] > 0).double(), each[:, :3], each[:, 3:6], each[:, 6].exp(), each[:, 7:])
        for each in draws
    ]


def cell_of(guide: LSTMGuide, image: int) -> nn.LSTMCell:
    """PyTorch's cell with the guide's weights, on [image, latents]."""
    rnn = guide.rnn
    cell = nn.LSTMCell(image + 7, 7).double()
    with torch.no_grad():
        cell.weight_ih.copy_(torch.cat([rnn.image.T, rnn.recur.weight[:, :7]], 1))
        cell.weight_hh.copy_(rnn.recur.weight[:, 7:])
        cell.bias_ih.copy_(rnn.recur.bias)
        cell.bias_hh.zero_()
    return cell


def assert_steps_are_those_of_the_cell(air: AIR, image: Tensor) -> None:
    """Three slots by hand: image, latents of the slot before, and the state that is carried."""
    guide, images = guide_of(air), blobs(BATCH, channels=air.channels)
    cell, state = cell_of(guide, image.shape[1]), guide.start(images)
    memory = tuple(part.expand(BATCH, -1) for part in guide.rnn.initial)
    before = torch.cat([guide.first, torch.ones(1).double()]).expand(BATCH, -1)
    for slot in slots(0):
        logit, where, state = guide.propose(state, Residual(images, images), None)
        memory = cell(torch.cat([image, before], 1), memory)
        out = guide.predict(memory[0])
        torch.testing.assert_close(logit, out[:, 0] + 0.5)
        torch.testing.assert_close(where.mean, air.pose.mean + air.pose.sd * out[:, 1:4])
        sd = torch.log1p(torch.exp(out[:, 4:] - 1.5)) + 1e-6
        torch.testing.assert_close(where.sd, air.pose.sd * sd)
        state = guide.advance(state, slot)
        before = torch.cat([slot.where, slot.what, slot.present[:, None]], 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_slot_is_a_step_of_the_cell_on_image_and_last_latents(channels: int) -> None:
    images = blobs(BATCH, channels=channels)
    assert_steps_are_those_of_the_cell(air_of(channels), images.flatten(1))


def test_the_image_may_be_embedded_first() -> None:
    air = air_of(embed_net=(9, 5))
    first, _, second, last = guide_of(air).embed
    assert (type(first), type(second), type(last)) == (nn.Linear, nn.Linear, nn.ELU)
    hidden = nn.functional.elu(first(blobs(BATCH).flatten(1)))
    assert_steps_are_those_of_the_cell(air, nn.functional.elu(second(hidden)))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_code_is_read_off_the_window_at_the_pose(channels: int) -> None:
    guide, images = guide_of(air_of(channels)), blobs(BATCH, channels=channels)
    size = torch.tensor([0.3, 0.5, 0.7, 0.4]).double()
    centre = torch.tensor([[0.5, -0.2], [0.0, 0.0], [-0.4, 0.3], [0.1, 0.6]]).double()
    window = crop(images, size, centre, guide.window)
    found, wanted = guide.encode(Residual(images, images), size, centre), guide.encoder(window)
    assert torch.equal(found.mean, wanted.mean)
    assert torch.equal(found.sd, wanted.sd)


def test_latents_carry_gradients_to_the_slots_after() -> None:
    guide, images = guide_of(air_of()), blobs(BATCH)
    residual = Residual(images, images)
    _, where, state = guide.propose(guide.start(images), residual, None)
    code = guide.encode(residual, *air_of().pose.decode(where.mean))
    slot = Slot(torch.ones(BATCH).double(), where.mean, code.mean, *([torch.empty(0)] * 2))
    logit, _, _ = guide.propose(guide.advance(state, slot), residual, None)
    gradients = torch.autograd.grad(logit.sum(), [*guide.encoder.parameters()])
    assert all(bool(each.abs().sum() > 0) for each in gradients)


def test_depths_and_nonlinearities_are_those_of_the_settings() -> None:
    air = air_of(predict_net=(6, 5))
    config = tiny_config(2, nonlinearity="elu").updated("train", baseline_net=(6, 5))
    nets: list[tuple[nn.Module, int]] = [(guide_of(air).predict, 2), (MLPDecoder(config), 1)]
    nets += [(build(config), 2) for build in BASELINES.values()]
    for net, layers in nets:
        kinds = [type(part) for part in net.modules()]
        assert kinds.count(nn.ELU) == layers
        assert nn.ReLU not in kinds


def test_baselines_remember_the_slots_before() -> None:
    """What they say of a slot depends on image and latents of every slot before, never on more."""
    config = tiny_config(3)
    for build in BASELINES.values():
        baseline, images = build(config).double(), blobs(BATCH)
        said = {}
        for seed in (0, 1):
            state = baseline.start(images)
            latents = [each.latents() for each in slots(seed)]
            latents[1] = slots(0)[1].latents()  # only the first slot differs
            for slot in range(3):
                state, value = baseline.predict(state)
                said[seed, slot] = value
                state = baseline.advance(state, slot, latents[slot])
        assert torch.equal(said[0, 0], said[1, 0])
        assert not torch.isclose(said[0, 1], said[1, 1]).any()
        assert not torch.isclose(said[0, 2], said[1, 2]).any()
        _, other = baseline.predict(baseline.start(1 - images))
        assert not torch.isclose(other, said[0, 0]).any()


def test_baselines_teach_the_guide_nothing() -> None:
    for build in BASELINES.values():
        baseline, images = build(tiny_config(3)).double(), blobs(BATCH)
        latents = slots(0)[0].latents().requires_grad_()
        state, _ = baseline.predict(baseline.start(images))
        _, value = baseline.predict(baseline.advance(state, 0, latents))
        assert torch.autograd.grad(value.sum(), latents, allow_unused=True)[0] is None
