"""Ink compressed by asinh, and back: of a number, or of tensors with their own functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def stretched(ink: Any, knee: float, asinh: Callable[[Any], Any] = math.asinh) -> Any:
    """asinh(ink / knee) / asinh(1 / knee), 1 staying 1; ink as it is where the knee is 0."""
    return asinh(ink / knee) / math.asinh(1 / knee) if knee else ink


def unstretched(ink: Any, knee: float, sinh: Callable[[Any], Any] = math.sinh) -> Any:
    """Ink as it was before ``stretched``."""
    return knee * sinh(ink * math.asinh(1 / knee)) if knee else ink
