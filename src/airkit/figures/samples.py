"""How many objects canvases drawn from the model have: each way of ``render.counts``.

Legend: N canvases, T slots.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from airkit.config.schema import Config
from airkit.errors import OutputError
from airkit.model.distributions import log_count_prior, sample_unbounded_counts
from airkit.system.device import generator

Array = np.ndarray[Any, Any]

MOST = 1_000
"""Objects that a canvas may be asked to hold: each takes all canvases through the decoder."""


def chosen(config: Config, most: int, slots: int) -> tuple[Array, str]:
    """Numbers of objects for a sheet, int64 [N], and how they came to be, in words.

    Args:
        config: ``render`` says how to choose and how many, ``prior`` their distribution.
        most: the greatest, where each row has one.
        slots: T, where they follow the prior on 0..T.

    Raises:
        OutputError: more than ``MOST`` objects were drawn for a canvas.
    """
    if config.render.counts == "unbounded":
        return _unbounded(config)
    log_prior = log_count_prior(config.prior.kind, config.prior_ratio, slots)
    empty = _empty(log_prior[0].exp().item())
    if config.render.counts == "prior":
        law = f"the {config.prior.kind} prior of ratio {config.prior_ratio:.3g} on 0..{slots}"
        draws = torch.multinomial(
            log_prior.exp(), _canvases(config), replacement=True, generator=_generator(config)
        )
        return draws.numpy(), f"drawn from {law}, under which {empty}"
    by_row = even(most, config.render.rows, config.render.columns)
    return by_row, f"chosen evenly by row; under the prior {empty}"


def even(most: int, rows: int, columns: int) -> Array:
    """A number of objects for each row, from 1 up to ``most``, as int64 [N]."""
    by_row = np.rint(np.linspace(1, most, rows)).astype(np.int64)
    return by_row.repeat(columns)


def _unbounded(config: Config) -> tuple[Array, str]:
    """Numbers that follow the geometric law without a bound."""
    ratio = config.prior_ratio
    draws = sample_unbounded_counts(ratio, _canvases(config), _generator(config)).numpy()
    if draws.max() > MOST:
        raise OutputError(
            "The prior draws too many objects for a canvas",
            expected=f"at most {MOST:,}",
            got=f"{draws.max():,}, as prior.ratio is {ratio:g}",
            hint="lower prior.ratio; the mean number is ratio / (1 - ratio)",
        )
    law = f"p(n) = (1 - {ratio:.3g}) {ratio:.3g}^n, n = 0, 1, 2 ... without bound"
    return draws, f"drawn from {law}, under which {_empty(1 - ratio)}"


def _empty(share: float) -> str:
    return f"{100 * share:.3g} % of scenes are empty"


def _canvases(config: Config) -> int:
    return config.render.rows * config.render.columns


def _generator(config: Config) -> torch.Generator:
    """A CPU generator, so that every device is given the same numbers."""
    return generator(config.eval.seed, "prior counts")
