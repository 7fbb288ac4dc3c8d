"""The training pass of AIR with gradients written by hand: the numbers of ``AIR.forward``, sooner.

``unroll(air, images, noise)`` equals ``air(images, noise)`` in values and first derivatives (a
test holds them equal); second derivatives raise. It gains by four things:

- A guide that sees the canvas has no gradient from slot to slot. So it runs slot by slot without
  gradients first, and then over all slots at once, T * B rows: fewer and larger products. What
  the first pass computed, the second takes from a ``_Cache``.
- Gradients of perceptrons, crops and paint are written out: bilinear weights have slope 1 or -1,
  images need no gradient, and the squared errors of all T + 1 canvases share one backward pass.
- Large pictures are painted, and looked at, around each window alone (``fast_local``).
- Weights are cast to bfloat16 once a pass, where ``precision`` asks for it.

No other module depends on how this is done: during a pass ``_perceptron`` replaces the ``forward``
of the model's perceptrons, and the guide reads a ``_ViewedResidual``.

Legend: B batch, C channels, H height, W width, S the longer side, N rows (B, or T * B slot after
slot), P channels of a window (C, and a mask where objects occlude each other), T slots, w window
side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from airkit.model import fast_local, fast_mlp, fast_transformer
from airkit.model.air import AIR, Draw, Object, Unrolled
from airkit.model.decoders import MLPDecoder
from airkit.model.fast_mlp import Parts
from airkit.model.guides import Noise, Residual, Slot
from airkit.model.guides.lstm import LSTMGuide
from airkit.model.guides.residual import LocalSaliency
from airkit.model.guides.saliency import Glimpse, SaliencyGuide
from airkit.model.networks import Perceptron
from airkit.model.precision import product_dtype
from airkit.model.spatial_transformer import crop
from airkit.model.tuples import joined, map_tensors
from airkit.system.device import needs_deterministic

LOCAL_PAINT_FROM = 6.0
"""Longer side of a picture, in typical object sizes, from which it is painted around windows."""


def unroll(air: AIR, images: Tensor, noise: Noise) -> Unrolled:
    """``AIR.forward`` with hand-written first derivatives.

    Args:
        air: the model, with the saliency or the lstm guide.
        images: levels in 0..1, [B, C, H, W].
        noise: random inputs of the draw.
    """
    cache = _Cache()

    def over_slots(ink: Tensor, noise: Noise) -> Unrolled:
        with _fast_perceptrons(air, cache):
            if isinstance(air.guide, SaliencyGuide):
                return _in_two_passes(air, air.guide, ink, noise, cache)
            assert isinstance(air.guide, LSTMGuide)
            return _in_one_pass(air, air.guide, ink, noise, cache)

    return air.on_background(images, noise, over_slots)


def _in_one_pass(air: AIR, guide: LSTMGuide, ink: Tensor, noise: Noise, cache: _Cache) -> Unrolled:
    """Slot by slot, with gradients; canvases are painted at the end."""
    seen, present = ink.detach(), ink.new_ones(len(ink))
    slots: list[tuple[Tensor, Draw, Draw, Tensor, Tensor]] = []
    state, residual = guide.start(seen), _ViewedResidual([seen], cache, air.background.signed)
    for t in range(air.slots):
        noise_t = noise.slot(t)
        logit, q_where, state = guide.propose(state, residual, noise_t.look)
        where, what, size, centre = air.draw_latents(q_where, residual, noise_t)
        slots.append((logit, where, what, size, centre))
        state = guide.advance(state, Slot(present, where.value, what.value, size, centre))
    *_, what, size, centre = rows = joined(slots)
    windows = air.decode(what.value)
    residuals = ink.new_empty(air.slots + 1, *ink.shape)
    painted = []
    with torch.no_grad():
        residuals[0] = ink
        for t, window in enumerate(windows.chunk(air.slots)):
            painted.append(fast_transformer.add(residuals, t, window, *slots[t][-2:]))
    error = fast_transformer.errors(residuals, painted, ink, (size, centre, windows))
    return _unrolled(air, Object(*rows, windows), error)


def _in_two_passes(
    air: AIR, guide: SaliencyGuide, ink: Tensor, noise: Noise, cache: _Cache
) -> Unrolled:
    """Slot by slot without gradients, then all slots at once with them."""
    residuals, signed = ink.new_empty(air.slots + 1, *ink.shape), air.background.signed
    saliency = LocalSaliency(guide.edge) if guide.edge and _is_large(air, ink) else None
    paint = fast_transformer if saliency is None else fast_local
    state = guide.start(ink)
    glimpses: list[Glimpse] = []
    views: list[Tensor] = []
    painted = []
    with torch.no_grad():
        residuals[0] = ink
        for t in range(air.slots):
            views.append(_image_and_residual(residuals, t))
            residual = _ViewedResidual(views[-1:], cache, signed, saliency)
            noise_t = noise.slot(t)
            glimpses.append(guide.attend(state, residual, noise_t.look))
            with cache.recording():
                logit, q_where = guide.read(glimpses[-1])
                object_t = air.draw(logit, q_where, residual, noise_t)
            painted.append(paint.add(residuals, t, object_t.window, object_t.size, object_t.centre))
            if saliency is not None:
                saliency.changed(painted[-1].patches(air.shape))
            if t + 1 < air.slots:
                state = guide.advance(state, object_t.slot())
    with cache.replaying():
        logit, q_where = guide.read(joined(glimpses))
        shown = _ViewedResidual(views, cache, signed)
        rows = air.draw(logit, q_where, shown, _rows(noise))
    error = paint.errors(residuals, painted, ink, (rows.size, rows.centre, rows.window))
    return _unrolled(air, rows, error)


def _is_large(air: AIR, ink: Tensor) -> bool:
    """Whether to paint around windows alone, whose size cannot be asked for in a CUDA graph."""
    return not ink.is_cuda and air.canvas_size >= LOCAL_PAINT_FROM * air.config.object_size


def _unrolled(air: AIR, rows: Object, error: Tensor) -> Unrolled:
    """Objects [T * B, ...] as [B, T, ...], with squared errors [B, T + 1]."""

    def by_image(part: Tensor) -> Tensor:
        return part.view(air.slots, -1, *part.shape[1:]).transpose(0, 1)

    return Unrolled(*map_tensors(by_image, rows), air.log_p_x(error))


def _rows(noise: Noise) -> Noise:
    """The noise of all slots, slot after slot, [T * B, ...]."""
    return noise.by_slot(lambda part: part.transpose(0, 1).flatten(0, 1))


def _image_and_residual(residuals: Tensor, slot: int) -> Tensor:
    """Image and residual at a slot, [B, 2 C, H, W], a view of [T + 1, B, C, H, W] if C is 1."""
    both = residuals[: slot + 1 : slot] if slot else residuals[:1].expand(2, -1, -1, -1, -1)
    _, batch, _, *sides = both.shape
    return both.transpose(0, 1).reshape(batch, -1, *sides)


# The cache, and what takes the place of perceptrons and residuals during a pass


class _Cache:
    """Results of the first pass in the order of their calls, and the weights cast in this pass."""

    def __init__(self) -> None:
        self._slots: list[list[Parts]] = []
        self._calls: Iterator[tuple[Parts, ...]] | None = None
        self._recording = False
        self._cast: dict[int, list[Tensor]] = {}

    def __call__(self, compute: Callable[[], Parts]) -> Parts:
        """The result of ``compute``, without gradients; when replaying, the recorded one."""
        if self._calls is not None:
            return joined(next(self._calls))
        with torch.no_grad():
            parts = compute()
        if self._recording:
            self._slots[-1].append(parts)
        return parts

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the calls of one slot."""
        self._slots.append([])
        self._recording = True
        yield
        self._recording = False

    @contextmanager
    def replaying(self) -> Iterator[None]:
        """Return what all slots recorded, slot after slot, [T * B, ...]."""
        self._calls = zip(*self._slots, strict=True)
        yield
        self._calls = None

    def cast(self, network: Perceptron, dtype: torch.dtype) -> list[Tensor]:
        """The network's weights and biases, layer after layer, in ``dtype``, cast once a pass."""
        if id(network) not in self._cast:
            self._cast[id(network)] = [each.detach().to(dtype) for each in network.parameters()]
        return self._cast[id(network)]


@contextmanager
def _fast_perceptrons(air: AIR, cache: _Cache) -> Iterator[None]:
    """Run ``_perceptron`` as the ``forward`` of every perceptron of airkit's own while inside."""
    ours = [air.guide, air.decoder] if type(air.decoder) is MLPDecoder else [air.guide]
    networks = [it for each in ours for it in each.modules() if isinstance(it, Perceptron)]
    try:
        for network in networks:
            vars(network)["forward"] = partial(_perceptron, network, cache)
        yield
    finally:
        for network in networks:
            vars(network).pop("forward", None)


class _ViewedResidual(Residual):
    """Views of image and residual, in parts of equal length along B, cropped without autograd."""

    def __init__(
        self,
        parts: Sequence[Tensor],
        cache: _Cache,
        signed: bool,
        saliency: LocalSaliency | None = None,
    ) -> None:
        self.parts, self.cache = parts, cache
        self._both, self._signed, self._local = parts[0], signed, saliency

    def crop(self, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """See ``Residual.crop``; by products where ``grid_sample``'s gradient varies on a GPU."""
        if needs_deterministic(self.parts[0]):
            return crop(joined(self.parts), size, centre, side)
        (windows,) = self.cache(lambda: (fast_transformer.crop(self.parts, size, centre, side),))
        if not torch.is_grad_enabled():
            return windows
        return fast_transformer.differentiable_crop(windows, self.parts, size, centre)

    crop_image = crop
    """Of a guide that does not see the canvas, the views are of the image alone."""


def _perceptron(network: Perceptron, cache: _Cache, inputs: Tensor) -> Tensor:
    """What ``Perceptron.forward`` returns."""
    parameters = cache.cast(network, product_dtype(inputs.dtype))
    outputs = cache(lambda: fast_mlp.layer_outputs(network, parameters, inputs))
    if not torch.is_grad_enabled():
        return outputs[-1]
    return fast_mlp.differentiable(network, outputs, parameters[::2], inputs)
