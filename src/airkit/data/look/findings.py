"""A look at pictures without labels: their background, noise and contrast, and their objects.

``airkit import`` stores what is found as the section ``pictures`` of the data file, and every
``auto`` follows it. The rules are plain and robust, each over a sample of pictures; where one is in
doubt, it says so.

Shapes: N pictures, C channels, H x W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from airkit.config.pictures import PicturesConfig
from airkit.data.look import noise as noises
from airkit.data.look import objects
from airkit.data.look.background import Background, Polarity, estimate, ink_of, split, unevenness
from airkit.data.look.blobs import Array, reach
from airkit.data.look.fixed import Box, fixed_parts
from airkit.data.look.objects import LEAST_CONTRAST, Compositing
from airkit.system.text import argument

BACKGROUNDS = {
    "none": "none, blank black",
    "constant": "one grey level a picture",
    "plane": "a linear gradient",
    "quadratic": "a gradient that bends",
    "smooth": "soft lumps",
    "median": "soft lumps, as a median filter finds them",
    "rolling-ball": "soft lumps, as a rolling ball finds them",
}
"""Backgrounds, and filters that find them, in words."""
POLARITIES = {"bright": "brighter", "dark": "darker", "both": "brighter or darker"}
"""How bright objects are, beside the background, in words."""
SAMPLE = 256
"""Most pictures to look at."""
PIXELS = 2**21
"""Most pixels to look at, except for a few very large pictures."""
MANY = 20
"""More objects on a picture than this make a model slow and unsure."""
_TILE = 4.5  # side of a tile that holds some ten objects, in sides of an object
_FEW = 16  # pictures to look at, however large
_EVEN = 0.015  # deviation of the border's grey level that passes for none, beside noise
_MARGIN = 28 / 20 * 0.95  # side of the window of a digit, in sides of its ink
_LARGEST = 0.95  # object size in sides of the picture: data.digit_size is to fit it
_DISAGREE = (1.6, 2.0)  # ratio of two sizes from which on neither is trusted: solid, thin
_WEAK = 0.1  # contrast too weak for settings made for more
_FAINTER = 0.45  # share of the usual contrast below which an object is missed, where light adds up
_MOSTLY = 0.6, 0.45  # shares of parts of one object each, and of their pixels, at least


@dataclass(frozen=True)
class Doubt:
    """What may go wrong with pictures."""

    text: str
    """A sentence, with the way out."""
    settled_by: tuple[str, ...] = ()
    """Arguments of ``airkit.import_scenes``: where one of them is given, there is no doubt."""

    def __str__(self) -> str:
        return self.text


TEXTURED = Doubt(
    "the background is textured or uneven, which no model explains: expect wrong counts"
)
"""The doubt that no setting ends."""


@dataclass(frozen=True)
class Findings:
    """What a look at pictures found."""

    background: Background
    """None (blank black), constant (one grey level a picture), plane (a linear gradient), quadratic
    (a gradient that bends) or smooth (soft lumps)."""
    polarity: Polarity
    """Whether objects are brighter than the background, darker, or some of each."""
    compositing: Compositing
    """Whether the light of overlapping objects seems to add up, or one is over the other."""
    noise: float
    """Standard deviation of the pixel noise, black being 0 and white 1."""
    contrast: float
    """Typical contrast of an object with the background, averaged over it, in the same unit."""
    object_size: float
    """Typical side of an object in pixels; 0 where none was found. For thin strokes it includes a
    margin, as that of digits does."""
    object_sizes: tuple[float, float]
    """The 5th and the 95th percentile of that side."""
    most_objects: int
    """Most objects to expect on a picture."""
    stretch: float = 0.0
    """Contrast from which on ink is to be compressed, as some objects are far fainter than others;
    0 where they are not."""
    fixed: tuple[Box, ...] = ()
    """Where something is at the same place in nearly all pictures."""
    doubts: tuple[Doubt, ...] = ()
    """What else may go wrong."""

    @property
    def digit_size(self) -> float:
        """The value of ``data.digit_size``, of which ``model.object_size`` is 0.95, at least 4."""
        return max(4.0, self.object_size / 0.95)

    def pictures(self, digits: int = 4) -> PicturesConfig:
        """Return the section that a data file records, with so many ``digits`` after the point."""
        return PicturesConfig(
            background=self.background,
            polarity=self.polarity,
            compositing=self.compositing,
            noise=round(self.noise, digits),
            contrast=round(self.contrast, digits),
            object_size=round(self.object_size, digits),
            stretch=self.stretch,
        )

    def describe(self) -> list[str]:
        """Return what was found in words, a line each: background, objects, sizes."""
        noise = f"noise of {self.noise:.1%} of white" if self.noise > 0.002 else "no noise"
        lines = [f"background: {BACKGROUNDS[self.background]}; {noise}"]
        if self.object_size:
            than = POLARITIES[self.polarity]
            seen = f"{than} than the background by {self.contrast:.0%} of white"
            overlap = "light adds up" if self.compositing == "add" else "one hides the other"
            faint = "; some are far fainter, and are counted too" if self.stretch else ""
            lines.append(f"objects: {seen}{faint}; where they overlap, {overlap}")
            low, high = self.object_sizes
            size = f"about {self.object_size:.0f} px, most {low:.0f} to {high:.0f} px"
            lines.append(f"size: {size}; at most {self.most_objects} on a picture")
        return lines


@dataclass(frozen=True)
class _Evidence:
    """What doubts rest on."""

    side: int
    """Of the pictures, the longer one."""
    uneven: float
    """Deviation of the border from the background."""
    bare: float
    """The same of those of its pixels where nothing stands out."""
    size: float
    """Typical side of objects by a threshold, without a margin."""
    other: float
    """The same by correlation; 0 where it is not known."""
    disagree: float
    """Ratio of both from which on they disagree."""
    single: tuple[float, float]
    """Share of the parts that stand out that are taken for one object each, and of their pixels."""
    seen: float
    """Share of the pictures where something stands out."""
    faint: float
    """Contrast of the faintest objects, the 5th percentile."""


def look(images: NDArray[np.uint8]) -> Findings:
    """Look at a sample of pictures.

    Args:
        images: uint8 [N, H, W], of colours [N, H, W, 3]; at least one.
    """
    levels = _sample(images)
    fine, side = noises.fine(levels), max(levels.shape[2:])
    noise = max(fine, noises.coarse(levels))
    background, polarity, residual = split(levels, noise, _EVEN + fine / 4)
    ink = ink_of(residual, polarity)
    found = objects.parts_of(ink, noise)
    single = objects.singles(found)
    alone, any_ = found.of(single), bool(single.any())
    thin = any_ and objects.are_thin(alone)
    sizes = np.quantile(alone.side, [0.05, 0.5, 0.95]) if any_ else np.zeros(3)
    low, size, high = np.minimum(sizes * (_MARGIN if thin else 1), _LARGEST * side).tolist()
    contrast = objects.contrast(alone, residual, ink) if any_ else LEAST_CONTRAST
    compositing = objects.compositing(found, single, noise, contrast) if any_ else "add"
    every = objects.with_faint(ink, alone, noise) if any_ else found
    stretch = 0.0
    if compositing == "over" and background in ("none", "constant"):
        stretch = objects.stretch(every, alone, noise)
    parts = every if stretch else found
    findings = Findings(
        background=background,
        polarity=polarity,
        compositing=compositing,
        stretch=stretch,
        noise=min(noise, 1.0),
        contrast=contrast,
        object_size=size,
        object_sizes=(low, high),
        most_objects=objects.most(parts, objects.singles(parts)) if any_ else 1,
        fixed=fixed_parts(ink, noise),
    )
    evidence = _Evidence(
        side=side,
        uneven=unevenness(ink[:, None]),
        bare=unevenness(ink[:, None], objects.standing(ink, noise)),
        size=float(sizes[1]),
        other=reach(ink),
        disagree=_DISAGREE[thin],
        single=(float(single.mean()), alone.area.sum() / found.area.sum()) if any_ else (0.0, 0.0),
        seen=np.unique(found.picture).size / len(levels),
        faint=objects.levels(every, alone)[0] if any_ else math.inf,
    )
    return replace(findings, doubts=tuple(_doubts(findings, evidence)))


def behind(levels: Array, found: Findings) -> Array:
    """Return the backgrounds that a look found under levels in 0..1, [N, C, H, W]."""
    return estimate(levels, found.background, found.polarity)


def candidates(ink: Array, noise: float, *, faint: bool = False) -> list[Array]:
    """Return boxes of what may be objects, those that touch in one.

    Args:
        ink: what stands out of the background, as positive numbers, [N, H, W].
        noise: standard deviation of the pixel noise, in the same unit.
        faint: whether far fainter ones count as well.

    Returns:
        Boxes (x, y, width, height), [K, 4] for each picture.
    """
    found = objects.parts_of(ink, noise)
    if faint and found.area.size:
        found = objects.with_faint(ink, found.of(objects.singles(found)), noise)
    return [found.box[found.picture == place] for place in range(len(ink))]


def most_of(pixels: int) -> int:
    """Most pictures to look at, of so many pixels each."""
    return min(SAMPLE, max(_FEW, PIXELS // pixels))


def _sample(images: NDArray[np.uint8]) -> Array:
    """Some of the pictures, as levels in 0..1, [n, C, H, W]."""
    most = most_of(images[0].size)
    if len(images) > most:
        rows = np.random.default_rng(0).choice(len(images), most, replace=False)
        images = images[np.sort(rows)]
    planes = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1)
    return np.asarray(planes / np.float32(255), np.float32)


def _doubts(found: Findings, evidence: _Evidence) -> list[Doubt]:
    """Return what may go wrong."""
    if not found.object_size:
        said = "nothing stands out of the background: all pictures look empty"
        noisy = f", or noise of {found.noise:.0%} of white hides all; blur them first"
        return [Doubt(said + (noisy if found.noise > LEAST_CONTRAST else ""))]
    even = _EVEN + found.noise / 4
    if evidence.bare > even and evidence.uneven > max(2 * even, 0.15 * found.contrast):
        return [TEXTURED]
    side, size, other = evidence.side, evidence.size, evidence.other
    tile = math.ceil(_TILE * found.object_size)
    ask, cut = f"name the size with {argument('object_size')}", argument("tile", tile)
    crowd = f"more than {MANY} objects on a picture"
    doubts = {
        Doubt("objects both brighter and darker on soft lumps cannot be told from these"): (
            found.polarity == "both" and found.background == "smooth"
        ),
        Doubt(f"objects are as large as the pictures ({size:.0f} of {side} px)"): size > 0.6 * side,
        Doubt("the noise is as large as the contrast: blur the pictures first"): (
            found.contrast < 3 * found.noise
        ),
        Doubt(f"objects stand out by only {found.contrast:.0%} of white"): found.contrast < _WEAK,
        Doubt(
            f"some objects are far fainter than others, by {evidence.faint:.0%} of white, and may "
            f"be missed: train with model.pixel_sd={max(evidence.faint / 2, found.noise):.2g}"
        ): found.compositing == "add" and evidence.faint < _FAINTER * found.contrast,
        Doubt(
            f"two estimates of the size disagree, {size:.0f} and {other:.0f} px: {ask}",
            settled_by=("object_size",),
        ): other > 0 and max(size / other, other / size) > evidence.disagree,
        Doubt(
            f"most objects touch, or sizes differ much: import each size separately, or {ask}",
            settled_by=("object_size",),
        ): any(share < least for share, least in zip(evidence.single, _MOSTLY, strict=True)),
        Doubt(f"{crowd}: cut it into tiles, here {cut}", settled_by=("most_objects",)): (
            found.most_objects > MANY and tile < side
        ),
        Doubt(
            f"{crowd}, too many for its {side} px: {ask}",
            settled_by=("most_objects", "object_size"),
        ): found.most_objects > MANY and tile >= side,
        Doubt(f"{1 - evidence.seen:.0%} of the pictures look empty"): evidence.seen < 0.2,
    }
    return [doubt for doubt, applies in doubts.items() if applies]
