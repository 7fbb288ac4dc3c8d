"""How a model is trained: optimisation, logging and checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from airkit.config.sections import Auto, BatchSize, Outside, Section, Seed, Widths


class TrainConfig(Section):
    """Optimisation, logging and checkpoints."""

    estimator: Literal["exact", "nvil"] | Outside = "exact"
    """Estimator of the ELBO's gradient: exact sums over the count; nvil samples presence and uses
    the score function with a learned baseline, as the paper does; package.module:Class is your
    own."""
    baseline: Literal["lstm", "mlp", "none"] = "lstm"
    """Network that predicts nvil's learning signal from image and latents, or none."""
    baseline_net: Widths = (200,)
    """Widths of the baseline's hidden layers; the lstm baseline has a cell of guide.rnn_size
    before them."""
    baseline_learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-2
    """Peak learning rate of Adam for the baseline."""
    baseline_scale: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """Factor on the baseline's output, to bring it to the scale of the learning signal in nats."""
    masking: bool = True
    """Whether nvil leaves out the terms of absent objects' latents."""
    steps: Annotated[int, Field(ge=1, le=1_000_000_000)] = 2_000
    """Optimiser steps in total."""
    batch_size: Auto | BatchSize = "auto"
    """Canvases per step; auto is 64, or 256 for digits on a CUDA GPU if learning_rate is auto too.
    Fixed when a run starts."""
    augment: Auto | bool = "auto"
    """Whether each step turns and mirrors its batch at random, one way of eight (of four if
    canvases are not square); auto does for fewer than 200 scenes or pictures, and not for
    digits."""
    learning_rate: Auto | Annotated[float, Field(gt=0, le=10)] = "auto"
    """Peak learning rate of Adam; auto is 2e-3, and for batches of more than 64 canvases grows with
    the root of their number, up to 4e-3."""
    schedule: Literal["constant", "cosine", "cooldown"] = "cooldown"
    """Learning rate schedule: constant, cosine decay to zero, or cooldown (constant for half of the
    steps, then linear decay to zero)."""
    warmup: Auto | Annotated[int, Field(ge=0)] = "auto"
    """Steps over which learning rates first rise, linearly from zero; auto is 0, or 100 where
    objects occlude each other, or some are bright and some are dark."""
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.98
    """Adam's beta2, the decay rate of its running mean of squared gradients."""
    clip_norm: Literal["none"] | Annotated[float, Field(gt=0)] = "none"
    """Greatest 2-norm of the gradient of the loss (nats per canvas) over all parameters of model
    and guide; a longer gradient is scaled down to it. The baseline's is never clipped."""
    seed: Seed = 0
    """Seed of initial weights, batch order and the guide's samples."""
    device: Annotated[
        str,
        Field(
            pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
            examples=["auto", "cpu", "mps", "cuda", "cuda:0"],
        ),
    ] = "auto"
    """Where to compute: auto (a CUDA GPU if there is one, else the CPU), cpu, cuda, cuda:N, mps."""
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "auto"
    """Precision of the MLPs' matrix products in training: float32, tf32 (on a GPU) or bfloat16;
    auto is bfloat16 on a CPU that multiplies it natively, else float32."""
    backward: Literal["auto", "fast", "reference"] = "auto"
    """How gradients are computed: reference (autograd through the model) or fast (the same numbers
    by hand-written gradients); auto is fast for the exact estimator with the saliency or lstm
    guide and the mlp decoder, on a CPU or CUDA, else reference. Fixed when a run starts."""
    cuda_graph: bool = True
    """Whether to capture a training step as a CUDA graph and replay it, on a GPU with the exact
    estimator; much faster, because a step is about a thousand small kernels."""
    deterministic: bool = False
    """Whether to use only algorithms that give the same bits each time: on a GPU from run to run,
    on the CPU with any number of threads (where PyTorch uses MKL); slower on a GPU."""
    log_every: Annotated[int, Field(ge=1)] = 50
    """Steps between rows of metrics.jsonl."""
    val_every: Annotated[int, Field(ge=1)] = 500
    """Steps between validations."""
    val_early: Annotated[int, Field(ge=0)] = 0
    """Steps between additional validations before step val_every; 0 for none."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 500
    """Steps between checkpoints."""
    keep: Annotated[int, Field(ge=1)] = 3
    """Number of newest checkpoints to keep, in addition to the best one."""
    tensorboard: bool = False
    """Whether to also write metrics and pictures for TensorBoard (pip install
    "airkit[tensorboard]")."""
