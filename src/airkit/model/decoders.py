"""Decoders p(y_att | z_what): what an object looks like. ``DECODERS`` names them.

Legend: C channels, N rows, P channels of a window (C, and a mask where objects occlude each other),
w window side, Z code size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from airkit.config.registry import Registry, is_outside
from airkit.config.schema import Config
from airkit.model.checks import described, dtype_name
from airkit.model.networks import mlp

TRIED, SPREAD = 8, 3.0
"""How many codes a decoder from outside is tried with when a model is built, and their sd."""
ROUNDING = 1e-4
"""By how much ink and masks may leave their range."""


class Decoder(nn.Module, ABC):
    """p(y_att | z_what) of arXiv 1603.08575, figure 2: code [N, Z] to window [N, P, w, w].

    P is C. Where objects occlude each other it is C + 1: the last channel is the mask, how much of
    each pixel is the object's, 0..1, and the others are the object's ink times that.

    Derive from this class and name it as ``model.decoder = "package.module:Class"``.
    """

    code: int
    """Z."""
    channels: int
    """P."""
    window: int
    """w, in pixels."""

    def __init__(self, config: Config) -> None:
        """Build for a configuration.

        Args:
            config: the resolved configuration.
        """
        super().__init__()
        self.occludes, self.signed = config.occludes, config.polarity == "both"
        self.code, self.window = config.code_size, config.window_size
        self.channels = config.data.channels + self.occludes
        self.bias, self.squash = config.decoder_bias, config.model.decoder_output == "sigmoid"

    @abstractmethod
    def forward(self, code: Tensor) -> Tensor:
        """Decode codes [N, Z] to windows [N, P, w, w].

        With ``model.decoder_output = "sigmoid"`` ink is in 0..1, or in -1..1 where the pictures
        have both bright and dark objects.
        """

    def windows(self, raw: Tensor) -> Tensor:
        """Windows [N, P, w, w] of a network's raw output [N, P, w, w]: the last layer.

        Adds ``model.decoder_bias``, by which windows start out nearly blank, and applies
        ``model.decoder_output``; the mask is always a sigmoid.
        """
        if not self.occludes:
            return self._ink(raw + self.bias)
        mask = torch.sigmoid(raw[:, -1:] + self.bias)
        return torch.cat([mask * self._ink(raw[:, :-1]), mask], 1)

    def _ink(self, raw: Tensor) -> Tensor:
        if not self.squash:
            return raw
        return torch.tanh(raw) if self.signed else torch.sigmoid(raw)


class MLPDecoder(Decoder):
    """A perceptron with hidden layers of the widths ``model.decoder_net``."""

    def __init__(self, config: Config) -> None:
        """See ``Decoder``."""
        super().__init__(config)
        sizes = self.code, *config.decoder_net, self.channels * self.window**2
        self.layers = mlp(*sizes, nonlinearity=config.model.nonlinearity)

    def forward(self, code: Tensor) -> Tensor:
        """See ``Decoder.forward``."""
        raw = self.layers(code)
        return self.windows(raw.view(len(code), self.channels, self.window, self.window))


DECODERS: Registry[Decoder] = Registry(
    "model.decoder",
    {"mlp": "airkit.model.decoders:MLPDecoder"},
    base="airkit.model.decoders:Decoder",
)
"""Decoders by the name that ``model.decoder`` gives them."""


def build_decoder(config: Config) -> Decoder:
    """The decoder that ``model.decoder`` names; one from outside is tried with a few codes.

    Raises:
        ExtensionError: a class from outside that was not named, cannot be built, or whose windows
            are of another shape or dtype, not finite, or out of range.
    """
    name = config.model.decoder
    decoder = DECODERS.build(name, config, sets="squash")
    if is_outside(name):
        code = SPREAD * torch.randn(TRIED, decoder.code, generator=torch.Generator().manual_seed(0))
        with DECODERS.running(name), torch.random.fork_rng(devices=[]), torch.no_grad():
            windows = decoder.eval()(code)
        check_windows(config, windows, code)
        if fault := _fault(decoder, windows):
            raise DECODERS.unusable(name, *fault)
    return decoder.train()


def check_windows(config: Config, windows: object, code: Tensor) -> None:
    """Check the shape and dtype of what a decoder returned.

    Args:
        config: the configuration that it was built for.
        windows: what it returned; it is to be [N, P, w, w].
        code: what it was called with, [N, Z].

    Raises:
        ExtensionError: it is something else, such as a shape that would broadcast in silence.
    """
    side, channels = config.window_size, config.data.channels + config.occludes
    shape = len(code), channels, side, side
    if isinstance(windows, Tensor) and (windows.shape, windows.dtype) == (shape, code.dtype):
        return
    expected = f"of forward: windows {dtype_name(code.dtype)} {list(shape)}"
    if config.occludes:
        expected += ", the last channel the mask"
    raise DECODERS.unusable(config.model.decoder, described(windows), expected)


def _fault(decoder: Decoder, windows: Tensor) -> tuple[str, str] | None:
    """What windows [N, P, w, w] hold and what they should, where that differs."""
    if not windows.isfinite().all():
        return "windows that are not finite", "of forward: windows of finite numbers"
    colours = decoder.channels - decoder.occludes
    ink, mask = windows[:, :colours], windows[:, colours:]
    parts = [(mask, "masks", 0)] if decoder.occludes else []
    if decoder.squash:
        parts.append((ink, "ink", -1 if decoder.signed else 0))
    for part, name, low in parts:
        if part.min() < low - ROUNDING or part.max() > 1 + ROUNDING:
            got = f"{name} from {part.min():.3g} to {part.max():.3g}"
            expected = f"of forward: {name} in {low}..1, as self.windows(raw) returns"
            return got, expected + "; any ink with model.decoder_output=linear" * (name == "ink")
    return None
