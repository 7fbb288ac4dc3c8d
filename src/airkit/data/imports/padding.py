"""Pictures and masks padded to a larger shape, without objects in what is added.

Shapes: H x W pixels, C colours.
"""

from __future__ import annotations

import numpy as np

from airkit.data.imports.pictures import Array


def padded(pixels: Array, shape: tuple[int, int], fill: int | None = None) -> Array:
    """Return a picture padded on the right and below.

    Args:
        pixels: grey levels or a mask [H, W], or colours [H, W, C].
        shape: least height and width; what is larger stays as it is.
        fill: what to pad with; None is the median of the outermost pixels. To repeat the edge would
            draw objects there out to stripes, and a mirror image would show objects twice.
    """
    height, width = pixels.shape[:2]
    if height >= shape[0] and width >= shape[1]:
        return pixels
    larger = (max(height, shape[0]), max(width, shape[1]), *pixels.shape[2:])
    filled = np.empty(larger, pixels.dtype)
    filled[:] = _of_border(pixels) if fill is None else fill
    filled[:height, :width] = pixels
    return filled


def _of_border(pixels: Array) -> Array:
    """The median of the outermost pixels, a level that there is."""
    border = [pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]]
    return np.asarray(np.quantile(np.concatenate(border), 0.5, axis=0, method="nearest"))
