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
from torch import Tensor, nn

from airkit.config import Config
from airkit.model.geometry import Pose, crop, pixel_centres
from airkit.model.guides.protocol import Guide, Slot
from airkit.model.networks import NONLINEARITIES, Encoder, Normal, mlp, spread
from airkit.model.sums import running_sum

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


class State(NamedTuple):
    """What the guide carries from slot to slot."""

    seen: Tensor
    """Image and residual at the present look, [B, H, 2, H]."""
    closed: Tensor
    """How far each pixel was visited, 0 to 1, [B, H, H]."""


class Proposer(nn.Module):
    """Glimpse [B, G, C, G] and peak height [B] -> presence logit and raw pose, [B, 7]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        glimpse, hidden = config.guide.glimpse_size, config.model.hidden_size
        nonlinearity = config.model.nonlinearity
        self.glimpse = nn.Linear(2 * glimpse**2, hidden)
        self.peak = nn.Linear(1, hidden, bias=False)
        self.activation = NONLINEARITIES[nonlinearity]()
        self.head = mlp(hidden, max(1, hidden // 2), 7, nonlinearity=nonlinearity)

    def forward(self, glimpse: Tensor, peak: Tensor) -> Tensor:
        """The peak tells what the glimpse cannot: how much open ink is left."""
        hidden = self.glimpse(glimpse.flatten(1)) + self.peak(peak[:, None])
        out: Tensor = self.head(self.activation(hidden))
        return out


class SaliencyGuide(Guide):
    """Blur the unexplained ink, look at its peak, look again, propose a pose, crop it, encode."""

    looks, sees_canvas, any_canvas = True, True, True
    blur: Tensor
    grid: Tensor
    narrow: Tensor

    def __init__(self, config: Config, pose: Pose, canvas: int) -> None:
        """Build the networks, and the blur for a canvas of ``canvas`` pixels."""
        super().__init__()
        self.pose, self.window = pose, config.window_size
        self.sharpness = config.guide.look_sharpness
        self.glimpse, self.refinements = config.guide.glimpse_size, config.guide.refinements
        self.typical = config.object_size / canvas
        self.proposer = Proposer(config)
        self.encoder = Encoder(config, channels=2)
        self.register_buffer("grid", pixel_centres(canvas), persistent=False)
        self.register_buffer("blur", _blur_matrix(canvas, BLUR * config.object_size), False)
        self.register_buffer("narrow", torch.tensor(NARROW), persistent=False)

    def start(self, images: Tensor) -> State:
        """Nothing explained, nothing closed."""
        seen = torch.stack([images, images], 2)
        return State(seen, torch.zeros_like(images))

    def propose(
        self, state: State, canvas: Tensor, look: Tensor | None
    ) -> tuple[State, Tensor, Normal]:
        """Look at the unexplained ink, look again, and propose presence and pose."""
        with torch.no_grad():
            image = state.seen[:, :, 0]
            residual = image - canvas
            seen = torch.stack([image, residual], 2)
            centre, peak = self._look(residual.clamp(min=0) * (1 - state.closed), look)
            coarse = torch.full_like(peak, min(1.0, ZOOM * self.typical))
            glimpse = crop(seen, coarse, centre, self.glimpse)
            for _ in range(self.refinements):
                out = self.proposer(glimpse, peak)
                centre = _moved(out[:, 1:3], coarse, centre).clamp(-1, 1)
                glimpse = crop(seen, coarse, centre, self.glimpse)
        out = self.proposer(glimpse, peak)
        return State(seen, state.closed), out[:, 0] + ON, self._where(out[:, 1:], coarse, centre)

    def encode(self, state: State, size: Tensor, centre: Tensor) -> Normal:
        """Encode image and residual in the window at the pose."""
        code: Normal = self.encoder(crop(state.seen, size, centre, self.window))
        return code

    @torch.no_grad()
    def advance(self, state: State, slot: Slot) -> State:
        """Inhibition of return: the window just used is closed to the slots after."""
        size, centre, half = slot.size, slot.centre, self.grid.shape[0] / 2
        y, x = (
            torch.sigmoid(
                (size[:, None] - (self.grid - centre[:, axis, None]).abs()) * half * CLOSING
            )
            for axis in (1, 0)
        )
        used = (slot.present[:, None] * y)[:, :, None] * x[:, None, :]
        return State(state.seen, 1 - (1 - state.closed) * (1 - used))

    def _look(self, ink: Tensor, look: Tensor | None) -> tuple[Tensor, Tensor]:
        """Centre [B, 2] of the look and the greatest saliency [B], for open ink [B, H, H]."""
        saliency = (self.blur @ ink @ self.blur.T).flatten(1)
        peak, at = saliency.max(1)
        if look is not None:
            at = _draw(saliency, peak, self.sharpness, look)
        side = self.blur.shape[0]
        cells = torch.stack([at % side, at // side], 1)
        return (2 * cells.to(peak.dtype) + 1) / side - 1, peak

    def _where(self, out: Tensor, coarse: Tensor, centre: Tensor) -> Normal:
        """The network's last six outputs [B, 6] as a normal of z_where around the look."""
        size = self.typical * torch.exp(STRETCH * out[:, 2])
        mean = self.pose.encode(size, _moved(out[:, :2], coarse, centre))
        return Normal(mean, spread(out[:, 3:] - self.narrow))


def _moved(offset: Tensor, coarse: Tensor, centre: Tensor) -> Tensor:
    """The centre [B, 2] that raw offsets [B, 2] point to, at most a glimpse's side away."""
    return centre + coarse[:, None] * torch.tanh(offset)


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
    below = (saliency - peak[:, None]) / peak.clamp(min=1e-6)[:, None]
    mass = running_sum(torch.exp(sharpness * below))
    return (
        torch.searchsorted(mass, look[:, None] * mass[:, -1:])
        .squeeze(1)
        .clamp(max=saliency.shape[1] - 1)
    )
