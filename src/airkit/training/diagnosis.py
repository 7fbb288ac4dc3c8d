"""What is not finite, and what to do about it: asked only once a training has stopped on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from airkit.errors import TrainingError
from airkit.system.text import quoted
from airkit.training.resume import Start
from airkit.training.step import Trainer

BASELINE = "baseline"
"""Beginning of the names of the baselines' terms and parameters."""
USUAL_NORM = 100
"""A limit on the gradient's norm that healthy trainings seldom reach."""


class Fault(NamedTuple):
    """Something that is not finite."""

    what: str
    """The loss, the gradient, or what else shows it; begins a sentence."""
    got: str
    """Which part of it, and its value."""
    chance: bool = False
    """Whether it is not the training's own doing, so that it need not happen again."""


def step_fault(trainer: Trainer, number: int) -> Fault:
    """What is not finite in step ``number``, counted from 0, which was not taken.

    Args:
        trainer: with the weights that the step began with.
        number: the step; it is tried again on the same canvases with the same random numbers.
    """
    fault = weights_fault(trainer)
    fault = trainer.processes.first(fault)
    if fault is not None:
        return fault
    trainer.optimiser.zero_grad(set_to_none=True)
    loss = trainer.backward(number)
    if not loss.isfinite():
        return Fault("The loss", f"{loss:g}, all of its terms being finite")
    return gradient_fault(trainer)


def weights_fault(trainer: Trainer) -> Fault | None:
    """The weights that are not finite, or else those whose running means in Adam are not."""
    state, parameters = trainer.optimiser.state, dict(_parameters(trainer))
    kept = {
        "A weight": {name: [each] for name, each in parameters.items()},
        "Adam's state": {name: state.get(each, {}).values() for name, each in parameters.items()},
    }
    for what, tensors in kept.items():
        bad = [name for name, each in tensors.items() if not all(map(_finite, each))]
        if bad:
            return Fault(what, f"{_listed(bad)} in memory", chance=True)
    return None


def terms_fault(
    what: str, terms: Mapping[str, Tensor], canvases: Tensor, split: str
) -> Fault | None:
    """The first term that is not finite, and the first of ``canvases`` for which it is not."""
    for name, values in terms.items():
        bad = (~values.isfinite()).nonzero().flatten().cpu()
        if len(bad):
            where = f"{len(bad)} of {len(values)} canvases, first {split} canvas {canvases[bad[0]]}"
            return Fault(what, f"{name} = {values[bad[0]]:g} for {where}")
    return None


def gradient_fault(trainer: Trainer) -> Fault:
    """The parameters whose gradients, which are there, are not finite, or too great."""
    grads = {name: each.grad for name, each in _parameters(trainer) if each.grad is not None}
    bad = [name for name, grad in grads.items() if not _finite(grad)]
    if bad:
        return Fault("The gradient", f"that of {_listed(bad)}, all terms of the loss being finite")
    norms = {name: grad.double().norm().item() for name, grad in grads.items()}
    name = max(norms, key=norms.__getitem__)
    if norms[name] ** 2 > torch.finfo(torch.float32).max:
        return Fault(
            "The gradient", f"that of {name}, of norm {norms[name]:g}: too great to square"
        )
    again = "finite numbers, when the step was tried again; the machine may be at fault"
    return Fault("The gradient", again, chance=True)


def error(
    fault: Fault, step: int, start: Start, saved: int, program: str = "airkit"
) -> TrainingError:
    """What to tell the user.

    Args:
        fault: what is not finite.
        step: the step, counted from 1.
        start: what the training started from.
        saved: the step of the last checkpoint.
        program: how airkit was started.
    """
    return TrainingError(
        f"{fault.what} is no longer finite",
        where=f"step {step} of {start.run.path}",
        expected=f"finite numbers, as in the last checkpoint, {start.run.file(saved).name}",
        got=fault.got,
        hint="\n            ".join(_advice(fault, start, saved, program)),
    )


def _advice(fault: Fault, start: Start, saved: int, program: str) -> Iterator[str]:
    """Commands that work as they stand."""
    train, run = start.config.train, start.run.path
    command, on = f"{program} train --run {quoted(run)}", f"to go on from step {saved}:"
    if fault.chance:
        yield f"{on} {command}"
        return
    rate = "baseline_learning_rate" if BASELINE in fault.got else "learning_rate"
    if rate == "learning_rate":
        limit = USUAL_NORM if train.clip_norm == "none" else train.clip_norm / 10
        yield f"{on} {command} --set train.clip_norm={limit:g}"
    lower = f"--set train.{rate}={getattr(train, rate) / 10:g}"
    config = f"--data {quoted(start.data)} --config {quoted(run / 'config.toml')}"
    yield f"to start anew: {command} --fresh {config} {lower}"


def _parameters(trainer: Trainer) -> Iterator[tuple[str, Tensor]]:
    yield from trainer.air.named_parameters()
    yield from trainer.estimator.baselines.named_parameters(BASELINE)


def _finite(values: Tensor) -> bool:
    return bool(values.isfinite().all())


def _listed(names: list[str]) -> str:
    """The first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
