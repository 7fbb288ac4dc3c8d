"""Named tuples of tensors that share their first axis, and of such tuples.

Legend: B rows along the first axis, M chosen ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def map_tensors(function: Callable[..., Tensor], *tuples: T) -> T:
    """The tuple of what ``function`` returns for the tensors at each place of all ``tuples``."""
    first: Any = tuples[0]
    mapped: Any = None
    if isinstance(first, Tensor):
        mapped = function(*tuples)
    elif first is not None:
        places: Any = zip(*tuples, strict=True)
        parts = [map_tensors(function, *place) for place in places]
        mapped = first._make(parts) if hasattr(first, "_make") else tuple(parts)
    return mapped  # type: ignore[no-any-return]


def rows(parts: T, index: Tensor) -> T:
    """The rows at ``index``, [M] or flags [B]."""
    return map_tensors(lambda part: part[index], parts)


def with_rows(parts: T, index: Tensor, others: T) -> T:
    """``parts`` with the rows of ``others`` [M, ...] in place of those at ``index`` [M]."""
    return map_tensors(lambda part, other: part.index_copy(0, index, other), parts, others)


def joined(parts: Sequence[T]) -> T:
    """Tuples one after the other along the first axis."""
    return parts[0] if len(parts) == 1 else map_tensors(lambda *each: torch.cat(each), *parts)
