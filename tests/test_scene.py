from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch
from model_factory import SIDE, blobs, canvases_of, generator, tiny_air, tiny_config
from torch import Tensor

from airkit.errors import AirkitError, ImageError
from airkit.model.air import AIR
from airkit.model.counts import log_count_posterior
from airkit.model.merges import merge
from airkit.model.restarts import restart
from airkit.model.scene import (
    INK,
    Scene,
    explain,
    explain_best,
    explain_both,
    explanations,
    ink_boxes,
    scene_of,
)
from airkit.model.search import Found, search
from airkit.model.spatial_transformer import Patches, paint
from airkit.model.splits import split

CHANNELS = pytest.mark.parametrize("channels", [1, 3])


def _air(slots: int = 3, seed: int = 0, channels: int = 1) -> AIR:
    """A model whose counts vary: presence is as likely as not, and depends on the image."""
    air = tiny_air(tiny_config(slots, channels=channels), seed=seed, spread=0.3)
    with torch.no_grad():
        air.get_parameter("guide.proposer.4.weight")[0].mul_(20.0)
        bias = air.get_parameter("guide.proposer.4.bias")
        bias[0] += 0.5 - air(_images(30, channels)).logits.median()
    return air


def _images(batch: int, channels: int = 1) -> Tensor:
    parts = [blobs(batch, seed=many, objects=many, channels=channels) for many in (1, 2, 3)]
    return torch.cat(parts)[:: len(parts)]


@torch.no_grad()
def _best(air: AIR, images: Tensor, looks: int) -> Scene:
    return explain_best(air, images, looks, 9)


def _parts(scene: Scene) -> dict[str, Tensor]:
    """All tensors of a scene by name, the pictures with them."""
    names = [each.name for each in fields(Scene) if each.repr]
    return {name: getattr(scene, name) for name in (*names, "canvas", "canvases", "masks")}


def _compared(air: AIR, images: Tensor) -> Found:
    """What a scene of one look is made of."""
    found = search(air, images, candidates=air.candidates)
    if air.candidates > 1:
        found, _ = split(air, images, found, found.log_q.argmax(1))
        found = restart(air, images, found, found.log_q.argmax(1))
        found, _ = merge(air, images, found, found.log_q.argmax(1))
    return found


@torch.no_grad()
def test_the_count_from_one_candidate_is_the_mode_of_q() -> None:
    air, images, counts = _air(), _images(30), set[int]()
    air.candidates = 1
    scene = explain(air, images)
    chances = torch.sigmoid(_compared(air, images).logits).tolist()
    for row, count, q in zip(chances, scene.count, scene.count_probability, strict=True):
        on = [float(np.prod(row[:n])) for n in range(4)]
        wanted = [on[n] * (1 - row[n]) for n in range(3)] + [on[3]]
        assert q.tolist() == pytest.approx(wanted)
        assert int(count) == int(np.argmax(wanted))
        counts.add(int(count))
    assert len(counts) > 2


@torch.no_grad()
def test_a_sampled_count_follows_its_probability() -> None:
    air, images = _air(), _images(30)
    counts, (one, _) = generator(3), explanations(air, images, 1, 0)
    scenes = [
        explain(air, images, counts),
        *(scene_of(air, images, one, counts) for _ in range(199)),
    ]
    p, count = one.probability, torch.stack([scene.count for scene in scenes])
    share = torch.nn.functional.one_hot(count, p.shape[1]).float().mean(0)
    assert float((share - p).abs().max()) < 4.5 * 0.5 / math.sqrt(200)
    assert len(set(count.flatten().tolist())) > 2
    slots = torch.arange(air.slots)
    assert torch.equal(scenes[0].box[..., 2] > 0, slots < scenes[0].count[:, None])


@torch.no_grad()
def test_the_score_is_that_of_the_mean_latents() -> None:
    air, images = _air(), _images(30)
    scene, found = explain(air, images), _compared(air, images)
    wanted = found.scores.gather(1, scene.count[:, None])[:, 0]
    assert torch.equal(scene.score, wanted)


@CHANNELS
@pytest.mark.parametrize("looks", [0, 1, 5])
@torch.no_grad()
def test_parts_of_a_scene_belong_together(looks: int, channels: int) -> None:
    air, images = _air(channels=channels), _images(30, channels)
    scene = _best(air, images, looks) if looks else explain(air, images)
    assert scene.count.dtype == torch.int64
    assert scene.canvas.shape == images.shape
    assert scene.windows.shape == (30, 3, channels, 6, 6)
    assert scene.masks.shape == (30, 3, SIDE, SIDE)
    torch.testing.assert_close(scene.count_probability.sum(1), torch.ones(len(images)).double())
    tails = scene.found.log_q.exp().flip(1).cumsum(1).flip(1)[:, 1:]
    torch.testing.assert_close(scene.presence, tails)
    assert (scene.presence.diff(dim=1) <= 0).all()
    for row, count in enumerate(scene.count.tolist()):
        assert 0 <= count <= air.slots
        assert torch.equal(scene.canvas[row], scene.canvases[row, count])
        assert (scene.box[row, count:] == -1).all()
        assert (scene.box[row, :count, 2:] > 0).all()
        assert (scene.box[row, :count, :2] >= 0).all()
        far = scene.box[row, :count, :2] + scene.box[row, :count, 2:]
        assert (far <= SIDE).all()
    assert torch.equal(scene.canvases[:, 0], torch.zeros_like(images))
    assert (scene.canvases.diff(dim=1) >= 0).all()
    painted = scene.canvases.diff(dim=1).amax(2)
    present = torch.arange(air.slots) < scene.count[:, None]
    torch.testing.assert_close(scene.masks, painted * present[:, :, None, None])


@CHANNELS
@torch.no_grad()
def test_one_look_is_the_best_candidate(channels: int) -> None:
    air, images = _air(channels=channels), _images(12, channels)
    scene = explain_best(air, images, 1, 0)
    wanted = canvases_of(air, _compared(air, images))
    torch.testing.assert_close(scene.canvases, wanted, rtol=0, atol=1e-6)


@torch.no_grad()
def test_one_candidate_is_one_pass_of_the_guide() -> None:
    air, images = _air(), _images(20)
    air.candidates = 1
    with torch.no_grad():
        log_q, _ = log_count_posterior(air(images).logits)
        probability = explain(air, images).count_probability
    assert (probability - log_q.exp()).abs().max() < 2e-2, "but for slots after the search's end"


@pytest.mark.parametrize("call", ["forward", "draws", "explain", "explain_best"])
def test_what_are_no_images_of_the_model_is_refused(call: str) -> None:
    air, images = _air(), _images(4)
    calls: dict[str, Callable[[Tensor], object]] = {
        "forward": air,
        "draws": air.draws,
        "explain": lambda given: explain(air, given),
        "explain_best": lambda given: explain_best(air, given, 2, 0),
    }
    with torch.no_grad():
        calls[call](images)
        for wrong in (images.byte(), images.half(), images[:, 0], images[..., 1:]):
            with pytest.raises(ImageError, match="no images of this model"):
                calls[call](wrong)


def test_another_default_dtype_is_refused() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(AirkitError, match="default dtype"):
            _air()
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_same_seed_gives_the_same_scene() -> None:
    air, images = _air(), _images(12)
    one, other = (_best(air, images, 6) for _ in range(2))
    for name, part in _parts(one).items():
        assert torch.equal(part, _parts(other)[name]), name


@CHANNELS
@torch.no_grad()
def test_both_explanations_at_once_are_those_of_each_alone(channels: int) -> None:
    air, images = _air(channels=channels), _images(12, channels)
    both = explain_both(air, images, 4, 9)
    for found, alone in zip(both, (explain(air, images), _best(air, images, 4)), strict=True):
        for name, part in _parts(found).items():
            assert torch.equal(part, _parts(alone)[name]), name


@pytest.mark.parametrize("looks", [0, 1, 9])
@torch.no_grad()
def test_a_scene_depends_neither_on_the_batch_nor_on_the_order(looks: int) -> None:
    air, images = _air(), _images(12)

    def scene_of(part: Tensor) -> Scene:
        return _best(air, part, looks) if looks else explain(air, part)

    order = torch.randperm(12, generator=generator(0))
    whole, parts = scene_of(images), [scene_of(part) for part in torch.split(images[order], 5)]
    for name, wanted in _parts(whole).items():
        joined = torch.cat([_parts(part)[name] for part in parts])
        torch.testing.assert_close(joined, wanted[order], msg=name)


@pytest.mark.parametrize(("x", "y"), [(3, 12), (10, 5)])
@torch.no_grad()
def test_the_centre_is_where_the_object_is(x: int, y: int) -> None:
    air = tiny_air(tiny_config(2), spread=0.0)
    for name in ("weight", "bias"):  # no offset from where the slot looks
        air.get_parameter(f"guide.proposer.4.{name}").zero_()
    image = torch.zeros(1, 1, SIDE, SIDE).double()
    image[0, 0, y - 1 : y + 2, x - 1 : x + 2] = 1
    air.candidates = 1
    centre = explain(air, image).centre
    assert centre.shape == (1, 2, 2)
    assert centre[0, 0].tolist() == pytest.approx([x + 0.5, y + 0.5], abs=1.0)


def _painted_extent(painted: Tensor) -> list[float]:
    """Columns and rows of one painted window [H, H] that hold ink, as a box."""
    rows, columns = np.nonzero(painted.numpy() >= INK)
    x, y = columns.min(), rows.min()
    return [float(part) for part in (x, y, columns.max() - x + 1, rows.max() - y + 1)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_boxes_are_the_extent_of_painted_ink(dtype: torch.dtype) -> None:
    draws = generator(2)
    windows = torch.rand(20, 3, 6, 6, generator=draws, dtype=dtype) ** 4
    size = 0.2 + 0.6 * torch.rand(20, 3, generator=draws, dtype=dtype)
    centre = 1.8 * torch.rand(20, 3, 2, generator=draws, dtype=dtype) - 0.9
    found = _boxes(windows, size, centre, 19)
    assert found.shape == (20, 3, 4)
    for row in range(20):
        painted = paint(windows[row, :, None], size[row], centre[row], 19)[:, 0]
        for slot in range(3):
            if bool((painted[slot] >= INK).any()):
                wanted = _painted_extent(painted[slot])
            else:
                wanted = _whole_extent(float(size[row, slot]), centre[row, slot].tolist(), 19)
            assert found[row, slot].tolist() == pytest.approx(wanted, abs=1e-4)


def _boxes(windows: Tensor, size: Tensor, centre: Tensor, side: int) -> Tensor:
    """Boxes of windows [B, T, W, W], each painted on a canvas of its own."""
    flat = windows.flatten(0, 1)[:, None], size.flatten(), centre.flatten(0, 1)
    patches = Patches.around(*flat[1:], (side, side), windows.shape[-1])
    boxes = ink_boxes(patches.paint(*flat)[:, 0], patches, *flat[1:])
    return boxes.view(*size.shape, 4)


def _whole_extent(size: float, centre: list[float], side: int) -> list[float]:
    low = [max(0.0, (c + 1 - size) * side / 2) for c in centre]
    high = [min(float(side), (c + 1 + size) * side / 2) for c in centre]
    return [*low, *(far - near for near, far in zip(low, high, strict=True))]


@pytest.mark.parametrize(
    ("x", "y", "wanted"),
    [
        (0.0, 0.0, [6, 6, 8, 8]),
        (0.5, -0.5, [11, 1, 8, 8]),
        (0.9, -0.9, [15, 0, 5, 5]),  # cut off by the canvas
    ],
)
def test_a_blank_window_gives_its_whole_extent(x: float, y: float, wanted: list[float]) -> None:
    blank, centre = torch.zeros(1, 1, 6, 6), torch.tensor([[[x, y]]])
    found = _boxes(blank, torch.tensor([[0.4]]), centre, 20)
    assert found.flatten().tolist() == pytest.approx(wanted, abs=1e-5)


def test_faint_ink_is_no_ink_and_ink_itself_is() -> None:
    size, centre = torch.tensor([[1.0]]), torch.zeros(1, 1, 2)
    window = torch.zeros(1, 1, 8, 8)
    window[0, 0, 2, 3] = window[0, 0, 5, 6] = INK
    window[0, 0, 0, 0] = INK * 0.99
    assert _boxes(window, size, centre, 8).flatten().tolist() == [3, 2, 4, 4]


@torch.no_grad()
def test_a_blank_image_is_explained() -> None:
    air = _air().float()
    scene = explain_best(air, torch.zeros(2, 1, SIDE, SIDE), 4, 0)
    assert scene.score.isfinite().all()
    assert scene.box.isfinite().all()
