"""A look at pictures without labels: their background, noise and contrast; their objects' size.

What is found here is what every ``auto`` follows. Rules are plain and robust, each over a sample
of all pictures; where they doubt, they say so.

Shapes: N pictures, H side in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from airkit.system import backgrounds

SAMPLE = 256
"""Pictures to look at."""
FLAT = 0.015
"""How far an even background may be off its estimate, for grey levels in 0..1, beside noise."""
LEAST_CONTRAST = 0.04
"""Least contrast of an object with the background."""
SPECK = 12
"""Components of fewer pixels are taken for noise."""
MANY = 20
"""More objects on a picture than this make the model slow and unsure."""


@dataclass(frozen=True)
class Findings:
    """What a look at pictures found.

    Attributes:
        background: none (blank black), constant, plane or smooth.
        polarity: whether objects are bright, dark or both.
        compositing: whether the light of overlapping objects is likely to ``add`` up, or one is
            ``over`` the other.
        noise: standard deviation of the pixel noise, for grey levels in 0..1.
        contrast: typical contrast of an object with the background, 0..1.
        object_size: typical side of an object in pixels; 0 where none was found.
        object_sizes: its 5th and 95th percentile.
        most_objects: most objects to expect on a picture.
        doubts: what may go wrong, each a sentence.
    """

    background: str
    polarity: str
    compositing: str
    noise: float
    contrast: float
    object_size: float
    object_sizes: tuple[float, float]
    most_objects: int
    doubts: tuple[str, ...] = ()

    def describe(self) -> Iterator[str]:
        """Yield what was found in words, a line each, and then the doubts."""
        background = {
            "none": "blank",
            "constant": "one grey level a picture",
            "plane": "a linear gradient",
            "smooth": "soft lumps",
        }[self.background]
        yield f"background: {background}; noise: {100 * self.noise:.1f} % of full scale"
        kind = {"bright": "brighter", "dark": "darker", "both": "brighter or darker"}[self.polarity]
        overlap = "their light adds up" if self.compositing == "add" else "one hides the other"
        yield f"objects: {kind} than the background by {100 * self.contrast:.0f} %; {overlap}"
        low, high = self.object_sizes
        sizes = f"about {self.object_size:.0f} px, most of them {low:.0f} to {high:.0f} px"
        yield f"sizes: {sizes}; at most {self.most_objects} on a picture"
        yield from self.doubts


def look(images: NDArray[np.uint8], seed: int = 0) -> Findings:
    """Look at a sample of pictures.

    Args:
        images: grey levels, uint8 [N, H, H]; at least one.
        seed: of the sample.
    """
    levels = _sample(images, seed)
    noise = pixel_noise(levels)
    background, polarity, residual = _split(levels, noise)
    found = _components(residual, _threshold(residual, noise))
    single, sizes = _singles(found)
    low, high = np.quantile(sizes, [0.05, 0.95]) if len(sizes) else (0.0, 0.0)
    findings = Findings(
        background=background,
        polarity=polarity,
        compositing="over" if background != "smooth" and _are_flat(found, single) else "add",
        noise=noise,
        contrast=float(np.median(found.level[single])) if single.any() else 0.0,
        object_size=float(np.median(sizes)) if len(sizes) else 0.0,
        object_sizes=(float(low), float(high)),
        most_objects=_most(found, single, len(levels)),
    )
    doubts = tuple(_doubts(findings, found, levels, residual))
    return Findings(**{**vars(findings), "doubts": doubts})


def candidates(images: NDArray[np.uint8], findings: Findings) -> tuple[Tensor, Tensor]:
    """Background of each picture, and pixels that stand out of it, as a look takes them.

    Args:
        images: uint8 [N, H, H].
        findings: of a look at them.

    Returns:
        Backgrounds in 0..1 [N, H, H], and flags [N, H, H].
    """
    levels = torch.from_numpy(images).float() / 255
    background = _BACKGROUNDS[findings.background](levels, findings.polarity)
    residual = _ink(levels - background, findings.polarity)
    return background, residual > _threshold(residual, findings.noise)


def pixel_noise(levels: Tensor) -> float:
    """Standard deviation of the pixel noise of pictures [N, H, H], for grey levels in 0..1.

    The median over pictures of a robust spread after a filter that is blind to gradients
    (Immerkaer 1996, "Fast noise variance estimation").
    """
    kernel = torch.tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]])[None, None] / 6
    rough = conv2d(levels[:, None], kernel).abs().flatten(1)
    return float((1.4826 * rough.median(1).values).median())


def _sample(images: NDArray[np.uint8], seed: int) -> Tensor:
    """Some of the pictures, as grey levels in 0..1."""
    rows = np.arange(len(images))
    if len(images) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE, replace=False))
    return torch.from_numpy(np.ascontiguousarray(images[rows])).float() / 255


# The background


def _smooth(levels: Tensor, polarity: str) -> Tensor:
    """Soft lumps, wider than a third of the picture."""
    sign = -1 if polarity == "dark" else 1
    return sign * backgrounds.smooth(sign * levels, 2 * (levels.shape[-1] // 6) + 1)


_BACKGROUNDS: dict[str, Callable[[Tensor, str], Tensor]] = {
    "none": lambda levels, _: torch.zeros_like(levels),
    "constant": lambda levels, _: backgrounds.constant(levels),
    "plane": lambda levels, _: backgrounds.plane(levels),
    "smooth": _smooth,
}


def _split(levels: Tensor, noise: float) -> tuple[str, str, Tensor]:
    """The simplest background that the pictures' outermost pixels agree with, polarity and ink."""
    for background, estimate in _BACKGROUNDS.items():
        if background != "smooth":  # whose filter depends on the polarity
            polarity = _polarity(levels - estimate(levels, ""), noise)
        residual = levels - estimate(levels, polarity)
        if _unevenness(residual) <= FLAT + noise / 4:
            break
    return background, polarity, _ink(residual, polarity)


def _unevenness(residual: Tensor) -> float:
    """How far the outermost pixels of most pictures are off the background, without their noise.

    Objects touch some of these pixels, so that within a picture it is the median that counts.
    """
    off = backgrounds.border(backgrounds.blur(residual, 5)).abs().median(1).values
    return float(off.quantile(0.8))


def _polarity(residual: Tensor, noise: float) -> str:
    """Whether what stands out is bright, dark, or some of each."""
    least = max(LEAST_CONTRAST, 5 * noise)
    bright, dark = (float((sign * residual > least).float().mean()) for sign in (1, -1))
    if min(bright, dark) > 0.2 * max(bright, dark):
        return "both"
    return "bright" if bright >= dark else "dark"


def _ink(residual: Tensor, polarity: str) -> Tensor:
    """What stands out, as positive numbers."""
    if polarity == "both":
        return residual.abs()
    return residual if polarity == "bright" else -residual


# Objects


@dataclass(frozen=True)
class _Components:
    """Connected parts of what stands out, an entry each."""

    picture: NDArray[Any]
    area: NDArray[Any]
    side: NDArray[Any]
    """The longer side of the box around it, in pixels."""
    level: NDArray[Any]
    """Mean ink."""
    unevenness: NDArray[Any]
    """Standard deviation of the ink within, without its edge, in shares of the mean."""


def _threshold(residual: Tensor, noise: float) -> float:
    """Ink of an object's pixel: half of a typical object's, but clear of the noise."""
    least = max(LEAST_CONTRAST, 4 * noise)
    ink = residual[residual > least]
    return max(least, 0.3 * float(ink.quantile(0.75))) if 0 < len(ink) <= 2**24 else least


def _components(residual: Tensor, threshold: float) -> _Components:
    """Parts of pictures [N, H, H] above a threshold, connected along sides and corners."""
    flags = backgrounds.blur(residual, 3) > threshold
    inner = (-max_pool2d(-flags.float()[:, None], 5, 1, 2)[:, 0]).numpy() > 0
    labels = _labels(flags).numpy()
    picture, y, x = np.nonzero(labels)
    key = picture * (labels[0].size + 1) + labels[picture, y, x]
    keys, part = np.unique(key, return_inverse=True)
    area, kept = np.bincount(part), np.bincount(part) >= SPECK
    sides = []
    for place in (y, x):
        low, high = np.full(len(keys), len(labels[0])), np.zeros(len(keys), int)
        np.minimum.at(low, part, place)
        np.maximum.at(high, part, place)
        sides.append(high - low + 1)
    ink = residual.numpy()[picture, y, x]
    within = inner[picture, y, x]
    within |= np.bincount(part, within)[part] < SPECK  # a thin object is all edge
    total, sums, squares = (np.bincount(part, within * ink**power) for power in (0, 1, 2))
    mean = sums / total
    uneven = np.sqrt(np.maximum(squares / total - mean**2, 0)) / np.maximum(mean, 1e-6)
    level = np.bincount(part, ink) / area
    columns = keys // (labels[0].size + 1), area, np.maximum(*sides), level, uneven
    return _Components(*(column[kept] for column in columns))


def _labels(flags: Tensor) -> Tensor:
    """A number for each connected part of flags [N, H, H], 0 elsewhere."""
    size = flags.shape[1] * flags.shape[2]
    numbers = torch.arange(1, size + 1, dtype=torch.float32).view(1, *flags.shape[1:])
    labels = numbers * flags
    while True:
        spread = max_pool2d(labels[:, None], 3, 1, 1)[:, 0] * flags
        if torch.equal(spread, labels):
            return labels.int()
        labels = spread


def _singles(found: _Components) -> tuple[NDArray[Any], NDArray[Any]]:
    """Which components are likely to be one object each, and their sides in pixels.

    Objects that touch make larger components: those beyond 1.5 times the size that the lower
    third has are left out.
    """
    if not len(found.side):
        return np.zeros(0, bool), found.side
    base = np.quantile(found.side, 0.35)
    single = (found.side <= 1.5 * base) & (found.side >= base / 2)
    return single, found.side[single]


def _most(found: _Components, single: NDArray[Any], pictures: int) -> int:
    """Most objects to expect: by areas, on all but one in 200 pictures."""
    if not single.any():
        return 1
    typical = np.median(found.area[single])
    objects = np.maximum(1, np.round(found.area / (1.25 * typical)))
    counts = np.bincount(found.picture.astype(int), objects, minlength=pictures)
    return max(1, math.ceil(np.quantile(counts, 0.995)))


def _are_flat(found: _Components, single: NDArray[Any]) -> bool:
    """Whether objects have sharp edges and one grey level each."""
    return bool(single.any() and np.median(found.unevenness[single]) < 0.15)


def _doubts(
    findings: Findings, found: _Components, levels: Tensor, residual: Tensor
) -> Iterator[str]:
    """What may go wrong, a sentence each."""
    side = levels.shape[-1]
    if not findings.object_size:
        yield "nothing stands out: all pictures look empty; check their grey levels"
        return
    if _unevenness(residual) > 2 * (FLAT + findings.noise / 4):
        yield "the background is textured, which the model cannot explain: expect needless objects"
    if findings.object_size > side / 2:
        yield "objects are as large as the pictures: use larger pictures, or smaller objects"
    if findings.contrast < 3 * findings.noise:
        yield "the noise is as large as the contrast: blur the pictures first, or scale them down"
    if findings.object_sizes[1] > 2.5 * findings.object_sizes[0]:
        yield "sizes differ much: name the typical side with --object-size"
    if findings.most_objects > MANY:
        yield "there are many objects on a picture: cut it into tiles with --tile"
    empty = 1 - len(np.unique(found.picture)) / len(levels)
    if empty > 0.8:
        yield f"{100 * empty:.0f} % of the pictures look empty"
