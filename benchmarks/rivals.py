"""Training steps of airkit or of a rival, a block at a time; a worker of ``speed.py``."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pyro
import torch
from plain_air import PlainAIR, plain_svi, success_probabilities
from steps import Step, timed, train_images, trainer
from worker import serve

from airkit import settings

PLAIN = "plain reading"
EXAMPLE = "Pyro's example"
REFERENCE = "reference path"
VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {"train.precision": "float32"},
    "bfloat16": {"train.precision": "bfloat16"},
    REFERENCE: {"train.precision": "float32", "train.backward": "reference"},
    "tf32": {"train.precision": "tf32"},
    "no CUDA graph": {"train.precision": "float32", "train.cuda_graph": False},
    "on the CPU": {"train.precision": "float32"},
}
"""What airkit is told, by what it is called."""


def block(
    rival: str, data: str, device: str, first: int, steps: int, *, checkout: str
) -> list[float] | None:
    """Milliseconds of some steps on batches of 64; None where this airkit has no such variant.

    ``rival`` is ``PLAIN``, ``EXAMPLE`` of a ``checkout`` of Pyro, or one of ``VARIANTS``.
    """
    device = "cpu" if rival == "on the CPU" else device
    if not VARIANTS.get(rival, {}).keys() <= settings.fields().keys():
        return None
    step = stepper(rival, data, device, checkout)
    return timed(step, first, steps, warm_up=3, device=device)


@cache
def stepper(rival: str, data: str, device: str, checkout: str) -> Step:
    images = train_images(data)
    if rival == EXAMPLE:
        return example(Path(checkout), images.to(device), device)
    if rival == PLAIN:
        return plain(images.to(device), device)
    known = settings.fields()
    given = {key: value for key, value in VARIANTS[rival].items() if key in known}
    return trainer(images, given, device=device).step


def plain(images: torch.Tensor, device: str) -> Step:
    """A step of the plain reading, with Pyro's defaults, on consecutive batches."""
    svi, batches = plain_svi(PlainAIR().to(device)), torch.split(images, 64)
    return lambda number: svi.step(batches[number % (len(batches) - 1)] / 255)


def example(checkout: Path, images: torch.Tensor, device: str) -> Step:
    """A step of ``examples/air`` of a checkout of Pyro, as its tutorial calls it.

    Arguments are not validated, which is faster than Pyro's default.
    """
    sys.path.insert(0, str(checkout / "examples" / "air"))
    pyro.enable_validation(False)
    warnings.filterwarnings("ignore", "Default grid_sample", UserWarning)  # of an older PyTorch
    air = import_module("air").AIR(
        num_steps=3, x_size=50, window_size=28, z_what_size=50, rnn_hidden_size=256,
        encoder_net=[200], decoder_net=[200], predict_net=[200], bl_predict_net=[200],
        decoder_output_bias=-2, decoder_output_use_sigmoid=True, scale_prior_sd=0.2,
        use_cuda=device != "cpu",
    )  # fmt: skip
    svi, levels, on = plain_svi(air, baseline="bl_"), images / 255, success_probabilities()
    return lambda _: svi.step(levels, batch_size=64, z_pres_prior_p=on.__getitem__)


if __name__ == "__main__":
    serve(block)
