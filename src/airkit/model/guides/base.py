"""The protocol that every guide follows, and the random numbers that drive it.

Legend: B batch, T slots, H canvas side, Z code size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model.networks import Encoder, Normal
from airkit.model.poses import Pose
from airkit.model.spatial_transformer import Images, crop
from airkit.model.tape import Known, afresh


class Noise(NamedTuple):
    """All random numbers of one pass over the slots, drawn before it.

    With the noise given, a pass is a function of its images and weights alone.
    """

    where: Tensor | None
    """Standard normal, [B, T, 3]; None takes the mean of z_where."""
    what: Tensor | None
    """Standard normal, [B, T, Z]; None takes the mean of z_what."""
    look: Tensor | None
    """Uniform on 0..1, [B, T], to draw looks with; None looks at the peak."""

    @staticmethod
    def draw(
        generator: torch.Generator, batch: int, slots: int, code: int, *, looks: bool
    ) -> Noise:
        """Draw noise on the generator's device; ``looks`` says whether looks are drawn too."""
        device = generator.device
        return Noise(
            torch.randn(batch, slots, 3, generator=generator, device=device),
            torch.randn(batch, slots, code, generator=generator, device=device),
            Noise.draw_looks(generator, batch, slots).look if looks else None,
        )

    @staticmethod
    def draw_looks(generator: torch.Generator, batch: int, slots: int) -> Noise:
        """Draw looks alone; latents are at their means."""
        look = torch.rand(batch, slots, generator=generator, device=generator.device)
        return Noise(None, None, look)

    def rows(self) -> Noise:
        """The random numbers of all slots, slot after slot, [T . B, ...]."""
        return Noise(
            *(None if part is None else part.transpose(0, 1).flatten(0, 1) for part in self)
        )

    def slot(self, index: int) -> Noise:
        """The random numbers of one slot, [B, ...]."""
        return Noise(*(None if part is None else part[:, index] for part in self))


MEANS = Noise(None, None, None)
"""No noise: means of all latents, and looks at the peak."""


class Slot(NamedTuple):
    """The latents of one slot once they are drawn, and the window they stand for."""

    present: Tensor
    """1 where the slot is on, 0 where it is off, [B]."""
    where: Tensor
    """z_where, [B, 3]."""
    what: Tensor
    """z_what, [B, Z]."""
    size: Tensor
    """Window side as a fraction of the canvas, [B]."""
    centre: Tensor
    """Window centre (x, y) on [-1, 1], [B, 2]."""

    def latents(self) -> Tensor:
        """What a recurrent net is told of the slot: [z_where, z_what, z_pres], [B, 3 + Z + 1]."""
        return torch.cat([self.where, self.what, self.present[:, None]], 1)

    @staticmethod
    def length(code: int) -> int:
        """How many numbers ``latents`` are for a code of ``code``: 3 + Z + 1."""
        return 3 + code + 1


class Guide(nn.Module, ABC):
    """The recurrent guide of AIR, driven slot by slot: attend, propose, encode, advance.

    ``State`` is whatever a guide carries from slot to slot; ``Sight``, a named tuple of tensors
    [B, ...], all that it proposes from. No guide's weights depend on the number of slots.
    """

    looks: bool
    """Whether the guide looks somewhere first, so that other looks may find other objects."""
    sees_canvas: bool
    """Whether what it proposes depends on what the slots before painted. Its state then carries no
    gradients from slot to slot; that of a guide which remembers them instead may."""
    any_canvas: bool
    """Whether its weights serve canvases of every size."""
    window: int
    """Side of the windows that codes are read from, in pixels."""
    encoder: Encoder
    sharpness: float = 1.0
    """Drawn looks follow softmax(sharpness . saliency / peak), for guides that look."""

    def __init__(self, config: Config, pose: Pose, canvas: int) -> None:
        """Build for the poses of ``pose`` on canvases of ``canvas`` pixels."""
        super().__init__()
        del canvas
        self.pose, self.window = pose, config.window_size

    @abstractmethod
    def start(self, images: Tensor) -> Any:
        """The state before the first slot, for images [B, H, H]."""

    @abstractmethod
    def attend(self, state: Any, seen: Tensor, look: Tensor | None) -> tuple[Any, Any]:
        """Turn to the next object.

        Args:
            state: the state after the slots before.
            seen: the image, and for a guide that sees the canvas what those slots left of it
                unexplained, [B, C, H, H].
            look: uniform noise to draw the look with, [B], or None for the likeliest.

        Returns:
            What is seen, and the state.
        """

    @abstractmethod
    def propose(self, sight: Any, known: Known = afresh) -> tuple[Tensor, Normal]:
        """Find the object: where is it, if there is one?

        Args:
            sight: what ``attend`` saw.
            known: where to have what the networks give from, if it was computed before.

        Returns:
            The log odds that the slot is on given that all before it are, [B]; and the normal
            of z_where, [B, 3].
        """

    @abstractmethod
    def advance(self, state: Any, slot: Slot) -> Any:
        """The state after a slot whose latents are now known."""

    def encode(self, seen: Images, size: Tensor, centre: Tensor, known: Known = afresh) -> Normal:
        """Encode what is seen in the window at a pose.

        Args:
            seen: what ``attend`` saw, [B, C, H, H], in parts.
            size: window sides as fractions of the canvas, [B].
            centre: (x, y) on [-1, 1], [B, 2].
            known: as for ``propose``.

        Returns:
            The normal of z_what, [B, Z].
        """
        windows = crop(seen, size, centre, self.window, known)
        code: Normal = self.encoder(windows, known)
        return code
