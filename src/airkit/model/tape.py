"""Remembering what costly maps gave, so that a gradient can be had without computing them twice.

Where no gradient flows from slot to slot, AIR runs over the slots one by one without gradients,
and then over all of them at once, as T . B rows, with gradients: fewer and larger products. What
the first pass computed, the second takes from a tape.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Parts = tuple[Tensor, ...]
"""What one map gave, [B, ...] each."""
Known = Callable[[Callable[[], Parts]], Parts]
"""Gives what the function in hand computes, by calling it or from memory."""


def afresh(compute: Callable[[], Parts]) -> Parts:
    """No memory: compute it, without gradients.

    Raises:
        NotImplementedError: while ``torch.jit.trace`` runs, which would take the result for a
            constant.
    """
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        raise NotImplementedError("AIR's gradients are its own, and are lost by torch.jit.trace")
    with torch.no_grad():
        return compute()


class Tape:
    """Maps' results in the order of their calls, slot by slot."""

    def __init__(self) -> None:
        self._slots: list[list[Parts]] = []

    def record(self) -> Known:
        """What remembers the maps of the next slot."""
        slot: list[Parts] = []
        self._slots.append(slot)

        def known(compute: Callable[[], Parts]) -> Parts:
            slot.append(afresh(compute))
            return slot[-1]

        return known

    def replay(self) -> Known:
        """What gives the maps of all slots in the same order, slot after slot, [T . B, ...]."""
        calls = zip(*self._slots, strict=True)

        def known(_: Callable[[], Parts]) -> Parts:
            return tuple(map(torch.cat, zip(*next(calls), strict=True)))

        return known
