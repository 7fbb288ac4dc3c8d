"""Checks of what a model is built and called with, and what messages say of it.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from airkit.errors import AirkitError, ImageError


def check_default_dtype() -> None:
    """Refuse another default dtype of PyTorch's than float32, which weights are made in.

    Raises:
        AirkitError: it is another.
    """
    if torch.get_default_dtype() != torch.float32:
        raise AirkitError(
            "PyTorch's default dtype is not float32",
            where="torch.get_default_dtype()",
            expected="torch.float32",
            got=torch.get_default_dtype(),
            hint="torch.set_default_dtype(torch.float32); .double() turns a model into float64",
        )


def check_images(images: Tensor, like: Tensor, shape: tuple[int, int, int]) -> None:
    """Refuse images that are not those of a model, such as canvases of uint8.

    Args:
        images: levels in 0..1, [B, C, H, W].
        like: a tensor of the dtype that they are to have.
        shape: C, H and W.

    Raises:
        ImageError: they are of another dtype or shape.
    """
    if images.dtype != like.dtype or images.shape[1:] != shape:
        raise ImageError(
            "These are no images of this model",
            where="images",
            expected=f"levels in 0..1, {dtype_name(like.dtype)} [B, {', '.join(map(str, shape))}]",
            got=described(images),
            hint="levels of uint8 become 0..1 by images.float() / 255",
        )


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
