"""Drawing scenes: sprites that occlude each other, and cells whose light adds up.

As with digits (``airkit.data.compose``), canvas i of a split depends on (seed, split, i) alone and
is the same on every machine. The count is drawn first. Objects are then placed one after the other,
each moved until it keeps its distance; a scene that runs out of moves, or where too little of an
object is its own, is drawn again.

Shapes: N canvases of side H and C channels, n drawn at one attempt, M objects at most on one, s
side of a patch.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airkit.config.schema import DataConfig, ScenesConfig
from airkit.data import fields
from airkit.data.canvases import SPLITS, Canvases
from airkit.data.format import Arrays
from airkit.data.placement import Block, Words, below, colours, draw_counts, halves, retry
from airkit.data.raster import Bytes, Floats, Ints, Mask, extents
from airkit.data.shapes import FULL, SPRITES, TURNS, Outlines, cell_covers, sprite_covers
from airkit.data.sources import Origin
from airkit.errors import CanvasError

TRIES = 500
"""Attempts at one scene."""
_HALF = FULL // 2  # least cover of the pixels that are an object's own
_LEAST_RATIO = 0.8  # of a cell's axes
_STEP = 2**20  # pixels composed together


@dataclass(frozen=True)
class SceneBlock(Block):
    """A block of drawn canvases."""

    scenes: ScenesConfig

    @property
    def radii(self) -> tuple[float, float]:
        """Least and greatest radius of an object, in pixels.

        Radii are uniform; their mean and standard deviation are half of those of the size.
        """
        spread = math.sqrt(3) * self.config.digit_size_sd
        return (self.config.digit_size - spread) / 2, (self.config.digit_size + spread) / 2

    @property
    def side(self) -> int:
        """Side of a patch that holds any object, in pixels."""
        return min(math.ceil(2 * self.radii[1]) + 2, self.config.canvas_size)

    def noise(self, name: str, many: int, share: int) -> Words:
        """Random words of ``many`` canvases, one for every ``share`` of their pixels."""
        width = -(-(self.config.canvas_size**2) // share)
        return self.words(name, np.arange(many), 0, width)


@dataclass(frozen=True)
class Objects:
    """Objects of n canvases; entries from place ``count`` on are meaningless.

    Attributes:
        count: i64 [n], objects on each canvas.
        label: i64 [n, M], place in ``SPRITES``.
        level: f64 [n, M, C], grey, or red, green and blue.
        corner: i64 [n, M, 2], x and y of each patch's upper left pixel.
        cover: u8 [n, M, s, s], how much of each pixel of its patch an object covers.
    """

    count: Ints
    label: Ints
    level: Floats
    corner: Ints
    cover: Bytes

    def windows(self) -> Iterator[tuple[int, Ints, tuple[Ints, Ints, Ints]]]:
        """Yield each place, its canvases [K], and its pixels as an index of [n, H, H]."""
        side = np.arange(self.cover.shape[-1])
        for place in range(int(self.count.max(initial=0))):
            rows = np.flatnonzero(self.count > place)
            x, y = self.corner[rows, place].T
            window = rows[:, None], y[:, None] + side, x[:, None] + side
            yield place, rows, (window[0][:, :, None], window[1][:, :, None], window[2][:, None])


@dataclass(frozen=True)
class Scenes:
    """Canvases of sprites or cells; see ``airkit.data.parts.Composer``."""

    data: DataConfig
    """Which objects, counts, sizes and seed; ``digit_size`` is the mean diameter of an object."""
    scenes: ScenesConfig
    """How scenes are drawn."""

    @property
    def origin(self) -> Origin:
        """What the data file records of the source; the digest stands for the way of drawing."""
        name = self.data.source
        digest = hashlib.sha256(f"airkit {name} 1".encode()).hexdigest()
        return Origin(name, digest, "Apache-2.0", f"{name} drawn by airkit")

    @property
    def arrays(self) -> Arrays:
        """The arrays of each split; cells have no labels."""
        labels = ("label",) if self.data.source == "sprites" else ()
        return dict.fromkeys(SPLITS, ("image", "count", *labels, "box", "mask"))

    def compose(self, split: str, start: int, stop: int) -> Canvases:
        """Draw canvases ``start`` to ``stop`` (excluded) of ``split``.

        Raises:
            CanvasError: the objects cannot be laid out as ``scenes`` asks.
        """
        step = max(1, _STEP // self.data.canvas_size**2)
        starts = range(start, max(stop, start + 1), step)
        blocks = [SceneBlock(self.data, split, low, self.scenes) for low in starts]
        parts = [_compose(block, min(block.start + step, stop)).known for block in blocks]
        return Canvases(
            **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )


def _compose(block: SceneBlock, stop: int) -> Canvases:
    """Draw the canvases of a block."""
    counts = draw_counts(block.config, block.split, block.start, stop)
    size, patch = block.config.canvas_size, (block.places, block.side, block.side)
    labels = np.zeros((len(counts), block.places), np.int64)
    levels = np.zeros((*labels.shape, block.config.channels))
    corners = np.zeros((len(counts), block.places, 2), np.int64)
    found = Objects(counts, labels, levels, corners, np.zeros((len(counts), *patch), np.uint8))
    mask = np.zeros((len(counts), size, size), np.uint8)

    def attempt(rows: Ints, number: int) -> Mask:
        objects, good = _draw(block, rows, counts[rows], number)
        for name, array in vars(objects).items():
            getattr(found, name)[rows] = array
        mask[rows] = _mask(objects, block)
        return good & _visible(objects, mask[rows], block.scenes.least_visible)

    for row in retry(counts, TRIES, attempt)[:1]:
        raise _cannot_lay_out(block, int(row), int(counts[row]))
    label = np.where(_used(found), found.label, -1).astype(np.int8)
    return Canvases(
        image=_image(block, found),
        count=counts.astype(np.uint8),
        label=label if block.config.source == "sprites" else None,
        box=_boxes(found),
        mask=mask,
    )


def _draw(block: SceneBlock, rows: Ints, count: Ints, attempt: int) -> tuple[Objects, Mask]:
    """Draw objects for ``rows`` [n] of a block; returns them, and where all found a place."""
    words = block.words("objects", rows, attempt, 3 * block.places)
    words = words.reshape(-1, block.places, 3)
    (kind, turn, _), (grey, radius, ratio) = (np.moveaxis(it, -1, 0) for it in halves(words))
    radius = _between(*block.radii, radius)
    centre, good = _place(block, rows, radius, count, attempt)
    corner = np.floor(centre - block.side / 2 + 0.5).astype(np.int64)
    corner = np.clip(corner, 0, block.config.canvas_size - block.side)
    shapes = np.array([SPRITES.index(shape) for shape in block.scenes.shapes])
    label = shapes[below(np.uint64(len(shapes)), kind)]
    x, y = np.moveaxis(centre - corner, -1, 0)
    outlines = Outlines(
        label, x, y, radius, below(np.uint64(TURNS), turn), _between(_LEAST_RATIO, 1, ratio)
    )
    cover = np.zeros((*label.shape, block.side, block.side), np.uint8)
    used = (np.arange(block.places) < count[:, None]) & good[:, None]
    covers = sprite_covers if block.config.source == "sprites" else cell_covers
    cover[used] = covers(outlines[used], block.side)
    level = _between(*block.scenes.grey, grey)[..., None] * colours(block, rows, attempt)
    return Objects(count, label, level, corner, cover), good


def _place(
    block: SceneBlock, rows: Ints, radius: Floats, count: Ints, attempt: int
) -> tuple[Floats, Mask]:
    """Draw centres object by object, each moved until it keeps its distance.

    Returns:
        Centres x and y, f64 [n, M, 2], and which canvases got all of theirs, [n].
    """
    moves = block.words("centres", rows, attempt, 64 + 32 * block.places)
    centre = np.zeros((*radius.shape, 2))
    done = np.zeros_like(count)
    for move in moves.T:
        pending = np.flatnonzero(done < count)
        if not len(pending):
            break
        place = done[pending]
        own = radius[pending, place][:, None]
        words = np.stack(halves(move[pending]), -1)
        point = _between(own, block.config.canvas_size - own, words)
        centre[pending, place] = point
        away = np.square(centre[pending] - point[:, None])
        least = block.scenes.least_distance * (radius[pending] + own)
        earlier = np.arange(block.places) < place[:, None]
        done[pending] += ~((away[..., 0] + away[..., 1] < least * least) & earlier).any(1)
    return centre, np.asarray(done == count)


def _mask(objects: Objects, block: SceneBlock) -> Bytes:
    """Which object each pixel belongs to, counted from 1; 0 is the background: u8 [n, H, H].

    Of objects that cover half of a pixel, it belongs to the last sprite, or the brightest cell.
    """
    size = block.config.canvas_size
    mask = np.zeros((len(objects.count), size, size), np.uint8)
    best = np.zeros(mask.shape)
    for place, rows, window in objects.windows():
        cover = objects.cover[rows, place]
        own = cover >= _HALF
        if block.config.source == "cells":
            light = cover * objects.level[rows, place].mean(1)[:, None, None]
            own &= light > best[window]
            best[window] = np.where(own, light, best[window])
        mask[window] = np.where(own, place + 1, mask[window])
    return mask


def _visible(objects: Objects, mask: Bytes, least: float) -> Mask:
    """Whether at least a share ``least`` of each object is its own in the mask, [n]."""
    good = np.ones(len(mask), np.bool_)
    for place, rows, window in objects.windows():
        whole = (objects.cover[rows, place] >= _HALF).sum((1, 2))
        good[rows] &= (mask[window] == place + 1).sum((1, 2)) >= least * whole
    return good


def _boxes(objects: Objects) -> NDArray[np.float32]:
    """Boxes of the pixels that objects cover by half, hidden ones too; -1 pads: f32 [n, M, 4]."""
    used = _used(objects)
    boxes = np.full((*used.shape, 4), -1, np.float32)
    if used.any():
        ink = extents(np.where(objects.cover[used] >= _HALF, 255, 0).astype(np.uint8))
        ink[:, :2] += objects.corner[used]
        boxes[used] = ink
    return boxes


def _used(objects: Objects) -> Mask:
    """Which places hold an object, [n, M]."""
    return np.asarray(np.arange(objects.label.shape[1]) < objects.count[:, None])


def _image(block: SceneBlock, objects: Objects) -> Bytes:
    """The canvases: background, objects, then noise; u8 [n, H, H] or [n, H, H, 3]."""
    many, size, scenes = len(objects.count), block.config.canvas_size, block.scenes
    background, texture = _background(block, many), np.ones((1, 1, 1))
    if scenes.texture:
        texture = fields.texture(block.noise("texture", many, 8), size, scenes.texture)
    texture = np.broadcast_to(texture, background.shape)
    channels = []
    for channel in range(block.config.channels):
        image = background.copy()
        for place, rows, window in objects.windows():
            share = objects.cover[rows, place] / FULL
            light = objects.level[rows, place, channel, None, None] * texture[window] * share
            cells = block.config.source == "cells"
            image[window] = (image[window] if cells else image[window] * (1 - share)) + light
        channels.append(_noisy(block, image, channel))
    return channels[0] if len(channels) == 1 else np.stack(channels, -1)


def _noisy(block: SceneBlock, image: Floats, channel: int) -> Bytes:
    """One channel of the canvases with noise of its own, u8 [n, H, H]."""
    scenes, (many, size, _) = block.scenes, image.shape
    suffix = f" {channel}" if channel else ""
    if scenes.photons:
        image = fields.poisson(image, scenes.photons, block.noise("photons" + suffix, many, 2))
    if scenes.noise:
        noise = fields.gaussian(block.noise("noise" + suffix, many, 4), size)
        image = image + scenes.noise * noise
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _background(block: SceneBlock, many: int) -> Floats:
    """Grey levels without objects: f64 [n, H, H]."""
    size = block.config.canvas_size
    words = block.words("background", np.arange(many), 0, 2)
    low, high = block.scenes.background_grey
    (one, turn), (other, spare) = (half.T for half in halves(words))
    first, second = _between(low, high, one), _between(low, high, other)
    if block.scenes.background == "gradient":
        return fields.gradient(first, second, below(np.uint64(TURNS), turn), size)
    if block.scenes.background == "lamp":
        levels = np.minimum(first, second), np.maximum(first, second)
        x, y = (size // 4 + below(np.uint64(size // 2), place) for place in (turn, spare))
        return fields.lamp(*levels, x, y, size)
    if block.scenes.background == "lumps":
        rise = (first - low)[:, None, None]
        return low + rise * fields.lumps(block.noise("lumps", many, 8), size)
    return np.repeat(first, size * size).reshape(-1, size, size)


def _between(low: float | Floats, high: float | Floats, words: Words) -> Floats:
    """Numbers from ``low`` to ``high``, uniform for 32-bit words."""
    return np.asarray(low + (high - low) * (words.astype(np.float64) / 2**32))


def _cannot_lay_out(block: SceneBlock, row: int, count: int) -> CanvasError:
    data, scenes = block.config, block.scenes
    objects = data.source if count > 1 else data.source.removesuffix("s")
    return CanvasError(
        f"Cannot lay out {count} {objects} of about {data.digit_size:g} px on a canvas of "
        f"{data.canvas_size}x{data.canvas_size} px",
        where=f"{block.split} canvas {block.start + row}, drawn up to {TRIES} times",
        expected=f"scenes.least_visible = {scenes.least_visible:g} and scenes.least_distance = "
        f"{scenes.least_distance:g} kept",
        hint="lower data.max_digits, data.digit_size or these two, or raise data.canvas_size",
    )
