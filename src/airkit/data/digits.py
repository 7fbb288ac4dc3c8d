"""Pools of single digits, and the class that every source of digits derives from.

Shapes: N digits of S x S pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airkit.system.callbacks import Listener

NOT_STATED = "not stated"
"""Licence or attribution of a source that tells none."""
OTHERS = "--source strokes, which is built in"
"""Next step where a source of digits is of no use."""


@dataclass(frozen=True, eq=False)
class Digits:
    """A pool of single digits."""

    images: NDArray[np.uint8]
    """Ink from 0 (blank) to 255, u8 [N, S, S]."""
    labels: NDArray[np.uint8]
    """Class of each digit, 0 to 127, u8 [N]."""
    rows: NDArray[np.int32] | None = None
    """Row of each digit in its file or stream, i32 [N]; None numbers them from 0."""

    @property
    def index(self) -> NDArray[np.int32]:
        """Row of each digit in its file or stream, i32 [N]."""
        return np.arange(len(self.labels), dtype=np.int32) if self.rows is None else self.rows

    def take(self, which: slice | NDArray[np.bool_]) -> Digits:
        """The digits that ``which`` selects, with their rows."""
        return Digits(self.images[which], self.labels[which], self.index[which])


class DigitSource(ABC):
    """A source of digits; derive from it to add your own.

    airkit makes an instance without arguments and calls ``pools`` once.
    """

    licence: str = NOT_STATED
    """Licence of the digits, recorded in data files."""
    attribution: str = NOT_STATED
    """Authors of the digits, recorded in data files."""

    @abstractmethod
    def pools(self, listener: Listener) -> Mapping[str, Digits]:
        """Return the digits of ``train``, ``val`` and ``test``, the same at every call.

        Images that two pools share are kept in the held-out one only.

        Args:
            listener: takes notes and progress, to show them to the user.
        """
