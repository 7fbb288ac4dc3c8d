"""Objects that occlude each other: each with a mask in its window, later ones in front."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from model_factory import SIDE, blobs, double_noise, generator, tiny_air, tiny_config
from pyro import poutine
from torch import Tensor
from torch import distributions as dist
from torch.autograd import gradcheck

from airkit.model.air import AIR
from airkit.model.canvas import compose
from airkit.model.objectives.elbo import elbo
from airkit.model.pyro_programs import PyroAIR
from airkit.model.scene import explain, explain_best
from airkit.model.spatial_transformer import paint

CHANNELS = pytest.mark.parametrize("channels", [1, 3])


def _air(slots: int = 3, **model: Any) -> AIR:
    return tiny_air(tiny_config(slots, compositing="over", **model))


def _painted(air: AIR, windows: Tensor, size: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Ink times mask [B, T, C, H, H] and mask [B, T, 1, H, H] of every slot alone."""
    flat = paint(windows.flatten(0, 1), size.flatten(), centre.flatten(0, 1), SIDE)
    painted = flat.view(*size.shape, *flat.shape[1:])
    return painted[:, :, : air.channels], painted[:, :, air.channels :]


@CHANNELS
def test_each_object_hides_what_is_behind_it(channels: int) -> None:
    """Pixels are normal around layers that are painted one over the other."""
    air, images = _air(channels=channels), blobs(4, channels=channels)
    unrolled = air(images, double_noise(air, 4))
    ink, mask = _painted(air, unrolled.windows, unrolled.size, unrolled.centre)
    assert ((ink >= 0) & (ink <= mask) & (mask <= 1)).all()
    for n in range(4):
        layers = [
            ink[:, k] * torch.prod(1 - mask[:, k + 1 : n], dim=1) for k in range(n)
        ]  # object k, seen through those in front
        canvas = sum(layers, torch.zeros_like(images))
        pixels = dist.Normal(canvas, air.pixel_sd).log_prob(images)  # type: ignore[no-untyped-call]
        torch.testing.assert_close(unrolled.log_likelihood[:, n], pixels.sum((1, 2, 3)))


@CHANNELS
def test_an_opaque_object_leaves_nothing_of_those_behind(channels: int) -> None:
    draws = generator(0)
    behind, ink = torch.rand(2, 2, channels, SIDE, SIDE, generator=draws, dtype=torch.float64)
    opaque = torch.cat([ink, torch.ones_like(ink[:, :1])], 1)
    torch.testing.assert_close(compose(behind, opaque), ink)
    torch.testing.assert_close(compose(behind, torch.zeros_like(opaque)), behind)


@CHANNELS
@pytest.mark.parametrize("polarity", ["bright", "both"])
def test_ink_has_the_sign_of_the_polarity(polarity: str, channels: int) -> None:
    air = _air(polarity=polarity, channels=channels)
    code = 3 * torch.randn(20, 3, generator=generator(0), dtype=torch.float64)
    ink, mask = air.decoder(code).split([channels, 1], 1)
    assert (ink.abs() <= mask).all()
    assert (ink.min() < 0) == (polarity == "both")


@CHANNELS
def test_gradients_are_those_of_the_numbers(channels: int) -> None:
    """By differences, with one slot: what later ones are shown is data to them."""
    air, images = _air(1, channels=channels), blobs(2, channels=channels)
    noise = double_noise(air, 2, looks=False)
    weights = air.get_parameter("decoder.layers.0.bias")

    def bound(bias: Tensor) -> Tensor:
        call = {"decoder.layers.0.bias": bias}
        unrolled = torch.func.functional_call(air, call, (images, noise))
        total: Tensor = unrolled.log_likelihood.sum()
        return total

    assert gradcheck(bound, (weights.detach().clone().requires_grad_(),), atol=1e-4)


@CHANNELS
def test_pyro_scores_the_same_scenes(channels: int) -> None:
    """The model's density at a guide's draw is that of the exact pass with as many objects."""
    air, images = _air(2, channels=channels), blobs(3, channels=channels)
    programs = PyroAIR(air, param_store=False)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trace = poutine.trace(programs.guide).get_trace(images)
        replayed = poutine.trace(poutine.replay(programs.model, trace=trace)).get_trace(images)
        replayed.compute_log_prob()
        found = replayed.nodes["obs"]["log_prob"]
        count = sum(trace.nodes[f"z_pres_{slot}"]["value"] for slot in range(2)).long()
        canvas = torch.zeros_like(images)
        for slot in range(2):
            where, what = (trace.nodes[f"z_{it}_{slot}"]["value"] for it in ("where", "what"))
            painted = paint(air.decoder(what), *air.pose.decode(where), SIDE)
            canvas = torch.where(
                (count > slot)[:, None, None, None], compose(canvas, painted), canvas
            )
        wanted = dist.Normal(canvas, air.pixel_sd).log_prob(images)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, wanted.sum((1, 2, 3)))


@CHANNELS
def test_a_scene_shows_each_object_where_it_is_seen(channels: int) -> None:
    air, images = _air(channels=channels), blobs(8, channels=channels)
    with torch.no_grad():
        scene = explain(air, images, generator(5))
        _, mask = _painted(air, scene.found.windows, scene.found.size, scene.found.centre)
    assert scene.windows.shape == (8, 3, channels, 6, 6)
    assert 0 < scene.count.sum() < 24
    for index, count in enumerate(scene.count.tolist()):
        for slot in range(3):
            front = torch.prod(1 - mask[index, slot + 1 : count, 0], dim=0)
            wanted = mask[index, slot, 0] * front if slot < count else torch.zeros_like(front)
            torch.testing.assert_close(scene.masks[index, slot], wanted)


def test_the_best_of_looks_is_drawn_on_its_ground() -> None:
    air, images = _air(background="constant"), 0.2 + 0.5 * blobs(4)
    scene = explain_best(air, images, 3, 0)
    torch.testing.assert_close(scene.canvases[:, 0], images - air.background.ink(images))


def test_the_bound_is_finite_on_black_and_white() -> None:
    air = _air()
    images = torch.stack([torch.zeros(1, SIDE, SIDE), torch.ones(1, SIDE, SIDE)]).double()
    assert torch.isfinite(elbo(air, images, double_noise(air, 2))).all()


@CHANNELS
def test_an_object_that_may_be_hidden_costs_half_and_more_in_colour(channels: int) -> None:
    given: dict[str, Any] = {"channels": channels, "prior": {"ratio": "auto"}, "pixel_sd": 0.2}
    over, add = (tiny_config(compositing=kind, **given).prior_ratio for kind in ("over", "add"))
    assert math.log(over) == pytest.approx(math.log(add) * channels / 2)
