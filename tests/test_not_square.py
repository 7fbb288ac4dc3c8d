"""Pictures that are not square: the model sees their own height and width."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_factory import blobs, double_noise, generator, tiny_air, tiny_config
from pydantic import ValidationError

from airkit.config.schema import Config, DataConfig
from airkit.model.air import AIR
from airkit.model.distributions import Normal
from airkit.model.guides import Residual
from airkit.model.objectives.baselines import BASELINES
from airkit.model.poses import POSES
from airkit.model.scene import explain, explain_best
from airkit.model.spatial_transformer import crop, paint
from airkit.system import backgrounds

SHAPES = pytest.mark.parametrize("shape", [(10, 16), (16, 9), (8, 15)], ids=str)
Shape = tuple[int, int]


def _config(shape: Shape, slots: int = 3, **given: Any) -> Config:
    return tiny_config(slots, shape=shape, **given)


def _blobs(batch: int, shape: Shape, **given: Any) -> torch.Tensor:
    return blobs(batch, max(shape), **given)[..., : shape[0], : shape[1]]


def _poses(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.rand(batch, 3, generator=generator(1), dtype=torch.float64)
    return 0.3 + 0.3 * draw[:, 0], 2 * draw[:, 1:] - 1


@SHAPES
def test_what_is_painted_is_the_upper_left_part_of_a_square(shape: Shape) -> None:
    windows = torch.rand(20, 2, 5, 5, generator=generator(0), dtype=torch.float64)
    whole = paint(windows, *_poses(20), max(shape))
    part = paint(windows, *_poses(20), shape)
    torch.testing.assert_close(part, whole[..., : shape[0], : shape[1]], rtol=0, atol=1e-12)
    assert part.shape[2:] == shape


@SHAPES
@pytest.mark.parametrize("grad", [True, False])
def test_windows_are_read_as_off_a_square_that_is_blank_elsewhere(shape: Shape, grad: bool) -> None:
    images, side = _blobs(20, shape), max(shape)
    square = torch.zeros(20, 1, side, side, dtype=torch.float64)
    square[..., : shape[0], : shape[1]] = images
    with torch.set_grad_enabled(grad):
        found, wanted = (crop(each, *_poses(20), 6) for each in (images, square))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@SHAPES
@pytest.mark.parametrize("name", POSES)
def test_centres_of_the_prior_are_on_the_picture_everywhere(name: str, shape: Shape) -> None:
    air = tiny_air(_config(shape, pose=name))
    noise = torch.randn(4000, 3, generator=generator(0), dtype=torch.float64)
    where = air.pose.mean + air.pose.sd * noise
    size, centre = air.pose.decode(where)
    near = noise.abs().amax(1) < 2
    torch.testing.assert_close(air.pose.encode(size, centre)[near], where[near], atol=1e-4, rtol=0)
    if name == "uniform":
        x, y = ((centre + 1) * max(shape) / 2).unbind(1)
        for place, length in ((x, shape[1]), (y, shape[0])):
            assert 0 <= float(place.min()) < 0.1
            assert length - 0.1 < float(place.max()) <= length


@SHAPES
def test_a_look_is_at_the_ink_and_never_beyond_the_picture(shape: Shape) -> None:
    air, side = tiny_air(_config(shape)), max(shape)
    images = torch.zeros(2, 1, *shape, dtype=torch.float64)
    images[0, :, shape[0] - 3, shape[1] - 4] = 1
    residual = air.unroll(images)
    assert residual.log_likelihood.shape == (2, 4)
    guide: Any = air.guide
    for look in (None, torch.tensor([0.5, 1 - 2**-24], dtype=torch.float64)):
        ink = Residual(images, torch.zeros_like(images))
        centre = ink.peak(guide.blurs(), guide.start(images), 1e3, look).centre
        x, y = ((centre + 1) * side / 2).unbind(1)
        assert float(x[0]) == pytest.approx(shape[1] - 3.5, abs=1.1)
        assert float(y[0]) == pytest.approx(shape[0] - 2.5, abs=1.1)
        assert float(x[1]) < shape[1] + 0.6
        assert float(y[1]) < shape[0] + 0.6


@SHAPES
@pytest.mark.parametrize("background", ["none", "median", "learned"])
@pytest.mark.parametrize("compositing", ["add", "over"])
def test_scenes_have_the_pictures_shape_and_boxes_on_it(
    shape: Shape, compositing: str, background: str
) -> None:
    air = tiny_air(_config(shape, compositing=compositing, background=background))
    images = _blobs(30, shape)
    for scene in (explain(air, images), explain_best(air, images, 3, 0)):
        assert scene.canvases.shape == (30, 4, 1, *shape)
        assert scene.masks.shape == (30, 3, *shape)
        boxes = scene.box[scene.box[..., 2] > 0]
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= torch.tensor(shape[::-1]) + 1).all()


def test_the_likelihood_is_of_the_pictures_own_pixels() -> None:
    air = tiny_air(_config((10, 16), channels=3))
    images = _blobs(4, (10, 16), channels=3)
    blank, sd = torch.zeros(()).double(), torch.tensor(air.pixel_sd).double()
    wanted = Normal(blank, sd).log_prob(images.flatten(1))
    torch.testing.assert_close(air(images).log_likelihood[:, 0], wanted, rtol=1e-5, atol=0)


@SHAPES
def test_every_object_drawn_from_the_model_is_on_the_picture(shape: Shape) -> None:
    air = tiny_air(_config(shape, decoder_bias=6.0), spread=0.0)
    canvases = air.sample_canvases(torch.ones(200, dtype=torch.int64), generator(0))
    assert canvases.shape == (200, 1, *shape)
    assert (canvases.amax((1, 2, 3)) > 0.05).all()


def test_the_same_weights_serve_another_shape() -> None:
    air = tiny_air(_config((10, 16)))
    for canvas in ((21, 12), (10, 40), 20):
        other = AIR(_config((10, 16)), canvas_size=canvas, slots=5).double()
        other.load_state_dict(air.state_dict())
        shape = (canvas, canvas) if isinstance(canvas, int) else canvas
        assert (other.shape, other.canvas_size) == (shape, max(shape))
        assert explain(other, _blobs(2, shape)).canvas.shape == (2, 1, *shape)


def test_a_margin_below_moves_nothing_but_the_priors_of_centres() -> None:
    """Blank rows below a picture change no look, no window and no reconstruction."""
    small, config = (10, 16), _config((10, 16), slots=1, refinements=0)
    air, larger = tiny_air(config), AIR(config, canvas_size=16).double()
    larger.load_state_dict(air.state_dict())
    images = _blobs(5, small, objects=1)
    padded = torch.nn.functional.pad(images, (0, 0, 0, 6))
    air.candidates = larger.candidates = 1
    one, other = explain(air, images), explain(larger, padded)
    torch.testing.assert_close(one.centre, other.centre, atol=0.3, rtol=0)
    torch.testing.assert_close(one.count_probability, other.count_probability, atol=0.05, rtol=0)


@pytest.mark.parametrize("kind", BASELINES)
def test_lstm_guide_and_baselines_read_all_of_the_picture(kind: str) -> None:
    config, images = _config((10, 16), kind="lstm"), _blobs(3, (10, 16))
    air, baseline = tiny_air(config), BASELINES[kind](config).double()
    assert air(images, double_noise(air, 3, looks=False)).logits.shape == (3, 3)
    _, guess = baseline.predict(baseline.start(images))
    assert guess.shape == (3,)


def test_a_plane_fits_a_rectangle() -> None:
    rows, columns = torch.meshgrid(
        torch.linspace(0, 0.3, 24), torch.linspace(0, 0.4, 70), indexing="ij"
    )
    images = (0.1 + rows + columns)[None].double()
    with_objects = images.clone()
    with_objects[:, 5:15, 20:32] += 0.4
    torch.testing.assert_close(backgrounds.plane(with_objects), images, rtol=0, atol=1e-6)
    assert backgrounds.border(images).shape == (1, 2 * 24 + 2 * 70 - 4)
    for estimate in (backgrounds.median, backgrounds.rolling_ball):
        assert estimate(images, 9).shape == images.shape


def test_the_longer_side_is_the_canvas_size() -> None:
    assert DataConfig(canvas_size=50).shape == (50, 50)
    assert DataConfig(canvas_size=50, height=40).shape == (40, 50)
    assert DataConfig(canvas_size=50, height=50, width=30).shape == (50, 30)
    sides: Any
    for sides in ({"height": 40, "width": 40}, {"height": 40, "width": 60}, {"width": 51}):
        with pytest.raises(ValidationError, match="canvas_size"):
            DataConfig(canvas_size=50, **sides)
