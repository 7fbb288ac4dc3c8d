"""The protocol that every guide follows, and the random numbers that drive it.

Legend: B batch, T slots, H canvas side, Z code size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from airkit.model.networks import Normal


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

    def slot(self, index: int) -> Noise:
        """The random numbers of one slot, [B, ...]."""
        return Noise(*(None if part is None else part[:, index] for part in self))


MEANS = Noise(None, None, None)
"""No noise: means of all latents, and looks at the peak."""


class Guide(nn.Module, ABC):
    """The recurrent guide of AIR, driven slot by slot.

    ``State`` is whatever a guide carries from slot to slot. Nothing here depends on the
    canvas size or on the number of slots.
    """

    sharpness: float
    """Drawn looks follow softmax(sharpness . saliency / peak), for guides that look."""

    @abstractmethod
    def start(self, images: Tensor) -> Any:
        """The state before the first slot, for images [B, H, H]."""

    @abstractmethod
    def propose(
        self, state: Any, canvas: Tensor, look: Tensor | None
    ) -> tuple[Any, Tensor, Normal]:
        """Find the next object.

        Args:
            state: the state after the slots before.
            canvas: what those slots painted, [B, H, H].
            look: uniform noise to draw the look with, [B], or None for the likeliest.

        Returns:
            The state; the log odds that the slot is on given that all before it are, [B]; and
            the normal of z_where, [B, 3].
        """

    @abstractmethod
    def encode(self, state: Any, size: Tensor, centre: Tensor) -> Normal:
        """The normal of z_what [B, Z] for the window at a pose: size [B], centre [B, 2]."""

    @abstractmethod
    def advance(self, state: Any, where: Tensor, what: Tensor, size: Tensor, centre: Tensor) -> Any:
        """The state after a slot whose latents are now known."""
