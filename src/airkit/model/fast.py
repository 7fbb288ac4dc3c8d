"""The training pass of AIR with gradients written by hand: the numbers of ``AIR.forward``, sooner.

``unroll(air, images, noise)`` equals ``air(images, noise)`` in values and first derivatives (a
test holds them equal); second derivatives raise. It gains by three things:

- A guide that sees the canvas has no gradient from slot to slot. So it runs slot by slot without
  gradients first, and then over all slots at once, T * B rows: fewer and larger products. What
  the first pass computed, the second takes from a ``_Cache``.
- Gradients of perceptrons, crops and paint are written out: bilinear weights have slope 1 or -1,
  images need no gradient, and the squared errors of all T + 1 canvases share one backward pass.
- Weights are cast to bfloat16 once a pass, where ``precision`` asks for it.

No other module depends on how this is done: during a pass, the perceptrons of the model and the
guide are lent another ``forward``, and the guide is shown a ``Residual`` of its own kind.

Legend: B batch, C channels, H height, W width, S the longer side, N rows (B, or T * B slot after
slot), P channels of a window (C, and a mask where objects occlude each other), T slots, w window
side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, bmm, nn
from torch.nn.functional import linear

from airkit.model.air import AIR, Draw, Unrolled
from airkit.model.distributions import Normal
from airkit.model.guides import Noise, Residual, Slot
from airkit.model.guides.lstm import LSTMGuide
from airkit.model.guides.saliency import Glimpse, SaliencyGuide
from airkit.model.networks import Perceptron
from airkit.model.precision import product_dtype
from airkit.model.spatial_transformer import Shape, crop, on_own_sides, side_ratios

Parts = tuple[Tensor, ...]
Painted = list[tuple[Tensor, Tensor, Tensor | None]]
"""By slot, as ``_add`` returns them: tents [2, B, w, S], windows painted along the canvas's y, x
first, [B, w, P H], and masks [B, 1, H, W] or None."""


def unroll(air: AIR, images: Tensor, noise: Noise) -> Unrolled:
    """``AIR.forward`` with hand-written first derivatives.

    Args:
        air: the model, with the saliency or the lstm guide.
        images: levels in 0..1, [B, C, H, W].
        noise: random inputs of the draw.
    """
    cache = _Cache()

    def over_slots(ink: Tensor, noise: Noise) -> Unrolled:
        with _lent(air, cache):
            if isinstance(air.guide, SaliencyGuide):
                return _twice(air, air.guide, ink, noise, cache)
            assert isinstance(air.guide, LSTMGuide)
            return _once(air, air.guide, ink, noise, cache)

    return air.on_background(images, noise, over_slots)


def _once(air: AIR, guide: LSTMGuide, ink: Tensor, noise: Noise, cache: _Cache) -> Unrolled:
    """Slot by slot, with gradients; canvases are painted at the end."""
    seen, present, slots = ink.detach(), ink.new_ones(len(ink)), []
    state, residual = guide.start(seen), _ViewedResidual([seen], cache, air.background.signed)
    for t in range(air.slots):
        drawn = noise.slot(t)
        logit, q_where, state = guide.propose(state, residual, drawn.look)
        slots.append(_latents(air, residual, logit, q_where, drawn))
        _, _, _, where, _, _, what, size, centre = slots[-1]
        state = guide.advance(state, Slot(present, where, what, size, centre))
    rows = tuple(map(torch.cat, zip(*slots, strict=True)))
    windows = air.decoder(rows[6])
    residuals = ink.new_empty(air.slots + 1, *ink.shape)
    painted: Painted = []
    with torch.no_grad():
        residuals[0] = ink
        for t, window in enumerate(windows.chunk(air.slots)):
            size, centre = slots[t][-2:]
            painted.append(_add(air, residuals, t, window, (size, centre)))
    return _unrolled(air, (*rows, windows), ink, residuals, painted)


def _twice(air: AIR, guide: SaliencyGuide, ink: Tensor, noise: Noise, cache: _Cache) -> Unrolled:
    """Slot by slot without gradients, then all slots at once with them."""
    residuals, signed = ink.new_empty(air.slots + 1, *ink.shape), air.background.signed
    state, present = guide.start(ink), ink.new_ones(len(ink))
    glimpses: list[Glimpse] = []
    views: list[Tensor] = []
    painted: Painted = []
    with torch.no_grad():
        residuals[0] = ink
        for t in range(air.slots):
            views.append(_channels(residuals, t))
            drawn, residual = noise.slot(t), _ViewedResidual(views[-1:], cache, signed)
            glimpses.append(guide.attend(state, residual, drawn.look))
            with cache.recording():
                logit, q_where = guide.read(glimpses[-1])
                *_, where, _, _, what, size, centre = _latents(air, residual, logit, q_where, drawn)
                window = air.decoder(what)
            painted.append(_add(air, residuals, t, window, (size, centre)))
            if t + 1 < air.slots:
                state = guide.advance(state, Slot(present, where, what, size, centre))
    with cache.replaying():
        logit, q_where = guide.read(Glimpse(*map(torch.cat, zip(*glimpses, strict=True))))
        shown = _ViewedResidual(views, cache, signed)
        rows = _latents(air, shown, logit, q_where, _rows(noise))
        windows = air.decoder(rows[6])
    return _unrolled(air, (*rows, windows), ink, residuals, painted)


def _latents(air: AIR, residual: Residual, logit: Tensor, q_where: Normal, noise: Noise) -> Parts:
    """Logit; mean, sd and value of z_where and of z_what; size and centre: N rows each."""
    where = q_where.sample(noise.where)
    size, centre = air.pose.decode(where)
    q_what = air.guide.encode(residual, size, centre)
    return logit, *q_where, where, *q_what, q_what.sample(noise.what), size, centre


def _unrolled(air: AIR, rows: Parts, ink: Tensor, residuals: Tensor, painted: Painted) -> Unrolled:
    """Rows, slot after slot, as [B, T, ...]."""
    error = _PaintedErrors.apply(residuals, painted, ink, *rows[-3:])  # type: ignore[no-untyped-call]
    logit, w_mean, w_sd, where, c_mean, c_sd, what, size, centre, windows = (
        part.view(air.slots, -1, *part.shape[1:]).transpose(0, 1) for part in rows
    )
    return Unrolled(
        logit,
        Draw(Normal(w_mean, w_sd), where),
        Draw(Normal(c_mean, c_sd), what),
        size,
        centre,
        windows,
        air.log_p_x(error),
    )


def _rows(noise: Noise) -> Noise:
    """The noise of all slots, slot after slot, [T * B, ...]."""
    return noise.by_slot(lambda part: part.transpose(0, 1).flatten(0, 1))


def _channels(residuals: Tensor, slot: int) -> Tensor:
    """Image and residual at a slot, [B, 2 C, H, W], a view of [T + 1, B, C, H, W] if C is 1."""
    both = residuals[: slot + 1 : slot] if slot else residuals[:1].expand(2, -1, -1, -1, -1)
    _, batch, _, *sides = both.shape
    return both.transpose(0, 1).reshape(batch, -1, *sides)


# The cache, and what is lent


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
            return tuple(map(torch.cat, zip(*next(self._calls), strict=True)))
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
def _lent(air: AIR, cache: _Cache) -> Iterator[None]:
    """Lend every perceptron of ``air`` the forward pass of ``_perceptron`` while inside."""
    networks = [each for each in air.modules() if isinstance(each, Perceptron)]
    try:
        for network in networks:
            vars(network)["forward"] = partial(_perceptron, network, cache)
        yield
    finally:
        for network in networks:
            vars(network).pop("forward", None)


class _ViewedResidual(Residual):
    """Views of image and residual, in parts of equal length along B, cropped by ``_Crop``."""

    def __init__(self, parts: Sequence[Tensor], cache: _Cache, signed: bool) -> None:
        self.parts, self._both, self.cache, self._signed = parts, parts[0], cache, signed

    def crop(self, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """See ``Residual.crop``; by products where ``grid_sample``'s gradient varies on a GPU."""
        if _deterministic(self.parts[0]):
            return crop(_joined(self.parts), size, centre, side)
        (windows,) = self.cache(lambda: (_read(self.parts, size, centre, side),))
        if not torch.is_grad_enabled():
            return windows
        cropped: Tensor = _Crop.apply(size, centre, windows, *self.parts)  # type: ignore[no-untyped-call]
        return cropped

    crop_image = crop
    """Of a guide that does not see the canvas, the views are of the image alone."""


# Perceptrons


def _first_order(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward pass that raises where its result is to be differentiated again."""

    def checked(ctx: Any, *grads: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "airkit.model.fast has first derivatives only: call AIR itself for second ones, "
                "or train with train.backward=reference"
            )
        return backward(ctx, *grads)

    return checked


def _perceptron(network: Perceptron, cache: _Cache, inputs: Tensor) -> Tensor:
    """What ``Perceptron.forward`` returns."""
    dtype = product_dtype(inputs.dtype)
    outputs = cache(lambda: _outputs(network, inputs, dtype, cache))
    if not torch.is_grad_enabled():
        return outputs[-1]
    weights = cache.cast(network, dtype)[::2]
    slope = _SLOPES[type(network[1]) if len(network) > 1 else nn.ReLU]
    out: Tensor = _MLP.apply(slope, outputs, weights, inputs, *network.parameters())  # type: ignore[no-untyped-call]
    return out


def _outputs(network: Perceptron, inputs: Tensor, dtype: torch.dtype, cache: _Cache) -> Parts:
    """Each layer's output after its non-linearity, in ``dtype`` but for the last."""
    weights, outputs = cache.cast(network, dtype), [inputs.to(dtype)]
    for weight, bias in zip(weights[::2], weights[1::2], strict=True):
        if len(outputs) > 1:
            network[1](outputs[-1])  # the non-linearity, in place
        outputs.append(linear(outputs[-1], weight, bias))
    return *outputs[1:-1], outputs[-1].to(inputs.dtype)


Slope = Callable[[Tensor, Tensor], Tensor]
_SLOPES: dict[type[nn.Module], Slope] = {
    nn.ReLU: lambda grad, out: torch.ops.aten.threshold_backward(grad, out, 0),
    nn.ELU: lambda grad, out: torch.ops.aten.elu_backward(grad, 1, 1, 1, True, out),
}
"""The gradient before a non-linearity, from the gradient after it and its output."""


class _MLP(torch.autograd.Function):
    """The gradient of a perceptron, given its layers' outputs."""

    @staticmethod
    def forward(
        ctx: Any, slope: Slope, outputs: Parts, weights: list[Tensor], inputs: Tensor, *_: Tensor
    ) -> Tensor:
        ctx.slope = slope
        ctx.save_for_backward(inputs.to(weights[0].dtype), *outputs[:-1], *weights)
        return outputs[-1]

    @staticmethod
    @_first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        layers, full = len(ctx.saved_tensors) // 2, grad.dtype
        inputs, weights = ctx.saved_tensors[:layers], ctx.saved_tensors[layers:]
        grads: list[Tensor | None] = []
        for layer in reversed(range(layers)):
            by_bias, grad = grad.sum(0, dtype=full), grad.to(weights[0].dtype)
            grads = [(grad.t() @ inputs[layer]).to(full), by_bias, *grads]
            if layer:
                grad = ctx.slope(grad @ weights[layer], inputs[layer])
        by_inputs = (grad @ weights[0]).to(full) if ctx.needs_input_grad[3] else None
        return None, None, None, by_inputs, *grads


# Crops


def _read(parts: Sequence[Tensor], size: Tensor, centre: Tensor, side: int) -> Tensor:
    """Windows [N, C, w, w] off images in parts [B, C, H, W]."""
    grids = _grid(size, centre, side, _shape(parts[0])).chunk(len(parts))
    sample, pairs = torch.grid_sampler_2d, zip(parts, grids, strict=True)
    return _joined([sample(part, grid, *_BILINEAR) for part, grid in pairs])


class _Crop(torch.autograd.Function):
    """The gradient of ``crop`` by size and centre; images are data."""

    @staticmethod
    def forward(ctx: Any, size: Tensor, centre: Tensor, windows: Tensor, *parts: Tensor) -> Tensor:
        ctx.save_for_backward(size, centre, *parts)
        return windows

    @staticmethod
    @_first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        size, centre, *parts = ctx.saved_tensors
        side, mask = grad.shape[-1], [False, True]
        shape = _shape(parts[0])
        grids = _grid(size, centre, side, shape).chunk(len(parts))
        pieces = zip(grad.contiguous().chunk(len(parts)), parts, grids, strict=True)
        backward = torch.ops.aten.grid_sampler_2d_backward
        by_grid = _joined([backward(*each, *_BILINEAR, mask)[1] for each in pieces])
        by_x, by_y = by_grid[..., 0].sum(1), by_grid[..., 1].sum(2)
        if shape[0] != shape[1]:
            across, down = side_ratios(shape)
            by_x, by_y = by_x * across, by_y * down
        by_size = (by_x + by_y) @ _centres(side, size.dtype, size.device)
        by_centre = torch.stack([by_x.sum(1), by_y.sum(1)], 1)
        return by_size, by_centre, None, *[None] * len(parts)


def _grid(size: Tensor, centre: Tensor, side: int, shape: Shape) -> Tensor:
    """Where windows are read, (x, y) on [-1, 1] of the picture's sides, [N, w, w, 2]."""
    pixels = _centres(side, size.dtype, size.device)
    points = torch.addcmul(centre.t()[:, :, None], size[:, None], pixels)
    x, y = on_own_sides(points, shape).unbind()
    return torch.view_as_real(torch.complex(x[:, None], y[:, :, None]))


_BILINEAR = 0, 0, False
"""Bilinear, zeros outside, ``align_corners=False``, as ``torch.grid_sampler_2d`` has them."""


# Paint and squared errors


def _add(
    air: AIR, residuals: Tensor, slot: int, windows: Tensor, pose: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Fill the residual after a slot, one more object on its canvas; see ``canvas.compose``."""
    before, after, (height, width) = residuals[slot], residuals[slot + 1], air.shape
    window = windows.shape[-1]
    tents = _tents(_on_window(*pose, window, max(air.shape)), window)
    across = bmm(_columns(windows), tents[1, ..., :height]).view(len(windows), window, -1)
    factors = across.mT, tents[0, ..., :width]
    if not air.occludes:
        torch.baddbmm(before.flatten(1, 2), *factors, alpha=-1, out=after.flatten(1, 2))
        return tents, across, None
    painted = bmm(*factors).view(len(windows), -1, height, width)
    torch.lerp(before, residuals[0], painted[:, -1:], out=after).sub_(painted[:, :-1])
    return tents, across, painted[:, -1:]


def _columns(windows: Tensor) -> Tensor:
    """Windows [N, P, w, w], x first, [N, w P, w]."""
    return windows.permute(0, 3, 1, 2).reshape(len(windows), -1, windows.shape[-1])


class _PaintedErrors(torch.autograd.Function):
    """Squared errors [B, T + 1] as a function of ink and of the windows [T * B, P, w, w] painted.

    Object t is in all canvases from n = t on, so that gradients add up from the last back; where
    objects occlude, through what the later masks leave.
    """

    @staticmethod
    def forward(ctx: Any, residuals: Tensor, painted: Painted, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(residuals, *inputs[1:], *chain(*painted))  # all but the ink
        norms: Tensor = torch.linalg.vector_norm(residuals, dim=(2, 3, 4))
        return norms.square().t()

    @staticmethod
    @_first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        residuals, size, centre, windows, *painted = ctx.saved_tensors
        slots, (batch, channels, height, width) = len(residuals) - 1, residuals.shape[1:]
        weights = (-2 * grad).t()[:, :, None, None, None]
        by_image = -(weights * residuals).sum(0) if ctx.needs_input_grad[2] else None
        by_windows, window = torch.empty_like(windows), windows.shape[-1]
        empty = grad.new_empty if height == width else grad.new_zeros  # all of it is filled
        by_tents = empty(2, slots * batch, window, max(height, width))
        later = torch.zeros_like(residuals[0])
        for slot in reversed(range(slots)):
            rows, mask = slice(slot * batch, (slot + 1) * batch), painted[3 * slot + 2]
            by_painted = grad.new_empty(batch, windows.shape[1], height, width)
            by_ink = by_painted[:, :channels]
            torch.addcmul(later, residuals[slot + 1], weights[slot + 1], out=by_ink)
            later = by_ink
            if mask is not None:  # which hides the canvas before, the image less the residual
                hidden = (residuals[slot] - residuals[0]).mul_(by_ink)
                torch.sum(hidden, 1, out=by_painted[:, channels])
                later = torch.addcmul(by_ink, by_ink, mask, value=-1)
            tents, across = painted[3 * slot : 3 * slot + 2]
            by_windows[rows] = _paint_gradient(
                by_painted, windows[rows], tents, across, by_tents[:, rows]
            )
        return None, None, by_image, *_pose_gradient(by_tents, size, centre), by_windows


def _paint_gradient(
    grad: Tensor, windows: Tensor, tents: Tensor, across: Tensor, by_tents: Tensor
) -> Tensor:
    """The gradient of windows [N, P, w, w] from canvases'; fills that of tents, [2, N, w, S]."""
    (height, width), count = _shape(grad), len(grad)
    flat = grad.view(count, -1, width)
    by_across = bmm(tents[0, ..., :width], flat.mT).view(count, -1, height)
    by_columns = bmm(by_across, tents[1, ..., :height].mT).view(count, -1, *windows.shape[1:3])
    torch.bmm(across, flat, out=by_tents[0, ..., :width])
    torch.bmm(_columns(windows).mT, by_across, out=by_tents[1, ..., :height])
    return by_columns.permute(0, 2, 3, 1)


def _pose_gradient(by_tents: Tensor, size: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of size [N] and centre [N, 2] from those of tents [2, N, w, S]."""
    window, side = by_tents.shape[2:]
    # position = ((place - centre) / size + 1) w / 2 - 1 / 2; beyond the picture nothing is painted
    by_places = _slopes(by_tents, _on_window(size, centre, window, side)) * (window / 2)
    by_places /= size[:, None]
    places = (_centres(side, size.dtype, size.device) - centre.t()[:, :, None]) / size[:, None]
    return -(by_places * places).sum((0, 2)), -by_places.sum(2).t()


def _on_window(size: Tensor, centre: Tensor, window: int, side: int) -> Tensor:
    """Where a canvas's pixels lie on the window, in pixels, x and y, as [2, N, S]."""
    scale = (window / 2) / size
    shift = (window / 2 - 0.5) - centre.t() * scale
    pixels = _centres(side, size.dtype, size.device)
    return torch.addcmul(shift[:, :, None], scale[:, None], pixels)


# Bilinear weights


def _tents(positions: Tensor, side: int) -> Tensor:
    """``spatial_transformer.bilinear_weights`` of positions [..., S], as [..., side, S]."""
    numbers = _numbers(side, positions.dtype, positions.device)
    distance = positions[..., None, :] - numbers[:, None]
    return (1 - distance.abs_()).clamp_(min=0)


def _slopes(by_weights: Tensor, positions: Tensor) -> Tensor:
    """Gradients of ``positions`` [..., S] from those of their ``_tents`` [..., side, S].

    As a position moves up, the weight of the pixel below falls and that of the one above rises.
    """
    below = positions.floor().long()
    both = torch.stack([below, below + 1], -2)
    inside = (both >= 0) & (both < by_weights.shape[-2])
    found = by_weights.gather(-2, both.clamp_(0, by_weights.shape[-2] - 1)) * inside
    return found[..., 1, :] - found[..., 0, :]


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)  # a tensor made in inference mode could not be trained with
def _centres(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """See ``spatial_transformer.pixel_centres``."""
    return (2 * torch.arange(side, dtype=dtype, device=device) + 1) / side - 1


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def _numbers(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """0, 1, 2 ..., [count]."""
    return torch.arange(count, dtype=dtype, device=device)


def _shape(images: Tensor) -> Shape:
    """Height and width."""
    height, width = images.shape[-2:]
    return height, width


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _deterministic(images: Tensor) -> bool:
    """Whether the same bits are wanted each time where ``grid_sample``'s gradient varies."""
    return images.is_cuda and torch.are_deterministic_algorithms_enabled()
