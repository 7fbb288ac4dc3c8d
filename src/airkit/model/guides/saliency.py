"""The saliency guide: look where most ink is still unexplained.

It is recurrent through the residual, image minus canvas, instead of through an LSTM. A look
at the peak of the blurred residual may fall between two digits that touch; so the guide looks
again where it would put the object, and proposes from there. No gradient flows through looks.
For any fixed look the bound is valid, so its mean over drawn looks is valid too.

Legend: B batch, C channels (image, residual), G glimpse side, H canvas side, W window side,
Z code size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.model.guides.base import Guide, Slot
from airkit.model.networks import Encoder, Normal, Perceptron, mlp, spread
from airkit.model.poses import Pose
from airkit.model.spatial_transformer import crop, pixel_centres
from airkit.model.sums import running_sum
from airkit.model.tape import Known, afresh

ZOOM = 1.6
"""Side of the first crop, in typical object sizes."""
BLUR = 0.25
"""Standard deviation of the saliency's blur, in typical object sizes."""
CLOSING = 1.6
"""How sharply a visited window closes at its edge, in log odds per pixel."""
STRETCH = 0.3
"""Change of log size per unit of the network's output."""
ON = 2.0
"""Added to presence logits: training starts with all slots on, so that all learn."""
NARROW = (0.0, 2.0, 2.0)
"""Taken off the raw sds of (size, x, y): training starts with centres known well."""


class Sight(NamedTuple):
    """What the guide proposes from."""

    glimpse: Tensor
    """Image and residual at the last look, and the greatest saliency, [B, 2 G^2 + 1]. The latter
    tells what the former cannot: how much open ink is left."""
    centre: Tensor
    """Of that look, (x, y) on [-1, 1], [B, 2]."""


class SaliencyGuide(Guide):
    """Blur the unexplained ink, look at its peak, look again, propose a pose, crop it, encode."""

    looks, sees_canvas, any_canvas = True, True, True
    blur: Tensor
    cells: Tensor
    grid: Tensor
    narrow: Tensor

    def __init__(self, config: Config, pose: Pose, canvas: int) -> None:
        """Build the networks, and the blur for a canvas of ``canvas`` pixels."""
        super().__init__(config, pose, canvas)
        self.sharpness = config.guide.look_sharpness
        self.glimpse, self.refinements = config.guide.glimpse_size, config.guide.refinements
        self.typical = config.object_size / canvas
        self.coarse = min(1.0, ZOOM * self.typical)
        self.proposer = _proposer(config)
        self.encoder = Encoder(config, channels=2)
        self.register_buffer("grid", pixel_centres(canvas), persistent=False)
        self.register_buffer("blur", _blur_matrix(canvas, BLUR * config.object_size), False)
        self.register_buffer("cells", _cells(len(self.blur)), persistent=False)
        self.register_buffer("narrow", torch.tensor(NARROW), persistent=False)

    def start(self, images: Tensor) -> Tensor:
        """What is left of each pixel for slots to come, 1 down to 0, [B, H, H]: all of it."""
        return torch.ones_like(images)

    @torch.no_grad()
    def attend(self, state: Tensor, seen: Tensor, look: Tensor | None) -> tuple[Sight, Tensor]:
        """Look at the unexplained ink, and again where the proposer would put an object."""
        centre, peak = self._look(seen[:, 1].clamp(min=0).mul_(state), look)
        sight = self._sight(seen, centre, peak)
        for _ in range(self.refinements):
            centre = self._moved(self.proposer(sight.glimpse)[:, 1:3], centre).clamp_(-1, 1)
            sight = self._sight(seen, centre, peak)
        return sight, state

    def propose(self, sight: Sight, known: Known = afresh) -> tuple[Tensor, Normal]:
        """Presence and pose from the glimpse; the pose is around the look."""
        out: Tensor = self.proposer(sight.glimpse, known)
        size = self.typical * torch.exp(STRETCH * out[:, 3])
        mean = self.pose.encode(size, self._moved(out[:, 1:3], sight.centre))
        return out[:, 0] + ON, Normal(mean, spread(out[:, 4:] - self.narrow))

    @torch.no_grad()
    def advance(self, state: Tensor, slot: Slot) -> Tensor:
        """Inhibition of return: the window just used is closed to the slots after."""
        half = self.grid.shape[0] / 2
        inside = slot.size[:, None, None] - (self.grid - slot.centre[:, :, None]).abs()
        x, y = torch.sigmoid(inside * (half * CLOSING)).unbind(1)
        used = (slot.present[:, None] * y)[:, :, None] * x[:, None, :]
        return torch.addcmul(state, state, used, value=-1)

    def _sight(self, seen: Tensor, centre: Tensor, peak: Tensor) -> Sight:
        """What is seen around a look."""
        windows = crop([seen], torch.full_like(peak, self.coarse), centre, self.glimpse)
        return Sight(torch.cat([windows.flatten(1), peak[:, None]], 1), centre)

    def _moved(self, offset: Tensor, centre: Tensor) -> Tensor:
        """The centre [B, 2] that raw offsets [B, 2] point to, at most a glimpse's side away."""
        return centre + self.coarse * torch.tanh(offset)

    def _look(self, ink: Tensor, look: Tensor | None) -> tuple[Tensor, Tensor]:
        """Centre [B, 2] of the look and the greatest saliency [B], for open ink [B, H, H]."""
        saliency = (self.blur @ (ink @ self.blur.t())).flatten(1)
        peak, at = saliency.max(1)
        if look is not None:
            at = _draw(saliency, peak, self.sharpness, look)
        return self.cells[at], peak


def _proposer(config: Config) -> Perceptron:
    """Glimpse and peak [B, 2 G^2 + 1] -> presence logit and raw pose, [B, 7]."""
    hidden = config.model.hidden_size
    sizes = 2 * config.guide.glimpse_size**2 + 1, hidden, max(1, hidden // 2), 7
    layers = mlp(*sizes, nonlinearity=config.model.nonlinearity)
    with torch.no_grad():  # the peak is one number among hundreds: its weights start out larger
        layers[0].get_parameter("weight")[:, -1].uniform_(-1, 1)
    return layers


def _cells(looks: int) -> Tensor:
    """Where looks are placed, (x, y) on [-1, 1], row by row, [looks^2, 2]."""
    places = pixel_centres(looks)
    return torch.cartesian_prod(places, places).flip(1)


def _blur_matrix(side: int, sd: float) -> Tensor:
    """A Gaussian of ``sd`` pixels as a matrix [H / 2, H] whose inner rows sum to one.

    Looks are placed on every other pixel: the offset to the object is learned anyway.
    """
    looks = (pixel_centres(math.ceil(side / 2)) + 1) * (side / 2) - 0.5
    weights = torch.exp(-0.5 * ((looks[:, None] - torch.arange(side)) / sd) ** 2)
    return weights / weights.sum(1).max()


def _draw(saliency: Tensor, peak: Tensor, sharpness: float, look: Tensor) -> Tensor:
    """Draw positions [B] from softmax(sharpness . saliency / peak), by inverse distribution.

    A blank canvas has no peak; every position is then as good as another.
    """
    scale = sharpness / peak.clamp(min=1e-6)[:, None]
    mass = running_sum((saliency - peak[:, None]).mul_(scale).exp_())
    return (
        torch.searchsorted(mass, look[:, None] * mass[:, -1:])
        .squeeze(1)
        .clamp(max=saliency.shape[1] - 1)
    )
