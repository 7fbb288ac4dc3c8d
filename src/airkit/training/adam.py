"""Adam, ready sooner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer


def _plain(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of PyTorch's without what keeps ``torch.compile`` out of it."""
    plain: Callable[..., Any] = getattr(method, "__wrapped__", method)
    return plain


class Adam(torch.optim.Adam):
    """PyTorch's Adam, for programs that do not compile it.

    The first call of each of these methods would load the compiler, to tell it to stay away;
    that takes longer than all else between starting a training and its first step.
    """

    step = torch.no_grad()(_plain(torch.optim.Adam.step))
    add_param_group = _plain(Optimizer.add_param_group)
    zero_grad = _plain(Optimizer.zero_grad)
    state_dict = _plain(Optimizer.state_dict)
    load_state_dict = _plain(Optimizer.load_state_dict)
