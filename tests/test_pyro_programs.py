"""The Pyro programs are the fast path's model and guide, and do what Pyro's users expect."""

from __future__ import annotations

from typing import Any

import pyro
import pytest
import torch
from model_factory import blobs, double_noise, tiny_air, tiny_config
from pyro import poutine
from pyro.infer import (
    SVI,
    Importance,
    Predictive,
    RenyiELBO,
    Trace_ELBO,
    TraceGraph_ELBO,
)
from torch import Tensor
from torch import distributions as dist

from airkit.config.registry import Named
from airkit.model.air import AIR
from airkit.model.counts import log_count_posterior
from airkit.model.guides import Noise
from airkit.model.objectives import elbo as objective
from airkit.model.objectives import iwae
from airkit.model.objectives.baselines import BASELINES
from airkit.model.pyro_programs import PyroAIR

GUIDES = ["saliency", "lstm"]
BACKGROUNDS = pytest.mark.parametrize("background", ["none", "learned"])
CHANNELS = pytest.mark.parametrize("channels", [1, 3])
BATCH = 5


pytestmark = pytest.mark.usefixtures("clean_pyro")


def air_of(kind: str, slots: int = 3, **other: Any) -> AIR:
    return tiny_air(tiny_config(slots, kind, **other))


def noise_for(air: AIR, batch: int, seed: int = 0) -> Noise:
    return double_noise(air, batch, seed, looks=False)


def traces(air: AIR, images: Tensor, noise: Noise, count: int, **options: Any) -> Any:
    """Model and guide traces where every canvas holds ``count`` objects, the noise's."""
    unrolled, programs = air(images, noise), PyroAIR(air, **options)
    data = {}
    if air.background.learned is not None:
        data["z_behind"] = air.background.learned.encode(images).sample(noise.behind)
    for slot in range(air.slots):
        data[f"z_pres_{slot}"] = torch.full((len(images),), float(slot < count)).double()
        data[f"z_where_{slot}"] = unrolled.where.value[:, slot]
        data[f"z_what_{slot}"] = unrolled.what.value[:, slot]
    guide = poutine.trace(poutine.condition(programs.guide, data)).get_trace(images)
    model = poutine.trace(poutine.condition(programs.model, data)).get_trace(images)
    guide.compute_log_prob()
    model.compute_log_prob()
    return unrolled, model, guide


def log_prob(trace: Any, *names: str) -> Tensor:
    """Log probability of the sites whose names begin so, [B]."""
    sites = [site for name, site in trace.nodes.items() if name.startswith(names)]
    return torch.stack([site["log_prob"] for site in sites if site["type"] == "sample"]).sum(0)


def site_kl(model: Any, guide: Any, name: str) -> Tensor:
    """KL between the distributions that guide and model have at a site, masked as they are, [B]."""
    ours, theirs = (trace.nodes[name]["fn"] for trace in (guide, model))
    kl = dist.kl_divergence(ours.base_dist, theirs.base_dist).sum(-1)
    mask = guide.nodes[name]["mask"]
    return kl if mask is None else torch.where(mask, kl, 0.0)


@CHANNELS
@pytest.mark.parametrize("kind", GUIDES)
@pytest.mark.parametrize("prior", ["geometric", "success"])
@pytest.mark.parametrize(
    ("pose", "background"), [("uniform", "none"), ("affine", "none"), ("uniform", "learned")]
)
def test_the_exact_elbo_is_pyros_enumerated_over_counts(
    kind: str, prior: str, pose: str, background: str, channels: int
) -> None:
    sets: dict[str, Any] = {"pose": pose, "background": background, "channels": channels}
    air = air_of(kind, prior={"kind": prior, "ratio": 0.3}, **sets)
    images, noise = blobs(BATCH, channels=channels), noise_for(air, BATCH)
    total, mass = torch.zeros(BATCH).double(), torch.zeros(BATCH).double()
    for count in range(air.slots + 1):
        _, model, guide = traces(air, images, noise, count)
        log_q = log_prob(guide, "z_pres")
        value = log_prob(model, "z_pres", "z_behind", "obs") - log_prob(guide, "z_pres", "z_behind")
        for slot in range(air.slots):
            value = value - site_kl(model, guide, f"z_where_{slot}")
            value = value - site_kl(model, guide, f"z_what_{slot}")
        total, mass = total + log_q.exp() * value, mass + log_q.exp()
    torch.testing.assert_close(mass, torch.ones(BATCH).double())
    torch.testing.assert_close(objective.elbo(air, images, noise), total, rtol=1e-8, atol=1e-6)


@CHANNELS
@BACKGROUNDS
@pytest.mark.parametrize("kind", GUIDES)
@pytest.mark.parametrize(
    ("shape", "decoder"),
    [((16, 16), "mlp"), ((16, 9), "mlp"), ((16, 16), Named("outside:Convolutions"))],
)
def test_every_weight_of_the_bound_is_pyros(
    kind: str, background: str, channels: int, shape: tuple[int, int], decoder: str
) -> None:
    """Log p(x, z, n) - log q(z) for each count, with log densities in the place of KLs."""
    air = air_of(kind, channels=channels, background=background, shape=shape, decoder=decoder)
    images, noise = blobs(BATCH, channels=channels)[..., : shape[1]], noise_for(air, BATCH)
    for count in range(air.slots + 1):
        unrolled, model, guide = traces(air, images, noise, count)
        ours = iwae.log_joint(air, unrolled)[:, count]
        theirs = log_prob(model, "z_", "obs") - log_prob(guide, "z_where", "z_what", "z_behind")
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-6)
        log_q = log_count_posterior(unrolled.logits)[0][:, count]
        torch.testing.assert_close(log_q, log_prob(guide, "z_pres"), rtol=1e-8, atol=1e-10)


REPEATS = 200


def losses(programs: PyroAIR, images: Tensor, elbo: Any, draws: int) -> Tensor:
    """Losses a canvas, each the mean of ``REPEATS`` independent ones, [draws]."""
    many = images.repeat(REPEATS, 1, 1, 1)
    with torch.no_grad():
        found = [elbo.loss(programs.model, programs.guide, many) for _ in range(draws)]
    return torch.tensor(found, dtype=torch.float64) / len(many)


@pytest.mark.parametrize("kind", GUIDES)
@pytest.mark.parametrize(
    "elbo", [Trace_ELBO, pytest.param(TraceGraph_ELBO, marks=pytest.mark.slow)]
)
def test_the_mean_of_pyros_losses_is_the_exact_elbo(kind: str, elbo: Any) -> None:
    """Within four standard errors, which are below a hundredth of it."""
    air, images = air_of(kind, slots=2, pixel_sd=1.0), blobs(BATCH)
    found = losses(PyroAIR(air), images, elbo(), 15)
    with torch.no_grad():
        many = images.repeat(20 * REPEATS, 1, 1, 1)
        ours = objective.elbo(air, many, noise_for(air, len(many)))
    error = (ours.var() / len(ours) + found.var() / len(found)).sqrt()
    assert abs(float(found.mean() + ours.mean())) < 4 * float(error)
    assert float(error) < 0.01 * abs(float(ours.mean()))


@CHANNELS
def test_sites_plate_and_shapes(channels: int) -> None:
    air, images = air_of("saliency", slots=2, channels=channels), blobs(BATCH, channels=channels)
    trace = poutine.trace(PyroAIR(air).model).get_trace(images)
    shapes = {
        name: tuple(site["value"].shape)
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and name != "canvases"
    }
    latents = {"z_pres": (BATCH,), "z_where": (BATCH, 3), "z_what": (BATCH, 3)}
    wanted = {f"{name}_{t}": shape for t in (0, 1) for name, shape in latents.items()}
    assert shapes == {**wanted, "obs": (BATCH, channels, 16, 16)}
    frames = {frame.name for frame in trace.nodes["obs"]["cond_indep_stack"]}
    assert frames == {"canvases"}
    assert trace.nodes["obs"]["is_observed"]


@pytest.mark.parametrize("program", ["model", "guide"])
def test_nothing_comes_after_an_absent_object(program: str) -> None:
    air, images = air_of("lstm"), blobs(40)
    trace = poutine.trace(getattr(PyroAIR(air), program)).get_trace(images)
    trace.compute_log_prob()
    present = torch.stack([trace.nodes[f"z_pres_{t}"]["value"] for t in range(3)], 1)
    assert (present[:, 1:] <= present[:, :-1]).all()
    assert 0 < present.sum() < present.numel()
    for slot in range(3):
        for name in ("z_where", "z_what"):
            cost = trace.nodes[f"{name}_{slot}"]["log_prob"]
            assert torch.equal(cost != 0, present[:, slot] > 0)
        if slot:
            certain = present[:, slot - 1] == 0
            assert (trace.nodes[f"z_pres_{slot}"]["log_prob"][certain] == 0).all()


def test_without_masking_absent_objects_cost() -> None:
    air, images = air_of("lstm"), blobs(40)
    trace = poutine.trace(PyroAIR(air, masking=False).guide).get_trace(images)
    trace.compute_log_prob()
    assert (trace.nodes["z_what_2"]["log_prob"] != 0).all()
    assert (trace.nodes["z_pres_2"]["value"] == 0).any()


def test_absent_objects_paint_nothing() -> None:
    air = air_of("saliency", slots=2)
    data = {"z_pres_0": torch.tensor([0.0, 1.0]).double()}
    canvases = poutine.condition(PyroAIR(air).model, data)(batch=2)
    assert not canvases[0].any()
    assert canvases[1].any()


def test_without_images_it_draws_them() -> None:
    """Counts, canvases and noise of draws from the prior are the fast path's."""
    air = air_of("saliency", prior={"kind": "success", "ratio": 0.6})
    drawn = Predictive(PyroAIR(air).model, num_samples=1, return_sites=["obs", "_RETURN"])
    both = drawn(batch=600)
    noise = both["obs"] - both["_RETURN"]
    assert noise.shape == (1, 600, 1, 16, 16)
    assert float(noise.std()) == pytest.approx(air.pixel_sd, rel=0.02)
    sites = Predictive(PyroAIR(air).model, num_samples=1)(batch=600)
    counts = torch.stack([sites[f"z_pres_{t}"][0] for t in range(3)]).sum(0)
    shares = torch.bincount(counts.long(), minlength=4) / 600
    torch.testing.assert_close(shares, air.log_prior.exp().float(), rtol=0, atol=0.07)


def test_predictive_draws_from_the_posterior() -> None:
    air, images = air_of("lstm", slots=2), blobs(BATCH)
    programs = PyroAIR(air)
    found = Predictive(programs.model, guide=programs.guide, num_samples=4)(images)
    assert found["z_where_1"].shape == (4, BATCH, 3)
    assert set(found["z_pres_0"].unique().tolist()) <= {0.0, 1.0}


def test_importance_weights_tighten_the_bound() -> None:
    """Pyro's importance-weighted bound is above its ELBO, and where the fast path's is."""
    air, images = air_of("saliency", slots=2, pixel_sd=1.0), blobs(1)
    programs, many = PyroAIR(air), images.repeat(REPEATS, 1, 1, 1)
    plain = -losses(programs, images, Trace_ELBO(), 5)
    with torch.no_grad():
        weighted = -RenyiELBO(alpha=0, num_particles=20).loss(programs.model, programs.guide, many)
        every = many.repeat(100, 1, 1, 1)
        weights = iwae.log_weight(air, air(every, noise_for(air, len(every))))
    ours = iwae.iwae(weights.view(20, -1))
    assert weighted / REPEATS > float(plain.mean())
    assert float(ours.mean()) > float(plain.mean())
    # Ours sums the count out, so that it is the tighter one of the two.
    assert weighted / REPEATS == pytest.approx(float(ours.mean()), rel=0.02)
    posterior = Importance(programs.model, guide=programs.guide, num_samples=30).run(images)
    assert len(posterior.log_weights) == 30
    assert 1 <= float(posterior.get_ESS()) <= 30


def test_svi_of_pyro_trains_it() -> None:
    air, images = air_of("lstm", slots=2), blobs(20)
    programs = PyroAIR(air)
    svi = SVI(programs.model, programs.guide, pyro.optim.Adam({"lr": 3e-3}), TraceGraph_ELBO())
    found = [svi.step(images) for _ in range(80)]
    assert sum(found[-10:]) < 0.8 * sum(found[:10])
    names = {name.replace("$$$", ".").removeprefix("air.") for name in pyro.get_param_store()}
    assert names == {name for name, _ in air.named_parameters()}


def test_svi_of_pyro_trains_the_baseline_too() -> None:
    air, images = air_of("lstm", slots=2), blobs(20)
    baseline = BASELINES["lstm"](tiny_config(2)).double()
    programs, before = PyroAIR(air, baseline=baseline), baseline.state_dict()["head.0.weight"] + 0
    svi = SVI(programs.model, programs.guide, pyro.optim.Adam({"lr": 3e-3}), TraceGraph_ELBO())
    svi.step(images)
    assert not torch.equal(baseline.state_dict()["head.0.weight"], before)


def test_without_the_store_pyro_knows_no_parameters() -> None:
    air = air_of("lstm", slots=2)
    programs = PyroAIR(air, param_store=False)
    TraceGraph_ELBO().loss_and_grads(programs.model, programs.guide, blobs(3))
    assert not list(pyro.get_param_store())
    assert all(weights.grad is not None for weights in air.parameters())


@pytest.mark.parametrize("kind", BASELINES)
def test_baselines_reach_pyro(kind: str) -> None:
    air = air_of("lstm", slots=2)
    config = tiny_config(2)
    baseline = BASELINES[kind](config).double()
    programs = PyroAIR(air, baseline=baseline, baseline_scale=7.0)
    images = blobs(30)
    trace = poutine.trace(programs.guide).get_trace(images)
    state = baseline.start(images)
    for slot in range(2):
        state, value = baseline.predict(state)
        before = trace.nodes[f"z_pres_{slot - 1}"]["value"] if slot else torch.ones(30).double()
        told = trace.nodes[f"z_pres_{slot}"]["infer"]["baseline"]["baseline_value"]
        torch.testing.assert_close(told, 7 * value * before)
        where, what = (trace.nodes[f"{name}_{slot}"]["value"] for name in ("z_where", "z_what"))
        latents = torch.cat([where, what, torch.ones(30, 1).double()], 1)
        state = baseline.advance(state, slot, latents)


def test_drawn_looks_are_drawn() -> None:
    air, images = air_of("saliency", slots=2), blobs(40, objects=6)
    air.guide.sharpness = 1.0
    means = [
        poutine.trace(PyroAIR(air, drawn_looks=looks).guide).get_trace(images).nodes["z_where_0"]
        for looks in (False, False, True, True)
    ]
    one, two, three, four = (site["fn"].base_dist.loc for site in means)
    assert torch.equal(one, two)
    assert not torch.equal(three, four)


def test_values_to_condition_on_need_a_row_for_each_canvas() -> None:
    programs = PyroAIR(air_of("lstm", slots=2))
    model = poutine.condition(programs.model, {"z_pres_0": torch.tensor(1.0)})
    with pytest.raises(ValueError, match=r"shape \(\), expected \(2,\): .* a row for each canvas"):
        model(batch=2)
