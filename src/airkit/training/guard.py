"""The guard of a training's numbers: no step is taken on a loss or gradient that is not finite."""

from __future__ import annotations

import torch
from torch import Tensor

NONE = -1


class Guard:
    """Remembers the first step that was not finite, and holds back that one and all after it.

    On a GPU that is done there, so that no step waits for the one before; elsewhere looking
    costs nothing. Either way the weights stay those that the first bad step began with.
    """

    def __init__(self, device: torch.device) -> None:
        self.lags = device.type == "cuda"
        """Whether steps go on, to no effect, until someone asks for ``first_bad``."""
        self.first = torch.full((), NONE, device=device)

    def watch(self, number: int | Tensor, *values: Tensor) -> None:
        """Note step ``number`` if one of its ``values``, scalars, is not finite."""
        fine = torch.stack(values).isfinite().all()
        self.first.copy_(torch.where(fine | (self.first != NONE), self.first, number))

    def step(self, optimiser: torch.optim.Optimizer) -> None:
        """Let a fused ``optimiser`` take its step, unless a bad one was noted."""
        if self.lags:
            # What torch.amp.GradScaler tells it: the kernel itself leaves all as it is.
            optimiser.found_inf = (self.first != NONE).float()  # type: ignore[attr-defined]
        elif self.first_bad() is not None:
            return
        optimiser.step()

    def first_bad(self) -> int | None:
        """The first bad step, counted from 0; None where all were good."""
        first = int(self.first.item())
        return None if first == NONE else first
