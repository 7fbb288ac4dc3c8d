"""Poses: what z_where stands for.

The square of a picture's longer side spans [-1, 1] on both axes; the picture is its upper left
part. A pose is a size, the side of the object's window as a fraction of that side, and a centre
(x, y).

Legend: B batch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

Extent = tuple[float, float]
SQUARE: Extent = (1.0, 1.0)
EDGE = 0.98
"""Centres are encoded as if no further out: beyond, their normal scores grow without bound."""
LOG_RANGE = 5.0
"""Greatest absolute log of a size over the typical one. The loss does not constrain the pose of a
slot that is surely off, whose size would overflow in long trainings."""


class Pose(nn.Module, ABC):
    """How z_where, normal under the prior, stands for a size and a centre."""

    mean: Tensor
    """Prior mean of z_where, [3]."""
    sd: Tensor
    """Prior standard deviation of z_where, [3]."""
    extent: Tensor | None
    """Width and height of the picture as shares of its longer side, [2]; None if it is square."""

    def __init__(self, mean: list[float], sd: list[float], extent: Extent) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("sd", torch.tensor(sd), persistent=False)
        shares = None if extent == SQUARE else torch.tensor(extent)
        self.register_buffer("extent", shares, persistent=False)

    def _onto_picture(self, centre: Tensor) -> Tensor:
        """Centres on [-1, 1] of each side of the picture, on the square."""
        return centre if self.extent is None else (centre + 1) * self.extent - 1

    def _off_picture(self, centre: Tensor) -> Tensor:
        """The inverse of ``_onto_picture``."""
        return centre if self.extent is None else (centre + 1) / self.extent - 1

    @abstractmethod
    def decode(self, where: Tensor) -> tuple[Tensor, Tensor]:
        """Size [B] as a share of the longer side, and centre (x, y) on [-1, 1] [B, 2], of z_where.

        Args:
            where: z_where, [B, 3].
        """

    @abstractmethod
    def encode(self, size: Tensor, centre: Tensor) -> Tensor:
        """z_where [B, 3] of size [B] and centre [B, 2]; the inverse of ``decode``."""


class UniformPose(Pose):
    """z_where ~ N(0, I): log-normal size, centre uniform on the picture.

    size = s0 exp(tau z0), and centre = erf(z / sqrt 2): the standard normal's distribution
    function, stretched to [-1, 1], and from there to the sides of a picture that is not square.

    >>> size, centre = UniformPose(0.4, 0.3).decode(torch.zeros(1, 3))
    >>> size.tolist(), centre.tolist()
    ([0.4000000059604645], [[0.0, 0.0]])
    """

    def __init__(self, typical_size: float, size_sd: float, extent: Extent = SQUARE) -> None:
        """``typical_size`` is s0, as a fraction of the longer side; ``size_sd`` is tau."""
        super().__init__([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], extent)
        self.typical_size, self.size_sd = typical_size, size_sd

    def decode(self, where: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Pose.decode``; sizes are kept within ``LOG_RANGE``."""
        log_size = (self.size_sd * where[:, 0]).clamp(-LOG_RANGE, LOG_RANGE)
        size = self.typical_size * torch.exp(log_size)
        return size, self._onto_picture(torch.erf(where[:, 1:] / math.sqrt(2)))

    def encode(self, size: Tensor, centre: Tensor) -> Tensor:
        """See ``Pose.encode``; centres beyond ``EDGE`` are moved in to it."""
        log_size = torch.log(size / self.typical_size) / self.size_sd
        shift = torch.erfinv(self._off_picture(centre).clamp(-EDGE, EDGE)) * math.sqrt(2)
        return torch.cat([log_size[:, None], shift], 1)


class AffinePose(Pose):
    """z_where = [s, x, y] of arXiv 1603.08575: the map from canvas to window coordinates.

    size = 1 / s and centre = -(x, y) / s, with s ~ N(1 / s0, sd^2) and x, y ~ N(0, 1); on a picture
    that is not square, each axis of the centre is stretched to its side.
    """

    def __init__(self, typical_size: float, size_sd: float, extent: Extent = SQUARE) -> None:
        """``typical_size`` is s0, as a fraction of the longer side; ``size_sd`` is the sd of s."""
        super().__init__([1 / typical_size, 0.0, 0.0], [size_sd, 1.0, 1.0], extent)

    def decode(self, where: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Pose.decode``; s is kept above 0.1, a window of ten canvases."""
        scale = where[:, 0].clamp(min=0.1)
        return 1 / scale, self._onto_picture(-where[:, 1:] / scale[:, None])

    def encode(self, size: Tensor, centre: Tensor) -> Tensor:
        """See ``Pose.encode``."""
        return torch.cat([1 / size[:, None], -self._off_picture(centre) / size[:, None]], 1)


POSES: dict[str, Callable[..., Pose]] = {
    "uniform": UniformPose,
    "affine": AffinePose,
}
"""Poses by the name that ``model.pose`` gives them."""
