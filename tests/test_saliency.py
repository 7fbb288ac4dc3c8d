from __future__ import annotations

import math

import pytest
import torch
from model_factory import SIDE, blobs, double_noise, generator, tiny_air, tiny_config
from torch import Tensor

from airkit.model.air import AIR
from airkit.model.guides import MEANS, Noise, Peak, Residual, Slot, residual
from airkit.model.guides import saliency as module
from airkit.model.guides.saliency import SaliencyGuide
from airkit.model.objectives import elbo
from airkit.model.poses import UniformPose


def _guide(side: int = SIDE) -> SaliencyGuide:
    config = tiny_config(side=side)
    return SaliencyGuide(config, UniformPose(7 / side, 0.3), side).double()


def _look(guide: SaliencyGuide, ink: Tensor, look: Tensor | None = None) -> Peak:
    """Where the guide looks first for unexplained ink [B, C, H, H]."""
    residual = Residual(ink, torch.zeros_like(ink))
    return residual.peak(guide.blurs(), guide.start(ink), guide.sharpness, look)


def _saliency(ink: Tensor, sd: float) -> Tensor:
    """The blurred ink at every other pixel of one image [H, H], by plain loops."""
    side = len(ink)
    looks = math.ceil(side / 2)
    weights = torch.zeros(looks, side, dtype=ink.dtype)
    for look in range(looks):
        place = (2 * look + 1) / looks * side / 2 - 0.5
        for pixel in range(side):
            weights[look, pixel] = math.exp(-((place - pixel) ** 2) / (2 * sd**2))
    weights /= weights.sum(1).max()
    return torch.einsum("ij,jk,lk->il", weights, ink, weights)


@pytest.mark.parametrize("side", [16, 17])
def test_the_look_is_at_the_peak_of_the_blurred_ink(side: int) -> None:
    guide, images = _guide(side), blobs(6, side)
    centres, peaks = _look(guide, images)
    for image, centre, peak in zip(images, centres, peaks, strict=True):
        saliency = _saliency(image[0], tiny_config().blur * 7)
        row, column = divmod(int(saliency.argmax()), len(saliency))
        wanted = [(2 * cell + 1) / len(saliency) - 1 for cell in (column, row)]
        assert centre.tolist() == pytest.approx(wanted, abs=1e-6)
        assert float(peak) == pytest.approx(float(saliency.max()), rel=1e-5)


@pytest.mark.parametrize("sharpness", [1.0, 30.0])
def test_looks_are_drawn_from_the_softmax(sharpness: float) -> None:
    draws = 40_000
    saliency = torch.rand(12, generator=generator(3), dtype=torch.float64)
    saliency[:3] = torch.tensor([0.97, 1.0, 0.99]) * saliency.max()
    expected = draws * (sharpness * saliency / saliency.max()).softmax(0)
    looks = torch.rand(draws, generator=generator(4), dtype=torch.float64)
    mass = residual.Residual._mass(saliency[None], saliency.max()[None], sharpness)
    at = residual.sample_cells(mass, looks[None])
    seen = torch.bincount(at[0], minlength=12)
    common = expected >= 5  # the rest share one cell, as the chi-square test wants it
    cells = [torch.cat([part[common], part[~common].sum()[None]]) for part in (seen, expected)]
    cells = [part[cells[1] > 0] for part in cells]
    chi_square = float(((cells[0] - cells[1]) ** 2 / cells[1].clamp(min=1)).sum())
    degrees = len(cells[1]) - 1
    assert chi_square < degrees + 3.5 * math.sqrt(2 * degrees)


def test_drawn_looks_follow_the_saliency_of_the_guide() -> None:
    guide, draws = _guide(), 20_000
    guide.sharpness = 5.0
    image = blobs(1)
    looks = torch.rand(draws, generator=generator(0), dtype=torch.float64)
    centre, _ = _look(guide, image.expand(draws, 1, SIDE, SIDE), looks)
    saliency = _saliency(image[0, 0], tiny_config().blur * 7)
    chance = (5 * saliency / saliency.max()).flatten().softmax(0)
    places = (2 * torch.arange(SIDE // 2, dtype=torch.float64) + 1) / (SIDE // 2) - 1
    grid = torch.cartesian_prod(places, places).flip(1)  # (x, y), rows first
    error = (centre.mean(0) - chance @ grid).abs()
    assert (error < 4 * centre.std(0) / math.sqrt(draws)).all()


@pytest.mark.parametrize("noise", [0.0, 0.5, 1 - 2**-24])
def test_looks_at_a_blank_canvas_stay_on_it(noise: float) -> None:
    blank = torch.zeros(3, 1, SIDE, SIDE, dtype=torch.float64)
    centre, peak = _look(_guide(), blank, torch.full((3,), noise, dtype=torch.float64))
    assert (centre.abs() < 1).all()
    assert (peak == 0).all()


def test_looks_at_a_blank_canvas_are_anywhere() -> None:
    looks, blank = torch.rand(1, 4_000, generator=generator(0)), torch.zeros(1, 16)
    mass = residual.Residual._mass(blank, blank[:, 0], 30.0)
    seen = torch.bincount(residual.sample_cells(mass, looks)[0], minlength=16)
    assert ((seen - 250).abs() < 5 * math.sqrt(250)).all()


def test_no_noise_means_the_peak_and_the_means() -> None:
    air, images = tiny_air(), blobs(3)
    plain, zeros = air(images), torch.zeros(3, air.slots, 3, dtype=torch.float64)
    zero_codes = torch.zeros(3, air.slots, air.code, dtype=torch.float64)
    still = air(images, Noise(zeros, zero_codes, None))
    assert torch.equal(plain.log_likelihood, still.log_likelihood)
    assert torch.equal(plain.where.value, plain.where.normal.mean)
    assert torch.equal(air(images, MEANS).logits, plain.logits)


def _assert_finite(air: AIR, images: Tensor, noise: Noise) -> None:
    air.zero_grad()
    bound = elbo.elbo(air, images, noise)
    assert bound.isfinite().all()
    bound.sum().backward()  # type: ignore[no-untyped-call]
    for name, weights in air.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.isfinite().all(), name


@pytest.mark.parametrize("ink", [0.0, 1.0])
@pytest.mark.parametrize("pose", ["uniform", "affine"])
def test_blank_and_full_images_are_no_nan(ink: float, pose: str) -> None:
    air = tiny_air(tiny_config(3, pose=pose)).float()
    images = torch.full((4, 1, SIDE, SIDE), ink)
    _assert_finite(air, images, air.noise(generator(0), 4, looks=True))
    _assert_finite(air, images, MEANS)


def _slot(size: Tensor, centre: Tensor, present: float = 1.0) -> Slot:
    nothing = torch.zeros(1, 3, dtype=torch.float64)
    return Slot(torch.full_like(size, present), nothing, nothing, size, centre)


def test_an_absent_slot_closes_nothing() -> None:
    guide = _guide()
    state = guide.start(torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64))
    size, centre = torch.tensor([0.5]).double(), torch.tensor([[0.25, -0.25]]).double()
    assert (guide.advance(state, _slot(size, centre, present=0.0)) == 1).all()


def test_a_visited_window_is_closed_inside_and_open_outside() -> None:
    guide = _guide()
    state = guide.start(torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64))
    size, centre = torch.tensor([0.5]).double(), torch.tensor([[0.25, -0.25]]).double()
    closed = 1 - guide.advance(state, _slot(size, centre))[0]
    half = 0.5 * SIDE / 2
    middle = [(float(part) + 1) * SIDE / 2 for part in centre[0]]
    for row in range(SIDE):
        for column in range(SIDE):
            inside = [half - abs(p + 0.5 - c) for p, c in zip((column, row), middle, strict=True)]
            wanted = math.prod(1 / (1 + math.exp(-module.EDGE_SHARPNESS * each)) for each in inside)
            assert float(closed[row, column]) == pytest.approx(wanted, abs=1e-9)


def test_closing_adds_up_and_never_opens() -> None:
    guide = _guide()
    state = guide.start(torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64))
    size = torch.tensor([0.4]).double()
    before = state
    for x in (-0.5, -0.3, 0.6):
        centre = torch.tensor([[x, 0.1]]).double()
        state = guide.advance(state, _slot(size, centre))
        assert (state <= before).all()
        assert float(state.min()) >= 0
        before = state


def _proposed(
    guide: SaliencyGuide, images: Tensor, canvas: Tensor, left: Tensor | None = None
) -> Tensor:
    """The mean of z_where where so much was painted and is left open, [B, 3]."""
    state = guide.start(images) if left is None else left
    return guide.propose(state, Residual(images, canvas), None)[1].mean


def test_unexplained_open_ink_draws_the_look() -> None:
    guide, images = _guide(), torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    images[..., 4, 4] = images[..., 11, 11] = 1.0
    images[..., 4, 5] = 0.5
    zero = torch.zeros_like(images)
    explained = zero.clone()
    explained[..., :8, :] = images[..., :8, :]
    whole, half = torch.ones_like(images[0]), torch.ones_like(images[0])
    half[0, :8] = 0.0
    first = _proposed(guide, images, zero, whole)
    for canvas, left in ((explained, whole), (zero, half)):
        second = _proposed(guide, images, canvas, left)
        assert (second[0, 1:] - first[0, 1:] > 0.3).all()


def test_negative_residuals_are_no_ink() -> None:
    guide = _guide()
    images = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    residual = Residual(images, torch.full_like(images, 0.5))
    pixels, _ = guide.attend(guide.start(images), residual, None)
    glimpse, peak = pixels[:, :-1].view(2, 6, 6), pixels[:, -1]
    assert float(peak) == 0
    assert not glimpse[0].any()
    assert float(glimpse[1, 3, 3]) == pytest.approx(-0.5)


def test_too_much_paint_draws_no_look() -> None:
    guide, images = _guide(), torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    images[..., 12, 12] = 1.0
    canvas = torch.zeros_like(images)
    canvas[..., 3, 3] = 3.0  # beyond the crop around the ink
    clean, painted = (_proposed(guide, images, part) for part in (0 * canvas, canvas))
    assert torch.equal(painted, clean)


def _pixels(air: AIR, size: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    return size * air.canvas_size, (centre + 1) * air.canvas_size / 2


@pytest.mark.parametrize(("shift", "objects", "tolerance"), [(16, 2, 1e-5), (15, 1, 2.5)])
def test_a_larger_blank_canvas_around_an_image_moves_little(
    shift: int, objects: int, tolerance: float
) -> None:
    # Looks are on every other pixel: an even shift keeps their grid, an odd one moves it a pixel,
    # which may also swap two objects of like saliency; so there is one then.
    config = tiny_config(side=50, object_size=20.0, window_size=12)
    air = tiny_air(config, spread=0.02)
    larger = AIR(config, canvas_size=80, slots=8).double()
    larger.load_state_dict(air.state_dict())
    images = torch.zeros(5, 1, 50, 50, dtype=torch.float64)
    images[..., 9:41, 9:41] = blobs(5, 32, objects=objects)
    embedded = torch.zeros(5, 1, 80, 80, dtype=torch.float64)
    embedded[..., shift : shift + 50, shift : shift + 50] = images
    one, other = air(images), larger(embedded)
    for slot in range(objects):
        torch.testing.assert_close(
            other.logits[:, slot], one.logits[:, slot], rtol=0, atol=min(0.1, tolerance)
        )
        size, centre = _pixels(air, one.size[:, slot], one.centre[:, slot])
        large_size, large_centre = _pixels(larger, other.size[:, slot], other.centre[:, slot])
        torch.testing.assert_close(large_size, size, rtol=0, atol=tolerance)
        torch.testing.assert_close(large_centre, centre + shift, rtol=0, atol=tolerance)


@pytest.mark.parametrize("drawn", [False, True])
def test_a_refined_look_is_a_look_where_the_guide_would_put_the_object(
    monkeypatch: pytest.MonkeyPatch, drawn: bool
) -> None:
    twice, once = (tiny_air(tiny_config(refinements=number)).guide for number in (1, 0))
    assert isinstance(once, SaliencyGuide)
    images = blobs(5)
    residual = Residual(images, torch.zeros_like(images))
    look = torch.rand(5, generator=generator(4), dtype=torch.float64) if drawn else None
    logit, where, _ = twice.propose(twice.start(images), residual, look)

    first, aimed, _ = once.propose(once.start(images), residual, look)
    peak = _look(once, images, look)[1]
    _, centre = once.pose.decode(aimed.mean)
    monkeypatch.setattr(Residual, "peak", lambda *_: (centre, peak))
    again, refined, _ = once.propose(once.start(images), residual, look)

    assert not torch.allclose(first, again)
    torch.testing.assert_close(logit, again)
    torch.testing.assert_close(where, refined)


def test_a_refinement_carries_no_gradient() -> None:
    air = tiny_air(tiny_config(1, refinements=3))
    images, noise = blobs(3), double_noise(air, 3)
    calls: list[bool] = []
    guide = air.guide
    assert isinstance(guide, SaliencyGuide)
    guide.proposer.register_forward_hook(
        lambda module, inputs, out: calls.append(out.requires_grad)
    )
    elbo.elbo(air, images, noise)
    assert calls == [False, False, False, True]


def test_the_guide_starts_with_slots_on_and_centres_known_well() -> None:
    guide = AIR(tiny_config()).guide
    assert isinstance(guide, SaliencyGuide)
    for weights in guide.proposer[-1].parameters():
        torch.nn.init.zeros_(weights)
    images = blobs(2).float()
    residual = Residual(images, torch.zeros_like(images))
    logit, where, _ = guide.propose(guide.start(images), residual, None)
    assert logit.tolist() == [module.PRESENCE_BIAS] * 2
    wanted = [math.log1p(math.exp(bias)) for bias in module.SD_BIAS]
    assert where.sd[0].tolist() == pytest.approx(wanted, rel=1e-4)
    assert where.mean[0, 0].item() == pytest.approx(0, abs=1e-6)


def test_a_surround_moves_the_look_to_the_end_of_a_clump() -> None:
    """Two discs that overlap: one blur peaks between their centres, with a surround at one."""
    grid = torch.arange(40, dtype=torch.float64) + 0.5
    discs = [((grid[:, None] - 20) ** 2 + (grid - x) ** 2) < 49 for x in (15, 25)]
    clump = (discs[0] | discs[1]).double()[None, None]
    found = {}
    for surround in (0.0, 0.4):
        config = tiny_config(side=40, object_size=14.0)
        saliency = AIR(config.updated("guide", blur=0.2, surround=surround)).double().guide
        assert isinstance(saliency, SaliencyGuide)
        found[surround] = float(_look(saliency, clump).centre[0, 0]) * 20 + 20
    assert 17 <= found[0.0] <= 23
    assert min(abs(found[0.4] - x) for x in (15, 25)) <= 1
