"""The model and guide as Pyro programs, for use with ``pyro.infer``.

Networks, poses and formulas are those of ``airkit.model.air``; here are only the sample
statements: ``z_pres_t``, ``z_where_t`` and ``z_what_t`` for slots t from 0, ``z_behind`` of a
learned background, and ``obs``, in the plate ``canvases``. Latents of absent objects are masked,
so that they cost nothing (arXiv 1603.08575, section 2.1).

Legend: B batch, C channels, T slots, H height, W width, Z code size; K particles, where a plate
around the programs draws several at once; R = K B rows, which is all that the networks see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from airkit.model.air import AIR
from airkit.model.canvas import compose
from airkit.model.counts import presence_logits
from airkit.model.guides import Residual, Slot
from airkit.model.objectives.baselines import Baseline
from airkit.model.spatial_transformer import paint
from airkit.system.notebooks import without_widgets_warning

with without_widgets_warning():
    import pyro
    from pyro import distributions as dist
    from pyro import poutine
    from pyro.ops.provenance import detach_provenance
    from pyro.poutine.runtime import _PYRO_STACK

AFTER_ABSENT = -1e3
"""Logit of a slot after an absent one: P(on) is 0, and being off has log probability 0."""


class PyroAIR:
    """``model`` and ``guide`` of an ``AIR`` for ``pyro.infer``.

    Both take images, levels in 0..1, [B, C, H, W]. Several particles may be drawn at once
    (``vectorize_particles``, ``parallel``): sites are then [K, B].
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
            drawn_looks: whether a guide that looks somewhere first samples its looks.
            param_store: whether parameters are registered in Pyro's store, as ``pyro.infer.SVI``
                with ``pyro.optim`` needs, under ``air.guide``, ``air.decoder``,
                ``air.background`` and ``air.baseline``; the store is global, so clear it between
                models.
        """
        self.air, self.masking = air, masking
        self.baseline, self.baseline_scale = baseline, baseline_scale
        self.drawn_looks, self.param_store = drawn_looks, param_store
        self.log_prior: Tensor | None = None
        """Log p(n) for n = 0..T, [T + 1], where a schedule replaces the model's own."""

    def model(self, images: Tensor | None = None, *, batch: int = 1) -> Tensor:
        """Draw scenes and observe ``images``; without any, draw ``batch`` canvases as well.

        Returns:
            The canvases without pixel noise, [B, C, H, W], or [K, B, C, H, W].
        """
        air, pose = self.air, self.air.pose
        self._register("air.decoder", air.decoder)
        if air.log_sd is not None and self.param_store:
            pyro.param("air.log_sd", air.log_sd)
        rows = _Rows(batch if images is None else len(images))
        canvas = pose.mean.new_zeros(rows.total, air.channels, *air.shape)
        present = pose.mean.new_ones(rows.total)
        code = pose.mean.new_zeros(air.code)
        odds = presence_logits(air.log_prior if self.log_prior is None else self.log_prior)
        with pyro.plate("canvases", rows.batch):
            for slot in range(air.slots):
                present = rows.presence(slot, odds[slot], present)
                with self._masked(rows, present):
                    where = rows.sample(f"z_where_{slot}", pose.mean, pose.sd)
                    what = rows.sample(f"z_what_{slot}", code, code + 1)
                painted = paint(air.decode(what), *pose.decode(where), air.shape)
                canvas = _with_object(canvas, painted, present)
            behind = self._behind(rows)
            canvas = rows.unflatten(canvas)
            ink = None
            if images is not None:
                ink = rows.unflatten(air.background.ink(rows.expand(images), behind))
            pyro.sample("obs", dist.Normal(canvas, air.pixel_sd).to_event(3), obs=ink)
        return canvas

    def guide(self, images: Tensor, *, batch: int = 1) -> None:
        """Infer the scenes in ``images``; ``batch`` is there for the model's sake."""
        del batch
        air, network = self.air, self.air.guide
        self._register("air.guide", network)
        rows = _Rows(len(images))
        images = rows.expand(images)
        looks = self._looks(images)
        on = present = images.new_ones(rows.total)
        with pyro.plate("canvases", rows.batch):
            images = self._ink(rows, images)
            state, canvas = network.start(images.detach()), torch.zeros_like(images)
            baseline_state = self._start_baseline(images.detach())
            for slot in range(air.slots):
                residual = Residual(images, canvas, signed=air.background.signed)
                logit, where, state = network.checked_proposal(
                    state, residual, looks[slot], rows.total
                )
                baseline_state, infer = self._predict(rows, baseline_state, present)
                present = rows.presence(slot, logit, present, infer=infer)
                with self._masked(rows, present):
                    pose = rows.sample(f"z_where_{slot}", *where)
                    size, centre = air.pose.decode(pose)
                    q_what = network.checked_code(residual, size, centre, air.code)
                    code = rows.sample(f"z_what_{slot}", *q_what)
                # A masked object and all after it cost nothing, so that the guide may run on as
                # if it were there, as in the exact objective.
                found = Slot(on if self.masking else present, pose, code, size, centre)
                state = network.advance(state, found)
                if network.sees_canvas:
                    painted = paint(air.decode(code), size, centre, air.shape)
                    canvas = _with_object(canvas, painted, found.present)
                if self.baseline is not None:
                    baseline_state = self.baseline.advance(baseline_state, slot, found.latents())

    def _ink(self, rows: _Rows, images: Tensor) -> Tensor:
        """What stands out of the background; of a learned one, as the guide draws it."""
        learned = self.air.background.learned
        if learned is None:
            return self.air.background.ink(images)
        self._register("air.background", learned)
        code = rows.sample("z_behind", *learned.encode(images))
        return self.air.background.ink(images, learned.decode(code, self.air.shape))

    def _behind(self, rows: _Rows) -> Tensor | None:
        """A learned background as the model draws it, [R, C, H, W]; None for another."""
        learned = self.air.background.learned
        if learned is None:
            return None
        self._register("air.background", learned)
        code = self.air.pose.mean.new_zeros(self.air.behind)
        return learned.decode(rows.sample("z_behind", code, code + 1), self.air.shape)

    def _register(self, name: str, module: nn.Module) -> None:
        if self.param_store:
            pyro.module(name, module)

    def _looks(self, images: Tensor) -> Sequence[Tensor | None]:
        """Uniform noise for each slot's look, [R] each, or None for the peak."""
        if not (self.drawn_looks and self.air.guide.samples_looks):
            return [None] * self.air.slots
        return torch.rand(self.air.slots, len(images), device=images.device).to(images).unbind()

    def _masked(self, rows: _Rows, present: Tensor) -> AbstractContextManager[Any]:
        """Mask the latents sampled inside where the object is absent."""
        there: Any = rows.unflatten(present > 0)
        return poutine.mask(mask=there) if self.masking else nullcontext()

    def _start_baseline(self, images: Tensor) -> Any:
        if self.baseline is None:
            return None
        self._register("air.baseline", self.baseline)
        return self.baseline.start(images)

    def _predict(self, rows: _Rows, baseline_state: Any, present: Tensor) -> tuple[Any, Any]:
        """The baseline's state, and its prediction as ``TraceGraph_ELBO`` takes it.

        After an absent object the presence is certain, and there is nothing to predict.
        """
        if self.baseline is None:
            return None, {}
        baseline_state, value = self.baseline.predict(baseline_state)
        value = value * self.baseline_scale * detach_provenance(present)
        return baseline_state, {"baseline": {"baseline_value": rows.unflatten(value)}}


class _Rows:
    """The canvases of all particles as rows [R, ...] for the networks, as sites [K, B, ...]."""

    def __init__(self, batch: int) -> None:
        """Look for plates around a program of ``batch`` canvases."""
        plates = (each for each in _PYRO_STACK if isinstance(each, pyro.plate))
        sizes = {each.dim: each.subsample_size for each in plates if each.dim is not None}
        outer = [sizes.get(dim, 1) for dim in range(min(sizes, default=-1), -1)]
        self.batch, self.shape = batch, torch.Size([*outer, batch])
        self.total = math.prod(self.shape)

    def expand(self, images: Tensor) -> Tensor:
        """Return a copy of the images [B, ...] for each particle, [R, ...]."""
        if len(self.shape) == 1:
            return images
        return images.expand(*self.shape, *images.shape[1:]).flatten(0, len(self.shape) - 1)

    def unflatten(self, rows: Tensor) -> Tensor:
        """Return rows [R, ...] as sites have them, [K, B, ...]."""
        return rows.reshape(*self.shape, *rows.shape[1:])

    def _flatten(self, value: Tensor, *event: int) -> Tensor:
        """Return a site's value [K, B, ...], or [B, ...] for all particles, as rows."""
        return value.expand(*self.shape, *event).reshape(self.total, *event)

    def sample(self, name: str, mean: Tensor, sd: Tensor) -> Tensor:
        """Draw a site of independent normals along the last axis; returns rows."""
        if mean.dim() > 1:
            mean, sd = self.unflatten(mean), self.unflatten(sd)
        return self._flatten(pyro.sample(name, dist.Normal(mean, sd).to_event(1)), mean.shape[-1])

    def presence(self, slot: int, logit: Tensor, before: Tensor, infer: Any = None) -> Tensor:
        """Draw z_pres of a slot from its logit [R]; surely off where the slot before is."""
        odds = self.unflatten(torch.where(before > 0, logit, torch.full_like(before, AFTER_ABSENT)))
        present: Tensor = pyro.sample(f"z_pres_{slot}", _Bernoulli(logits=odds), infer=infer)
        if present.shape not in (self.shape, self.shape[-1:]):
            raise ValueError(
                f"z_pres_{slot} has shape {tuple(present.shape)}, expected {tuple(self.shape)}: "
                "values to condition on need a row for each canvas, presences cannot be "
                "enumerated, and no plate may take the place of the canvases'"
            )
        return self._flatten(present)


class _Bernoulli(dist.Bernoulli):  # type: ignore[misc]
    """A Bernoulli that draws 0 where its logit is NaN, where PyTorch's would raise.

    Its log density is NaN then too, so that the loss shows what went wrong.
    """

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """See ``torch.distributions.Bernoulli.sample``."""
        with torch.no_grad():
            shape = self._extended_shape(torch.Size(sample_shape))
            return torch.bernoulli(self.probs.nan_to_num(0.0).expand(shape))


def _with_object(canvas: Tensor, painted: Tensor, present: Tensor) -> Tensor:
    """The canvas with one more object where that is ``present``, [B, C, H, W]."""
    return torch.where(present[:, None, None, None] > 0, compose(canvas, painted), canvas)
