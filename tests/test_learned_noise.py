"""Pixel noise that is learned: its gradient, what it settles at, and the prior that follows it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from model_factory import blobs, double_noise, generator, tiny_air, tiny_config
from tiny_runs import CrashError, Recorder, config, crash, fit, go_on, same, state

from airkit.config.schema import Config
from airkit.model import fast
from airkit.model.air import AIR, LEAST_SD
from airkit.model.objectives.elbo import elbo
from airkit.runs.trained import open_run
from airkit.system.callbacks import Listener


def _config(sd: float = 0.3, **prior: float) -> Config:
    return tiny_config(3, pixel_noise="learned", pixel_sd=sd, prior=prior or None)


def test_it_starts_as_the_fixed_one() -> None:
    learned, fixed = tiny_air(_config(), spread=0), tiny_air(tiny_config(3, pixel_sd=0.3), spread=0)
    images, noise = blobs(4), double_noise(fixed, 4)
    torch.testing.assert_close(elbo(learned, images, noise), elbo(fixed, images, noise))


def test_it_settles_at_the_root_mean_square_of_what_is_left() -> None:
    """The likelihood of squared errors has its peak there."""
    air, pixels = AIR(_config()).double(), 256
    squared = torch.rand(50, generator=generator(1), dtype=torch.float64)
    optimiser = torch.optim.Adam([air.get_parameter("log_sd")], 0.02)
    for _ in range(400):
        optimiser.zero_grad()
        torch.autograd.backward(-air.log_p_x(squared).mean())
        optimiser.step()
    wanted = math.sqrt(float(squared.mean()) / pixels)
    assert torch.as_tensor(air.pixel_sd).item() == pytest.approx(wanted, rel=1e-3)


def test_it_does_not_vanish_where_nothing_is_left() -> None:
    air = AIR(_config())
    with torch.no_grad():
        air.get_parameter("log_sd").fill_(-50.0)
    assert torch.as_tensor(air.pixel_sd).item() == pytest.approx(LEAST_SD)
    assert air.log_p_x(torch.zeros(2)).isfinite().all()


def test_it_grows_from_below_its_least_value() -> None:
    air = AIR(_config(LEAST_SD / 2))
    (slope,) = torch.autograd.grad(air.log_p_x(torch.ones(())), air.get_parameter("log_sd"))
    assert slope > 0


def test_the_prior_follows_it_where_that_is_auto() -> None:
    """Half the noise makes an object four times as dear."""
    free, given = (AIR(_config(0.4, **prior)) for prior in ({"ratio": "auto"}, {"ratio": 0.3}))
    prices = []
    for air in (free, given):
        before = air.log_prior.diff()
        with torch.no_grad():
            air.get_parameter("log_sd").add_(math.log(0.5))
        prices.append(air.log_prior.diff() / before)
    assert prices[0].tolist() == pytest.approx([4.0] * 3, rel=1e-4)
    assert prices[1].tolist() == [1.0] * 3


@pytest.mark.parametrize("compositing", ["add", "over"])
def test_the_fast_gradient_is_the_references(compositing: str) -> None:
    config = tiny_config(3, pixel_noise="learned", compositing=compositing)
    air, images = tiny_air(config), blobs(4)
    noise, sd = double_noise(air, 4), air.get_parameter("log_sd")
    slopes = [
        torch.autograd.grad(each.log_likelihood.sum(), sd)[0]
        for each in (air(images, noise), fast.unroll(air, images, noise))
    ]
    torch.testing.assert_close(slopes[0], slopes[1])
    assert float(slopes[0].abs()) > 1


def test_a_run_with_both_learned_resumes_to_the_bit(tmp_path: Path) -> None:
    learned: dict[str, Any] = {"model__pixel_noise": "learned", "model__background": "learned"}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(whole, **learned)
    with pytest.raises(CrashError):
        fit(cut, listener=Recorder(step9=crash), **learned)
    go_on(cut)
    assert same(state(whole).model, state(cut).model)
    assert {"log_sd", "background.learned.decoder.0.weight"} <= set(state(cut).model)
    found = open_run(cut, None, "last", None, Listener())
    assert found.config.pixel_sd == pytest.approx(torch.as_tensor(found.air.pixel_sd).item())
    assert found.config.pixel_sd != pytest.approx(config(**learned).pixel_sd)
