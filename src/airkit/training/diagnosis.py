"""What is not finite in a training that stopped on it, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from airkit.config.settings import named_classes
from airkit.errors import TrainingError
from airkit.runs.training_data import assigned
from airkit.system.text import quoted
from airkit.training.resume import Start
from airkit.training.step import Trainer

USUAL_NORM = 100
"""A gradient norm that healthy trainings seldom exceed."""


class Fault(NamedTuple):
    """A number that is not finite."""

    what: str
    """The loss, the gradient or the validation ELBO; begins a sentence."""
    got: str
    """Its value, or the parameter whose gradient it is."""
    rate: str | None = "learning_rate"
    """The learning rate to lower; None where the machine may be at fault."""


def find_fault(trainer: Trainer, number: int) -> Fault:
    """Compute step ``number``, which was not taken, once more, and find what is not finite.

    Args:
        trainer: with the weights that the step began with.
        number: the step, counted from 0.
    """
    trainer.optimiser.zero_grad()
    loss = trainer.backward(number)
    if not loss.isfinite():
        return Fault("The loss", f"{loss:g}")
    # Bad baselines spoil the model's gradient too, so they come first.
    if name := _bad_gradient(trainer.objective.baselines):
        return Fault("The gradient", f"that of the baseline's {name}", "baseline_learning_rate")
    if name := _bad_gradient(trainer.air):
        return Fault("The gradient", f"that of {name}; the loss is {loss:g}")
    again = "finite numbers when the step was computed again: the machine may be at fault"
    return Fault("The gradient", again, None)


def fault_error(fault: Fault, step: int, start: Start, saved: int, program: str) -> TrainingError:
    """The error to raise for a fault.

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


def _bad_gradient(module: nn.Module) -> str | None:
    """The first parameter whose gradient is not finite, or too large to be squared."""
    for name, parameter in module.named_parameters():
        if parameter.grad is not None and not parameter.grad.norm().isfinite():
            return name
    return None


def _advice(fault: Fault, start: Start, saved: int, program: str) -> Iterator[str]:
    """What to check, and commands that run as they stand."""
    train, run = start.config.train, start.run.path
    named = "".join(f" {quoted(word)}" for word in assigned(named_classes(start.config)))
    command, on = f"{program} train --run {quoted(run)}{named}", f"to go on from step {saved}:"
    if fault.rate is None:
        yield f"{on} {command}"
        return
    if start.config.has_outside:
        yield "first check that what your own class returns is finite, and each sd positive"
    if ours := fault.rate == "learning_rate":
        limit = USUAL_NORM if train.clip_norm == "none" else train.clip_norm / 10
        yield f"{on} {command} --set train.clip_norm={limit:g}"
    rate = start.config.learning_rate if ours else train.baseline_learning_rate
    lower = f"--set train.{fault.rate}={rate / 10:g}"
    config = f"--data {quoted(start.data.path)} --config {quoted(run / 'config.toml')}"
    yield f"to start anew: {command} --fresh {config} {lower}"
