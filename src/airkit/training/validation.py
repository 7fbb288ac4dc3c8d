"""Validation: ELBO and count accuracy on the val split, and whether to trust the results."""

from __future__ import annotations

import torch
from torch import Tensor

from airkit.data.dataset import CanvasDataset, to_float
from airkit.data.look.findings import SAMPLE
from airkit.data.stream import Streamed
from airkit.model.objectives import Share, elbo
from airkit.model.scene import explain, explain_both, possible_looks
from airkit.runs.memory_needs import batch_size_of
from airkit.runs.signs import Watch
from airkit.runs.trained import with_learned_noise
from airkit.runs.trust import Trust, judge
from airkit.system import seeds
from airkit.system.device import generator
from airkit.training.step import Trainer

LOOKS = 4
"""Looks whose count together is compared with the count of one look."""
COUNTED = 500
"""Most canvases of a validation whose objects are counted, which takes as long as ten ELBOs."""


def validate(trainer: Trainer, val: CanvasDataset) -> tuple[float, float | None]:
    """Measure the model on the val split; several processes share each batch.

    The random numbers are the same at every validation, so that two differ by the weights alone.

    Args:
        trainer: the model that is being trained, which stays as it is.
        val: the val split, of at least one canvas.

    Returns:
        The ELBO of one draw in nats per canvas; and the share of canvases counted right at one look
        per slot, of at most ``COUNTED`` spread over the split, or None without true counts.
    """
    counted = torch.arange(0, len(val), -(-len(val) // COUNTED))
    with trainer.evaluating():
        sums = torch.stack([_sum_of_elbos(trainer, val), _right(trainer, val, counted)])
    total, right = trainer.processes.sum(sums).tolist()
    return total / len(val), None if val.counts is None else right / len(counted)


def _sum_of_elbos(trainer: Trainer, val: CanvasDataset) -> Tensor:
    """The sum of the ELBOs of the val canvases, those of this process."""
    air, config, share = trainer.air, trainer.config, trainer.processes.share
    random = generator(config.train.seed, "validation", trainer.device)
    total = torch.zeros((), dtype=torch.float64)
    for batch in torch.split(torch.arange(len(val)), config.eval.batch_size):
        noise = share.noise(air.noise(random, len(batch), looks=False), len(batch))
        rows = batch[share.rows(len(batch))]
        pieces = -(-len(rows) // batch_size_of(air, config))
        for piece in (Share(number, pieces) for number in range(pieces)):
            images = _levels(trainer, val, rows[piece.rows(len(rows))])
            total += elbo.elbo(air, images, piece.noise(noise, len(rows))).cpu().double().sum()
    return total


def _right(trainer: Trainer, val: CanvasDataset, counted: Tensor) -> Tensor:
    """How many of the canvases ``counted`` are counted right, those of this process."""
    air, own = trainer.air, counted[trainer.processes.share.rows(len(counted))]
    right = torch.zeros((), dtype=torch.float64)
    if val.counts is None or not len(own):
        return right
    for rows in torch.split(own, batch_size_of(air, trainer.config)):
        count = explain(air, _levels(trainer, val, rows)).count.cpu()
        right += (count == val.counts[rows]).sum()
    return right


def _levels(trainer: Trainer, val: CanvasDataset, rows: Tensor) -> Tensor:
    """Levels in 0..1 of the val canvases at ``rows``, on the trainer's device."""
    return to_float(val.rows["image"][rows].to(trainer.device))


def judge_results(trainer: Trainer, images: Tensor | Streamed) -> Trust:
    """Judge without any truth whether the model's results on pictures are to be trusted.

    Args:
        trainer: the model that was trained, which stays as it is.
        images: pictures, uint8 [N, C, H, W], at least one; the first ``SAMPLE`` are explained.
    """
    air, config, some = trainer.air, trainer.config, images[:SAMPLE]
    looks = possible_looks(air, LOOKS)
    seed = seeds.integer(config.train.seed, "trust")
    watch = Watch(air, config, some, looks)
    with trainer.evaluating():
        for batch in torch.split(some, batch_size_of(air, config)):
            levels = to_float(batch.to(trainer.device))
            one, best = explain_both(air, levels, looks, seed)
            watch.add(levels, best, one)
    return judge(watch.signs(), watch.found, with_learned_noise(config, air))
