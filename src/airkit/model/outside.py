"""What messages say of values that classes from outside return."""

from __future__ import annotations

import torch
from torch import Tensor


def described(value: object) -> str:
    """A tensor's dtype and shape, those of a tuple's parts, or the type of anything else."""
    if isinstance(value, Tensor):
        return f"{dtype_name(value.dtype)} {list(value.shape)}"
    if isinstance(value, tuple):
        name = type(value).__name__ if hasattr(value, "_fields") else ""
        return f"{name}({', '.join(map(described, value))})"
    return type(value).__name__


def dtype_name(dtype: torch.dtype) -> str:
    """A dtype as it is written, such as float32."""
    return str(dtype).removeprefix("torch.")
