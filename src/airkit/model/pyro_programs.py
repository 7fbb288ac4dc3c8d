"""The same model and guide as Pyro programs, for everything that Pyro can do with them.

Every network, pose and formula is that of ``airkit.model.air``; here are only the sample
statements: ``z_pres_t``, ``z_where_t`` and ``z_what_t`` for slots t from 0, and ``obs``, in the
plate ``canvases``. Costs of absent objects are masked, so that a shorter scene is cheaper
(Eslami et al. 2016, section 2.1).

Legend: B batch, T slots, H canvas side, Z code size.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pyro
import torch
from pyro import distributions as dist
from pyro import poutine
from pyro.ops.provenance import detach_provenance
from torch import Tensor, nn

from airkit.model.air import AIR
from airkit.model.distributions import success_logits
from airkit.model.guides import Slot
from airkit.model.objectives.baselines import Baseline
from airkit.model.spatial_transformer import paint

OFF = -1e3
"""Log odds of a slot after an absent one: its chance is 0, and log 1 is what it costs."""


class PyroAIR:
    """``model`` and ``guide`` of an ``AIR`` for ``pyro.infer``.

    Both take images with ink in 0..1, [B, H, H]. Samples of several particles at once
    (``vectorize_particles``, ``parallel``) are not supported; particles one by one are.
    """

    def __init__(
        self,
        air: AIR,
        *,
        baseline: Baseline | None = None,
        baseline_scale: float = 1.0,
        masking: bool = True,
        drawn_looks: bool = False,
        param_store: bool = True,
    ) -> None:
        """Wrap ``air``.

        Args:
            air: the model and its guide.
            baseline: predicts the cost of each presence, for ``TraceGraph_ELBO``.
            baseline_scale: what its predictions are multiplied by.
            masking: whether latents of absent objects cost nothing.
            drawn_looks: whether a guide that looks draws its looks.
            param_store: whether parameters are registered in Pyro's store, as ``pyro.infer.SVI``
                with ``pyro.optim`` needs, under ``air.guide``, ``air.decoder`` and
                ``air.baseline``; the store is global, so clear it between models.
        """
        self.air, self.masking = air, masking
        self.baseline, self.baseline_scale = baseline, baseline_scale
        self.drawn_looks, self.param_store = drawn_looks, param_store
        self.log_prior: Tensor | None = None
        """Log p(n) for n = 0..T, [T + 1], where a schedule replaces the model's own."""

    def model(self, images: Tensor | None = None, *, batch: int = 1) -> Tensor:
        """Draw scenes and observe ``images``; without any, draw ``batch`` canvases as well.

        Returns:
            The canvases without pixel noise, [B, H, H].
        """
        air, pose = self.air, self.air.pose
        self._register("air.decoder", air.decoder)
        size = batch if images is None else len(images)
        canvas = pose.mean.new_zeros(size, air.canvas, air.canvas)
        present = pose.mean.new_ones(size)
        code = pose.mean.new_zeros(air.code)
        odds = success_logits(air.log_prior if self.log_prior is None else self.log_prior)
        with pyro.plate("canvases", size):
            for slot in range(air.slots):
                present = _presence(slot, odds[slot], present)
                with self._costs(present):
                    where = _sample(f"z_where_{slot}", pose.mean, pose.sd)
                    what = _sample(f"z_what_{slot}", code, code + 1)
                painted = paint(air.decoder(what), *pose.decode(where), air.canvas)
                canvas = canvas + present[:, None, None] * painted
            pyro.sample("obs", dist.Normal(canvas, air.pixel_sd).to_event(2), obs=images)
        return canvas

    def guide(self, images: Tensor, *, batch: int = 1) -> None:
        """Infer the scenes in ``images``; ``batch`` is there for the model's sake."""
        del batch
        air, finder = self.air, self.air.guide
        self._register("air.guide", finder)
        looks = self._looks(images)
        state, canvas = finder.start(images), torch.zeros_like(images)
        on = present = images.new_ones(len(images))
        guess = self._start_baseline(images)
        with pyro.plate("canvases", len(images)):
            for slot in range(air.slots):
                seen = self._seen(images, canvas)
                sight, state = finder.attend(state, seen, looks[slot])
                logit, where = finder.propose(sight)
                guess, cost = self._predict(guess, present)
                present = _presence(slot, logit, present, infer=cost)
                with self._costs(present):
                    pose = _sample(f"z_where_{slot}", *where)
                    size, centre = air.pose.decode(pose)
                    code = _sample(f"z_what_{slot}", *finder.encode([seen], size, centre))
                # Nothing after a masked object counts, so that the guide may as well run on as
                # if it were there, which is what the exact estimator does.
                found = Slot(on if self.masking else present, pose, code, size, centre)
                state = finder.advance(state, found)
                if finder.sees_canvas:
                    painted = paint(air.decoder(code), size, centre, air.canvas)
                    canvas = canvas + found.present[:, None, None] * painted
                if self.baseline is not None:
                    guess = self.baseline.advance(guess, slot, found.latents())

    def _register(self, name: str, module: nn.Module) -> None:
        if self.param_store:
            pyro.module(name, module)

    def _looks(self, images: Tensor) -> Sequence[Tensor | None]:
        """Uniform noise for each slot's look, [B], or None to look at the peak."""
        if not (self.drawn_looks and self.air.guide.looks):
            return [None] * self.air.slots
        return torch.rand(self.air.slots, len(images), device=images.device).to(images).unbind()

    def _seen(self, images: Tensor, canvas: Tensor) -> Tensor:
        """What the guide is shown, [B, C, H, H]."""
        if not self.air.guide.sees_canvas:
            return images[:, None]
        return torch.stack([images, (images - canvas).detach()], 1)

    def _costs(self, present: Tensor) -> AbstractContextManager[Any]:
        """Latents sampled inside cost nothing where the object is absent."""
        there: Any = present > 0
        return poutine.mask(mask=there) if self.masking else nullcontext()

    def _start_baseline(self, images: Tensor) -> Any:
        if self.baseline is None:
            return None
        self._register("air.baseline", self.baseline)
        return self.baseline.start(images)

    def _predict(self, guess: Any, present: Tensor) -> tuple[Any, Any]:
        """The baseline's state, and what ``TraceGraph_ELBO`` is told of its prediction.

        After an absent object the presence is certain, and there is no cost to predict.
        """
        if self.baseline is None:
            return None, {}
        guess, value = self.baseline.predict(guess)
        value = value * self.baseline_scale * detach_provenance(present)
        return guess, {"baseline": {"baseline_value": value}}


class _Bernoulli(dist.Bernoulli):  # type: ignore[misc]
    """A Bernoulli that draws 0 where its odds are no number, rather than end the program.

    Its log density is no number then either, so that the loss shows what went wrong.
    """

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """See ``torch.distributions.Bernoulli.sample``."""
        with torch.no_grad():
            shape = self._extended_shape(torch.Size(sample_shape))
            return torch.bernoulli(self.probs.nan_to_num(0.0).expand(shape))


def _presence(slot: int, logit: Tensor, before: Tensor, infer: Any = None) -> Tensor:
    """The site z_pres of a slot from its log odds [B], off for certain where the one before is."""
    odds = torch.where(before > 0, logit, torch.full_like(before, OFF))
    present: Tensor = pyro.sample(f"z_pres_{slot}", _Bernoulli(logits=odds), infer=infer)
    if present.shape != before.shape:
        raise ValueError(
            f"z_pres_{slot} has shape {tuple(present.shape)}, expected {tuple(before.shape)}: "
            "values to condition on need a row for each canvas, and particles are drawn one at "
            "a time, with vectorize_particles and parallel off"
        )
    return present


def _sample(name: str, mean: Tensor, sd: Tensor) -> Tensor:
    """A site of independent normals over the last axis."""
    value: Tensor = pyro.sample(name, dist.Normal(mean, sd).to_event(1))
    return value
