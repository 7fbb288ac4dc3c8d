"""The one configuration, and the values of its settings that are "auto"."""

from __future__ import annotations

import math
from typing import Any, Self, TypeVar

from pydantic import model_validator

from airkit.config.evaluation import EvalConfig
from airkit.config.pictures import PicturesConfig, filter_of
from airkit.config.registry import is_outside
from airkit.config.rendering import RenderConfig
from airkit.config.scenes import ScenesConfig
from airkit.config.sections import (
    Auto,
    DataConfig,
    GuideConfig,
    ModelConfig,
    OwnConfig,
    PriorConfig,
    Section,
)
from airkit.config.training import TrainConfig
from airkit.system.stretch import stretched

__all__ = [
    "CANVAS_SECTIONS",
    "Config",
    "DataConfig",
    "EvalConfig",
    "GuideConfig",
    "ModelConfig",
    "OwnConfig",
    "PicturesConfig",
    "PriorConfig",
    "RenderConfig",
    "ScenesConfig",
    "Section",
    "TrainConfig",
]


T = TypeVar("T", int, float)
CANVAS_SECTIONS = ("data", "pictures", "scenes")
"""Sections that say what canvases there are: a data file decides them."""
BATCH, GPU_BATCH = 64, 256
"""Canvases per step where ``train.batch_size`` is auto, and of digits on a GPU."""
FEW_CANVASES = 200
"""Fewer scenes or pictures are augmented where ``train.augment`` is auto."""
FULL_SD_FROM = 19.0
"""Side of a digit, in pixels, from which ``pixel_sd`` no longer follows it."""


class Config(Section):
    """The whole configuration: one section for each part of airkit."""

    data: DataConfig = DataConfig()
    """Canvases: how many, how large, of what."""
    pictures: PicturesConfig = PicturesConfig()
    """What was found in imported pictures or drawn scenes; the defaults are for digits."""
    scenes: ScenesConfig = ScenesConfig()
    """Scenes that make-data draws: data.source = sprites or cells."""
    model: ModelConfig = ModelConfig()
    """The generative model: how many objects, their prior on position and size, the decoder."""
    guide: GuideConfig = GuideConfig()
    """The guide: the approximate posterior that finds the objects."""
    prior: PriorConfig = PriorConfig()
    """The prior on the count, and its annealing."""
    train: TrainConfig = TrainConfig()
    """Optimisation, logging and checkpoints."""
    eval: EvalConfig = EvalConfig()
    """What is measured, and how."""
    render: RenderConfig = RenderConfig()
    """Figures."""
    own: OwnConfig = OwnConfig()
    """Settings of your own classes: any names, each with a number, a text, true or false, or a list
    of these. A class reads them as config.own.NAME."""

    @model_validator(mode="after")
    def _check_backward(self) -> Self:
        if self.train.backward == "fast" and not self.fast_serves:
            raise ValueError(
                "train.backward=fast serves train.estimator=exact with guide.kind=saliency or lstm "
                "on a CPU or CUDA; use auto or reference"
            )
        return self

    def on_canvas(self, canvas: int | tuple[int, int]) -> Self:
        """Return the configuration for square canvases of a side, or of a height and width."""
        height, width = (canvas, canvas) if isinstance(canvas, int) else canvas
        sides = {"canvas_size": max(height, width), "height": height, "width": width}
        return self.updated("data", **sides)

    def on_canvases_of(self, other: Config) -> Self:
        """Return the configuration for the canvases of another one."""
        return self.model_copy(update={name: getattr(other, name) for name in CANVAS_SECTIONS})

    def updated(self, section: str, **values: Any) -> Self:
        """Return the configuration with other values in a section, which are not checked."""
        changed = getattr(self, section).model_copy(update=values)
        return self.model_copy(update={section: changed})

    @property
    def settled(self) -> dict[str, Any]:
        """What settings on auto come to, by dotted key; without those that wait for a device."""
        found = {}
        for section, values in self:
            for name, value in values:
                ours = f"{section}_{name}" if section == "prior" else name
                if value == "auto" and hasattr(self, ours):
                    found[f"{section}.{name}"] = getattr(self, ours)
        return found

    @property
    def has_outside(self) -> bool:
        """Whether a class from outside takes part in training."""
        model, train = self.model, self.train
        names = model.decoder, self.guide.kind, self.prior.kind, train.estimator
        return any(map(is_outside, names))

    @property
    def backward(self) -> str:
        """Fast or reference: how gradients are computed; see ``train.backward``."""
        if self.train.backward != "auto":
            return self.train.backward
        own = not is_outside(self.model.decoder)  # others may draw numbers, or normalise batches
        return "fast" if own and self.fast_serves else "reference"

    @property
    def fast_serves(self) -> bool:
        """Whether ``airkit.model.fast`` has the gradients of this objective on this device."""
        train, guide = self.train, self.guide.kind
        own = train.estimator == "exact" and guide in ("saliency", "lstm")
        return own and train.device != "mps"

    @property
    def background(self) -> str:
        """The background's filter; auto is the one for what was found in the pictures."""
        chosen = self.model.background
        return filter_of(self.pictures.background, self.polarity) if chosen == "auto" else chosen

    @property
    def polarity(self) -> str:
        """Bright, dark or both; auto is what was found in the pictures."""
        return self._found("polarity")

    @property
    def compositing(self) -> str:
        """Add or over; auto is what was found in the pictures."""
        return self._found("compositing")

    def _found(self, name: str) -> str:
        chosen: str = getattr(self.model, name)
        return getattr(self.pictures, name) if chosen == "auto" else chosen

    @property
    def occludes(self) -> bool:
        """Whether objects occlude each other."""
        return self.compositing == "over"

    @property
    def stretch(self) -> float:
        """Where ink begins to be compressed, 0 for never; auto is what was found."""
        if self.model.stretch != "auto":
            return self.model.stretch
        return 0.0 if self.background == "learned" else self.pictures.stretch

    @property
    def contrast(self) -> float:
        """Typical contrast of an object with the background, in ink as it is stretched."""
        contrast: float = stretched(self.pictures.contrast, self.stretch)
        return contrast

    @property
    def noise(self) -> float:
        """Standard deviation of the pixel noise found, in ink as it is stretched."""
        noise: float = stretched(self.pictures.noise, self.stretch)
        return noise

    @property
    def pixel_sd(self) -> float:
        """Standard deviation of the pixel noise; auto is a share of the objects' contrast.

        Digits under ``FULL_SD_FROM`` get less, in proportion to their size. The code of one costs
        as much as that of a larger digit, but there is less ink to explain.
        """
        if self.model.pixel_sd != "auto":
            return self.model.pixel_sd
        share = 0.2 if self.occludes else 0.5
        if self.data.of_digits:
            share *= min(1.0, self.object_size / FULL_SD_FROM)
        return max(share * self.contrast, self.noise, 0.01)

    def _by_compositing(self, given: Auto | T, *, add: T, over: T) -> T:
        """A setting, or where it is auto its value by whether objects add up or occlude."""
        if given == "auto":
            return over if self.occludes else add
        return given

    @property
    def code_size(self) -> int:
        """Dimension of z_what; auto is 50, or 10 where objects occlude each other."""
        return self._by_compositing(self.model.code_size, add=50, over=10)

    @property
    def refinements(self) -> int:
        """How often a slot looks again; auto is 1, or 5 where objects occlude each other."""
        return self._by_compositing(self.guide.refinements, add=1, over=5)

    @property
    def blur(self) -> float:
        """Sd of the saliency's blur in object sizes; auto is 0.25, or 0.12 with occlusion."""
        return self._by_compositing(self.guide.blur, add=0.25, over=0.12)

    @property
    def batch_size(self) -> int:
        """Canvases per step; auto is ``BATCH``. A run on a GPU fixes another when it starts."""
        return BATCH if self.train.batch_size == "auto" else self.train.batch_size

    @property
    def gpu_batch_size(self) -> int:
        """Canvases per step on a GPU: for digits ``GPU_BATCH`` where the rate is auto too."""
        train = self.train
        auto = train.batch_size == "auto" and train.learning_rate == "auto"
        return GPU_BATCH if auto and self.data.of_digits else self.batch_size

    @property
    def learning_rate(self) -> float:
        """Peak learning rate of Adam; auto grows with the root of a large batch, to 4e-3."""
        if self.train.learning_rate != "auto":
            return self.train.learning_rate
        return 2e-3 * math.sqrt(min(4.0, max(1.0, self.batch_size / BATCH)))

    @property
    def warmup(self) -> int:
        """Steps of rising learning rates; auto is 0, or 100 with occlusion or ink of either sign.

        Else the model may learn to draw the objects of one sign alone, and leave out the others.
        """
        if self.train.warmup != "auto":
            return self.train.warmup
        return 100 if self.occludes or self.polarity == "both" else 0

    @property
    def surround(self) -> float:
        """Share of the surround taken off the saliency; auto is 0, or 0.4 with occlusion."""
        return self._by_compositing(self.guide.surround, add=0.0, over=0.4)

    @property
    def size_reach(self) -> float:
        """Greatest factor between a proposed size and the typical one; inf where there is none."""
        reach = self.guide.size_reach
        if reach == "auto":
            return 1.3 if self.occludes else math.inf
        return math.inf if reach == "none" else reach

    @property
    def slots(self) -> int:
        """Number of slots; auto is one more than the most digits on a canvas."""
        return self.data.max_digits + 1 if self.model.slots == "auto" else self.model.slots

    @property
    def window_size(self) -> int:
        """Side of the decoder's output in pixels; auto is 4/3 of the digit size, even, 20 to 28."""
        if self.model.window_size != "auto":
            return self.model.window_size
        return min(28, max(20, 2 * round(self.data.digit_size * 2 / 3)))

    @property
    def encoder_net(self) -> tuple[int, ...]:
        """Widths of the encoder's hidden layers; auto is one layer of ``hidden_size``."""
        return self._net(self.model.encoder_net)

    @property
    def decoder_net(self) -> tuple[int, ...]:
        """Widths of the decoder's hidden layers; auto is one layer of ``hidden_size``."""
        return self._net(self.model.decoder_net)

    def augments(self, canvases: int) -> bool:
        """Whether a training on so many canvases turns and mirrors them; see ``train.augment``."""
        if self.train.augment != "auto":
            return self.train.augment
        return canvases < FEW_CANVASES and not self.data.of_digits

    @property
    def predict_net(self) -> tuple[int, ...]:
        """Widths of the lstm guide's last hidden layers; auto is one layer of ``hidden_size``."""
        return self._net(self.guide.predict_net)

    def _net(self, widths: Auto | tuple[int, ...]) -> tuple[int, ...]:
        return (self.model.hidden_size,) if widths == "auto" else widths

    @property
    def decoder_bias(self) -> float:
        """Bias by which windows start nearly blank; auto is -2 before a sigmoid, and else 0."""
        if self.model.decoder_bias != "auto":
            return self.model.decoder_bias
        signed = self.polarity == "both" and not self.occludes  # ink is a tanh, and no mask is
        return -2.0 if self.model.decoder_output == "sigmoid" and not signed else 0.0

    @property
    def object_size(self) -> float:
        """Typical side of an object in pixels; auto is 0.95 of the digit size (blank margins)."""
        if self.model.object_size != "auto":
            return self.model.object_size
        return 0.95 * self.data.digit_size

    @property
    def prior_ratio(self) -> float:
        """Ratio of the count prior; auto falls with the typical size of an object.

        The larger an object, and the smaller the noise, the more of its ink the decoder leaves
        unexplained, and the more likelihood a needless object gains by explaining the rest. The log
        prior odds of one more object fall to match: (size / 9.5)^3 nats where the contrast is twice
        the noise, fitted to digits of 13, 16 and 21 px, and in proportion to that ratio's square
        and to the number of channels. Where objects occlude each other they are half of that, as
        part of an object may be hidden. In colour they are 3/2 of it: the decoder draws an object
        less well where each has a colour of its own.
        """
        return self.prior_ratio_at(self.pixel_sd)

    def prior_ratio_at(self, pixel_sd: float) -> float:
        """``prior_ratio`` for another standard deviation of the pixel noise."""
        if self.prior.ratio != "auto":
            return self.prior.ratio
        clearness = self.data.channels * (self.contrast / (2 * pixel_sd)) ** 2
        share = self.data.channels / 2 if self.occludes else 1.0
        return math.exp(-min(600.0, share * (self.object_size / 9.5) ** 3 * clearness))
