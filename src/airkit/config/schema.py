"""The one configuration, and the values of its settings that are "auto"."""

from __future__ import annotations

import math
from typing import Self

from pydantic import model_validator

from airkit.config.pictures import PicturesConfig
from airkit.config.registry import is_outside
from airkit.config.scenes import ScenesConfig
from airkit.config.sections import (
    Auto,
    DataConfig,
    EvalConfig,
    GuideConfig,
    ModelConfig,
    PriorConfig,
    RenderConfig,
    Section,
    TrainConfig,
)

__all__ = [
    "Config",
    "DataConfig",
    "EvalConfig",
    "GuideConfig",
    "ModelConfig",
    "PicturesConfig",
    "PriorConfig",
    "RenderConfig",
    "ScenesConfig",
    "Section",
    "TrainConfig",
]


class Config(Section):
    """The whole configuration: one section for each part of airkit."""

    data: DataConfig = DataConfig()
    """Canvases: how many, how large, with which digits."""
    pictures: PicturesConfig = PicturesConfig()
    """What a look at imported pictures found; the defaults hold for canvases of digits."""
    scenes: ScenesConfig = ScenesConfig()
    """Scenes that make-data draws itself: data.source = sprites or cells."""
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

    @model_validator(mode="after")
    def _check_backward(self) -> Self:
        if self.train.backward == "fast" and not self._fast_serves:
            raise ValueError(
                "train.backward=fast serves train.estimator=exact with guide.kind=saliency or lstm "
                "on a CPU or CUDA; use auto or reference"
            )
        return self

    @property
    def has_outside(self) -> bool:
        """Whether a class from outside takes part in training."""
        return any(map(is_outside, (self.guide.kind, self.prior.kind, self.train.estimator)))

    @property
    def backward(self) -> str:
        """Fast or reference: how gradients are computed; see ``train.backward``."""
        if self.train.backward != "auto":
            return self.train.backward
        return "fast" if self._fast_serves else "reference"

    @property
    def _fast_serves(self) -> bool:
        train, guide = self.train, self.guide.kind
        own = train.estimator == "exact" and guide in ("saliency", "lstm")
        return own and train.device != "mps"

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

    @property
    def predict_net(self) -> tuple[int, ...]:
        """Widths of the lstm guide's last hidden layers; auto is one layer of ``hidden_size``."""
        return self._net(self.guide.predict_net)

    def _net(self, widths: Auto | tuple[int, ...]) -> tuple[int, ...]:
        return (self.model.hidden_size,) if widths == "auto" else widths

    @property
    def decoder_bias(self) -> float:
        """Bias of the decoder's output; auto is -2 before a sigmoid and 0 for a linear output."""
        if self.model.decoder_bias != "auto":
            return self.model.decoder_bias
        return -2.0 if self.model.decoder_output == "sigmoid" else 0.0

    @property
    def object_size(self) -> float:
        """Typical side of an object in pixels; auto is 0.95 of the digit size (blank margins)."""
        if self.model.object_size != "auto":
            return self.model.object_size
        return 0.95 * self.data.digit_size

    @property
    def prior_ratio(self) -> float:
        """Ratio of the count prior; auto falls with the typical size of an object.

        The larger a digit, the more of its ink the decoder leaves unexplained, and the more
        likelihood a superfluous object gains by explaining the rest. The log prior odds of one
        more object fall with the size to match; fitted to digits of 13, 16 and 21 px.
        """
        if self.prior.ratio != "auto":
            return self.prior.ratio
        return max(1e-9, math.exp(-((self.object_size / 9.5) ** 3)))
