"""Where a training step's time goes; a worker of ``speed.py``.

Stages are timed by functions put around airkit's own from outside, each moment in one stage alone;
on a GPU, of steps that are not captured, which have no stages. Operations are counted and timed
where PyTorch dispatches them (``operations.py``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pkgutil import resolve_name
from statistics import fmean
from typing import Any
from unittest.mock import patch

import operations
import torch
from steps import now, timed, train_images, trainer
from worker import serve

SALIENCY = "airkit.model.guides.saliency.SaliencyGuide"
SPANS = {
    "airkit.training.step.Trainer.inputs": "data",
    f"{SALIENCY}.attend": "attend",
    f"{SALIENCY}.advance": "attend",
    f"{SALIENCY}.read": "propose",
    f"{SALIENCY}.encode": "encode",
    "airkit.model.decoders.MLPDecoder.forward": "decode",
    "airkit.model.fast_transformer.add": "paint",
    "airkit.model.air.AIR.log_p_x": "likelihood",
    "airkit.model.objectives.elbo.elbo_of": "likelihood",
    "torch.Tensor.backward": "backward",
    "airkit.training.optimiser.Optimiser.zero_grad": "optimiser",
    "airkit.training.optimiser.Optimiser.set_learning_rates": "optimiser",
    "airkit.training.optimiser.Optimiser.step": "optimiser",
}
"""Stages by the functions that they are."""
STAGES = (*dict.fromkeys(SPANS.values()), "other")


class Clock:
    """Milliseconds by stage; a stage called by another is no part of that."""

    def __init__(self, device: str) -> None:
        self.device, self.open = device, ["other"]
        self.restart()

    def restart(self) -> None:
        """Begin at nothing, and now."""
        self.spent: dict[str, float] = defaultdict(float)
        self.last = now(self.device)

    def move(self) -> None:
        """Book the time since the last call under the innermost stage."""
        at = now(self.device)
        self.spent[self.open[-1]] += 1000 * (at - self.last)
        self.last = at

    def around(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, its time booked under ``stage``."""

        @wraps(function)
        def booked(*args: Any, **named: Any) -> Any:
            self.move()
            self.open.append(stage)
            try:
                return function(*args, **named)
            finally:
                self.move()
                self.open.pop()

        return booked

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Book the functions of ``SPANS`` while inside."""
        with ExitStack() as patches:
            for target, stage in SPANS.items():
                patches.enter_context(patch(target, self.around(stage, resolve_name(target))))
            yield


def measure(
    data: str, precision: str, device: str, *, steps: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """One precision's row of the tables; ``seconds`` is how long to look for the peak."""
    given = {"train.precision": precision, "train.cuda_graph": False}
    train = trainer(train_images(data), given, device=device)
    clock, plain, booked, logs = Clock(device), [], [], []
    for first in range(0, rounds * steps, steps):  # in turns, so that other work slows all three
        plain += timed(train.step, first, steps, warm_up=3, device=device)
        booked += stage_times(clock, train.step, first, steps)
        logs += operations.logged(train.step, first, 4, device)
    step = middle([{"step": each} for each in plain])["step"]
    found = middle(booked)
    stages = {stage: found[stage] for stage in STAGES}
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "precision": precision,
        "step_ms": step,
        "steps_per_second": 1000 / step,
        "stages_ms": stages,
        "sum_of_stages_ms": sum(stages.values()),
        **operations.summary(logs, step, operations.peak(dtype, device, seconds), device),
    }


def stage_times(
    clock: Clock, step: Callable[[int], Any], first: int, steps: int
) -> list[dict[str, float]]:
    """Milliseconds by stage of each step, after one that is not kept."""
    found = []
    with clock.watching():
        for number in range(first, first + 1 + steps):
            clock.restart()
            step(number)
            clock.move()
            found.append(clock.spent)
    return found[1:]


def middle(steps: list[dict[str, float]]) -> dict[str, float]:
    """Means by stage over the middle half of the steps, which add up to those steps' mean.

    Medians by stage would not: what else the machine does slows now this one, now that.
    """
    ordered = sorted(steps, key=lambda each: sum(each.values()))
    kept = ordered[len(ordered) // 4 : -(len(ordered) // 4) or None]
    names = dict.fromkeys(name for each in kept for name in each)
    return {name: fmean(each[name] for each in kept) for name in names}


if __name__ == "__main__":
    serve(measure)
