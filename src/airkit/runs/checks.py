"""Whether what a checkpoint holds is what a training can have written.

Everything is compared with the checkpoint's own configuration before memory is taken for a
model of it; a file of some bytes may claim weights of terabytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from airkit.config.schema import Config
from airkit.model.air import AIR
from airkit.model.objectives.baselines import BASELINES

_MOST_STEPS = 10**9
_MOST_TEXT = 4096  # characters of a path

Shapes = dict[str, tuple[int, ...]]


def check_values(content: Mapping[str, Any]) -> None:
    """Check the types and bounds of all that is no tensor; raises ValueError or KeyError."""
    for name, fits in _KINDS.items():
        _require(fits(content[name]), name)
    best = content["best"]
    if best is not None:
        _require(isinstance(best, dict) and set(best) == {"step", "elbo", "count_accuracy"}, "best")
        _require(_count(best["step"]) and best["step"] <= content["step"], "best step")
        _require(_number(best["elbo"]), "best elbo")
        _require(_number(best["count_accuracy"]), "best count_accuracy")


def check_tensors(content: Mapping[str, Any], config: Config, size: int) -> None:
    """Check all tensors against ``config`` and the file's ``size`` in bytes; raises ValueError."""
    weights, baselines = _shapes(config)
    _check_weights("model", content["model"], weights)
    _check_weights("baselines", content["baselines"], baselines)
    moments = _moments(content["optimiser"], [*weights.values(), *baselines.values()])
    tensors = [*content["model"].values(), *content["baselines"].values(), *moments]
    # Views can make much of few bytes, and one part of the file can be many tensors.
    _require(sum(tensor.nbytes for tensor in tensors) <= size, "tensors larger than the file")
    for part in ("model", "baselines"):
        finite = all(bool(tensor.isfinite().all()) for tensor in content[part].values())
        _require(finite, f"{part} weights that are no numbers")
    # A mean of squares can be infinite; Adam then takes no step, and goes on.
    _require(not any(bool(tensor.isnan().any()) for tensor in moments), "optimiser state")


class _Weightless(TorchFunctionMode):
    """Makes the parameters of modules built within it on no device: they have but a shape.

    The device ``meta`` for everything would load a second's worth of modules.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _shapes(config: Config) -> tuple[Shapes, Shapes]:
    """Shapes of the weights of a configuration's model and of its baseline, by their names."""
    with _Weightless():
        air = AIR(config)
        train = config.train
        none = train.estimator == "exact" or train.baseline == "none"
        baseline = torch.nn.Module() if none else BASELINES[train.baseline](config, air.canvas)
    return _named(air), _named(baseline)


def _named(module: torch.nn.Module) -> Shapes:
    return {name: tuple(weights.shape) for name, weights in module.state_dict().items()}


def _check_weights(part: str, weights: Mapping[str, Any], expected: Shapes) -> None:
    for name in [*expected, *weights]:
        _require(
            name in weights and name in expected, f"{part} weights {name!r}: lacking, or too many"
        )
        _check_tensor(f"{part} weights {name}", weights[name], expected[name])


def _moments(optimiser: Mapping[str, Any], expected: list[tuple[int, ...]]) -> list[Tensor]:
    """All tensors of Adam's state; there is none for a parameter that was never used."""
    state = optimiser["state"]
    _require(isinstance(state, dict) and set(state) <= set(range(len(expected))), "optimiser state")
    found: list[Tensor] = []
    for number, entry in state.items():
        names = ("step", "exp_avg", "exp_avg_sq")
        _require(isinstance(entry, dict) and set(entry) == set(names), "optimiser state")
        for name, shape in zip(names, ((), expected[number], expected[number]), strict=True):
            _check_tensor(f"optimiser {name}", entry[name], shape)
            found.append(entry[name])
    return found


def _check_tensor(name: str, tensor: Any, shape: tuple[int, ...]) -> None:
    plain = isinstance(tensor, Tensor) and tensor.layout == torch.strided
    _require(plain and tensor.dtype == torch.float32, f"{name} are no float32 tensor")
    _require(tuple(tensor.shape) == shape, f"{name} of shape {tuple(tensor.shape)}, not {shape}")
    _require(tensor.is_contiguous(), f"{name} are a view")  # on which Adam's kernel aborts


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST_STEPS


def _number(value: object) -> bool:
    return type(value) is float and math.isfinite(value)


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MOST_TEXT and "\0" not in value


def _is(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind)


_KINDS: Mapping[str, Callable[[object], bool]] = {
    "step": _count,
    "config": _is(str),
    "model": _is(dict),
    "baselines": _is(dict),
    "optimiser": _is(dict),
    "data": _text,
    "data_digest": _text,
    "seconds": lambda value: _number(value) and value >= 0,  # type: ignore[operator]
    "loss_sum": _number,
    "loss_count": _count,
    "best": lambda value: value is None or isinstance(value, dict),
    "threads": lambda value: value is None or _count(value),
    "processes": lambda value: value is None or _count(value),
}


def _require(fine: bool, otherwise: str) -> None:
    if not fine:
        raise ValueError(otherwise)
