"""Pictures beside their background and what stands out of it, which is left for objects.

Legend: N pictures, C channels, H x W pixels, K boxes.
"""

from __future__ import annotations

import numpy as np
import torch

from airkit.config.schema import Config
from airkit.data.canvases import Canvases
from airkit.data.dataset import channels_first, to_float
from airkit.data.look.findings import BACKGROUNDS, POLARITIES, candidates
from airkit.figures.examples import shown_first
from airkit.figures.marks import FAINT, GAP, LINE, drawn, slot_colour
from airkit.figures.page import Paper
from airkit.figures.sheet import Key, Sheet, fitted, tile_side
from airkit.model.background import Background, without_weights

PANELS = 3
_CANDIDATE, _TYPICAL = slot_colour(0), slot_colour(1)
_KEYS = Key((_TYPICAL,), "", "typical size"), Key((_CANDIDATE,), "", "candidate")
_LEAST_PANEL = 90  # width of a caption such as 12 candidates
_APART = 4


def looked_at(canvases: Canvases, config: Config) -> Sheet:
    """Return pictures, each beside its background and its ink with the boxes of candidates.

    Args:
        canvases: the first pictures of the split, one or more, and what is known of them.
        config: ``pictures``, ``model`` and ``data`` say what was found, or named in its place;
            ``render`` how many pictures and how large.
    """
    columns, total = max(1, config.render.columns // PANELS), len(canvases.image)
    columns = min(columns, fitted(config, PANELS * (_LEAST_PANEL + _APART) - _APART).render.columns)
    canvases = shown_first(canvases, config.render.rows * columns)
    images = to_float(channels_first(canvases.image))
    config = without_weights(config)
    background = Background(config)
    behind, ink = background.estimate(images).numpy(), background.ink(images).numpy()
    ink = np.take_along_axis(ink, np.abs(ink).argmax(1)[:, None], 1)  # the strongest channel
    plain = background.unstretched(torch.from_numpy(ink)).numpy()[:, 0]
    boxes = candidates(
        np.abs(plain) if background.signed else plain,
        config.pictures.noise,
        faint=config.stretch > 0,
    )
    most = float(np.quantile(np.abs(ink), 0.999)) or 1.0
    left = 0.5 - ink / (2 * most) if background.signed else 1 - ink / most
    many = len(images)
    across = PANELS * min(columns, many)
    side = max(_LEAST_PANEL, tile_side(images.shape[2:], config.render, across))
    height, width = drawn(images.shape[2:], side)
    cell = (PANELS * (max(width, _LEAST_PANEL) + _APART) - _APART, LINE + height + GAP)
    notes = _notes(config, (many, total), float(background.unstretched(torch.tensor(most))))
    title, paper = "Pictures, background, and what is left for objects", Paper.of(config.render)
    sheet = Sheet(title, notes, many, columns, cell, keys=_KEYS, paper=paper)
    sheet.canvases = many
    for index in range(many):
        true = "picture" if canvases.count is None else f"true count {canvases.count[index]}"
        _panel(sheet, (index, 0, side), images[index].numpy(), true)
        _panel(sheet, (index, 1, side), behind[index], "background", _typical(config))
        found = f"{len(boxes[index])} candidate{'s' * (len(boxes[index]) != 1)}"
        _panel(sheet, (index, 2, side), left[index], found, boxes[index])
    return sheet


def _panel(
    sheet: Sheet,
    where: tuple[int, int, int],
    levels: np.ndarray,
    caption: str,
    boxes: np.ndarray | None = None,
) -> None:
    """Draw levels [C, H, W] as they are, with boxes [K, 4].

    Args:
        sheet: the sheet.
        where: cell, place in it, and the longer side there.
        levels: in 0..1.
        caption: what is written above.
        boxes: boxes to draw: of candidates, in the last place.
    """
    index, place, side = where
    left, top = sheet.corner(index)
    step = (sheet.cell[0] + _APART) // PANELS
    as_is = levels if len(levels) > 1 else 1 - levels  # grey is drawn as ink
    tile = sheet.tile(as_is, left + place * step, top + LINE, side)
    tile.caption(caption, colour=FAINT)
    if boxes is not None:
        tile.boxes(boxes, [_TYPICAL if place == 1 else _CANDIDATE] * len(boxes))


def _typical(config: Config) -> np.ndarray:
    """A square of the typical size of an object, in the middle of a picture, [1, 4]."""
    size = config.object_size
    height, width = config.data.shape
    return np.array([[(width - size) / 2, (height - size) / 2, size, size]])


def _notes(config: Config, shown: tuple[int, int], most: float) -> list[str]:
    """Return what the sheet shows.

    Args:
        config: as of ``looked_at``.
        shown: pictures shown, and those that they were chosen from.
        most: ink that is drawn black.
    """
    pictures, kind = config.pictures, POLARITIES[config.polarity]
    mid = "grey is nothing, white and black" if config.polarity == "both" else "black is"
    faint = ", faint ink brought out" if config.stretch else ""
    return [
        f"{config.eval.split} split, {shown[0]:,} of the first {shown[1]:,}. Background: "
        f"{BACKGROUNDS[config.background]}; noise of {pictures.noise:.1%} of white; objects {kind} "
        f"by {pictures.contrast:.0%} of white, about {config.object_size:.0f} px, at "
        f"most {config.data.max_digits}.",
        f"Right: what the background leaves, {mid} {most:.0%} of white or more{faint}; candidates "
        "are what may be objects by a threshold, those that touch in one.",
    ]
