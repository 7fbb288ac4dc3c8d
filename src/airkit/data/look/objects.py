"""What the parts of pictures that stand out say about objects: which, how strong, how many.

The rules are plain and robust; ``findings`` draws its findings from them.

Shapes: N pictures, C channels, H x W pixels, K parts.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from airkit.data.look.blobs import Array, Blobs, blobs
from airkit.system import backgrounds

Compositing = Literal["add", "over"]

LEAST_CONTRAST = 0.04
_SPECK = 6  # smaller parts, in pixels, are noise
_THIN = 0.45  # share of the square around them that strokes fill at most
_GRAIN = 0.2  # most that the ink of a flat object varies, as a share of the contrast
_KNEE = 0.03  # contrast from which on ink is compressed, where some objects are far fainter
_FAINT = 0.012  # contrast of the faintest objects that eight bits can show


def standing(ink: Array, noise: float) -> Array:
    """Which pixels stand out: half as much ink as is usual, clear of the noise, bool [N, H, W]."""
    least = max(LEAST_CONTRAST, 4 * noise)
    usual = ink[ink > least]
    threshold = max(least, 0.3 * float(np.quantile(usual, 0.75))) if usual.size else least
    calm = backgrounds.blur(torch.from_numpy(ink), 3).numpy() if noise > threshold / 20 else ink
    flags: Array = calm > threshold
    return flags


def parts_of(ink: Array, noise: float) -> Blobs:
    """What may be objects: what stands out, but for specks."""
    found = blobs(ink, standing(ink, noise))
    found = found.of(found.area >= _SPECK)
    if found.area.size:
        ranked = np.sort(found.area)
        usual_area = ranked[np.searchsorted(ranked.cumsum(), ranked.sum() / 2)]
        found = found.of(found.area >= usual_area / 8)
    return found


def singles(found: Blobs) -> Array:
    """Which parts are likely to be one object each: those that touch make larger ones, [K]."""
    if not found.area.size:
        return np.zeros(0, bool)
    base = np.quantile(found.side, 0.35)
    chosen: Array = (found.side <= 1.5 * base) & (found.side >= base / 2)
    return chosen


def contrast(alone: Blobs, residual: Array, ink: Array) -> float:
    """Typical contrast of an object, the root of the mean square over channels."""
    strong = ink > 0.5 * np.median(alone.mean)
    whole = np.sqrt(np.square(residual).mean(1)[strong]).mean()
    return float(np.clip(np.median(alone.mean) * whole / ink[strong].mean(), 0, 1))


def are_thin(single: Blobs) -> bool:
    """Whether objects are strokes rather than solid."""
    return bool(np.median(single.area / single.side**2) < _THIN)


def compositing(found: Blobs, single: Array, noise: float, contrast: float) -> Compositing:
    """Objects that touch and are brighter than any alone add up; else flat ones hide each other.

    Those of a coarse grain, of which each would be explained in several parts, do not.
    """
    alone = found.of(single)
    together = found.level[~single & (found.area > 1.6 * np.median(alone.area))]
    brighter = together > 1.25 * np.quantile(alone.level, 0.9)
    if len(together) >= 8 and brighter.mean() > 0.1:
        return "add"
    grain = np.sqrt(np.maximum(alone.spread**2 - noise**2, 0))
    known = grain[np.isfinite(grain)]
    if len(known) < len(grain) / 2 or are_thin(alone):
        return "add"
    return "over" if np.quantile(known, 0.9) < _GRAIN * contrast else "add"


def most(found: Blobs, single: Array) -> int:
    """Most objects to expect: by areas, on all but one in 200 of the pictures with any."""
    typical = np.median(found.area[single])
    objects = np.maximum(1, np.round(found.area / (1.25 * typical)))
    counts = np.bincount(found.picture, objects)
    return min(int(np.ceil(np.quantile(counts, 0.995))), 100)


def with_faint(ink: Array, alone: Blobs, noise: float) -> Blobs:
    """All parts, faint ones too, of at least half the area that is usual of one object.

    Args:
        ink: what stands out, [N, H, W].
        alone: parts of one object each.
        noise: standard deviation of the pixel noise.
    """
    parts = blobs(ink, ink > max(_FAINT, 4 * noise))
    return parts.of(parts.area >= np.median(alone.area) / 2)


def levels(parts: Blobs, alone: Blobs) -> tuple[float, float]:
    """The 5th percentile and the median of the contrast of ``parts`` that are one object each."""
    found = parts.mean[parts.area <= 1.5 * np.median(alone.area)]
    return (np.quantile(found, 0.05), np.median(found)) if len(found) else (math.inf, math.inf)


def stretch(parts: Blobs, alone: Blobs, noise: float) -> float:
    """The contrast from which on ink is compressed, where some objects are far fainter; else 0."""
    faint, usual = levels(parts, alone)
    return _KNEE if faint < usual / 5 and noise < _KNEE / 4 else 0.0
