"""Mixed precision of the perceptrons' matrix products.

Weights, optimiser, poses and likelihoods are float32 throughout. The perceptrons' products, most of
the arithmetic, may read bfloat16 factors, which some processors multiply twice as fast, or TF32 on
a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from airkit.system.device import is_gpu

PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
"""The factors' dtype by the name that ``train.precision`` gives it."""
_NATIVE_BFLOAT16 = "avx512_bf16", "amx_bf16"
"""PyTorch's names for CPU instructions that multiply bfloat16."""

_dtype: ContextVar[torch.dtype] = ContextVar("dtype", default=torch.float32)


def product_dtype(inputs: torch.dtype) -> torch.dtype:
    """The dtype in which ``inputs`` are multiplied now: float64 stays float64."""
    return _dtype.get() if inputs == torch.float32 else inputs


def best_precision(device: str) -> str:
    """The precision that ``auto`` stands for on ``train.device``.

    bfloat16 on a CPU that multiplies it natively, otherwise float32.
    """
    if device == "mps" or is_gpu(device):
        return "float32"
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if any(capabilities.get(name) for name in _NATIVE_BFLOAT16) else "float32"


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Multiply in one of ``PRECISIONS`` inside the context; TF32 has an effect on GPUs alone."""
    token = _dtype.set(PRECISIONS[name])
    matmul = torch.backends.cuda.matmul
    before = name == "tf32" and matmul.allow_tf32
    try:
        if name == "tf32":
            matmul.allow_tf32 = True
        yield
    finally:
        _dtype.reset(token)
        if name == "tf32":
            matmul.allow_tf32 = before
