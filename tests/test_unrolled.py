"""AIR over all slots at once, beside a loop over slots with plain autograd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
from model_factory import blobs, double_noise, generator, tiny_air, tiny_config
from test_gradients import sampled, sampled_paint
from torch import Tensor, nn
from torch import distributions as dist
from torch.nn.functional import elu, linear, relu

from airkit.config.schema import Config
from airkit.model import spatial_transformer
from airkit.model.air import AIR, Draw, Unrolled
from airkit.model.guides import MEANS, Noise, Slot, base, saliency
from airkit.model.networks import Normal, Perceptron
from airkit.model.objectives import elbo


def _config(slots: int = 2, kind: str = "saliency", **settings: Any) -> Config:
    """Of a tiny model."""
    config = tiny_config(slots, **settings)
    guide = {"kind": kind, "rnn_size": 8}
    return config.model_copy(update={"guide": config.guide.model_copy(update=guide)})


# The reference


def _plain_layers(network: Perceptron, inputs: Tensor, *_: object) -> Tensor:
    for layer in network:
        if isinstance(layer, nn.Linear):
            inputs = linear(inputs, layer.weight, layer.bias)
        else:
            inputs = relu(inputs) if isinstance(layer, nn.ReLU) else elu(inputs)
    return inputs


def _plain_crop(images: Any, size: Tensor, centre: Tensor, side: int, *_: object) -> Tensor:
    return sampled(torch.cat(list(images)), size, centre, side)


@contextmanager
def _plain() -> Iterator[None]:
    """Every gradient by PyTorch."""
    with (
        mock.patch.object(Perceptron, "forward", _plain_layers),
        mock.patch.object(saliency, "crop", _plain_crop),
        mock.patch.object(base, "crop", _plain_crop),
    ):
        yield


def _reference(air: AIR, images: Tensor, noise: Noise) -> Unrolled:
    """Slot by slot, with gradients but for the guide's view of what is painted."""
    state, canvas = air.guide.start(images), torch.zeros_like(images)
    slots, canvases = [], [canvas]
    for slot in range(air.slots):
        drawn = noise.slot(slot)
        seen = [images, images - canvas] if air.guide.sees_canvas else [images]
        view = torch.stack(seen, 1).detach()
        sight, state = air.guide.attend(state, view, drawn.look)
        logit, where = air.guide.propose(sight)
        pose = where.mean if drawn.where is None else where.mean + where.sd * drawn.where
        size, centre = air.pose.decode(pose)
        what = air.guide.encode([view], size, centre)
        code = what.mean if drawn.what is None else what.mean + what.sd * drawn.what
        window = air.decoder(code)
        canvas = canvas + sampled_paint(window, size, centre, air.canvas)
        present = images.new_ones(len(images))
        state = air.guide.advance(state, Slot(present, pose, code, size, centre))
        canvases.append(canvas)
        slots.append((logit, *where, pose, *what, code, size, centre, window))
    logits, *draws, sizes, centres, windows = (
        torch.stack(part, 1) for part in zip(*slots, strict=True)
    )
    residuals = torch.stack([images - each for each in canvases])
    pixels = dist.Normal(residuals, air.pixel_sd)
    fit = pixels.log_prob(torch.zeros(())).sum((2, 3)).t()  # type: ignore[no-untyped-call]
    poses, codes = Draw(Normal(*draws[:2]), draws[2]), Draw(Normal(*draws[3:5]), draws[5])
    return Unrolled(logits, poses, codes, sizes, centres, windows, residuals, fit)


def _flat(unrolled: Unrolled) -> dict[str, Tensor]:
    """Every tensor of a pass by its name."""
    found = unrolled._asdict()
    for name in ("where", "what"):
        (mean, sd), value = found.pop(name)
        found |= {f"{name} mean": mean, f"{name} sd": sd, f"{name} value": value}
    return {name: each.detach() for name, each in found.items()}


def _slopes(air: AIR, unrolled: Unrolled) -> dict[str, Tensor]:
    """The gradient of the exact ELBO by every weight, images weighted otherwise each."""
    bounds = elbo.from_unrolled(air, unrolled, air.log_prior)
    total = (bounds * torch.linspace(1, 2, len(bounds))).sum()
    names, weights = zip(*air.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(total, weights), strict=True))


def _assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert list(found) == list(wanted)
    for name, each in found.items():
        scale = float(wanted[name].abs().max())
        torch.testing.assert_close(
            each, wanted[name], rtol=1e-9, atol=1e-10 * max(1, scale), msg=name
        )


CASES = [
    *({"slots": slots, "pose": pose} for slots in (1, 2, 3, 4) for pose in ("uniform", "affine")),
    *({"refinements": count} for count in (0, 2)),
    {"nonlinearity": "elu"},
    {"decoder_output": "linear", "encoder_net": (7, 9), "decoder_net": ()},
    *({"kind": "lstm", "slots": slots} for slots in (1, 3)),
    {"kind": "lstm", "pose": "affine", "nonlinearity": "elu"},
]


def _assert_as_by_pytorch(config: Config, batch: int) -> None:
    air, images = tiny_air(config, seed=1), blobs(batch)
    noise = double_noise(air, batch, looks=air.guide.looks)
    found = air(images, noise)
    with _plain():
        wanted = _reference(air, images, noise)
        slopes = _slopes(air, wanted)
    _assert_equal(_flat(found), _flat(wanted))
    _assert_equal(_slopes(air, found), slopes)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients(case: dict[str, Any]) -> None:
    _assert_as_by_pytorch(_config(**case), 3)


@pytest.mark.parametrize("kind", ["saliency", "lstm"])
def test_of_one_image(kind: str) -> None:
    _assert_as_by_pytorch(_config(3, kind), 1)


@pytest.mark.parametrize("kind", ["saliency", "lstm"])
def test_with_tents(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU that is to give the same bits each time."""
    monkeypatch.setattr(spatial_transformer, "_needs_tents", lambda _: True)
    _assert_as_by_pytorch(_config(3, kind), 2)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("kind", ["saliency", "lstm"])
@pytest.mark.parametrize("drawn", [False, True])
def test_the_same_with_gradients_and_without(slots: int, kind: str, drawn: bool) -> None:
    air, images = tiny_air(_config(slots, kind), seed=1), blobs(3)
    noise = double_noise(air, 3, looks=air.guide.looks) if drawn else MEANS
    taught = air(images, noise)
    with torch.no_grad():
        looked = air(images, noise)
    assert taught.log_likelihood.requires_grad
    assert not looked.log_likelihood.requires_grad
    assert not taught.residuals.requires_grad
    _assert_equal(_flat(taught), _flat(looked))


@pytest.mark.parametrize("kind", ["saliency", "lstm"])
def test_shapes(kind: str) -> None:
    air = tiny_air(_config(3, kind))
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            shapes = {name: tuple(each.shape) for name, each in _flat(air(blobs(5))).items()}
        assert shapes == {
            "logits": (5, 3),
            "size": (5, 3),
            "centre": (5, 3, 2),
            "windows": (5, 3, 6, 6),
            "residuals": (4, 5, 16, 16),
            "log_likelihood": (5, 4),
            "where mean": (5, 3, 3),
            "where sd": (5, 3, 3),
            "where value": (5, 3, 3),
            "what mean": (5, 3, 3),
            "what sd": (5, 3, 3),
            "what value": (5, 3, 3),
        }


@pytest.mark.parametrize("kind", ["saliency", "lstm"])
def test_images_do_not_depend_on_their_neighbours(kind: str) -> None:
    """Though rows of all slots go through the networks side by side."""
    air, images = tiny_air(_config(3, kind)), blobs(4)
    noise = double_noise(air, 4, looks=kind == "saliency")
    together = _flat(air(images, noise))
    residuals = together.pop("residuals")
    for row in range(4):
        one = slice(row, row + 1)
        own = Noise(*(None if part is None else part[one] for part in noise))
        alone = _flat(air(images[one], own))
        torch.testing.assert_close(
            alone.pop("residuals"), residuals[:, one], rtol=1e-10, atol=1e-10
        )
        for name, each in alone.items():
            torch.testing.assert_close(each, together[name][one], rtol=1e-10, atol=1e-10)


def _forget() -> None:
    """Constants that earlier tests made."""
    for cached in (spatial_transformer._pixel_centres, spatial_transformer._numbers):
        cached.cache_clear()


def test_constants_of_inference_mode_can_be_trained_with() -> None:
    _forget()
    with torch.inference_mode():
        spatial_transformer.pixel_centres(5, torch.zeros(1))
    weight = torch.ones(1, requires_grad=True)
    torch.autograd.backward((weight * spatial_transformer.pixel_centres(5, weight)).sum())
    assert weight.grad is not None


@pytest.mark.parametrize("kind", ["saliency", "lstm"])
@pytest.mark.parametrize("tents", [False, True], ids=["grid", "tents"])
def test_training_after_inference_mode(
    kind: str, tents: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constants first made in inference mode would be no part of any gradient."""
    monkeypatch.setattr(spatial_transformer, "_needs_tents", lambda _: tents)
    air, images = tiny_air(_config(2, kind)), blobs(2)
    noise = double_noise(air, 2, looks=kind == "saliency")
    wanted = _slopes(air, air(images, noise))
    _forget()
    with torch.inference_mode():
        looked = air(images, noise)
    _assert_equal(_slopes(air, air(images, noise)), wanted)
    assert looked.logits.is_inference()


@pytest.mark.parametrize("kind", ["saliency", "lstm"])
@pytest.mark.parametrize("gradients", [False, True])
def test_an_image_of_no_numbers_spoils_its_own_row_alone(kind: str, gradients: bool) -> None:
    air, images = tiny_air(_config(3, kind)).float(), blobs(3).float()
    noise = Noise.draw(generator(0), 3, 3, air.code, looks=kind == "saliency")
    sound = _flat(air(images, noise))
    images[1] = torch.nan
    with torch.set_grad_enabled(gradients):
        spoilt = air(images, noise)
    assert spoilt.log_likelihood[1].isnan().all()
    for name in ("log_likelihood", "logits", "windows"):
        torch.testing.assert_close(_flat(spoilt)[name][[0, 2]], sound[name][[0, 2]])
    if gradients:
        _slopes(air, spoilt)


@pytest.mark.parametrize("kind", ["saliency", "lstm"])
def test_weights_that_are_no_numbers_show_in_the_bound(kind: str) -> None:
    air = tiny_air(_config(2, kind)).float()
    with torch.no_grad():
        air.get_parameter("decoder.layers.0.weight").fill_(torch.nan)
    unrolled = air(blobs(2).float())
    assert unrolled.log_likelihood[:, 1:].isnan().all()
    assert unrolled.log_likelihood[:, 0].isfinite().all()
    assert all(each.isnan().any() for name, each in _slopes(air, unrolled).items() if "dec" in name)
