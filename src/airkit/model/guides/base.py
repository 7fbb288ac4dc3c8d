"""The base class of guides, the slots that they fill, and the noise that drives them.

Legend: B batch, C channels, H height, K size of a background's latent, N rows (B, or consecutive
ones for several looks at each image), W width, S the longer side, T slots, w window side, Z code
size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.errors import ExtensionError
from airkit.model.checks import described, dtype_name
from airkit.model.distributions import Normal
from airkit.model.guides.residual import Residual
from airkit.model.networks import Encoder
from airkit.model.poses import Pose
from airkit.model.tuples import map_tensors, rows


class Noise(NamedTuple):
    """Random inputs of one pass over the slots, drawn before it.

    With the noise given, a pass is a function of images and weights alone.

    Attributes:
        where: standard normal, [B, T, 3]; None takes the mean of z_where.
        what: standard normal, [B, T, Z]; None takes the mean of z_what.
        look: uniform on 0..1, [B, T], to sample looks with; None looks at the peak.
        behind: standard normal, [B, K], of a learned background; None takes its mean.
    """

    where: Tensor | None
    what: Tensor | None
    look: Tensor | None
    behind: Tensor | None = None

    def slot(self, index: int) -> Noise:
        """The noise of one slot, [B, ...]."""
        return self.by_slot(lambda part: part[:, index])

    def by_slot(self, change: Callable[[Tensor], Tensor]) -> Noise:
        """The noise of the slots with each part [B, T, ...] changed; ``behind`` is of no slot."""
        return map_tensors(change, self._replace(behind=None))


MEANS = Noise(None, None, None)
"""No noise: means of all latents, and looks at the peak."""


class Slot(NamedTuple):
    """The latents of one slot and the window they stand for.

    Attributes:
        present: z_pres: 1 where the slot is on, 0 where it is off, [B].
        where: z_where, [B, 3].
        what: z_what, [B, Z].
        size: window side as a fraction of S, [B].
        centre: window centre (x, y) on [-1, 1], [B, 2].
    """

    present: Tensor
    where: Tensor
    what: Tensor
    size: Tensor
    centre: Tensor

    def latents(self) -> Tensor:
        """Inputs of a recurrent net: [z_where, z_what, z_pres], [B, 3 + Z + 1]."""
        return torch.cat([self.where, self.what, self.present[:, None]], 1)

    @staticmethod
    def length(code: int) -> int:
        """Length of ``latents`` for codes of length ``code``: 3 + Z + 1."""
        return 3 + code + 1


class Guide(nn.Module, ABC):
    """The recurrent guide q(z | x), driven slot by slot (arXiv 1603.08575, section 2.1).

    At every slot: ``propose`` presence and pose, ``encode`` what is in the window at the pose
    drawn, ``advance`` the state. The state is whatever the guide carries from slot to slot. No
    weights depend on the number of slots.

    Derive from this class and name it as ``guide.kind = "package.module:Class"``.
    """

    samples_looks = False
    """Whether ``look`` matters to it, so that other looks may find other objects."""
    sees_canvas = True
    """Whether it depends on what the slots before painted. If not, nothing is painted for it."""
    any_canvas = False
    """Whether its weights serve canvases of every size and shape."""
    edge: int | None = None
    """Most pixels beyond a window at which ``advance`` changes the mask of ``Residual.peak``. With
    it, the canvas of a large picture is painted and looked at around its windows alone."""
    sharpness: float = 1.0
    """Sharpness of sampled looks; see ``Residual.peak``."""
    window: int
    """Side of the windows that codes are read from, in pixels."""
    encoder: Encoder
    """q(z_what) of the windows that ``encode`` reads."""

    def __init__(self, config: Config, pose: Pose, canvas_size: int) -> None:
        """Build for a configuration.

        Args:
            config: the resolved configuration.
            pose: what z_where stands for.
            canvas_size: S in pixels.
        """
        super().__init__()
        self.pose, self.canvas_size, self.window = pose, canvas_size, config.window_size

    @abstractmethod
    def start(self, images: Tensor) -> Any:
        """The state before the first slot, for images [B, C, H, W]."""

    @abstractmethod
    def propose(
        self, state: Any, residual: Residual, look: Tensor | None
    ) -> tuple[Tensor, Normal, Any]:
        """q(z_pres_t) and q(z_where_t).

        Args:
            state: the state after the slots before.
            residual: what those slots left unexplained.
            look: uniform noise to sample a look with, [B], or None for the likeliest. Where looks
                are compared, [N]: then all that is returned but the state has a row for each.

        Returns:
            Log odds that the slot is on given that all before it are, [N]; the normal of z_where,
            [N, 3]; and the state.
        """

    def encode(self, residual: Residual, size: Tensor, centre: Tensor) -> Normal:
        """q(z_what_t), read from the window at the pose drawn.

        Args:
            residual: as for ``propose``.
            size: window sides as fractions of S, [N].
            centre: (x, y) on [-1, 1], [N, 2].

        Returns:
            The normal of z_what, [N, Z].
        """
        code: Normal = self.encoder(residual.crop(size, centre, self.window))
        return code

    @abstractmethod
    def advance(self, state: Any, slot: Slot) -> Any:
        """The state after a slot whose latents are now known."""

    def rows(self, state: Any, index: Tensor) -> Any:
        """The state of the images at ``index`` [M].

        As inherited, for a state that is a tensor [B, ...], None, or a tuple of such; a guide with
        another state overrides this method.
        """
        return rows(state, index)

    def checked_proposal(
        self, state: Any, residual: Residual, look: Tensor | None, rows: int
    ) -> tuple[Tensor, Normal, Any]:
        """What ``propose`` returns for N = ``rows``, checked.

        Raises:
            ExtensionError: it is something else, or of shapes that would broadcast in silence.
        """
        found: object = self.propose(state, residual, look)
        like = self.pose.mean
        if isinstance(found, tuple) and len(found) == 3:
            logit, where, state = found
            if _is(logit, like, rows) and _is_normal(where, like, rows, 3):
                return logit, where, state
            found = logit, where  # the state may be anything
        number = dtype_name(like.dtype)
        expected = f"log odds {number} [{rows}], Normal(mean, sd) {number} [{rows}, 3] each"
        raise self._unusable("propose", f"{expected}, the state", found)

    def checked_code(self, residual: Residual, size: Tensor, centre: Tensor, code: int) -> Normal:
        """``encode`` for Z = ``code``, checked; raises as ``checked_proposal`` does."""
        found = self.encode(residual, size, centre)
        if not _is_normal(found, size, len(size), code):
            number, shape = dtype_name(size.dtype), [len(size), code]
            raise self._unusable("encode", f"Normal(mean, sd) {number} {shape} each", found)
        return found

    def checked_rows(self, state: Any, index: Tensor, batch: int) -> Any:
        """``rows`` of a state of B = ``batch`` images, checked where the method is inherited.

        Raises:
            ExtensionError: a part of the state is not a tensor with a row for each image.
        """
        inherited = type(self).rows is Guide.rows
        if inherited and not all(_has_rows(part, batch) for part in _parts(state)):
            expected = f"a state of tensors [{batch}, ...], None, or tuples of them"
            raise self._unusable("advance", f"{expected}; or a rows() of its own", state)
        return self.rows(state, index)

    def _unusable(self, method: str, expected: str, got: object) -> ExtensionError:
        """The error of a method that returned something else than expected."""
        kind = type(self)
        return ExtensionError(
            f"{kind.__module__}:{kind.__name__}.{method} returned what airkit cannot use",
            where="guide.kind",
            expected=expected,
            got=described(got),
            hint="correct it: help(airkit.model.guides.Guide) says what each method returns",
        )


def _has_rows(part: object, batch: int) -> bool:
    return isinstance(part, Tensor) and part.shape[:1] == (batch,)


def _parts(state: object) -> Iterator[object]:
    """What is in a state, of tuples within tuples too, but for None."""
    if isinstance(state, tuple):
        for part in state:
            yield from _parts(part)
    elif state is not None:
        yield state


def _is(value: object, like: Tensor, *shape: int) -> bool:
    return isinstance(value, Tensor) and value.dtype == like.dtype and value.shape == shape


def _is_normal(value: object, like: Tensor, *shape: int) -> bool:
    return isinstance(value, Normal) and all(_is(part, like, *shape) for part in value)
