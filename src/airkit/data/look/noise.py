"""How noisy pictures are, without labels: fine noise, and noise that JPEG or resizing made coarse.

Shapes: C channels, H x W pixels, K windows.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from airkit.data.look.blobs import Array

_WINDOW = 8  # side in pixels, that of JPEG's blocks
_SHARE = 0.1  # of the windows: the calmest, which show background alone
_BIAS = 0.884  # what white noise of sd 1 has there: the 10 % quantile of sqrt(chi2(61) / 61)


def fine(pictures: Iterable[Array]) -> float:
    """Return the standard deviation of noise that differs from pixel to pixel.

    A filter that is blind to gradients (Immerkaer 1996, "Fast noise variance estimation"); of each
    picture a robust standard deviation, of these the median. JPEG, resizing and blur leave little
    of such noise.

    Args:
        pictures: levels, [C, H, W] each.
    """
    return float(np.median([_roughness(picture) for picture in pictures]))


def _roughness(levels: Array) -> Array:
    """Robust standard deviation of each channel of a picture [C, H, W]."""
    rough = levels[..., :-2, :] - 2 * levels[..., 1:-1, :] + levels[..., 2:, :]
    rough = (rough[..., :-2] - 2 * rough[..., 1:-1] + rough[..., 2:]) / 6
    return np.asarray(1.4826 * np.median(np.abs(rough), (-2, -1)))


def coarse(pictures: Iterable[Array]) -> float:
    """Return the standard deviation of noise that may be alike in neighbouring pixels.

    It is what the calmest windows of 8 x 8 pixels deviate from a plane, which JPEG, resizing and
    blur leave nearly as it is. On white noise it agrees with ``fine``.

    Args:
        pictures: levels, [C, H, W] each.
    """
    calm = [np.quantile(_about_planes(picture), _SHARE, axis=-1) for picture in pictures]
    return float(np.median(calm)) / _BIAS


def _about_planes(picture: Array) -> Array:
    """Standard deviation of windows about the plane that fits them best, [C, K].

    Args:
        picture: levels, [C, H, W].
    """
    views = np.lib.stride_tricks.sliding_window_view(picture, (_WINDOW, _WINDOW), (1, 2))
    half = _WINDOW // 2  # windows overlap by as much
    windows = views[:, ::half, ::half].reshape(len(picture), -1, _WINDOW**2)
    windows = windows - windows[..., :1]  # so that flat ones are exactly 0
    y, x = np.indices((_WINDOW, _WINDOW)).reshape(2, -1)
    planes, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y], 1).astype(picture.dtype))
    off = windows - windows @ planes @ planes.T
    return np.asarray(np.sqrt(np.square(off).sum(-1) / (_WINDOW**2 - planes.shape[1])))
