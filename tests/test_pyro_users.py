"""What Pyro's users do beside SVI: particles at once, second derivatives, weights into a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch
from model_factory import blobs
from pyro import poutine
from pyro.infer import SVI, Predictive, RenyiELBO, Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO
from test_pyro_programs import BATCH, GUIDES, REPEATS, air_of, noise_for, traces
from tiny_runs import TRAIN, data_file, reference, same
from torch import Tensor
from torch.autograd import functional

import airkit
from airkit.data.dataset import CanvasDataset, to_float
from airkit.errors import AirkitError
from airkit.model.air import AIR
from airkit.model.guides import MEANS
from airkit.model.objectives import elbo as objective
from airkit.model.objectives.baselines import BASELINES
from airkit.model.pyro_programs import PyroAIR

K = 4


pytestmark = pytest.mark.usefixtures("clean_pyro")


# Several particles at once


@pytest.mark.parametrize("background", ["none", "learned"])
@pytest.mark.parametrize("kind", GUIDES)
def test_particles_at_once_are_those_one_by_one(kind: str, background: str) -> None:
    """Every site, draw for draw."""
    air = air_of(kind, slots=2, background=background)
    programs, images = PyroAIR(air), blobs(BATCH)
    with pyro.plate("particles", K, dim=-2):
        many = poutine.trace(programs.guide).get_trace(images)
        scored = poutine.trace(poutine.replay(programs.model, many)).get_trace(images)
    many.compute_log_prob()
    scored.compute_log_prob()
    for k in range(K):
        values = {name: many.nodes[name]["value"][k] for name in many.stochastic_nodes}
        values.pop("canvases")
        one = poutine.trace(poutine.condition(programs.guide, values)).get_trace(images)
        model = poutine.trace(poutine.condition(programs.model, values)).get_trace(images)
        one.compute_log_prob()
        model.compute_log_prob()
        for trace, other in ((one, many), (model, scored)):
            names = [*values, "obs"] if trace is model else [*values]
            for name in names:
                found = other.nodes[name]["log_prob"][k]
                torch.testing.assert_close(trace.nodes[name]["log_prob"], found)


@pytest.mark.parametrize("elbo", [Trace_ELBO, TraceGraph_ELBO])
def test_their_mean_is_the_exact_elbo(elbo: Any) -> None:
    """Within four standard errors, which are below a hundredth of it."""
    air, images = air_of("lstm", slots=2, pixel_sd=1.0), blobs(BATCH)
    programs = PyroAIR(air)
    at_once = elbo(num_particles=REPEATS, vectorize_particles=True, max_plate_nesting=1)
    with torch.no_grad():
        found = torch.tensor(
            [-at_once.loss(programs.model, programs.guide, images) / BATCH for _ in range(5)]
        )
        many = images.repeat(REPEATS, 1, 1, 1)
        ours = objective.elbo(air, many, noise_for(air, len(many)))
    error = (ours.var() / len(ours) + found.var() / len(found)).sqrt()
    assert abs(float(found.mean() - ours.mean())) < 4 * float(error)
    assert float(error) < 0.01 * abs(float(ours.mean()))


def test_particles_at_once_train_with_the_baseline() -> None:
    air, images = air_of("lstm", slots=2), blobs(6)
    programs = PyroAIR(air, baseline=BASELINES["lstm"](air.config).double())
    many = TraceGraph_ELBO(num_particles=K, vectorize_particles=True, max_plate_nesting=1)
    svi = SVI(programs.model, programs.guide, pyro.optim.Adam({"lr": 3e-3}), many)
    found = [svi.step(images) for _ in range(8)]
    assert sum(found[-2:]) < sum(found[:2])


def test_bounds_and_draws_of_many_at_once() -> None:
    air, images = air_of("saliency", slots=2), blobs(3)
    programs = PyroAIR(air)
    bound = RenyiELBO(alpha=0, num_particles=K, vectorize_particles=True, max_plate_nesting=1)
    assert bound.loss(programs.model, programs.guide, images) > 0
    draws = Predictive(programs.model, guide=programs.guide, num_samples=K, parallel=True)(images)
    assert draws["z_where_1"].shape == (K, 3, 3)
    sites = ["_RETURN", "obs"]
    prior = Predictive(programs.model, num_samples=K, parallel=True, return_sites=sites)(batch=2)
    assert {each.shape for each in prior.values()} == {(K, 2, 1, 16, 16)}


def test_a_count_for_each_canvas_serves_all_particles() -> None:
    programs = PyroAIR(air_of("saliency", slots=2))
    given = {"z_pres_0": torch.ones(3).double(), "z_pres_1": torch.zeros(3).double()}
    model = poutine.condition(programs.model, given)
    found = Predictive(model, num_samples=K, parallel=True, return_sites=["_RETURN"])(batch=3)
    assert found["_RETURN"].flatten(2).any(2).all()


def test_presences_cannot_be_enumerated() -> None:
    programs, images = PyroAIR(air_of("lstm", slots=2)), blobs(2)
    guide = poutine.infer_config(programs.guide, lambda site: {"enumerate": "parallel"})
    with pytest.raises(ValueError, match=r"z_pres_0 has shape .* enumerated"):
        TraceEnum_ELBO(max_plate_nesting=1).loss(programs.model, guide, images)


# Second derivatives


def log_joint(air: AIR, images: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Log p(x, z | two objects) of their poses and codes, flat; and a place to look at."""
    _, model, _ = traces(air, images, noise_for(air, len(images)), 2)
    names = [f"{name}_{slot}" for slot in range(2) for name in ("z_where", "z_what")]
    present = {f"z_pres_{slot}": torch.ones(len(images)).double() for slot in range(2)}
    start = torch.cat([model.nodes[name]["value"] for name in names], 1).detach()

    def value(latents: Tensor) -> Tensor:
        data = dict(zip(names, latents.view(start.shape).chunk(4, 1), strict=True))
        program = poutine.condition(PyroAIR(air).model, data | present)
        found: Tensor = poutine.trace(program).get_trace(images).log_prob_sum()
        return found

    return value, start.flatten()


def hessian(value: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    found: Tensor = functional.hessian(value, at)  # type: ignore[no-untyped-call]
    return found


def differences(value: Callable[[Tensor], Tensor], at: Tensor, step: float = 1e-5) -> Tensor:
    """The Hessian by central differences of the gradient."""

    def gradient(place: Tensor) -> Tensor:
        place = place.clone().requires_grad_()
        return torch.autograd.grad(value(place), place)[0]

    moves = step * torch.eye(len(at)).double()
    return torch.stack([gradient(at + move) - gradient(at - move) for move in moves]) / (2 * step)


@pytest.mark.parametrize("pose", ["uniform", "affine"])
@pytest.mark.parametrize("compositing", ["add", "over"])
def test_hessians_on_the_latents_are_right(pose: str, compositing: str) -> None:
    air = (
        air_of("saliency", slots=2, pose=pose, compositing=compositing).requires_grad_(False).eval()
    )
    value, at = log_joint(air, blobs(1))
    exact = hessian(value, at)
    torch.testing.assert_close(exact, differences(value, at), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(exact, exact.T, rtol=1e-9, atol=1e-9)
    assert exact[:3, 6:9].abs().max() > 1e-3, "objects that meet explain each other away"


# Weights into a run


def bound(air: AIR, path: Path) -> Tensor:
    """The exact ELBO of a data file's test canvases, at the guide's means."""
    images = to_float(CanvasDataset(path, "test").images)
    with torch.no_grad():
        return objective.elbo(air, images, MEANS)


def pyro_trained(air: AIR, path: Path, steps: int = 3) -> AIR:
    images = to_float(CanvasDataset(path, "train").images)[:8]
    programs = PyroAIR(air)
    svi = SVI(programs.model, programs.guide, pyro.optim.Adam({"lr": 1e-3}), TraceGraph_ELBO())
    for _ in range(steps):
        svi.step(images)
    return air.eval()


@pytest.mark.parametrize("noise", ["fixed", "learned"])
def test_weights_trained_in_pyro_become_a_run(home: Path, noise: str) -> None:
    config = airkit.settings.resolve(
        airkit.settings.Layer("data", airkit.describe(data_file()).config.model_dump()),
        *airkit.settings.layers({**TRAIN, "model.pixel_noise": noise, "train.steps": 5}),
    )
    air = AIR(config)
    before = {name: value.clone() for name, value in air.state_dict().items()}
    pyro_trained(air, data_file())
    assert all(not torch.equal(before[name], value) for name, value in air.state_dict().items())
    run = airkit.save(air, "run", data_file(), steps=3)
    back = airkit.load(run)
    assert same(dict(back.state_dict()), dict(air.state_dict()))
    assert torch.equal(bound(back, data_file()), bound(air, data_file()))
    assert airkit.describe(run).facts["best"] is None
    report = airkit.train(run=run)
    assert (report.resumed_from, report.steps) == (3, 5)


def test_a_run_that_pyro_trained_further_is_a_run(home: Path) -> None:
    air = pyro_trained(airkit.load(reference()), data_file())
    run = airkit.save(air, "further", data_file())
    assert torch.equal(bound(airkit.load(run), data_file()), bound(air, data_file()))
    assert not torch.equal(bound(airkit.load(reference()), data_file()), bound(air, data_file()))


def test_nothing_is_replaced_and_nothing_odd_is_saved(home: Path) -> None:
    air = airkit.load(reference())
    airkit.save(air, "run", data_file())
    Path("mine").mkdir()
    Path("mine/config.toml").write_text("")
    Path("book").mkdir()
    Path("book/chapter.txt").write_text("Call me Ishmael.")
    for taken in ("run", "mine", "book"):
        with pytest.raises(AirkitError, match="in use"):
            airkit.save(air, taken, data_file())
    for steps in (-1, 10**10):
        with pytest.raises(AirkitError, match="no such number of steps"):
            airkit.save(air, "other", data_file(), steps=steps)
    with pytest.raises(AirkitError, match=r"other canvases[^$]*max_digits = 2[^$]*max_digits = 3"):
        airkit.save(air, "other", data_file(max_digits=3, train=4, val=0, test=0))
    assert not Path("other").exists()
    air.get_parameter("decoder.layers.0.bias").data[0] = torch.nan
    with pytest.raises(AirkitError, match="not finite"):
        airkit.save(air, "other", data_file())
    assert not Path("other").exists()


def test_a_model_with_another_network_is_not_saved_as_a_run_that_nothing_reads(home: Path) -> None:
    air = airkit.load(reference())
    layers = air.get_submodule("decoder.layers")
    layers.add_module("0", torch.nn.Linear(4, 3))
    with pytest.raises(AirkitError, match="not those of a model of its settings") as caught:
        airkit.save(air, "run", data_file())
    assert "where     decoder.layers.0.weight\n" in str(caught.value)
    assert "got       weights [3, 4]\n" in str(caught.value)
    air.add_module("decoder", torch.nn.Sequential(torch.nn.Linear(4, 3)))
    with pytest.raises(AirkitError, match="got       no such weights"):
        airkit.save(air, "run", data_file())
    assert not Path("run").exists()
