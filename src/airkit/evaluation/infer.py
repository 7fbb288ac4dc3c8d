"""What a trained model finds on a user's own images.

Legend: H side of an image, N objects found, T slots, Z length of z_what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airkit.config.pictures import PicturesConfig
from airkit.config.settings import Settings
from airkit.data.images import Grey, ImageLike, read_all
from airkit.data.ink import TOUCHING, Fault, look, look_at_size, thinned
from airkit.data.sources import PICTURES
from airkit.model.scene import Scene, explain_by_looks, possible_looks
from airkit.runs.trained import TrainedModel, count_generator, open_model
from airkit.system.callbacks import Listener
from airkit.system.device import generator

Array = np.ndarray[Any, Any]
Draw = Callable[[Grey, Array, Array], None]
"""Draws an image with its reconstruction [H, H] and the boxes found [N, 4]."""
Drawing = Callable[[Sequence[Grey], float], Draw]
"""Makes a ``Draw`` for all images at a scale, once it has checked that they can be drawn."""

BATCH_PIXELS = 2**22
"""Most pixels in a batch, so that large images fit in memory."""


@dataclass(frozen=True)
class InferredObject:
    """One object found on an image."""

    box: tuple[float, ...]
    """Extent of its ink (x, y, width, height), in pixels of the image."""
    confidence: float
    """Probability that its slot and all before it are on."""
    z_where: tuple[float, ...]
    """Mean of its pose, 3 numbers."""
    z_what: tuple[float, ...]
    """Mean of its code, Z numbers."""


@dataclass(frozen=True)
class Inferred:
    """What was found on one image."""

    image: str
    """The file; of images in memory, image-I for place I of those given, from 0."""
    index: int | None
    """The image's place in its stack, from 0; None where the file is one image."""
    width: int
    """Of the image, in pixels."""
    height: int
    """Of the image, in pixels."""
    count: int
    """Objects found."""
    count_probability: tuple[float, ...]
    """q(n) for n = 0..T under the explanation kept."""
    objects: tuple[InferredObject, ...]
    """The objects found, slot after slot."""
    score: float
    """log p(x | canvas) + log p(n) - sum KL of the explanation kept, in nats."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, ``index`` only for an image of a stack."""
        values = asdict(self)
        if self.index is None:
            del values["index"]
        return values


def infer(  # noqa: PLR0913 - an argument for each option of the command
    images: ImageLike | Iterable[ImageLike],
    run: str | Path,
    *,
    checkpoint: str,
    drawing: Drawing | None,
    invert: bool,
    settings: Settings,
    listener: Listener,
) -> list[Inferred]:
    """Count and locate the objects of images, as ``airkit.infer`` does.

    ``drawing``, where there is one, draws each image with what was found on it: evaluation knows
    nothing of figures. All other arguments and errors are those of ``airkit.infer``.
    """
    model = open_model(run, checkpoint, settings, listener)
    greys, trained = read_all(images, invert=invert), model.state.config
    if trained.data.source == PICTURES:  # as airkit import scaled those of the training
        limits = trained.pictures.low, trained.pictures.high
        greys = [grey.rescaled(*limits, inverted=invert) for grey in greys]
    for grey in greys:
        model.check_canvas_size(grey.side, grey.path)
    draw = None if drawing is None else drawing(greys, model.config.render.scale)
    side = trained.data.digit_size if trained.pictures == PicturesConfig() else None
    faults = [None] * len(greys) if side is None else _faults(greys, invert, side)
    _note(zip(greys, faults, strict=True), listener)
    found = _in_order(greys, model, draw, listener)
    full = [each.count == model.config.slots for each in found]
    fine = [fault is None or fault.cause == "0 and 1" for fault in faults]
    doubtful = [grey for grey, *both in zip(greys, full, fine, strict=True) if all(both)]
    _note(_full(doubtful, model.config.slots, side), listener)
    return found


def _in_order(
    greys: Sequence[Grey], model: TrainedModel, draw: Draw | None, listener: Listener
) -> list[Inferred]:
    """Return what is found on each image, in their order; images of one size go together."""
    found: dict[int, Inferred] = {}
    order = sorted(range(len(greys)), key=lambda index: greys[index].side)
    for _, group in groupby(order, key=lambda index: greys[index].side):
        same = list(group)
        for index, scene in zip(same, _scenes([greys[at] for at in same], model), strict=True):
            found[index] = _inferred(greys[index], scene)
            if draw is not None:
                boxes = np.array([each.box for each in found[index].objects]).reshape(-1, 4)
                draw(greys[index], scene.canvas[0].numpy(), boxes)
            listener.progress("inferring", len(found), len(greys))
    return [found[index] for index in range(len(greys))]


def _scenes(greys: Sequence[Grey], model: TrainedModel) -> Iterator[Scene]:
    """Yield the scene found on each of several images of one size, a batch of one on the CPU."""
    config, device, side = model.config, model.device, greys[0].side
    air = model.build(canvas_size=side, slots=config.slots)
    looks = possible_looks(air, config.eval.looks)
    draws = generator(config.eval.seed, "looks", device), count_generator(config, device)
    edge = model.state.config.data.source == PICTURES
    batch = max(1, min(config.eval.batch_size, BATCH_PIXELS // side**2))
    for first in range(0, len(greys), batch):
        squares = np.stack([grey.square(edge=edge) for grey in greys[first : first + batch]])
        with torch.inference_mode():
            scene = explain_by_looks(air, torch.from_numpy(squares).to(device), looks, *draws)
        parts = [getattr(scene, field.name).cpu() for field in fields(Scene)]
        yield from (Scene(*(part[[row]] for part in parts)) for row in range(len(squares)))


def _inferred(grey: Grey, scene: Scene) -> Inferred:
    """Return the result for an image from its scene, a batch of one."""
    height, width = grey.ink.shape
    objects = (
        InferredObject(
            box=_clipped(_numbers(scene.box[0, slot]), width, height),
            confidence=float(scene.presence[0, slot]),
            z_where=_numbers(scene.where[0, slot]),
            z_what=_numbers(scene.what[0, slot]),
        )
        for slot in range(int(scene.count[0]))
    )
    return Inferred(
        image=str(grey.path),
        index=grey.index,
        width=width,
        height=height,
        count=int(scene.count[0]),
        count_probability=_numbers(scene.count_probability[0]),
        objects=tuple(objects),
        score=float(scene.score[0]),
    )


def _clipped(box: tuple[float, ...], width: int, height: int) -> tuple[float, ...]:
    """Clip a box to the image, at least to a pixel; the square canvas may be larger."""
    x, y = min(box[0], width - 1.0), min(box[1], height - 1.0)
    right, bottom = min(box[0] + box[2], width), min(box[1] + box[3], height)
    return x, y, max(1.0, right - x), max(1.0, bottom - y)


def _numbers(values: Tensor) -> tuple[float, ...]:
    return tuple(values.tolist())


def _faults(greys: Sequence[Grey], invert: bool, side: float) -> list[Fault | None]:
    """Return what is off with each image: grey levels file by file, sizes of all together."""
    faults: list[Fault | None] = []
    for _, group in groupby(greys, key=lambda grey: grey.path):
        same = list(group)
        inks = np.stack([grey.ink for grey in thinned(same)])
        faults += [look(inks, same[0].kind, inverted=invert)] * len(same)
    fine = [grey.ink for grey, fault in zip(greys, faults, strict=True) if fault is None]
    size = look_at_size(fine, side)
    return [fault or size for fault in faults]


def _full(
    greys: Sequence[Grey], slots: int, side: float | None
) -> Iterator[tuple[Grey, Fault | None]]:
    """Yield images on which all slots are on: there may be more objects, or larger ones."""
    more = f"as many digits as there are slots, {slots}; there may be more, try more --slots"
    larger = side and look_at_size([grey.ink for grey in greys], side, TOUCHING)
    yield from ((grey, larger or Fault("slots", more)) for grey in greys)


def _note(told: Iterable[tuple[Grey, Fault | None]], listener: Listener) -> None:
    """Say what is off with images, once for each cause."""
    causes: dict[str, list[tuple[Grey, Fault]]] = {}
    for grey, fault in told:
        if fault:
            causes.setdefault(fault.cause, []).append((grey, fault))
    for (grey, fault), *others in causes.values():
        listener.note(f"{grey.path}{_more(len(others))}: {fault.text}")


def _more(many: int) -> str:
    return f" and {many:,} more" if many else ""
