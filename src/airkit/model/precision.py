"""In which numbers the networks multiply.

Weights, sums, poses and likelihoods are float32 throughout. The networks' products, most of the
arithmetic, may take their factors in bfloat16, which some processors multiply twice as fast, or
in TF32 on a GPU; either way they are added up in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

PRECISIONS = "float32", "tf32", "bfloat16"
"""What ``train.precision`` may be, but for auto."""

_NATIVE = "avx512_bf16", "amx_bf16"
"""What a processor that multiplies bfloat16 calls it, each in PyTorch's words."""

_factor: ContextVar[torch.dtype] = ContextVar("factor", default=torch.float32)


def best_precision() -> str:
    """bfloat16 where this machine's processor multiplies it natively, else float32."""
    can: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # not in old ones
    return "bfloat16" if any(can.get(name) for name in _NATIVE) else "float32"


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Multiply in one of ``PRECISIONS``, or the best, while inside; TF32 is for GPUs alone."""
    name = best_precision() if name == "auto" else name
    tf32 = torch.backends.cuda.matmul.allow_tf32
    token = _factor.set(torch.bfloat16 if name == "bfloat16" else torch.float32)
    torch.backends.cuda.matmul.allow_tf32 = tf32 or name == "tf32"
    try:
        yield
    finally:
        _factor.reset(token)
        torch.backends.cuda.matmul.allow_tf32 = tf32


def factor_dtype(inputs: Tensor) -> torch.dtype:
    """What a network that is given ``inputs`` is to multiply in."""
    return _factor.get() if inputs.dtype == torch.float32 else inputs.dtype
