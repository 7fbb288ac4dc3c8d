"""What was found on an image, put together from its pieces.

Legend: N objects found, T slots, Z length of z_what, C channels, H height and W width of an
image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from airkit.data.imports.images import Given
from airkit.evaluation.pieces import Piece, PieceScene

Parts = Sequence[tuple[Piece, PieceScene]]
SHARE = 0.95
"""Probability that ``Inferred.interval`` holds."""
SAME = 0.25
"""Distance of two centres, in typical sizes, up to which two tiles see one object."""
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class InferredObject:
    """One object found on an image."""

    box: tuple[float, ...]
    """Extent of its ink (x, y, width, height), in pixels of the image."""
    confidence: float
    """Probability that its slot and all before it are on."""
    touches_border: bool
    """Whether its box reaches the outermost pixels of the image."""
    z_where: tuple[float, ...]
    """Mean of its pose, 3 numbers; on its tile, where the image is cut into tiles."""
    z_what: tuple[float, ...]
    """Mean of its code, Z numbers."""


@dataclass(frozen=True)
class Inferred:
    """What was found on one image."""

    image: str
    """The file; for images in memory, image-I, numbered from 0."""
    index: int | None
    """The image's place in its stack, from 0; None where the file is one image."""
    width: int
    """Of the image, in pixels."""
    height: int
    """Of the image, in pixels."""
    count: int
    """Objects found."""
    interval: tuple[int, int]
    """Least and greatest of the most probable counts that together have 95 % of
    ``count_probability``, ``count`` among them."""
    count_probability: tuple[float, ...]
    """Probability of n objects for n = 0, 1, ...; n is at most the number of slots, of all
    tiles together."""
    touching_border: int
    """Objects that touch the border, counted or left out."""
    status: str
    """``ok``, ``slots full``, or what is wrong: see the page of the command."""
    objects: tuple[InferredObject, ...]
    """The objects found, slot after slot."""
    score: float
    """log p(x | canvas) + log p(n) - sum of the objects' KLs and charges, of the explanation kept,
    in nats, summed over tiles; a charge is what a split or restart costs beyond the prior."""

    def as_it_came(self, given: Given) -> Inferred:
        """The same on the image as it came, before it was cropped and resized."""
        height, width = given.came
        boxes = given.boxes_as_it_came(np.array([each.box for each in self.objects]).reshape(-1, 4))
        pairs = zip(self.objects, boxes.tolist(), strict=True)
        objects = tuple(replace(each, box=tuple(box)) for each, box in pairs)
        return replace(self, height=height, width=width, objects=objects)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, ``index`` only for an image of a stack."""
        values = asdict(self)
        if self.index is None:
            del values["index"]
        return values


def found_on(
    given: Given, parts: Parts, size: float, *, exclude_edges: bool
) -> tuple[Inferred, list[tuple[int, int]]]:
    """Return what was found on an image, and the piece and the slot of each object.

    The status is for the caller to fill in.

    Args:
        given: the image.
        parts: its pieces, and what a model sees on each.
        size: typical side of an object, in pixels.
        exclude_edges: leave out objects that touch the border.
    """
    shape = given.shape
    boxes = [clipped(seen.box + np.array([*at.corner, 0, 0]), shape) for at, seen in parts]
    kept = _owned(parts, SAME * size)
    touching = [_touch(box, shape) for box in boxes]
    on = [np.arange(len(flags)) < seen.count for flags, (_, seen) in zip(kept, parts, strict=True)]
    at_border = [a & b & c for a, b, c in zip(kept, touching, on, strict=True)]
    if exclude_edges:
        kept = [flags & ~out for flags, out in zip(kept, at_border, strict=True)]
    probability = _probability([seen.count_probability for _, seen in parts], kept)
    slots = [
        (place, slot)
        for place, flags in enumerate(kept)
        for slot in np.flatnonzero(flags & on[place]).tolist()
    ]
    objects = [
        _object(parts[place][1], slot, boxes[place][slot], bool(touching[place][slot]))
        for place, slot in slots
    ]
    inferred = Inferred(
        image=str(given.path),
        index=given.index,
        width=shape[1],
        height=shape[0],
        count=len(objects),
        interval=interval(probability, len(objects)),
        count_probability=tuple(probability.tolist()),
        touching_border=sum(int(flags.sum()) for flags in at_border),
        status="",
        objects=tuple(objects),
        score=sum(seen.score for _, seen in parts),
    )
    return inferred, slots


def stitched(given: Given, parts: Parts) -> np.ndarray:
    """The reconstruction of an image of the cores of its pieces, [C, H, W]."""
    whole = np.zeros_like(given.pixels)
    for piece, seen in parts:
        assert seen.canvas is not None
        x, y = piece.corner
        left, top = (
            max(start, round(max(edge, 0)))
            for start, edge in zip((x, y), piece.core[:2], strict=True)
        )
        ends = zip((x, y), piece.shape[::-1], piece.core[2:], given.shape[::-1], strict=True)
        right, bottom = (round(min(start + side, edge, end)) for start, side, edge, end in ends)
        part = seen.canvas[:, top - y : bottom - y, left - x : right - x]
        whole[:, top:bottom, left:right] = part
    return whole


def labelled(given: Given, parts: Parts, slots: Sequence[tuple[int, int]]) -> np.ndarray:
    """0 for the background, k for the object in place k - 1, uint16 [H, W].

    Args:
        given: the image.
        parts: its pieces, and what a model sees on each.
        slots: the piece and the slot of each object.
    """
    labels = np.zeros(given.shape, np.uint16)
    for number, (place, slot) in enumerate(slots, 1):
        piece, seen = parts[place]
        assert seen.owner is not None
        x, y = piece.corner
        part = labels[y : y + piece.shape[0], x : x + piece.shape[1]]
        height, width = part.shape
        part[(seen.owner[:height, :width] == slot + 1) & (part == 0)] = number
    return labels


def _owned(parts: Parts, same: float) -> list[np.ndarray]:
    """Flags [T] of the slots that count, for each piece.

    A tile has those whose centres are in its core. Two tiles place an object a little differently,
    so that near a core's edge it may be in both or in neither: it counts once all the same.
    """
    if len(parts) == 1:
        return [np.ones(len(parts[0][1].presence), bool)]
    centres = [seen.centre + piece.corner for piece, seen in parts]
    kept = [_within(each, piece.core, 0) for each, (piece, _) in zip(centres, parts, strict=True)]
    near = [
        (not kept[place][slot], -float(seen.presence[slot]), place, slot)
        for place, (piece, seen) in enumerate(parts)
        for slot in np.flatnonzero(_within(centres[place], piece.core, same)[: seen.count]).tolist()
    ]
    taken, owners = np.empty((len(near), 2)), np.empty(len(near), int)
    many = 0
    for *_, place, slot in sorted(near):
        apart = np.hypot(*(taken[:many] - centres[place][slot]).T)
        free = not ((apart <= same) & (owners[:many] != place)).any()
        kept[place][slot] = free
        if free:
            taken[many], owners[many] = centres[place][slot], place
            many += 1
    return kept


def _within(centres: np.ndarray, core: tuple[float, ...], margin: float) -> np.ndarray:
    low, high = np.array(core[:2]) - margin, np.array(core[2:]) + margin
    return np.asarray(((centres >= low) & (centres < high)).all(1))


def clipped(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return boxes [N, 4] clipped to an image [H, W], at least a pixel of it."""
    height, width = shape
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    low = np.minimum(low, (width - 1, height - 1))
    return np.concatenate([low, np.maximum(np.minimum(high, (width, height)) - low, 1)], 1)


def _touch(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Whether boxes reach the outermost pixels, [T]."""
    height, width = shape
    high = boxes[:, :2] + boxes[:, 2:]
    return np.asarray((boxes[:, :2] < 1).any(1) | (high > (width - 1, height - 1)).any(1))


def _object(seen: PieceScene, slot: int, box: np.ndarray, touches: bool) -> InferredObject:
    return InferredObject(
        box=tuple(box.tolist()),
        confidence=float(seen.presence[slot]),
        touches_border=touches,
        z_where=tuple(seen.where[slot].tolist()),
        z_what=tuple(seen.what[slot].tolist()),
    )


def _probability(posteriors: Sequence[np.ndarray], kept: Sequence[np.ndarray]) -> np.ndarray:
    """Probability of n objects that count, over all pieces, which are independent, [..]."""
    if len(kept) == 1 and kept[0].all():
        return posteriors[0]
    whole = np.ones(1)
    for posterior, flags in zip(posteriors, kept, strict=True):
        counted = np.append(0, flags.cumsum())  # of the first n slots
        whole = np.convolve(whole, np.bincount(counted, posterior.astype(np.float64)))
        whole = whole[: np.flatnonzero(whole > _NEGLIGIBLE)[-1] + 1]
    return whole


def interval(probability: np.ndarray, count: int) -> tuple[int, int]:
    """Return ``Inferred.interval``."""
    order = np.argsort(-probability, kind="stable")
    enough = int(np.searchsorted(probability[order].cumsum(), SHARE)) + 1
    likely = [*order[:enough].tolist(), count]
    return min(likely), max(likely)
