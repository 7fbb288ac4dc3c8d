"""Pictures padded to a larger shape, without objects in what is added.

Shapes: H x W pixels, C colours.
"""

from __future__ import annotations

import numpy as np

from airkit.data.imports.pictures import Array


def padded(levels: Array, shape: tuple[int, int]) -> Array:
    """Return a picture padded on the right and below by the median of its outermost pixels.

    Repeating the edge would draw objects there out to stripes, and a mirror image would show
    objects twice.

    Args:
        levels: grey levels [H, W] or colours [H, W, C].
        shape: least height and width; what is larger stays as it is.
    """
    height, width = levels.shape[:2]
    if height >= shape[0] and width >= shape[1]:
        return levels
    larger = (max(height, shape[0]), max(width, shape[1]), *levels.shape[2:])
    border = np.concatenate([levels[0], levels[-1], levels[1:-1, 0], levels[1:-1, -1]])
    filled = np.empty(larger, levels.dtype)
    filled[:] = np.quantile(border, 0.5, axis=0, method="nearest")  # a level that there is
    filled[:height, :width] = levels
    return filled
