"""What a guide is: the protocol, what it is shown at each slot, and the noise that drives it.

Legend: B batch, C channels, H height, K size of a background's latent, N rows (B, or several
looks at each image, one after another), W width, S the longer side, T slots, w window side, Z code
size.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model.distributions import Normal, cumulative_sum
from airkit.model.networks import Encoder
from airkit.model.poses import Pose
from airkit.model.spatial_transformer import Patches, crop, span


class Noise(NamedTuple):
    """Random inputs of one pass over the slots, drawn before it.

    With the noise given, a pass is a function of images and weights alone.

    Attributes:
        where: standard normal, [B, T, 3]; None takes the mean of z_where.
        what: standard normal, [B, T, Z]; None takes the mean of z_what.
        look: uniform on 0..1, [B, T], to sample looks with; None looks at the peak.
        behind: standard normal, [B, K], of a learned background; None takes its mean.
    """

    where: Tensor | None
    what: Tensor | None
    look: Tensor | None
    behind: Tensor | None = None

    @staticmethod
    def draw(
        generator: torch.Generator,
        batch: int,
        slots: int,
        code: int,
        *,
        looks: bool,
        behind: int = 0,
    ) -> Noise:
        """Draw noise on the generator's device.

        Args:
            generator: what to draw from.
            batch: B.
            slots: T.
            code: Z.
            looks: whether looks are sampled too.
            behind: K, the size of a learned background's latent, if there is one.
        """
        device = generator.device
        return Noise(
            torch.randn(batch, slots, 3, generator=generator, device=device),
            torch.randn(batch, slots, code, generator=generator, device=device),
            torch.rand(batch, slots, generator=generator, device=device) if looks else None,
            torch.randn(batch, behind, generator=generator, device=device) if behind else None,
        )

    def slot(self, index: int) -> Noise:
        """The noise of one slot, [B, ...]."""
        return self.by_slot(lambda part: part[:, index])

    def by_slot(self, change: Callable[[Tensor], Tensor]) -> Noise:
        """The noise of slots, each part [B, T, ...] as ``change`` returns it."""
        where, what, look, _ = (None if part is None else change(part) for part in self)
        return Noise(where, what, look)


MEANS = Noise(None, None, None)
"""No noise: means of all latents, and looks at the peak."""


class Slot(NamedTuple):
    """The latents of one slot and the window they stand for.

    Attributes:
        present: z_pres: 1 where the slot is on, 0 where it is off, [B].
        where: z_where, [B, 3].
        what: z_what, [B, Z].
        size: window side as a fraction of S, [B].
        centre: window centre (x, y) on [-1, 1], [B, 2].
    """

    present: Tensor
    where: Tensor
    what: Tensor
    size: Tensor
    centre: Tensor

    def latents(self) -> Tensor:
        """Inputs of a recurrent net: [z_where, z_what, z_pres], [B, 3 + Z + 1]."""
        return torch.cat([self.where, self.what, self.present[:, None]], 1)

    @staticmethod
    def length(code: int) -> int:
        """Length of ``latents`` for codes of length ``code``: 3 + Z + 1."""
        return 3 + code + 1


class Peak(NamedTuple):
    """Where a look is placed.

    Attributes:
        centre: (x, y) on [-1, 1], [N, 2].
        height: the greatest saliency of the image, [N]; 0 on an image that is explained.
    """

    centre: Tensor
    height: Tensor


class Blur(NamedTuple):
    """One Gaussian of a saliency: separable, on a grid of cells, L along the longer side.

    Attributes:
        rows: a row of weights for each cell along one axis, [L, S].
        share: what it counts for; negative for a surround that is taken off.
        reach: pixels beyond which its weights are nothing; None for the whole picture.
    """

    rows: Tensor
    share: float = 1.0
    reach: int | None = None

    def __call__(self, ink: Tensor) -> Tensor:
        """Blur images [B, H, W] to cells [B, L H / S, L W / S]."""
        down, along = map(self._within, ink.shape[1:])
        blurred = down @ (ink @ along.t())
        return blurred if self.share == 1 else self.share * blurred

    def add(self, blurred: Tensor, change: Tensor, patches: Patches) -> None:
        """Add to blurred images what a change of patches [B, h, w] adds to them."""
        height, width = patches.shape
        down, along = (
            self._near(line, side)
            for line, side in ((patches.rows, height), (patches.columns, width))
        )
        cells = Patches(down, along, (blurred.shape[1], blurred.shape[2]))
        ours, theirs = (
            self.rows[line[:, :, None], pixels[:, None]]
            for line, pixels in ((down, patches.rows), (along, patches.columns))
        )
        cells.write(
            blurred[:, None],
            cells.read(blurred[:, None]) + self.share * (ours @ change @ theirs.mT)[:, None],
        )

    def _near(self, pixels: Tensor, length: int) -> Tensor:
        """Cells along an axis of ``length`` pixels that some of them [B, h] reach, [B, k]."""
        cells, side = self.rows.shape
        reach = side if self.reach is None else self.reach
        many = math.ceil((pixels.shape[1] + 2 * reach) * cells / side) + 1
        first = ((pixels[:, 0] - reach) * cells).div(side, rounding_mode="floor")
        return span(first, many, math.ceil(length * cells / side))

    def _within(self, length: int) -> Tensor:
        """The weights along an axis of ``length`` pixels."""
        cells, side = self.rows.shape
        return self.rows[: math.ceil(length * cells / side), :length]


class Residual:
    """What the slots so far leave unexplained: each image minus the canvas painted so far.

    It is data to the guide: no gradient flows through it. A guide reads it through ``peak`` and
    ``crop`` and never holds a dense copy.
    """

    def __init__(self, images: Tensor, canvas: Tensor, *, signed: bool = False) -> None:
        """``images`` and ``canvas`` are [B, C, H, W]; ``signed`` where ink may be negative."""
        self._signed = signed
        self._both = torch.cat([images, images - canvas], 1).detach()
        """Image and residual, [B, 2 C, H, W]."""

    def crop(self, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """Windows of image and residual, [N, 2 C, w, w].

        Args:
            size: window sides as fractions of S, [N].
            centre: (x, y) on [-1, 1], [N, 2].
            side: w, pixels along a window's side.
        """
        return crop(self._both, size, centre, side)

    def crop_image(self, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """Windows of the image alone, [N, C, w, w]; arguments as for ``crop``."""
        return crop(self._both.chunk(2, 1)[0], size, centre, side)

    @torch.no_grad()
    def peak(
        self, blurs: Sequence[Blur], mask: Tensor, sharpness: float, look: Tensor | None
    ) -> Peak:
        """Find, or sample, where the blurred unexplained ink is greatest.

        Saliency is the sum of ``blurs`` of ``max(residual, 0) * mask``, at least 0; where
        ink may be negative, of the residual's absolute value; with colours, of the channels' mean.

        Args:
            blurs: Gaussians on the same cells, the first for the centre.
            mask: what may be looked at, 0..1, [B, H, W].
            sharpness: looks are sampled from softmax(sharpness * saliency / peak).
            look: uniform noise to sample with, [N], or None for the peak itself.
        """
        saliency = self._saliency(blurs, mask)
        along, saliency = saliency.shape[2], saliency.flatten(1)
        if look is None:
            height, cell = saliency.max(1)
        else:
            height = saliency.amax(1)
            looks = look.view(len(height), -1)
            cell = _sample_cells(saliency, height, sharpness, looks).flatten()
            height = height.repeat_interleave(looks.shape[1])
        cells = torch.stack([cell % along, cell.div(along, rounding_mode="floor")], 1)
        return Peak((2 * cells.to(mask.dtype) + 1) / len(blurs[0].rows) - 1, height)

    def unexplained(self, mask: Tensor, patches: Patches | None = None) -> Tensor:
        """The ink that may be looked at, of the whole or of patches, [B, H, W] or [B, h, w]."""
        both, mask = self._both, mask[:, None]
        if patches is not None:
            both, mask = patches.read(both), patches.read(mask)
        residual = both.chunk(2, 1)[1]
        ink = residual.abs() if self._signed else residual.clamp(min=0)
        return (ink.mean(1) if ink.shape[1] > 1 else ink[:, 0]).mul_(mask[:, 0])

    def read(self, patches: Patches) -> Tensor:
        """Patches of image and residual, [N, 2 C, h, w]."""
        return patches.read(self._both)

    def _saliency(self, blurs: Sequence[Blur], mask: Tensor) -> Tensor:
        """The saliency of ``peak`` on the blurs' cells, [B, L H / S, L W / S]."""
        seen = self.unexplained(mask)
        return joined([blur(seen) for blur in blurs])


def joined(blurred: Sequence[Tensor]) -> Tensor:
    """The sum of what Gaussians make of an image, at least 0, [B, L H / S, L W / S]."""
    saliency = blurred[0]
    for surround in blurred[1:]:
        saliency = (saliency + surround).clamp_(min=0)
    return saliency


def _sample_cells(saliency: Tensor, peak: Tensor, sharpness: float, look: Tensor) -> Tensor:
    """Sample cells [B, K] from softmax(sharpness * saliency / peak), by inverse distribution.

    A blank image has no peak; every cell is then as likely as another.
    """
    scale = sharpness / peak.clamp(min=1e-6)[:, None]
    mass = cumulative_sum((saliency - peak[:, None]).mul_(scale).exp_())
    cells = torch.searchsorted(mass, look * mass[:, -1:])
    return cells.clamp(max=saliency.shape[1] - 1)


class Guide(nn.Module, ABC):
    """The recurrent guide q(z | x), driven slot by slot (arXiv 1603.08575, section 2.2).

    At every slot: ``propose`` presence and pose, ``encode`` what is in the window at the pose
    drawn, ``advance`` the state. The state is whatever the guide carries from slot to slot. No
    weights depend on the number of slots.

    Derive from this class and name it as ``guide.kind = "package.module:Class"``.
    """

    samples_looks = False
    """Whether it first looks somewhere, so that other looks may find other objects."""
    sees_canvas = True
    """Whether it depends on what the slots before painted. If not, nothing is painted for it."""
    any_canvas = False
    """Whether its weights serve canvases of every size and shape."""
    edge: int | None = None
    """Pixels around a window outside which ``advance`` leaves a mask of ``Residual.peak`` as it is.
    With it, pictures much larger than objects are gone through window by window."""
    sharpness: float = 1.0
    """Sharpness of sampled looks; see ``Residual.peak``."""
    window: int
    """Side of the windows that codes are read from, in pixels."""
    encoder: Encoder
    """What ``encode`` applies to windows [B, 2 C, w, w] of image and residual."""

    def __init__(self, config: Config, pose: Pose, canvas_size: int) -> None:
        """Build for a configuration.

        Args:
            config: the resolved configuration.
            pose: what z_where stands for.
            canvas_size: S in pixels.
        """
        super().__init__()
        self.pose, self.canvas_size, self.window = pose, canvas_size, config.window_size

    @abstractmethod
    def start(self, images: Tensor) -> Any:
        """The state before the first slot, for images [B, C, H, W]."""

    @abstractmethod
    def propose(
        self, state: Any, residual: Residual, look: Tensor | None
    ) -> tuple[Tensor, Normal, Any]:
        """q(z_pres_t) and q(z_where_t).

        Args:
            state: the state after the slots before.
            residual: what those slots left unexplained.
            look: uniform noise to sample a look with, [B], or None for the likeliest. Where looks
                are compared, [N]: then all that is returned but the state has a row for each.

        Returns:
            Log odds that the slot is on given that all before it are, [N]; the normal of z_where,
            [N, 3]; and the state.
        """

    def encode(self, residual: Residual, size: Tensor, centre: Tensor) -> Normal:
        """q(z_what_t), read from the window at the pose drawn.

        Args:
            residual: as for ``propose``.
            size: window sides as fractions of S, [N].
            centre: (x, y) on [-1, 1], [N, 2].

        Returns:
            The normal of z_what, [N, Z].
        """
        code: Normal = self.encoder(residual.crop(size, centre, self.window))
        return code

    @abstractmethod
    def advance(self, state: Any, slot: Slot) -> Any:
        """The state after a slot whose latents are now known."""


def check_proposal(logit: Tensor, where: Normal, batch: int) -> None:
    """Raise ValueError where a guide's proposal has shapes that would broadcast in silence."""
    found = [tuple(each.shape) for each in (logit, *where)]
    if found != [(batch,), (batch, 3), (batch, 3)]:
        told = ", ".join(str(list(shape)) for shape in found)
        raise ValueError(
            f"propose returned log odds, mean and sd of z_where of shapes {told}; expected "
            f"[{batch}], [{batch}, 3], [{batch}, 3]"
        )
