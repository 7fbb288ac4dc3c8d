"""Pictures as a background and what stands out of it, without labels.

Shapes: N pictures of H x W pixels, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch

from airkit.data.look.blobs import Array
from airkit.data.look.objects import LEAST_CONTRAST
from airkit.system import backgrounds

Background = Literal["none", "constant", "plane", "quadratic", "smooth"]
Polarity = Literal["bright", "dark", "both"]


def _smooth(levels: torch.Tensor, polarity: Polarity) -> torch.Tensor:
    """Soft lumps, as the filter for such objects finds them.

    Wider than a third of the picture, or of a square of its area; a median needs half of it.
    """
    sign, side = -1 if polarity == "dark" else 1, math.isqrt(math.prod(levels.shape[1:]))
    if polarity == "both":
        return backgrounds.median(levels, side // 2)
    return sign * backgrounds.rolling_ball(sign * levels, 2 * (side // 6) + 1)


_ESTIMATES: dict[Background, Callable[[torch.Tensor, Polarity], torch.Tensor]] = {
    "none": lambda levels, _: torch.zeros_like(levels),
    "constant": lambda levels, _: backgrounds.constant(levels),
    "plane": lambda levels, _: backgrounds.plane(levels),
    "quadratic": lambda levels, _: backgrounds.quadratic(levels),
    "smooth": _smooth,
}


def estimate(levels: Array, background: Background, polarity: Polarity) -> Array:
    """The background under levels [N, C, H, W]; its filter may depend on the polarity."""
    planes = torch.from_numpy(levels).flatten(0, 1)  # each channel by itself
    estimated: Array = _ESTIMATES[background](planes, polarity).numpy()
    return estimated.reshape(levels.shape)


class Split(NamedTuple):
    """A background, the polarity of what stands out of it, and the residual [N, C, H, W]."""

    background: Background
    polarity: Polarity
    residual: Array


def split(levels: Array, noise: float, even: float) -> Split:
    """Split pictures by the simplest background that agrees with their outermost pixels.

    A gradient that bends fits soft lumps too, so it has to fit the border better than ``smooth``.

    Args:
        levels: pictures, [N, C, H, W].
        noise: standard deviation of their noise.
        even: unevenness that passes for none; less where noise is coarse, as it may be lumps.
    """
    simple: tuple[Background, ...] = ("none", "constant", "plane")
    for background in simple:
        found = _without(levels, background, noise)
        if unevenness(found.residual) <= even:
            return found
    bent, smooth = (_without(levels, each, noise) for each in ("quadratic", "smooth"))
    fits = unevenness(bent.residual) <= min(even, unevenness(smooth.residual))
    return bent if fits else smooth


def _without(levels: Array, background: Background, noise: float) -> Split:
    """Split levels [N, C, H, W] by a given background."""
    residual = levels - estimate(levels, background, "both")
    polarity = _polarity(residual, noise)
    if background == "smooth" and polarity != "both":
        residual = levels - estimate(levels, background, polarity)
    return Split(background, polarity, residual)


def unevenness(residual: Array, standing: Array | None = None) -> float:
    """How far the outermost pixels of most pictures are off the background, without their noise.

    Objects touch some of these pixels, so that within a picture it is the median that counts, of
    those beside what is ``standing`` out [N, H, W] where that is given.
    """
    planes = torch.from_numpy(residual).flatten(0, 1)
    off = backgrounds.border(backgrounds.blur(planes, 5)).abs().numpy()
    if standing is not None:
        near = backgrounds.blur(torch.from_numpy(standing.astype(np.float32)), 5)
        off[backgrounds.border(near).numpy() > 0] = np.nan
        off = off[~np.isnan(off).all(1)]
    return float(np.quantile(np.nanmedian(off, 1), 0.8)) if len(off) else math.inf


def _polarity(residual: Array, noise: float) -> Polarity:
    """Whether what stands out is bright, dark, or some of each."""
    strong = 0.3 * float(np.quantile(np.abs(residual), 0.995))
    least = max(LEAST_CONTRAST, 5 * noise, strong)
    bright, dark = (float((sign * residual > least).mean()) for sign in (1, -1))
    if min(bright, dark) > 0.2 * max(bright, dark):
        return "both"
    return "bright" if bright >= dark else "dark"


def ink_of(residual: Array, polarity: Polarity) -> Array:
    """What stands out, as positive numbers, in the channel where it does most: [N, H, W]."""
    if polarity == "both":
        return np.asarray(np.abs(residual).max(1))
    return np.asarray((residual if polarity == "bright" else -residual).max(1))
