"""Calls of guides that check what comes back, so that no wrong shape broadcasts in silence.

Legend: B batch, M images still searched, N rows (B, or consecutive ones for several looks at each
image), Z code size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from airkit.errors import ExtensionError
from airkit.model.checks import described, dtype_name
from airkit.model.distributions import Normal
from airkit.model.guides.base import Guide
from airkit.model.guides.residual import Residual


def rows_of(guide: Guide, state: Any, index: Tensor, batch: int) -> Any:
    """``Guide.rows`` of a state of B = ``batch`` images, checked where the method is inherited.

    Raises:
        ExtensionError: a part of the state is not a tensor with a row for each image.
    """
    if type(guide).rows is Guide.rows and not all(_has_rows(part, batch) for part in _parts(state)):
        expected = f"a state of tensors [{batch}, ...], None, or tuples of them; or a rows()"
        raise unusable(guide, "advance", f"{expected} of its own", state)
    return guide.rows(state, index)


def _has_rows(part: object, batch: int) -> bool:
    return isinstance(part, Tensor) and part.shape[:1] == (batch,)


def _parts(state: object) -> Iterator[object]:
    """What is in a state, of tuples within tuples too, but for None."""
    if isinstance(state, tuple):
        for part in state:
            yield from _parts(part)
    elif state is not None:
        yield state


def proposed(
    guide: Guide, state: Any, residual: Residual, look: Tensor | None, rows: int
) -> tuple[Tensor, Normal, Any]:
    """What ``Guide.propose`` returns for N = ``rows``, checked.

    Raises:
        ExtensionError: it is something else, or of shapes that would broadcast in silence.
    """
    found: object = guide.propose(state, residual, look)
    like = guide.pose.mean
    if isinstance(found, tuple) and len(found) == 3:
        logit, where, state = found
        if _is(logit, like, rows) and _is_normal(where, like, rows, 3):
            return logit, where, state
        found = logit, where  # the state may be anything
    number = dtype_name(like.dtype)
    raise unusable(
        guide,
        "propose",
        f"log odds {number} [{rows}], Normal(mean, sd) {number} [{rows}, 3] each, the state",
        found,
    )


def encoded(guide: Guide, residual: Residual, size: Tensor, centre: Tensor, code: int) -> Normal:
    """What ``Guide.encode`` returns for windows [N] and Z = ``code``, checked.

    Raises:
        ExtensionError: it is something else, or of shapes that would broadcast in silence.
    """
    found = guide.encode(residual, size, centre)
    if not _is_normal(found, size, len(size), code):
        number, shape = dtype_name(size.dtype), [len(size), code]
        raise unusable(guide, "encode", f"Normal(mean, sd) {number} {shape} each", found)
    return found


def unusable(guide: Guide, method: str, expected: str, got: object) -> ExtensionError:
    """The error of a method that returned something else than expected."""
    kind = type(guide)
    return ExtensionError(
        f"{kind.__module__}:{kind.__name__}.{method} returned what airkit cannot use",
        where="guide.kind",
        expected=expected,
        got=described(got),
        hint="correct it: help(airkit.model.guides.Guide) says what each method returns",
    )


def _is(value: object, like: Tensor, *shape: int) -> bool:
    return isinstance(value, Tensor) and value.dtype == like.dtype and value.shape == shape


def _is_normal(value: object, like: Tensor, *shape: int) -> bool:
    return isinstance(value, Normal) and all(_is(part, like, *shape) for part in value)
