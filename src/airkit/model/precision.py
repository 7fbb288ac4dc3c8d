"""In which numbers the networks multiply.

Weights, their steps, poses and likelihoods are float32 throughout. The perceptrons' products, most
of the arithmetic, may take their factors in bfloat16, which some processors multiply twice as fast,
or in TF32 on a GPU. A product of bfloat16 is added up in float32, and rounded when it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
"""What ``train.precision`` may be, but for auto, and the factors' type."""

_NATIVE = "avx512_bf16", "amx_bf16"
"""What a processor that multiplies bfloat16 calls it, each in PyTorch's words."""


class Factors:
    """What to multiply float32 in, and the weights that were brought to it already."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        self._cast: dict[int, Tensor] = {}

    def like(self, inputs: Tensor) -> torch.dtype:
        """What to multiply ``inputs`` in; float64 stays what it is."""
        return self.dtype if inputs.dtype == torch.float32 else inputs.dtype

    def weight(self, weight: Tensor) -> Tensor:
        """A weight to multiply with."""
        if self.like(weight) == weight.dtype:
            return weight
        key = id(weight)
        if key not in self._cast:
            self._cast[key] = weight.detach().to(self.dtype)
        return self._cast[key]


_factors: ContextVar[Factors] = ContextVar("factors", default=Factors())  # noqa: B039 - see weight


def factors() -> Factors:
    """Those of the innermost ``precision``; outside of any, float32."""
    return _factors.get()


def best_precision(device: str) -> str:
    """What auto stands for: bfloat16 on a CPU that multiplies it natively, else float32.

    Args:
        device: as ``train.device`` names it.
    """
    if device != "cpu" and (device != "auto" or torch.cuda.is_available()):
        return "float32"
    can: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # not in old ones
    return "bfloat16" if any(can.get(name) for name in _NATIVE) else "float32"


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Multiply in one of ``PRECISIONS`` while inside; TF32 is for GPUs alone.

    No weight may change while inside.
    """
    token = _factors.set(Factors(PRECISIONS[name]))
    matmul = torch.backends.cuda.matmul
    tf32 = name == "tf32" and matmul.allow_tf32
    try:
        if name == "tf32":
            matmul.allow_tf32 = True
        yield
    finally:
        _factors.reset(token)
        if name == "tf32":
            matmul.allow_tf32 = tf32
