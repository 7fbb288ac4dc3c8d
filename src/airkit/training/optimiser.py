"""Adam with the learning rate's schedule, gradient clipping and a check for finite numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from airkit.config.schema import Config

NONE = -1
BETA1 = 0.9
"""Adam's beta1, the default of PyTorch and of the paper on Adam (arXiv 1412.6980)."""
COOLDOWN = 0.5
"""Share of the steps in which the schedule ``cooldown`` lowers the learning rate."""


def _unwrapped(method: Callable[..., Any]) -> Callable[..., Any]:
    wrapped: Callable[..., Any] = getattr(method, "__wrapped__", method)
    return wrapped


class _Adam(torch.optim.Adam):
    """Adam without the import of ``torch._dynamo``.

    PyTorch wraps these methods to keep ``torch.compile`` out of them. The first call imports the
    compiler, which takes longer than all else between the start of a training and its first step.
    """

    step = torch.no_grad()(_unwrapped(torch.optim.Adam.step))
    add_param_group = _unwrapped(torch.optim.Optimizer.add_param_group)
    zero_grad = _unwrapped(torch.optim.Optimizer.zero_grad)
    state_dict = _unwrapped(torch.optim.Optimizer.state_dict)
    load_state_dict = _unwrapped(torch.optim.Optimizer.load_state_dict)


class Optimiser:
    """Adam for the model's parameters, and at a learning rate of their own for the baselines'.

    A step whose loss or gradient is not finite is not taken, nor is any step after it: weights and
    Adam's state stay those of the last good step.
    """

    def __init__(
        self, model: nn.Module, baselines: nn.Module, config: Config, device: torch.device
    ) -> None:
        """Optimise ``model`` and ``baselines``, both on ``device``, as ``train.*`` says."""
        self.config = config
        self.parameters = [list(module.parameters()) for module in (model, baselines)]
        self.asynchronous = device.type == "cuda"
        """Whether the check for finite numbers stays on the GPU, so that no step waits for it."""
        self._first_bad = torch.full((), NONE, device=device)
        peaks = config.learning_rate, config.train.baseline_learning_rate
        groups: list[dict[str, Any]] = [
            {"params": parameters, "peak": peak}
            for parameters, peak in zip(self.parameters, peaks, strict=True)
            if parameters
        ]
        if self.asynchronous:  # a CUDA graph reads the learning rate from a fixed address
            for group in groups:
                group["lr"] = torch.zeros((), device=device)
        betas = BETA1, config.train.beta2
        self.adam = _Adam(groups, betas=betas, fused=True, capturable=self.asynchronous)

    @property
    def learning_rate(self) -> float:
        """The model's learning rate at the last step."""
        return float(self.adam.param_groups[0]["lr"])

    def set_learning_rates(self, number: int) -> None:
        """Set the learning rates of step ``number``."""
        for group in self.adam.param_groups:
            rate = group["peak"] * rate_factor(self.config, number)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def zero_grad(self) -> None:
        """Drop all gradients."""
        self.adam.zero_grad(set_to_none=True)

    def step(self, number: int | Tensor, loss: Tensor) -> None:
        """Clip the gradients and take step ``number``, unless it or one before was not finite.

        Args:
            number: the step, counted from 0; an int64 scalar in a CUDA graph.
            loss: the loss of the step, a scalar.
        """
        bad = ~torch.stack([loss, *self._clip()]).isfinite().all()
        first = bad & (self._first_bad == NONE)
        self._first_bad.copy_(torch.where(first, number, self._first_bad))
        if self.asynchronous:
            # As torch.amp.GradScaler does: the fused kernel then changes nothing.
            self.adam.found_inf = (self._first_bad != NONE).float()  # type: ignore[attr-defined]
        elif self.first_bad() is not None:
            return
        self.adam.step()

    def first_bad(self) -> int | None:
        """The first step that was not finite, counted from 0; None where all were."""
        first = int(self._first_bad.item())
        return None if first == NONE else first

    def state_dict(self) -> dict[str, Any]:
        """Adam's state, learning rates as plain numbers."""
        state: dict[str, Any] = self.adam.state_dict()
        for group in state["param_groups"]:
            group["lr"] = float(group["lr"])
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load Adam's state; its hyperparameters, such as betas, follow from the settings."""
        groups = self.adam.state_dict()["param_groups"]
        self.adam.load_state_dict({**state, "param_groups": groups})

    def _clip(self) -> list[Tensor]:
        """Clip the model's gradient; return the norms of it and the baselines' before that."""
        norms, limit = [], self.config.train.clip_norm
        for parameters in self.parameters:
            grads = [each.grad for each in parameters if each.grad is not None]
            if grads:
                norms.append(get_total_norm(grads))
        if limit != "none":
            clip_grads_with_norm_(self.parameters[0], limit, norms[0])
        return norms


def rate_factor(config: Config, number: int) -> float:
    """The factor of the learning rates at step ``number``, by ``train.schedule`` and warm-up.

    constant: 1. cosine: half a cosine from 1 to 0. cooldown: 1, then linearly to 0 over the last
    ``COOLDOWN`` of the steps (Hägele et al., arXiv 2405.18392, section 3). In the first
    ``config.warmup`` steps it rises linearly to that.
    """
    done, factor = min(1.0, number / config.train.steps), 1.0
    if config.train.schedule == "cooldown":
        factor = min(1.0, (1 - done) / COOLDOWN)
    elif config.train.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * done))
    return factor * min(1.0, (number + 1) / (config.warmup + 1))
