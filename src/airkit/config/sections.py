"""The sections data, model, guide, prior and own, and what all sections are made of.

A field holds a setting's type, bounds and default. The docstring under it says what the setting
means, and feeds ``--help``, the JSON Schema and the reference page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from airkit.config.registry import OUTSIDE

Auto = Literal["auto"]


def as_tuple(value: object) -> object:
    """A list from TOML or JSON as a tuple, which a frozen model can hold."""
    return tuple(value) if isinstance(value, list) else value


def _one_or_three(value: int) -> int:
    if value == 2:
        raise ValueError("expected 1 (grey) or 3 (colour), got 2")
    return value


def _as_given(value: str, check: ValidatorFunctionWrapHandler) -> str:
    """The value itself once checked: pydantic would turn a ``Named`` string into a plain one."""
    check(value)
    return value


Outside = Annotated[
    str, Field(pattern=OUTSIDE, examples=["package.module:Class"]), WrapValidator(_as_given)
]
"""A class outside airkit as ``package.module:Class``; see ``airkit.config.registry``."""

MOST_SLOTS = 128
"""The greatest ``model.slots``."""
Width = Annotated[int, Field(ge=1, le=8192)]
Widths = Annotated[tuple[Width, ...], Field(max_length=64), BeforeValidator(as_tuple)]
"""Widths of a network's hidden layers, first to last; their number is its depth."""
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Canvases = Annotated[int, Field(ge=0, le=100_000_000)]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]


class Section(BaseModel):
    """Base of all sections: frozen, strict (a bool is no int), finite, no unknown keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )


DRAWN = ("sprites", "cells")
"""Values of ``data.source`` that stand for scenes that airkit draws, and not for digits."""
PICTURES = "pictures"
"""What ``data.source`` is in a file of imported pictures, which nothing can make again."""


class DataConfig(Section):
    """Canvases: how many, how large, of what."""

    source: Annotated[str, Field(min_length=1), WrapValidator(_as_given)] = "auto"
    """Where digits come from: mnist, strokes (built in), auto (mnist if cached or quick to fetch,
    else strokes), a folder of IDX files in MNIST's layout, or package.module:Class. Instead of
    digits: sprites or cells, scenes that airkit draws with the settings of the section scenes; or
    pictures, which airkit import sets."""
    canvas_size: Annotated[int, Field(ge=8, le=1024)] = 50
    """Side of the square canvas, in pixels; of imported pictures, the longer side."""
    height: Auto | Annotated[int, Field(ge=8, le=1024)] = "auto"
    """Height of imported pictures, in pixels; auto is canvas_size, as in make-data, whose canvases
    are square."""
    width: Auto | Annotated[int, Field(ge=8, le=1024)] = "auto"
    """Width of imported pictures, in pixels; auto is canvas_size, as in make-data, whose canvases
    are square."""
    channels: Annotated[int, Field(ge=1, le=3), AfterValidator(_one_or_three)] = 1
    """1 for grey canvases, 3 for colour (RGB); each digit, sprite or cell then has its own
    colour."""
    min_digits: Annotated[int, Field(ge=0, le=100)] = 0
    """Fewest digits on a canvas."""
    max_digits: Annotated[int, Field(ge=0, le=100)] = 2
    """Most digits on a canvas; for imported pictures, most objects to expect."""
    count_weights: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(as_tuple)
    ] = ()
    """Relative frequency of each count from min_digits to max_digits; empty means uniform."""
    digit_size: Annotated[float, Field(ge=4, le=1024)] = 21.0
    """Mean side of a digit's image on the canvas, in pixels; mean diameter of a sprite or cell; in
    imported pictures, typical side of an object."""
    digit_size_sd: Annotated[float, Field(ge=0, le=256)] = 1.7
    """Standard deviation of that side, in pixels; draws are truncated at three of them. Diameters
    of sprites and cells are uniform, up to 1.73 of them from the mean."""
    overlap: Literal["sum", "none"] | Annotated[float, Field(ge=0, le=1)] = "sum"
    """How digits may overlap: sum (drawn again if any pixel adds up to more than full ink), none
    (boxes of ink are disjoint), or the greatest IoU allowed between two boxes of ink."""
    train: Canvases = 60_000
    """Canvases in the train split."""
    val: Canvases = 2_000
    """Canvases in the val split, made of digit images that train does not use."""
    test: Canvases = 10_000
    """Canvases in the test split, made of digit images that neither train nor val uses."""
    seed: Seed = 0
    """Seed of the canvases; canvas i of a split depends only on (seed, split, i). For imported
    pictures, seed of the splits."""
    compression: Literal["gzip", "lzf", "none"] = "gzip"
    """HDF5 filter for the arrays; every HDF5 reader knows gzip, only h5py knows lzf."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_digits > self.max_digits:
            raise ValueError(
                f"min_digits ({self.min_digits}) is greater than max_digits ({self.max_digits})"
            )
        if self.count_weights:
            self._check_weights()
        if max(self.shape) != self.canvas_size:
            raise ValueError(
                f"the longer of height and width ({max(self.shape)}) is not canvas_size "
                f"({self.canvas_size})"
            )
        least, most = self.digit_size_range
        if most > self.canvas_size:
            raise ValueError(
                f"digits of up to {most:g} px (digit_size + 3 digit_size_sd) do not fit a canvas "
                f"of {self.canvas_size} px: lower digit_size or raise canvas_size"
            )
        if least < 4:
            raise ValueError(
                f"digits of down to {least:g} px (digit_size - 3 digit_size_sd) are too small to "
                "draw: keep at least 4 px"
            )
        return self

    def _check_weights(self) -> None:
        wanted = self.max_digits - self.min_digits + 1
        if len(self.count_weights) != wanted:
            raise ValueError(
                f"count_weights has {len(self.count_weights)} entries; min_digits to max_digits "
                f"needs {wanted}"
            )
        if not sum(self.count_weights) > 0:
            raise ValueError("count_weights are all zero; at least one must be positive")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a canvas, in pixels."""
        side = self.canvas_size
        height, width = (side if it == "auto" else it for it in (self.height, self.width))
        return height, width

    @property
    def numel(self) -> int:
        """Number of values of a canvas: pixels times channels."""
        return self.channels * self.shape[0] * self.shape[1]

    @property
    def of_digits(self) -> bool:
        """Whether objects are digits, and not those of drawn scenes or imported pictures."""
        return self.source not in (*DRAWN, PICTURES)

    @property
    def digit_size_range(self) -> tuple[float, float]:
        """Least and greatest side of a digit's patch, in pixels."""
        spread = 3 * self.digit_size_sd
        return self.digit_size - spread, self.digit_size + spread


class ModelConfig(Section):
    """The generative model: how many objects, their prior on position and size, the decoder."""

    slots: Auto | Annotated[int, Field(ge=1, le=MOST_SLOTS)] = "auto"
    """Greatest number of objects that the model can infer; auto is data.max_digits + 1."""
    window_size: Auto | Annotated[int, Field(ge=4, le=128)] = "auto"
    """Side of the decoder's output, in pixels, before it is scaled onto the canvas; auto is 4/3 of
    data.digit_size, rounded to an even number, from 20 to 28."""
    code_size: Auto | Annotated[int, Field(ge=1, le=1024)] = "auto"
    """Dimension of z_what, the latent code of an object's appearance; auto is 50 where objects add
    up, and 10 where they occlude each other, which is too few to draw two of them as one."""
    hidden_size: Width = 256
    """Width of the hidden layers whose own setting is auto."""
    encoder_net: Auto | Widths = "auto"
    """Widths of the encoder's hidden layers; auto is one layer of hidden_size."""
    decoder: Literal["mlp"] | Outside = "mlp"
    """What draws an object's window from its code z_what: mlp is a multilayer perceptron, as in the
    paper; package.module:Class is your own."""
    decoder_net: Auto | Widths = "auto"
    """Widths of the mlp decoder's hidden layers; auto is one layer of hidden_size."""
    nonlinearity: Literal["relu", "elu"] = "relu"
    """Activation function of all networks."""
    pose: Literal["uniform", "affine"] = "uniform"
    """Prior on z_where: uniform (centre uniform on the canvas, size log-normal) or affine (the
    paper's normal on [s, x, y])."""
    background: Literal[
        "auto", "none", "constant", "plane", "quadratic", "median", "rolling-ball", "learned"
    ] = "auto"
    """The background, which a robust filter takes off each picture: none (blank), constant (one
    grey level), plane (a linear gradient), quadratic (a gradient that bends, as of a lamp or a
    vignette), or for soft lumps wider than two objects median (the median around each pixel) or
    rolling-ball (whatever is wider than two objects). With learned it is a latent variable of the
    model in place of a filter, drawn from 4 x 4 points. auto is what was found when the data was
    made or imported, none for digits."""
    polarity: Literal["auto", "bright", "dark", "both"] = "auto"
    """Whether objects are brighter or darker than the background, or some of each; auto is what was
    found, bright for digits."""
    compositing: Literal["auto", "add", "over"] = "auto"
    """How overlapping objects combine: add (light adds up, as with digits and fluorescence) or over
    (later objects hide earlier ones, each with a mask in its window); auto is what was found, add
    for digits."""
    stretch: Auto | Annotated[float, Field(ge=0, le=1)] = "auto"
    """Ink, which is what stands out of the background, is compressed to asinh(ink / stretch) /
    asinh(1 / stretch), so that faint objects count beside strong ones; 0 leaves it as it is. auto
    is what was found: more than 0 where flat objects hide each other and some are far fainter than
    others. It is 0 with a learned background."""
    object_size: Auto | Annotated[float, Field(gt=0, le=1024)] = "auto"
    """Median side of an object under the prior, in pixels; auto is 0.95 of data.digit_size."""
    object_size_sd: Annotated[float, Field(gt=0, le=10)] = 0.3
    """Standard deviation of the log of the size (uniform pose), or of s (affine pose)."""
    pixel_sd: Auto | Annotated[float, Field(gt=0, le=10)] = "auto"
    """Standard deviation of the Gaussian pixel noise, for ink from 0 to 1. It is what the model may
    leave unexplained, and more than the camera's noise. auto is half of the objects' contrast where
    they add up, a fifth where they occlude each other, and at least the noise found; contrast and
    noise are those of ink after model.stretch. For digits it is 0.3, and less in proportion where
    model.object_size is under 19 pixels."""
    pixel_noise: Literal["fixed", "learned"] = "fixed"
    """fixed keeps pixel_sd; learned starts from it and learns one number for all pixels, which a
    prior.ratio of auto then follows."""
    decoder_bias: Auto | Annotated[float, Field(ge=-20, le=20)] = "auto"
    """Added to the decoder's output, of masks where objects hide each other, so that objects are
    nearly blank at first; auto is -2 before a sigmoid, and 0 for linear ink or a tanh."""
    decoder_output: Literal["sigmoid", "linear"] = "sigmoid"
    """Last layer of the decoder: sigmoid (ink from 0 to 1; where there are bright and dark objects
    a tanh, from -1 to 1) or linear (ink unbounded)."""


class GuideConfig(Section):
    """The guide: the approximate posterior that finds the objects."""

    kind: Literal["saliency", "lstm"] | Outside = "saliency"
    """Which guide: saliency looks where most ink is unexplained; lstm is the paper's recurrent
    network over the whole canvas, for canvases of one size; package.module:Class is your own."""
    looks: Literal["argmax", "drawn"] = "drawn"
    """Where a slot of the saliency guide looks in training: at the peak of the saliency map, or
    at a position drawn around it."""
    look_sharpness: Annotated[float, Field(gt=0, le=1000)] = 30.0
    """Positions in training are drawn from softmax(look_sharpness x saliency / peak)."""
    blur: Auto | Annotated[float, Field(ge=0.02, le=10)] = "auto"
    """Standard deviation of the Gaussian that blurs unexplained ink before a look, in typical
    object sizes; auto is 0.25 where objects add up, and 0.12 where they occlude each other."""
    surround: Auto | Annotated[float, Field(ge=0, lt=1)] = "auto"
    """Share of the ink around a point, blurred by half an object size, that is subtracted before a
    look, so that looks begin at the ends of a clump; auto is 0 where objects add up, and 0.4 where
    they occlude each other."""
    glimpse_size: Annotated[int, Field(ge=4, le=128)] = 20
    """Side of the crop that presence and pose are read from, in pixels."""
    refinements: Auto | Annotated[int, Field(ge=0, le=16)] = "auto"
    """How often a slot crops again at its own estimate of the pose before it settles on one; auto
    is 1 where objects add up, and 5 where they occlude each other."""
    size_reach: Auto | Literal["none"] | Annotated[float, Field(gt=1, le=100)] = "auto"
    """The saliency guide proposes sizes within this factor of the typical one; none is no limit.
    auto is none where objects add up, and 1.3 where they occlude each other, so that one window
    cannot hold two of them."""
    rnn_size: Width = 256
    """Units of the LSTM cell in the lstm guide, and in nvil's lstm baseline."""
    embed_net: Widths = ()
    """Widths of the layers that embed the image for the lstm guide; empty means none."""
    predict_net: Auto | Widths = "auto"
    """Widths of the hidden layers from the lstm guide's cell to presence and pose; auto is one
    layer of model.hidden_size."""
    presence_bias: Annotated[float, Field(ge=-20, le=20)] = 2.0
    """Added to the lstm guide's logit of presence: slots are mostly on at first, so that all of
    them get gradients."""
    pose_sd_bias: Annotated[float, Field(ge=-20, le=20)] = -2.0
    """Added to the lstm guide's standard deviations of z_where before the softplus, so that they
    are small at first."""


class PriorConfig(Section):
    """The prior on the count, and its annealing."""

    kind: Literal["geometric", "success"] | Outside = "geometric"
    """geometric: p(n) proportional to ratio^n on 0..slots; success: each slot is on with
    probability ratio given that the one before is; package.module:Class: your own."""
    ratio: Auto | Annotated[float, Field(gt=0, lt=1)] = "auto"
    """p(n + 1) / p(n) of the geometric prior, or the success probability; auto falls with the
    typical size of an object, as exp(-(object_size / 9.5)^3) where the objects' contrast is twice
    model.pixel_sd, and faster where it is more. In colour it falls three times as fast;
    where objects occlude each other half as fast in grey, and 4.5 times as fast in colour."""
    schedule: Literal["constant", "linear", "exponential"] = "exponential"
    """How the ratio changes from anneal_from to ratio during training."""
    anneal_from: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """The ratio before annealing: objects are nearly free at first, so that training does not
    settle on blank canvases."""
    anneal_begin: Annotated[int, Field(ge=0)] = 0
    """Step at which annealing begins."""
    anneal_duration: Annotated[int, Field(ge=1)] = 400
    """Number of steps over which the ratio is annealed."""


Plain = bool | int | float | str


class OwnConfig(Section):
    """Settings of your own classes, by any names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Plain | tuple[Plain, ...], BeforeValidator(as_tuple)]]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name in self.__pydantic_extra__:
            if not name.isidentifier() or hasattr(Section, name):
                raise ValueError(f"config.own.{name} cannot be read; use another name")
        return self
