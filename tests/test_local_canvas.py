"""A canvas that is touched around windows alone is the canvas that is painted whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from model_factory import blobs, double_noise, generator, tiny_air, tiny_config
from torch import Tensor
from torch.testing import assert_close

from airkit.model import air as model
from airkit.model.air import AIR, Unrolled
from airkit.model.canvas import Canvas, LocalCanvas
from airkit.model.guides import MEANS
from airkit.model.scene import explain, explain_best
from airkit.model.search import Found, search
from airkit.model.spatial_transformer import Patches, paint

SIDE = 44
CASES = pytest.mark.parametrize(
    "case",
    [
        {},
        {"compositing": "over"},
        {"compositing": "over", "channels": 3, "polarity": "both"},
        {"polarity": "both"},
        {"shape": (44, 27)},
        {"shape": (25, 44), "channels": 3},
        {"surround": 0.8},
    ],
    ids=str,
)


def _air(surround: float = 0.0, **case: Any) -> AIR:
    air = tiny_air(tiny_config(6, side=SIDE, **case), seed=1)
    air.guide.surround_share = surround  # type: ignore[assignment]
    air.guide.sharpness = 20.0
    return air


def _images(air: AIR, batch: int = 5) -> Tensor:
    height, width = air.shape
    images = blobs(batch, SIDE, objects=9, channels=air.channels)
    return images[..., :height, :width].clone()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run something with whole canvases, and with local ones."""

    def both(work: Any) -> list[Any]:
        results = []
        for large, kind in ((1e9, Canvas), (0.0, LocalCanvas)):
            monkeypatch.setattr(model, "LOCAL_CANVAS_FROM", large)
            made = _air().canvas(torch.zeros(1, 1, SIDE, SIDE))
            assert type(made) is kind
            results.append(work())
        return results

    with torch.no_grad():
        yield both


def _close(found: Unrolled | Found, wanted: Unrolled | Found) -> None:
    for ours, theirs in zip(found, wanted, strict=True):
        assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@CASES
def test_a_drawn_pass_is_the_same(case: dict[str, Any], passes: Any) -> None:
    air = _air(**case)
    images, noise = _images(air), double_noise(air, 5)
    wanted, found = passes(lambda: air(images, noise))
    _close(found, wanted)


@CASES
def test_the_pass_that_compares_looks_is_the_same(case: dict[str, Any], passes: Any) -> None:
    air = _air(**case)
    wanted, found = passes(lambda: search(air, air.background.ink(_images(air)), candidates=5))
    _close(found, wanted)


@CASES
def test_scenes_are_the_same(case: dict[str, Any], passes: Any) -> None:
    air = _air(**case)
    wanted, found = passes(lambda: explain_best(air, _images(air), 3, 0))
    assert torch.equal(found.count, wanted.count)
    for name in ("box", "canvas", "canvases", "masks", "score", "count_probability"):
        assert_close(getattr(found, name), getattr(wanted, name), rtol=1e-5, atol=1e-5)


def test_an_image_depends_on_no_other_of_its_batch(passes: Any) -> None:
    air = _air()
    images = _images(air, 7)
    _, whole = passes(lambda: explain(air, images))
    alone = torch.cat([explain(air, image[None]).canvas for image in images])
    assert_close(whole.canvas, alone, rtol=0, atol=1e-6)


def test_gradients_need_a_whole_canvas() -> None:
    air = _air()
    assert type(air.canvas(_images(air))) is Canvas
    with torch.no_grad():
        assert type(air.canvas(_images(air))) is LocalCanvas
        air.guide.edge = None  # a guide that tells nothing of its mask
        assert type(air.canvas(_images(air))) is Canvas


def test_small_pictures_are_painted_whole() -> None:
    air = tiny_air(tiny_config(2, side=20))
    with torch.no_grad():
        assert type(air.canvas(blobs(2, 20))) is Canvas


def test_what_objects_would_change_is_what_they_change(passes: Any) -> None:
    """The gain foretold of each of several windows is that of adding it."""
    air, many = _air(compositing="over"), 4
    images, draws = _images(air), generator(5)

    def work() -> tuple[Tensor, Tensor]:
        windows = torch.rand(5 * many, 2, 6, 6, generator=draws.manual_seed(5)).double()
        size = 0.1 + 0.2 * torch.rand(5 * many, generator=draws).double()
        centre = 2 * torch.rand(5 * many, 2, generator=draws).double() - 1
        rows = torch.arange(0, 5 * many, many)
        gains, changes = [], []
        for k in range(many):
            canvas = air.canvas(images)
            canvas.add(windows[rows], size[rows], centre[rows])
            gains.append(canvas.error_change(windows, size, centre)[0].view(5, many)[:, k])
            before = canvas.error
            canvas.add(windows[rows + k], size[rows + k], centre[rows + k])
            changes.append(before - canvas.error)
        return torch.stack(gains), torch.stack(changes)

    for gains, changes in passes(work):
        assert_close(gains, changes, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [(30, 30), (30, 12), (9, 30)])
@pytest.mark.parametrize("far", [0.8, 1.5])
def test_patches_hold_all_that_windows_paint(shape: tuple[int, int], far: float) -> None:
    draws = generator(0)
    windows = torch.rand(40, 2, 5, 5, generator=draws) + 0.1
    size, centre = 0.6 * torch.rand(40, generator=draws) + 0.01, torch.randn(40, 2, generator=draws)
    centre = (far * centre).clamp(-far, far)
    patches = Patches.around(size, centre, shape, 5)
    whole, canvas = paint(windows, size, centre, shape), torch.zeros(40, 2, *shape)
    patches.write(canvas, patches.paint(windows, size, centre))
    assert_close(canvas, whole)
    assert torch.equal(patches.read(whole), patches.paint(windows, size, centre))


def test_patches_of_several_windows_an_image_are_read_together() -> None:
    images = torch.rand(3, 2, 20, 20, generator=generator(1))
    size, centre = torch.full((6,), 0.3), torch.rand(6, 2, generator=generator(2)) - 0.5
    together = Patches.around(size, centre, (20, 20), 6).read(images)
    alone = Patches.around(size, centre, (20, 20), 6).read(images.repeat_interleave(2, 0))
    assert torch.equal(together, alone)


@torch.no_grad()
def test_a_diverged_model_is_no_reason_to_crash() -> None:
    air = _air()
    for weights in air.parameters():
        weights.fill_(float("nan"))
    assert air.unroll(_images(air), MEANS).log_likelihood[:, -1].isnan().all()
