"""The saliency guide: look where most ink is still unexplained.

It is recurrent through the residual, image minus canvas, instead of through an LSTM. A look
at the peak of the blurred residual may fall between two digits that touch; so the guide looks
again where it would put the object, and proposes from there. No gradient flows through looks.
For any fixed look the bound is valid, so its mean over sampled looks is valid too.

Legend: B batch, C channels, G glimpse side, H height, N rows (B, or B K where K consecutive rows
are looks at one image), W width, S the longer side, L cells along it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.model.distributions import Normal
from airkit.model.guides.base import Guide, Slot
from airkit.model.guides.residual import Blur, Residual
from airkit.model.networks import Encoder, Perceptron, mlp, positive
from airkit.model.poses import LOG_RANGE, Pose
from airkit.model.spatial_transformer import pixel_centres

ZOOM = 1.6
"""Side of the glimpse, in typical object sizes."""
SURROUND = 0.5
"""Standard deviation of the surround's blur, in typical object sizes."""
EDGE_SHARPNESS = 1.6
"""How sharply the mask falls at the edge of a visited window, in log odds per pixel."""
NEGLIGIBLE = 16
"""Weights below e^-16, 1e-7, count as 0: beyond the mask's edge, and in the tails of blurs."""
SIZE_STEP = 0.3
"""Change of log size per unit of the network's output."""
PRESENCE_BIAS = 2.0
"""Added to presence logits: training starts with all slots on, so that all learn."""
SD_BIAS = (0.0, -2.0, -2.0)
"""Added to the raw sds of (size, x, y): training starts with narrow q(centre)."""


class Glimpse(NamedTuple):
    """Inputs of the proposer.

    Attributes:
        pixels: image and residual around the look, and the saliency's peak, [N, 2 C G^2 + 1]. The
            peak says what the pixels do not: how much unexplained ink there is elsewhere.
        centre: centre of the look, (x, y) on [-1, 1], [N, 2].
    """

    pixels: Tensor
    centre: Tensor


class SaliencyGuide(Guide):
    """Blur the unexplained ink, look at its peak, look again, propose a pose, crop it, encode.

    Its state is the mask of what has not been visited, 1 down to 0, [B, H, W].
    """

    samples_looks, any_canvas = True, True
    edge = math.ceil(NEGLIGIBLE / EDGE_SHARPNESS)
    blur: Tensor
    around: Tensor
    grid: Tensor
    sd_bias: Tensor

    def __init__(self, config: Config, pose: Pose, canvas_size: int) -> None:
        """Build the networks, and the blur for a longer side of ``canvas_size`` pixels."""
        super().__init__(config, pose, canvas_size)
        self.sharpness = config.guide.look_sharpness
        self.glimpse, self.refinements = config.guide.glimpse_size, config.refinements
        self.log_reach = math.log(config.size_reach)
        self.typical = config.object_size / canvas_size
        self.reach = min(1.0, ZOOM * self.typical)
        """Side of the glimpse as a fraction of S."""
        self.proposer = _proposer(config)
        self.encoder = Encoder(config, channels=2 * config.data.channels)
        self.register_buffer("grid", pixel_centres(canvas_size), persistent=False)
        self.sds = config.blur * config.object_size, SURROUND * config.object_size
        """Standard deviations of the saliency's Gaussians, centre and surround, in pixels."""
        self.surround_share = config.surround
        for name, sd in zip(("blur", "around"), self.sds, strict=True):
            self.register_buffer(name, _blur_matrix(canvas_size, sd), persistent=False)
        self.register_buffer("sd_bias", torch.tensor(SD_BIAS), persistent=False)

    def start(self, images: Tensor) -> Tensor:
        """The mask before the first slot: nothing visited."""
        return torch.ones_like(images[:, 0])

    def propose(
        self, state: Tensor, residual: Residual, look: Tensor | None
    ) -> tuple[Tensor, Normal, Tensor]:
        """Presence and pose from a glimpse; see ``Guide.propose``."""
        return *self.read(self.attend(state, residual, look)), state

    @torch.no_grad()
    def attend(self, mask: Tensor, residual: Residual, look: Tensor | None) -> Glimpse:
        """Look at the unexplained ink, then again where the proposer would put an object."""
        centre, height = residual.peak(self.blurs(), mask, self.sharpness, look)
        glimpse = self._glimpse(residual, centre, height)
        for _ in range(self.refinements):
            offset = self.reach * torch.tanh(self.proposer(glimpse.pixels)[:, 1:3])
            centre = (centre + offset).clamp(-1, 1)
            glimpse = self._glimpse(residual, centre, height)
        return glimpse

    def blurs(self) -> list[Blur]:
        """The saliency's Gaussians: the centre, and minus the surround where that has a share."""
        near, far = (math.ceil(math.sqrt(2 * NEGLIGIBLE) * sd) for sd in self.sds)
        centre, share = Blur(self.blur, reach=near), -self.surround_share
        return [centre, Blur(self.around, share, far)] if share else [centre]

    def read(self, glimpse: Glimpse) -> tuple[Tensor, Normal]:
        """Presence logits [N] and the normal of z_where [N, 3], relative to the look."""
        out = self.proposer(glimpse.pixels)
        size = self.typical * torch.exp(self._limited(SIZE_STEP * out[:, 3]))
        centre = glimpse.centre + self.reach * torch.tanh(out[:, 1:3])
        mean = self.pose.encode(size, centre)
        return out[:, 0] + PRESENCE_BIAS, Normal(mean, positive(out[:, 4:] + self.sd_bias))

    def _limited(self, log_factor: Tensor) -> Tensor:
        """The log of a size's factor, squeezed into what ``guide.size_reach`` allows."""
        if math.isinf(self.log_reach):
            return log_factor.clamp(-LOG_RANGE, LOG_RANGE)
        return self.log_reach * torch.tanh(log_factor / self.log_reach)

    @torch.no_grad()
    def advance(self, state: Tensor, slot: Slot) -> Tensor:
        """Inhibition of return: mask the window just used from the slots after, in place."""
        inside = slot.size[:, None, None] - (self.grid - slot.centre[:, :, None]).abs()
        x, y = torch.sigmoid(inside * (self.canvas_size / 2 * EDGE_SHARPNESS)).unbind(1)
        height, width = state.shape[1:]
        used = (slot.present[:, None] * y[:, :height])[:, :, None] * x[:, None, :width]
        return state.addcmul_(state, used, value=-1)

    def _glimpse(self, residual: Residual, centre: Tensor, height: Tensor) -> Glimpse:
        windows = residual.crop(torch.full_like(height, self.reach), centre, self.glimpse)
        return Glimpse(torch.cat([windows.flatten(1), height[:, None]], 1), centre)


def _proposer(config: Config) -> Perceptron:
    """The network from a glimpse [N, 2 C G^2 + 1] to presence logit and raw pose, [N, 7]."""
    hidden = config.model.hidden_size
    pixels = 2 * config.data.channels * config.guide.glimpse_size**2
    sizes = pixels + 1, hidden, max(1, hidden // 2), 7
    layers = mlp(*sizes, nonlinearity=config.model.nonlinearity)
    with torch.no_grad():  # the peak is one number among hundreds: its weights start larger
        layers[0].get_parameter("weight")[:, -1].uniform_(-1, 1)
    return layers


def _blur_matrix(side: int, sd: float) -> Tensor:
    """A Gaussian of ``sd`` pixels as a matrix [L, S] whose inner rows sum to one.

    Its L = S / 2 rows are the cells at which looks may be, on every other pixel: the offset from
    there to the object is learnt anyway.
    """
    places = (pixel_centres(math.ceil(side / 2)) + 1) * (side / 2) - 0.5
    weights = torch.exp(-0.5 * ((places[:, None] - torch.arange(side)) / sd) ** 2)
    return weights / weights.sum(1).max()
