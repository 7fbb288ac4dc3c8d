"""Forgeries of what a checkpoint holds: values, tensors, settings, and the optimiser's state."""

from __future__ import annotations

import json
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Content = dict[str, Any]


def _laughs() -> list[Any]:
    """A list of some bytes that takes for ever to walk through."""
    inner: list[Any] = ["ha"]
    for _ in range(40):
        inner = [inner, inner, inner]
    return inner


def _odd(rng: random.Random) -> Any:
    """Any value that a checkpoint can hold."""
    return rng.choice((
        None, True, 0, -1, 3, 2**31, 2**63, 10**400, -(10**5000), 0.5, float("nan"), float("inf"),
        "", "x", "9" * 5000, "x" * 10**6, "\x1b[2J\nall is well", b"x", [], {}, (), [1, "a"],
        {"step": 3}, {1: 2}, _laughs(), torch.ones(3), torch.tensor(3), torch.float16, {1, 2},
        torch.device("cuda:7"), torch.Size([2]), OrderedDict(a=1), bytearray(b"x"), 1j,
        torch.nn.Parameter(torch.ones(2)), torch.tensor(float("nan")), "/dev/zero", "\udc80",
    ))  # fmt: skip


def _field(content: Content, rng: random.Random) -> str:
    """Some field, of any kind and value."""
    name = rng.choice(list(content))
    content[name] = _odd(rng)
    return name


def _no_field(content: Content, rng: random.Random) -> str:
    name = rng.choice(list(content))
    del content[name]
    return name


def _best(content: Content, rng: random.Random) -> str:
    best = {"step": 1, "elbo": 2.0, "count_accuracy": 0.5}
    best[rng.choice((*best, "more"))] = _odd(rng)
    content["best"] = best
    return ""


def _setting(content: Content, rng: random.Random) -> str:
    """Some setting of the configuration, such as a width that asks for terabytes."""
    if not isinstance(content.get("config"), str):
        return "none"
    try:
        values = json.loads(content["config"])
    except ValueError:
        return "none"
    huge: dict[str, tuple[str, Any]] = {
        "hidden_size": ("model", rng.choice((8192, 10**9, 0))),
        "encoder_net": ("model", [8192] * rng.choice((1, 64, 5000))),
        "decoder_net": ("model", [8192] * rng.choice((9, 64))),
        "code_size": ("model", 1024),
        "window_size": ("model", 128),
        "slots": ("model", rng.choice((1, 128))),
        "canvas_size": ("data", 1024),
        "rnn_size": ("guide", 8192),
        "baseline_net": ("train", [8192] * rng.choice((1, 64))),
        "embed_net": ("guide", [8192] * rng.choice((1, 64))),
        "kind": ("guide", rng.choice(("saliency", "lstm"))),
        "estimator": ("train", rng.choice(("exact", "nvil"))),
        "device": ("train", rng.choice(("cuda:99", "mps"))),
        "pose": ("model", "affine"),
    }
    for name in rng.sample(list(huge), rng.choice((1, 1, 3))):
        section, value = huge[name]
        values.setdefault(section, {})[name] = value
    content["config"] = json.dumps(values)
    return ""


def _resized(tensor: Tensor, rng: random.Random) -> Tensor:
    return rng.choice((
        lambda: torch.ones(()), lambda: torch.ones(0), lambda: torch.ones(*tensor.shape, 2),
        lambda: tensor.reshape(-1), lambda: tensor.flatten()[:1], lambda: tensor.T,
        lambda: torch.ones(1).expand(2**40), lambda: torch.ones(1).expand(tensor.shape),
        lambda: torch.ones(1).expand(2**31, 2**31), lambda: torch.as_strided(tensor, (3,), (0,)),
        lambda: torch.ones(2 * tensor.numel())[::2],
    ))()  # fmt: skip


def _retyped(tensor: Tensor, rng: random.Random) -> Tensor:
    return rng.choice((
        tensor.double, tensor.half, tensor.int, tensor.bool, lambda: tensor.to(torch.complex64),
        lambda: tensor.to(torch.bfloat16), lambda: tensor.to("meta"), tensor.to_sparse,
        lambda: tensor.to(torch.float8_e4m3fn), lambda: torch.nn.Parameter(tensor.float()),
        lambda: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.quint8),
        lambda: torch.empty(2**40, device="meta"), lambda: _sparse(tensor),
    ))()  # fmt: skip


def _sparse(tensor: Tensor) -> Tensor:
    """A sparse tensor of a terabyte, of which nothing is there."""
    return torch.sparse_coo_tensor(torch.zeros(1, 0), torch.zeros(0), (2**40,))


def _refilled(tensor: Tensor, rng: random.Random) -> Tensor:
    value = rng.choice((float("nan"), float("inf"), -1e38, 1e38, 0.0))
    filled = tensor.clone()
    if rng.random() < 0.5 and filled.numel():
        filled.view(-1)[rng.randrange(filled.numel())] = value
        return filled
    return torch.full_like(tensor, value)


_TENSORS: tuple[Callable[[Tensor, random.Random], Any], ...] = (
    _resized, _retyped, _refilled, _refilled, lambda tensor, rng: _odd(rng),
)  # fmt: skip


def _weight(content: Content, rng: random.Random) -> str:
    """A tensor of the model or the baseline of another shape, type or content."""
    part = rng.choice(("model", "model", "baselines"))
    weights = content.get(part)
    if not isinstance(weights, dict) or not weights:
        return "none"
    name = rng.choice(list(weights))
    how: Any = rng.choice((*_TENSORS, "gone", "more"))
    if how == "gone":
        del weights[name]
    elif how == "more":
        weights[rng.choice(("x", "", 7, name + "x"))] = weights[name]
    elif isinstance(weights[name], Tensor):
        weights[name] = how(weights[name], rng)
    return part


def _optimiser_part(content: Content, name: str, kind: type) -> Any:
    """A part of the optimiser's state, or None where an earlier change left none of its kind."""
    optimiser = content.get("optimiser")
    part = optimiser.get(name) if isinstance(optimiser, dict) else None
    return part if isinstance(part, kind) else None


def _moment(content: Content, rng: random.Random) -> str:
    """A tensor or another part of Adam's state."""
    state = _optimiser_part(content, "state", dict)
    if state is None:
        return "none"
    if not state:
        return "empty"
    key = rng.choice(list(state))
    if rng.random() < 0.3 or not isinstance(state[key], dict):
        state[rng.choice((key, 999, -1, "a"))] = _odd(rng)
        return "entry"
    name = rng.choice(("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "extra"))
    old = state[key].get(name, torch.ones(2))
    state[key][name] = rng.choice(_TENSORS)(old, rng) if isinstance(old, Tensor) else _odd(rng)
    return name


def _group(content: Content, rng: random.Random) -> str:
    """A group of parameters and the numbers it is trained with."""
    groups = _optimiser_part(content, "param_groups", list)
    if groups is None:
        return "none"
    group = rng.choice(groups) if groups else None
    if rng.random() < 0.3 or not isinstance(group, dict):
        content["optimiser"]["param_groups"] = rng.choice(
            ([], groups * 2, [group], _odd(rng), [_odd(rng)])
        )
        return "all"
    name = rng.choice((*group, "extra"))
    group[name] = _odd(rng)
    return str(name)


FORGERIES = (
    _field,
    _no_field,
    _best,
    _setting,
    _setting,
    _weight,
    _weight,
    _moment,
    _moment,
    _group,
)
