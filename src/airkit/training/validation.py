"""Validation: ELBO and count accuracy of the val split, always with the same random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from airkit.data.dataset import CanvasDataset, to_ink
from airkit.model.guides import Noise
from airkit.model.objectives import elbo
from airkit.model.scene import explain
from airkit.system import seeds
from airkit.training import diagnosis
from airkit.training.step import Trainer


class Batch(NamedTuple):
    """A process's rows of a batch."""

    canvases: Tensor
    """Their indices in the val split, int64 [B]."""
    ink: Tensor
    """Images with ink in 0..1, [B, H, H]."""
    noise: Noise
    counts: Tensor
    """True counts, int64 [B]."""


@torch.no_grad()
def validate(trainer: Trainer, val: CanvasDataset) -> tuple[float, float]:
    """One-draw ELBO in nats per canvas, and one-look count accuracy, of the val split.

    The random numbers come from a stream of their own and are the same at every validation,
    so that validating never changes the weights and two validations differ by them alone.
    Several processes share each batch, and add up what they found.
    """
    total, right = 0.0, 0.0
    for _, ink, noise, counts in _batches(trainer, val):
        total += elbo.elbo(trainer.air, ink, noise).double().sum().item()
        right += (explain(trainer.air, ink).count.cpu() == counts).sum().item()
    sums = trainer.processes.sum(torch.tensor([total, right], dtype=torch.float64))
    total, right = sums.tolist()
    return total / len(val), right / len(val)


def validation_fault(trainer: Trainer, val: CanvasDataset) -> diagnosis.Fault:
    """Look through the val split once more for the first term that is not finite."""
    what = "The validation ELBO"
    fault = trainer.processes.first(_fault(what, trainer, val))
    return fault or diagnosis.Fault(what, "no number, all of its terms being finite")


def _fault(what: str, trainer: Trainer, val: CanvasDataset) -> diagnosis.Fault | None:
    for canvases, ink, noise, _ in _batches(trainer, val):
        terms = {"ELBO": elbo.elbo(trainer.air, ink, noise)}
        fault = diagnosis.terms_fault(what, terms, canvases, "val")
        if fault is not None:
            return fault
    return None


def _batches(trainer: Trainer, val: CanvasDataset) -> Iterator[Batch]:
    """This process's rows of the batches of the val split, always the same."""
    air, config, share = trainer.air, trainer.config, trainer.processes.share
    generator = torch.Generator(trainer.device)
    generator.manual_seed(seeds.integer(config.train.seed, "validation"))
    for batch in torch.split(torch.arange(len(val)), config.eval.batch_size):
        noise = Noise.draw(generator, len(batch), air.slots, air.code, looks=False)
        canvases = batch[share.rows(len(batch))]
        if len(canvases):
            ink = to_ink(val.images[canvases].to(trainer.device))
            yield Batch(canvases, ink, share.noise(noise, len(batch)), val.counts[canvases])
