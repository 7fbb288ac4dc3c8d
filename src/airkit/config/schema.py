"""The one schema: every setting of airkit, its type, its bounds and one line of prose.

The docstring under each field feeds ``--help``, the JSON Schema and the reference page.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import (
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


def _as_tuple(value: object) -> object:
    """TOML and JSON know lists only; a frozen model holds tuples."""
    return tuple(value) if isinstance(value, list) else value


def _as_given(value: str, check: ValidatorFunctionWrapHandler) -> str:
    """The value itself, which may be ``Named``; pydantic would make plain text of it."""
    check(value)
    return value


Outside = Annotated[
    str, Field(pattern=OUTSIDE, examples=["package.module:Class"]), WrapValidator(_as_given)
]
"""A class from outside as ``package.module:Class``; see ``airkit.config.registry``."""

Width = Annotated[int, Field(ge=1, le=8192)]
Widths = Annotated[tuple[Width, ...], Field(max_length=64), BeforeValidator(_as_tuple)]
"""Widths of a network's hidden layers, first to last; their number is its depth."""


class Section(BaseModel):
    """What all sections share: frozen, strict (a bool is no int), finite, no unknown keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )


class DataConfig(Section):
    """Canvases: how many, how large, with which digits."""

    source: Annotated[str, Field(min_length=1)] = "auto"
    """Where digits come from: mnist, strokes (built in), auto (mnist if at hand, else strokes),
    or a folder of IDX files in MNIST's layout."""
    canvas_size: Annotated[int, Field(ge=8, le=1024)] = 50
    """Side of the square canvas, in pixels."""
    min_digits: Annotated[int, Field(ge=0, le=100)] = 0
    """Fewest digits on a canvas."""
    max_digits: Annotated[int, Field(ge=0, le=100)] = 2
    """Most digits on a canvas."""
    count_weights: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(_as_tuple)
    ] = ()
    """Relative frequency of each count from min_digits to max_digits; empty means uniform."""
    digit_size: Annotated[float, Field(ge=4, le=1024)] = 21.0
    """Mean side of a digit's patch, in pixels."""
    digit_size_sd: Annotated[float, Field(ge=0, le=256)] = 1.7
    """Standard deviation of that side, in pixels; draws are cut at three of them."""
    overlap: Literal["sum", "none"] | Annotated[float, Field(ge=0, le=1)] = "sum"
    """How digits may meet: sum (drawn again while any pixel adds up to more than full ink), none
    (boxes of ink disjoint), or the greatest IoU allowed between two boxes of ink."""
    train: Annotated[int, Field(ge=0, le=100_000_000)] = 60_000
    """Canvases in the train split."""
    val: Annotated[int, Field(ge=0, le=100_000_000)] = 2_000
    """Canvases in the val split, from digits that train does not use."""
    test: Annotated[int, Field(ge=0, le=100_000_000)] = 10_000
    """Canvases in the test split, from digits held out of both others."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the canvases; canvas i of a split depends on (seed, split, i) alone."""
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
                f"asks for {wanted}"
            )
        if not sum(self.count_weights) > 0:
            raise ValueError("count_weights are all zero; at least one must be positive")

    @property
    def digit_size_range(self) -> tuple[float, float]:
        """Least and greatest side of a digit's patch, in pixels."""
        spread = 3 * self.digit_size_sd
        return self.digit_size - spread, self.digit_size + spread


class ModelConfig(Section):
    """The generative model: how many objects, how they are posed and decoded."""

    slots: Auto | Annotated[int, Field(ge=1, le=128)] = "auto"
    """Most objects the model can explain; auto is one more than the data's max_digits."""
    window_size: Auto | Annotated[int, Field(ge=4, le=128)] = "auto"
    """Side of an object's window before it is painted, in pixels; auto follows the digit size."""
    code_size: Annotated[int, Field(ge=1, le=1024)] = 50
    """Length of z_what, the code of an object's looks."""
    hidden_size: Width = 256
    """Width of the hidden layers that no other setting names."""
    encoder_net: Auto | Widths = "auto"
    """Widths of the encoder's hidden layers; auto is one of hidden_size."""
    decoder_net: Auto | Widths = "auto"
    """Widths of the decoder's hidden layers; auto is one of hidden_size."""
    nonlinearity: Literal["relu", "elu"] = "relu"
    """What stands between the layers of all networks."""
    pose: Literal["uniform", "affine"] = "uniform"
    """Prior on z_where: uniform (centre uniform on the canvas, log-normal size) or affine (the
    paper's normal [s, x, y])."""
    object_size: Auto | Annotated[float, Field(gt=0, le=1024)] = "auto"
    """Typical side of an object, in pixels; auto is 0.95 of the data's digit size."""
    object_size_sd: Annotated[float, Field(gt=0, le=10)] = 0.3
    """Spread of the size: sd of its logarithm (uniform pose), or of s (affine pose)."""
    pixel_sd: Annotated[float, Field(gt=0, le=10)] = 0.3
    """Standard deviation of the Gaussian pixel noise, ink being 0 to 1."""
    decoder_bias: Auto | Annotated[float, Field(ge=-20, le=20)] = "auto"
    """Added to the decoder's output, so that windows start out nearly blank; auto is -2 before a
    sigmoid and 0 for a linear output."""
    decoder_output: Literal["sigmoid", "linear"] = "sigmoid"
    """How the decoder's output becomes ink: sigmoid keeps it in 0 to 1, linear as it is."""


class GuideConfig(Section):
    """The guide: how objects are found."""

    kind: Literal["saliency", "lstm"] | Outside = "saliency"
    """Which guide: saliency looks where most ink is still unexplained; lstm is the paper's, a
    recurrent net on the whole canvas, and serves canvases of one size only; or one of your own,
    as package.module:Class."""
    looks: Literal["argmax", "drawn"] = "drawn"
    """Where a slot looks in training: at the peak of the saliency, or drawn around it."""
    look_sharpness: Annotated[float, Field(gt=0, le=1000)] = 30.0
    """Drawn looks in training follow softmax(look_sharpness x saliency / peak)."""
    glimpse_size: Annotated[int, Field(ge=4, le=128)] = 20
    """Side of the glimpse that presence and pose are read from, in pixels."""
    refinements: Annotated[int, Field(ge=0, le=16)] = 1
    """How often a slot looks again, where it would put the object, before it proposes."""
    rnn_size: Width = 256
    """Units of the cells of the lstm guide and of nvil's lstm baseline."""
    embed_net: Widths = ()
    """Widths of the layers that the lstm guide passes the image through first; empty is none."""
    predict_net: Auto | Widths = "auto"
    """Widths of the lstm guide's layers between its cell and presence and pose; auto is one of
    hidden_size."""
    presence_bias: Annotated[float, Field(ge=-20, le=20)] = 2.0
    """Added to the lstm guide's log odds of presence: slots start out on, so that all learn."""
    pose_sd_bias: Annotated[float, Field(ge=-20, le=20)] = -2.0
    """Added to the lstm guide's raw sds of z_where: poses start out known well."""


class PriorConfig(Section):
    """The prior on the count, and its schedule."""

    kind: Literal["geometric", "success"] | Outside = "geometric"
    """geometric: p(n) proportional to ratio^n on 0..slots; success: each slot is on with
    probability ratio given the one before; or one of your own, as package.module:Class."""
    ratio: Auto | Annotated[float, Field(gt=0, lt=1)] = "auto"
    """The ratio k of the geometric prior, or the success probability; auto falls with the
    size of a typical object, as exp(-(object_size / 9.5)^3)."""
    schedule: Literal["constant", "linear", "exponential"] = "exponential"
    """How the ratio gets from anneal_from to ratio during training."""
    anneal_from: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """The ratio at the start of an annealed schedule."""
    anneal_begin: Annotated[int, Field(ge=0)] = 0
    """Step at which annealing begins."""
    anneal_duration: Annotated[int, Field(ge=1)] = 400
    """Steps that annealing takes."""


class TrainConfig(Section):
    """The optimisation and the run folder."""

    estimator: Literal["exact", "nvil"] | Outside = "exact"
    """Which estimator of the ELBO's gradient: exact sums the count out; nvil samples presence,
    scores it, and subtracts a baseline, as the paper does; or one of your own, as
    package.module:Class."""
    baseline: Literal["lstm", "mlp", "none"] = "lstm"
    """What nvil predicts a sample's cost with: an lstm or an mlp on image and latents, or none."""
    baseline_net: Widths = (200,)
    """Widths of the baseline's hidden layers; an lstm has a cell of guide.rnn_size before them."""
    baseline_learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-2
    """Adam's step size for the baseline at its greatest."""
    baseline_scale: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """What the baseline's output is multiplied by, to bring it near the cost in nats."""
    masking: bool = True
    """Whether nvil leaves out the costs of latents of absent objects."""
    steps: Annotated[int, Field(ge=1, le=1_000_000_000)] = 2_000
    """Optimiser steps in all."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Canvases a step."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 2e-3
    """Adam's step size at its greatest."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """How the learning rate goes: constant, or down to zero along a half cosine."""
    clip_norm: Literal["none"] | Annotated[float, Field(gt=0)] = "none"
    """Greatest 2-norm of the gradient of the loss (nats per canvas), over all parameters of model
    and guide together; a longer one is scaled down to it. The baseline's is never clipped."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of initial weights, batch order and guide samples."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """Where to compute: auto (a CUDA GPU if there is one), cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "auto"
    """What the perceptrons multiply in while they train: float32, TF32 (on a GPU) or bfloat16;
    auto is bfloat16 on a CPU that multiplies it natively, else float32."""
    cuda_graph: bool = True
    """Whether to capture a step once as a CUDA graph and replay it, where there is a GPU and the
    estimator is exact; much faster, as a step is a thousand small kernels."""
    deterministic: bool = False
    """Whether to use only algorithms that give the same bits each time: on a GPU from run to run,
    on the CPU whatever the number of threads (where PyTorch uses MKL); slower on a GPU."""
    log_every: Annotated[int, Field(ge=1)] = 50
    """Steps between rows of metrics.jsonl."""
    val_every: Annotated[int, Field(ge=1)] = 500
    """Steps between validations."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 500
    """Steps between checkpoints."""
    keep: Annotated[int, Field(ge=1)] = 3
    """How many of the newest checkpoints to keep, beside the best one."""
    tensorboard: bool = False
    """Whether to write metrics and pictures for TensorBoard, too (pip install tensorboard)."""


class EvalConfig(Section):
    """The measures."""

    split: Literal["train", "val", "test"] = "test"
    """Which split to measure."""
    looks: Annotated[int, Field(ge=1, le=4096)] = 16
    """Explanations drawn per canvas, the best of which is kept; 1 is the arg-max look alone."""
    look_sharpness: Annotated[float, Field(gt=0, le=1000)] = 15.0
    """Drawn looks follow softmax(look_sharpness x saliency / peak)."""
    likelihood_samples: Annotated[int, Field(ge=1, le=100_000)] = 5
    """Samples of the importance-weighted bound on the likelihood."""
    counts: Literal["mode", "sampled"] = "mode"
    """The count read off one look: the mode of q(n), or a sample of it as in the paper."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 250
    """Canvases at a time."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the looks and samples drawn in evaluation."""


class RenderConfig(Section):
    """The pictures."""

    kind: Literal["reconstructions", "steps", "errors", "policy", "data", "curves", "prior"] = (
        "reconstructions"
    )
    """What to draw."""
    counts: Literal["even", "prior", "unbounded"] = "even"
    """Objects on the canvases of the kind prior: even (each row one number), drawn from the
    prior on 0..slots, or unbounded (drawn from p(n) = (1 - ratio) ratio^n on 0, 1, 2 ...)."""
    rows: Annotated[int, Field(ge=1, le=100)] = 4
    """Rows of the sheet."""
    columns: Annotated[int, Field(ge=1, le=100)] = 8
    """Columns of the sheet."""
    scale: Annotated[float, Field(gt=0, le=20)] = 2.0
    """Screen pixels per canvas pixel."""


class Config(Section):
    """Everything: one section for each part of airkit."""

    data: DataConfig = DataConfig()
    """Canvases: how many, how large, with which digits."""
    model: ModelConfig = ModelConfig()
    """The generative model."""
    guide: GuideConfig = GuideConfig()
    """The guide: how objects are found."""
    prior: PriorConfig = PriorConfig()
    """The prior on the count."""
    train: TrainConfig = TrainConfig()
    """The optimisation and the run folder."""
    eval: EvalConfig = EvalConfig()
    """The measures."""
    render: RenderConfig = RenderConfig()
    """The pictures."""

    @property
    def slots(self) -> int:
        """Slots, with auto resolved: one more than the most digits on a canvas."""
        return self.data.max_digits + 1 if self.model.slots == "auto" else self.model.slots

    @property
    def window_size(self) -> int:
        """Window side in pixels, with auto resolved: 4/3 of the digit size, even, from 20 to 28."""
        if self.model.window_size != "auto":
            return self.model.window_size
        return min(28, max(20, 2 * round(self.data.digit_size * 2 / 3)))

    @property
    def encoder_net(self) -> tuple[int, ...]:
        """Widths of the encoder's hidden layers, with auto resolved."""
        return self._net(self.model.encoder_net)

    @property
    def decoder_net(self) -> tuple[int, ...]:
        """Widths of the decoder's hidden layers, with auto resolved."""
        return self._net(self.model.decoder_net)

    @property
    def predict_net(self) -> tuple[int, ...]:
        """Widths of the lstm guide's last hidden layers, with auto resolved."""
        return self._net(self.guide.predict_net)

    @property
    def decoder_bias(self) -> float:
        """What is added to the decoder's output, with auto resolved."""
        if self.model.decoder_bias != "auto":
            return self.model.decoder_bias
        return -2.0 if self.model.decoder_output == "sigmoid" else 0.0

    def _net(self, widths: Auto | tuple[int, ...]) -> tuple[int, ...]:
        return (self.model.hidden_size,) if widths == "auto" else widths

    @property
    def object_size(self) -> float:
        """Typical object side in pixels, with auto resolved: a patch has a margin of blank."""
        if self.model.object_size != "auto":
            return self.model.object_size
        return 0.95 * self.data.digit_size

    @property
    def prior_ratio(self) -> float:
        """The prior's ratio, with auto resolved.

        What the decoder cannot draw of a digit grows with its size, and so does what a needless
        object gains by explaining it; its price keeps pace. Fitted to digits of 13, 16 and 21 px.
        """
        if self.prior.ratio != "auto":
            return self.prior.ratio
        return max(1e-9, math.exp(-((self.object_size / 9.5) ** 3)))
