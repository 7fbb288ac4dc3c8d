"""The fast training pass equals the reference, ``AIR.forward``, in values and gradients."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from model_factory import SIDE, blobs, double_noise, generator, tiny_air, tiny_config
from tiny_runs import CrashError, Recorder, crash, fit, go_on, state
from torch import Tensor

from airkit.config import settings
from airkit.config.registry import Named
from airkit.config.schema import Config
from airkit.errors import CheckpointError, ConfigError
from airkit.model import fast, fast_local, fast_transformer, spatial_transformer
from airkit.model.air import AIR, Unrolled
from airkit.model.guides import MEANS, Noise
from airkit.model.guides.saliency import SaliencyGuide
from airkit.model.networks import Perceptron
from airkit.model.objectives.elbo import elbo_of
from airkit.model.precision import precision
from airkit.training import loop

OWN = Named("outside:Convolutions")
"""A decoder that is not airkit's."""
KINDS = pytest.mark.parametrize("kind", ["saliency", "lstm"])


def _flat(unrolled: Unrolled) -> dict[str, Tensor]:
    """Every tensor of a pass by its name."""
    found = unrolled._asdict()
    for name in ("where", "what"):
        (mean, sd), value = found.pop(name)
        found |= {f"{name} mean": mean, f"{name} sd": sd, f"{name} value": value}
    return {name: each.detach() for name, each in found.items()}


def _gradients(air: AIR, unrolled: Unrolled) -> dict[str, Tensor]:
    """The gradient of the exact ELBO by every parameter, each image weighted differently."""
    bounds = elbo_of(air, unrolled, air.log_prior)
    total = (bounds * torch.linspace(1, 2, len(bounds))).sum()
    names, parameters = zip(*air.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(total, parameters), strict=True))


def _assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    assert list(found) == list(wanted)
    for name, each in found.items():
        assert each.shape == wanted[name].shape, name
        error = float((each - wanted[name]).norm())
        assert error <= tolerance * max(1.0, float(wanted[name].norm())), name


def _assert_as_the_reference(
    config: Config, batch: int, noise: Noise | None = None, side: int = SIDE
) -> None:
    height, width = config.data.shape
    air, images = tiny_air(config, seed=1), blobs(batch, side, channels=config.data.channels)
    images = images[..., :height, :width]
    if noise is None:
        noise = double_noise(air, batch, looks=air.guide.samples_looks)
    found, wanted = fast.unroll(air, images, noise), air(images, noise)
    _assert_equal(_flat(found), _flat(wanted), 1e-10)
    _assert_equal(_gradients(air, found), _gradients(air, wanted), 1e-8)


CASES: list[dict[str, Any]] = [
    *({"slots": slots, "pose": pose} for slots in (1, 2, 4) for pose in ("uniform", "affine")),
    *({"refinements": count} for count in (0, 2)),
    {"nonlinearity": "elu"},
    {"decoder_output": "linear", "encoder_net": (7, 9), "decoder_net": ()},
    *({"kind": "lstm", "slots": slots} for slots in (1, 3)),
    {"kind": "lstm", "pose": "affine", "nonlinearity": "elu"},
    *(
        {"kind": kind, "slots": 3, "compositing": compositing, "channels": channels}
        for kind in ("saliency", "lstm")
        for compositing, channels in (("over", 1), ("add", 3), ("over", 3))
    ),
    {"slots": 3, "compositing": "over", "polarity": "both", "stretch": 0.03},
    *({"kind": kind, "shape": (11, 16), "pose": "affine"} for kind in ("saliency", "lstm")),
    *({"shape": shape, "compositing": "over", "channels": 3} for shape in ((9, 16), (16, 10))),
    *({"background": "learned", "kind": kind} for kind in ("saliency", "lstm")),
    {"background": "learned", "compositing": "over", "channels": 3, "polarity": "dark"},
    {"background": "learned", "shape": (9, 16)},
    *({"decoder": OWN, "kind": kind, "slots": 3} for kind in ("saliency", "lstm")),
    {"decoder": OWN, "compositing": "over", "channels": 3},
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_values_and_gradients(case: dict[str, Any], batch: int) -> None:
    _assert_as_the_reference(tiny_config(**case), batch)


LOCAL: list[dict[str, Any]] = [
    {"pose": "affine"},
    {"compositing": "over", "channels": 3, "polarity": "both"},
    {"shape": (17, 40), "compositing": "over"},
    {"shape": (40, 9), "channels": 3},
    {"background": "learned", "compositing": "over"},
    {"background": "learned", "channels": 3},
]


@pytest.mark.parametrize("case", LOCAL, ids=str)
@pytest.mark.parametrize("large", [5.0, 100.0])
def test_large_pictures(
    case: dict[str, Any], large: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Painted around windows alone, and whole."""
    monkeypatch.setattr(fast, "LOCAL_PAINT_FROM", large)
    used = mock.patch.object(fast_local, "add", side_effect=fast_local.add)
    with used as add:
        _assert_as_the_reference(tiny_config(4, side=40, **case), 3, side=40)
    assert add.called == (large < 40 / 7)


@KINDS
def test_at_the_means_with_looks_at_the_peak(kind: str) -> None:
    _assert_as_the_reference(tiny_config(3, kind), 2, MEANS)


@KINDS
def test_with_deterministic_crops(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU that must give the same bits each time."""
    monkeypatch.setattr(fast, "needs_deterministic", lambda _: True)
    for shape in ((16, 16), (16, 11)):
        _assert_as_the_reference(tiny_config(3, kind, shape=shape), 2)


@KINDS
@pytest.mark.parametrize("channels", [1, 3])
def test_second_derivatives_raise_here_and_are_right_in_the_reference(
    kind: str, channels: int
) -> None:
    config = tiny_config(1, kind, refinements=0, channels=channels)
    air, images = tiny_air(config, seed=1), blobs(1, channels=channels)
    noise = double_noise(air, 1, looks=kind == "saliency")
    bias = air.get_parameter("decoder.layers.2.bias")

    def slope(unrolled: Unrolled) -> Tensor:
        total = elbo_of(air, unrolled, air.log_prior).sum()
        return torch.autograd.grad(total, bias, create_graph=True)[0]

    with pytest.raises(RuntimeError, match="first derivatives only"):
        slope(fast.unroll(air, images, noise))
    (found,) = torch.autograd.grad(slope(air(images, noise))[14], bias)
    step, slopes = 1e-5, []
    for sign in (1, -1):
        with torch.no_grad():
            bias[14] += sign * step
        slopes.append(slope(air(images, noise)).detach())
        with torch.no_grad():
            bias[14] -= sign * step
    wanted = (slopes[0] - slopes[1]) / (2 * step)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert float(found.norm()) > 1e-3


@pytest.mark.parametrize("nonlinearity", ["relu", "elu"])
@pytest.mark.parametrize("forward", [fast.unroll, AIR.forward])
def test_bfloat16_is_near_float32(forward: Any, nonlinearity: str) -> None:
    air, images = tiny_air(tiny_config(nonlinearity=nonlinearity)).float(), blobs(4).float()
    noise = air.noise(generator(0), 4, looks=False)
    gradients = {}
    for name in ("float32", "bfloat16"):
        with precision(name):
            gradients[name] = _gradients(air, forward(air, images, noise))
    for name, full in gradients["float32"].items():
        half = gradients["bfloat16"][name]
        assert half.dtype == torch.float32
        assert 0 < float((half - full).norm()) < 0.3 * float(full.norm()), name


@KINDS
def test_perceptrons_are_their_own_again_after_a_pass(kind: str) -> None:
    air, images = tiny_air(tiny_config(2, kind)), blobs(2)
    noise = double_noise(air, 2, looks=kind == "saliency")
    fast.unroll(air, images, noise)
    with (
        mock.patch.object(fast_transformer, "add", side_effect=ZeroDivisionError),
        pytest.raises(ZeroDivisionError),
    ):
        fast.unroll(air, images, noise)
    perceptrons = [each for each in air.modules() if isinstance(each, Perceptron)]
    assert len(perceptrons) > 2
    assert not any("forward" in vars(each) for each in perceptrons)


@KINDS
@pytest.mark.parametrize("crops", [False, True], ids=["grid", "products"])
def test_training_after_inference_mode(
    kind: str, crops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constants first made in inference mode could not be part of a graph."""
    monkeypatch.setattr(fast, "needs_deterministic", lambda _: crops)
    air, images = tiny_air(tiny_config(2, kind)), blobs(2)
    noise = double_noise(air, 2, looks=kind == "saliency")
    wanted = _gradients(air, fast.unroll(air, images, noise))
    spatial_transformer._pixel_centres.cache_clear()
    with torch.inference_mode():
        fast.unroll(air, images, noise)
    _assert_equal(_gradients(air, fast.unroll(air, images, noise)), wanted, 1e-12)


@KINDS
@pytest.mark.parametrize("forward", [fast.unroll, AIR.forward])
def test_an_image_of_nan_leaves_other_rows_alone(kind: str, forward: Any) -> None:
    air, images = tiny_air(tiny_config(3, kind)).float(), blobs(3).float()
    noise = air.noise(generator(0), 3, looks=kind == "saliency")
    sound = _flat(forward(air, images, noise))
    images[1] = math.nan
    damaged = forward(air, images, noise)
    _gradients(air, damaged)
    assert damaged.log_likelihood[1].isnan().all()
    for name, each in _flat(damaged).items():
        torch.testing.assert_close(each[[0, 2]], sound[name][[0, 2]])


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("crops", [False, True], ids=["grid", "products"])
def test_poses_that_are_not_finite_read_no_foreign_memory(
    bad: float, crops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "needs_deterministic", lambda _: crops)
    air, images = tiny_air(tiny_config(2)), blobs(3)
    noise = double_noise(air, 3)
    assert noise.where is not None
    noise.where[1, 0] = bad
    unrolled = fast.unroll(air, images, noise)
    _gradients(air, unrolled)
    sound = double_noise(air, 3)
    wanted = fast.unroll(air, images, sound)
    torch.testing.assert_close(unrolled.log_likelihood[[0, 2]], wanted.log_likelihood[[0, 2]])


# The setting


def test_auto_is_fast_where_it_serves() -> None:
    def backward(**keys: Any) -> str:
        given = {key.replace("__", "."): value for key, value in keys.items()}
        return settings.resolve(*settings.layers(given)).backward

    assert backward() == backward(guide__kind="lstm") == "fast"
    assert backward(train__estimator="nvil") == backward(train__device="mps") == "reference"
    assert backward(train__backward="reference") == "reference"
    assert backward(data__channels=3) == backward(model__compositing="over") == "fast"
    with pytest.raises(ConfigError) as caught:
        backward(train__backward="fast", train__estimator="nvil")
    assert "train.backward" in str(caught.value)


@pytest.mark.parametrize("forward", [fast.unroll, AIR.forward])
@pytest.mark.parametrize("log_size", [-1e4, 1e4])
def test_a_slot_that_is_off_may_propose_any_pose(forward: Any, log_size: float) -> None:
    """Nothing holds the pose of such a slot: its KL and its ink count for nothing."""
    air = tiny_air(tiny_config())
    assert isinstance(air.guide, SaliencyGuide)
    with torch.no_grad():
        raw = [-1e3, 0.0, 0.0, log_size, 300.0, 0.0, 0.0]  # presence, centre, size, their sds
        air.guide.proposer[-1].get_parameter("bias").copy_(torch.tensor(raw))
    unrolled = forward(air, blobs(3), double_noise(air, 3))
    assert elbo_of(air, unrolled, air.log_prior).isfinite().all()
    assert all(each.isfinite().all() for each in _gradients(air, unrolled).values())


@KINDS
def test_trainings_by_both_passes_agree(kind: str, tmp_path: Path) -> None:
    weights = {}
    for backward in ("fast", "reference"):
        fit(tmp_path / backward, train__backward=backward, train__steps=3, guide__kind=kind)
        weights[backward] = state(tmp_path / backward, 3).model
    for name, each in weights["fast"].items():
        wanted = weights["reference"][name]
        assert float((each - wanted).norm()) < 1e-3 * float(wanted.norm()), name


def test_a_run_keeps_its_pass(tmp_path: Path) -> None:
    fit(tmp_path, train__steps=2)
    assert state(tmp_path, 2).config.train.backward == "fast"
    with pytest.raises(CheckpointError) as caught:
        go_on(tmp_path, train__backward="reference", train__steps=3)
    assert "train.backward" in str(caught.value)
    go_on(tmp_path, train__backward="auto", train__steps=3)
    assert state(tmp_path, 3).config.train.backward == "fast"


def test_a_run_by_the_reference_resumes_to_the_bit(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"train__backward": "reference", "train__steps": 8}
    fit(tmp_path / "whole", **keys)
    with pytest.raises(CrashError):
        fit(tmp_path / "stopped", listener=Recorder(step6=crash), **keys)
    go_on(tmp_path / "stopped")
    whole, stopped = (state(tmp_path / run, 8).model for run in ("whole", "stopped"))
    assert all(torch.equal(each, stopped[name]) for name, each in whole.items())


def test_a_decoder_from_outside_keeps_its_own_perceptron() -> None:
    """It may do anything with what that returns."""
    kind = Named("outside:Shifted")
    config = tiny_config(decoder=kind).updated("train", backward="fast")
    _assert_as_the_reference(config, 3)


def test_a_run_goes_on_by_the_reference_on_a_device_without_the_fast_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "own_device", lambda *_: torch.device("cpu"))
    fit(tmp_path, train__steps=2)
    go_on(tmp_path, train__device="mps", train__steps=3)
    assert state(tmp_path, 3).config.train.backward == "reference"
    assert go_on(tmp_path, train__device="cpu", train__steps=4).resumed_from == 3
