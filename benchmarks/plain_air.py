"""Attend-Infer-Repeat as Pyro's tutorial describes it, written plainly: a rival to time.

Run ``python benchmarks/plain_air.py [--steps N] [--threads N] [--batch N]`` (needs pyro-ppl) for
its milliseconds a training step. The figures are those that https://pyro.ai/examples/air.html
reports results with. One thing differs: a step is handed its batch, where the tutorial hands over
all images and lets the plate choose some, which also scales the loss.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import NamedTuple

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import SVI, TraceGraph_ELBO
from pyro.optim import Adam
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, softplus

CANVAS, WINDOW = 50, 28
SLOTS = 3
WHERE, WHAT = 3, 50
HIDDEN, LAYER = 256, 200
PIXEL_SD = 0.3
DECODER_BIAS = -2.0
COUNT_RATIO = 0.01
WHERE_MEAN = (3.0, 0.0, 0.0)
WHERE_SD = (0.2, 1.0, 1.0)

State = tuple[Tensor, Tensor]  # hidden and cell state of an LSTM


class Slot(NamedTuple):
    """What the guide sampled for one slot, a row an image."""

    where: Tensor
    what: Tensor
    present: Tensor

    def detach(self) -> Slot:
        """The same values, cut from the graph."""
        return Slot(*(value.detach() for value in self))


def success_probabilities() -> list[float]:
    """p(one more | t so far) for each t, where p(n) is proportional to ``COUNT_RATIO`` ** n."""
    weights = [COUNT_RATIO**count for count in range(SLOTS + 1)]
    return [sum(weights[t + 1 :]) / sum(weights[t:]) for t in range(SLOTS)]


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, LAYER), nn.ReLU(), nn.Linear(LAYER, outputs))


def resample(images: Tensor, pose: Tensor, side: int) -> Tensor:
    """Squares [B, side, side] that look at ``images`` through the pose [s, x, y] of each."""
    scale, x, y = pose.unbind(-1)
    zero = torch.zeros_like(scale)
    theta = torch.stack([scale, zero, x, zero, scale, y], -1).view(-1, 2, 3)
    grid = affine_grid(theta, [len(images), 1, side, side], align_corners=False)
    return grid_sample(images.unsqueeze(1), grid, align_corners=False).squeeze(1)


def inverse(pose: Tensor) -> Tensor:
    """The pose that undoes ``pose``."""
    scale, shift = pose[:, :1], pose[:, 1:]
    return torch.cat([torch.ones_like(scale), -shift], -1) / scale


class Recurrence(nn.Module):
    """An LSTM over the slots, fed image and previous slot, and a net that reads it."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(CANVAS**2 + WHERE + WHAT + 1, HIDDEN)
        self.read = mlp(HIDDEN, outputs)
        self.first_hidden = nn.Parameter(torch.zeros(HIDDEN))
        self.first_memory = nn.Parameter(torch.zeros(HIDDEN))

    def first(self, many: int) -> State:
        """The learnt state before slot 0."""
        return self.first_hidden.expand(many, -1), self.first_memory.expand(many, -1)

    def forward(self, images: Tensor, slot: Slot, state: State) -> tuple[Tensor, State]:
        """Outputs and state, after ``slot``."""
        state = self.cell(torch.cat([images.flatten(1), *slot], -1), state)
        return self.read(state[0]), state


class PlainAIR(nn.Module):
    """Model and guide, both of images [B, 50, 50] in 0..1."""

    where_mean: Tensor
    where_sd: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.decoder = mlp(WHAT, WINDOW**2)
        self.encoder = mlp(WINDOW**2, 2 * WHAT)
        self.predict = Recurrence(1 + 2 * WHERE)
        self.baseline = Recurrence(1)
        self.first_where = nn.Parameter(torch.zeros(WHERE))
        self.first_what = nn.Parameter(torch.zeros(WHAT))
        self.register_buffer("where_mean", torch.tensor(WHERE_MEAN))
        self.register_buffer("where_sd", torch.tensor(WHERE_SD))
        self.success = success_probabilities()

    def model(self, images: Tensor) -> None:
        """Up to three objects, decoded, placed and added up; then pixel noise."""
        pyro.module("decoder", self.decoder)
        many = len(images)
        with pyro.plate("images", many):
            canvas = torch.zeros_like(images)
            present = images.new_ones(many, 1)
            for t in range(SLOTS):
                more = dist.Bernoulli(self.success[t] * present).to_event(1)
                present = pyro.sample(f"z_pres_{t}", more)
                with poutine.mask(mask=present.squeeze(-1).bool()):
                    place = dist.Normal(self.where_mean.expand(many, -1), self.where_sd)
                    where = pyro.sample(f"z_where_{t}", place.to_event(1))
                    code = dist.Normal(images.new_zeros(many, WHAT), 1.0)
                    what = pyro.sample(f"z_what_{t}", code.to_event(1))
                ink = torch.sigmoid(self.decoder(what) + DECODER_BIAS).view(-1, WINDOW, WINDOW)
                canvas = canvas + present.unsqueeze(-1) * resample(ink, where, CANVAS)
            pyro.sample("pixels", dist.Normal(canvas, PIXEL_SD).to_event(2), obs=images)

    def guide(self, images: Tensor) -> list[Slot]:
        """The slots of each image, one after the other."""
        for name in ("encoder", "predict", "baseline"):
            pyro.module(name, getattr(self, name))
        many = len(images)
        where = pyro.param("first_where", self.first_where).expand(many, -1)
        what = pyro.param("first_what", self.first_what).expand(many, -1)
        slot = Slot(where, what, images.new_ones(many, 1))
        slots = []
        with pyro.plate("images", many):
            state, past = self.predict.first(many), self.baseline.first(many)
            for t in range(SLOTS):
                outputs, state = self.predict(images, slot, state)
                value, past = self.baseline(images, slot.detach(), past)
                value = (value * slot.present).squeeze(-1)
                slot = self.sample_slot(t, images, outputs, slot.present, value)
                slots.append(slot)
        return slots

    def sample_slot(
        self, t: int, images: Tensor, outputs: Tensor, before: Tensor, value: Tensor
    ) -> Slot:
        """Sample slot ``t``; ``before`` is the previous presence, ``value`` the baseline's."""
        logit, offset, spread = torch.split(outputs, [1, WHERE, WHERE], -1)
        more = dist.Bernoulli(torch.sigmoid(logit) * before).to_event(1)
        infer = {"baseline": {"baseline_value": value}}
        present = pyro.sample(f"z_pres_{t}", more, infer=infer)
        with poutine.mask(mask=present.squeeze(-1).bool()):
            place = dist.Normal(self.where_mean + offset, self.where_sd * softplus(spread))
            where = pyro.sample(f"z_where_{t}", place.to_event(1))
            window = resample(images, inverse(where), WINDOW)
            mean, raw = self.encoder(window.flatten(1)).chunk(2, -1)
            code = dist.Normal(mean, softplus(raw))
            what = pyro.sample(f"z_what_{t}", code.to_event(1))
        return Slot(where, what, present)


def plain_svi(air: nn.Module, baseline: str = "baseline") -> SVI:
    """Inference ready for ``svi.step(images)``; empties Pyro's store of parameters first.

    ``air`` has a model and a guide, and baselines whose parameters' names begin with ``baseline``.
    """

    def options(name: str) -> dict[str, float]:
        return {"lr": 0.1 if name.startswith(baseline) else 1e-4}

    pyro.clear_param_store()
    return SVI(air.model, air.guide, Adam(options), loss=TraceGraph_ELBO())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pyro.set_rng_seed(0)
    svi = plain_svi(PlainAIR())
    images = torch.rand(arguments.batch, CANVAS, CANVAS)
    times = []
    for _ in range(5 + arguments.steps):  # the first few are slower
        began = time.perf_counter()
        svi.step(images)
        times.append(1000 * (time.perf_counter() - began))
    print(f"{statistics.median(times[5:]):.1f} ms a step (median of {arguments.steps})")


if __name__ == "__main__":
    main()
