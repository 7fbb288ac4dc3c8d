"""What a trained model finds on a user's own images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.config.settings import Settings
from airkit.data.images import Grey, read_all
from airkit.errors import OutputError
from airkit.model.air import AIR
from airkit.model.scene import Scene, explain_by_looks, possible_looks
from airkit.runs.trained import TrainedModel, count_generator, open_model
from airkit.system.callbacks import SILENT, Listener
from airkit.system.device import generator
from airkit.system.files import writing

Draw = Callable[[Grey, Scene], None]

BATCH_PIXELS = 2**22
"""Most pixels of the images looked at together, so that large ones do not fill the memory."""


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
    """The file."""
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
        """Everything as plain values, for JSON; ``index`` only for an image of a stack."""
        values = asdict(self)
        if self.index is None:
            del values["index"]
        return values


def infer(  # noqa: PLR0913 - an argument for each option of the command
    images: str | Path | Sequence[str | Path],
    run: str | Path = "runs/air",
    *,
    checkpoint: str = "best",
    overlay: str | Path | None = None,
    invert: bool = False,
    settings: Settings = (),
    listener: Listener = SILENT,
) -> list[Inferred]:
    """Count and locate the objects of images, as ``evaluate`` does those of a data file.

    All images are read and checked before the first is looked at. Looks and counts are drawn
    for the images of one size in their order, ``eval.batch_size`` at a time, from the same
    streams as in evaluation: on the canvases of a split the counts are the same.

    Args:
        images: PNG files, and .npy files of one image [H, W] or of a stack [N, H, W].
        run: the run folder.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        overlay: a folder for a picture of each image; none by default.
        invert: ink is dark on bright.
        settings: dotted keys and values, or layers; ``model.slots`` and those of ``eval`` matter.
        listener: hears notes and progress.

    Raises:
        ImageError: an image that cannot be read, is too small or too large, or is not grey; or
            there are too many.
        CheckpointError: no such run or checkpoint, or a damaged one.
        ConfigError: settings that make no configuration.
        DataFileError: the guide serves only the size it was trained on.
        DeviceError: there is no such device.
        OutputError: a picture cannot be written, or would replace another picture of this call
            or a file that no earlier call drew.
    """
    paths = [Path(images)] if isinstance(images, str | Path) else list(map(Path, images))
    model = open_model(run, checkpoint, settings, listener)
    config = model.config
    greys = read_all(paths, invert=invert)
    for grey in greys:
        model.check_canvas_size(grey.side, grey.path)
    draw = None if overlay is None else _drawing(Path(overlay), greys, config)
    _note_bright(greys, invert, listener)
    found = _all(_Looker(model), greys, draw, listener)
    _note_full(found, config.slots, listener)
    return found


def _note_bright(greys: Sequence[Grey], invert: bool, listener: Listener) -> None:
    """One line where images look like ink on paper."""
    bright = [grey for grey in greys if grey.bright_border]
    if bright:
        told = (
            "bright at the border once inverted; if ink is bright on dark, leave --invert out"
            if invert
            else "bright at the border, where no ink should be; if ink is dark, add --invert"
        )
        listener.note(f"{bright[0].path}{_more(bright)}: {told}")


def _note_full(found: Sequence[Inferred], slots: int, listener: Listener) -> None:
    """One line where there may be more objects than could be found."""
    full = [each for each in found if each.count == slots]
    if full:
        told = f"as many digits as there are slots, {slots}; there may be more, try more --slots"
        listener.note(f"{full[0].image}{_more(full)}: {told}")


def _more(images: Sequence[object]) -> str:
    return f" and {len(images) - 1:,} more" if len(images) > 1 else ""


class _Looker:
    """Looks at images of any size with the weights of one checkpoint."""

    def __init__(self, model: TrainedModel) -> None:
        self.model, self.config, self.device = model, model.config, model.device

    def scenes(self, greys: Sequence[Grey]) -> Iterator[Scene]:
        """What is on images of one side, a scene of one row for each."""
        side = greys[0].side
        air = self.model.build(canvas=side, slots=self.config.slots)
        looks = generator(self.config.eval.seed, "looks", self.device)
        draws = looks, count_generator(self.config, self.device)
        batch = max(1, min(self.config.eval.batch_size, BATCH_PIXELS // side**2))
        for first in range(0, len(greys), batch):
            squares = [grey.square() for grey in greys[first : first + batch]]
            scene = self._explain(air, torch.from_numpy(np.stack(squares)), draws)
            yield from (_row(scene, index) for index in range(len(squares)))

    def _explain(
        self, air: AIR, images: Tensor, draws: tuple[torch.Generator, torch.Generator | None]
    ) -> Scene:
        looks = possible_looks(air, self.config.eval.looks)
        with torch.inference_mode():
            return explain_by_looks(air, images.to(self.device), looks, *draws)


def _row(scene: Scene, index: int) -> Scene:
    """One image's part of a scene, in the computer's own memory."""
    parts = [getattr(scene, field.name)[index : index + 1] for field in fields(Scene)]
    return Scene(*(part.cpu() for part in parts))


def _all(
    looker: _Looker, greys: Sequence[Grey], draw: Draw | None, listener: Listener
) -> list[Inferred]:
    """Size by size, for which a model is built; the results are in the images' order."""
    found: dict[int, Inferred] = {}
    order = sorted(range(len(greys)), key=lambda index: greys[index].side)
    for _, group in groupby(order, key=lambda index: greys[index].side):
        same = list(group)
        for index, scene in zip(same, looker.scenes([greys[at] for at in same]), strict=True):
            found[index] = _inferred(greys[index], scene)
            if draw is not None:
                draw(greys[index], scene)
            listener.progress("inferring", len(found), len(greys))
    return [found[index] for index in range(len(greys))]


def _inferred(grey: Grey, scene: Scene) -> Inferred:
    """The one row of a scene."""
    height, width = grey.ink.shape
    return Inferred(
        image=str(grey.path),
        index=grey.index,
        width=width,
        height=height,
        count=int(scene.count[0]),
        count_probability=_numbers(scene.count_probability[0]),
        objects=tuple(_objects(grey, scene)),
        score=float(scene.score[0]),
    )


def _objects(grey: Grey, scene: Scene) -> Iterator[InferredObject]:
    height, width = grey.ink.shape
    for slot in range(int(scene.count[0])):
        yield InferredObject(
            box=_within(_numbers(scene.box[0, slot]), width, height),
            confidence=float(scene.presence[0, slot]),
            z_where=_numbers(scene.where[0, slot]),
            z_what=_numbers(scene.what[0, slot]),
        )


def _within(box: tuple[float, ...], width: int, height: int) -> tuple[float, ...]:
    """A box without what is on the blank beside an image; at least a pixel stays."""
    x, y = min(box[0], width - 1.0), min(box[1], height - 1.0)
    right, bottom = min(box[0] + box[2], width), min(box[1] + box[3], height)
    return x, y, max(1.0, right - x), max(1.0, bottom - y)


def _numbers(values: Tensor) -> tuple[float, ...]:
    return tuple(values.tolist())


def _drawing(folder: Path, greys: Sequence[Grey], config: Config) -> Draw:
    """What draws an image's picture; found wanting before the work, not after it."""
    from airkit.figures.overlay import drawn, overlay  # noqa: PLC0415 - matplotlib, where wanted

    _check_targets(folder, greys)
    for grey in greys:
        _check_free(_target(folder, grey), drawn)

    def draw(grey: Grey, scene: Scene) -> None:
        shown = [each.box for each in _objects(grey, scene)]
        boxes = torch.tensor(shown).reshape(-1, 4).numpy()
        canvas = scene.canvas[0].numpy()
        overlay(_target(folder, grey), grey.square(), canvas, boxes, config.render.scale)

    return draw


def _target(folder: Path, grey: Grey) -> Path:
    return folder / f"{grey.name}.png"


def _check_targets(folder: Path, greys: Sequence[Grey]) -> None:
    """Refuse pictures that would replace images, or each other."""
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise OutputError("A file is in the way", where=folder, hint="another --overlay")
    images = {os.path.realpath(grey.path) for grey in greys}
    taken: dict[Path, Grey] = {}
    for grey in greys:
        target = _target(folder, grey)
        if os.path.realpath(target) in images:
            raise OutputError(
                "The picture would replace an image", where=target, hint="another --overlay"
            )
        if target in taken:
            raise OutputError(
                "Two images would have the same picture",
                where=target,
                got=f"{taken[target].path} and {grey.path}",
                hint="rename one, or infer them apart",
            )
        taken[target] = grey


def _check_free(target: Path, drawn: Callable[[Path], bool]) -> None:
    """Refuse to replace a file of the user's; a picture that an earlier call drew is none."""
    with writing(target):
        try:
            if drawn(target):
                return
        except FileNotFoundError:
            if not target.is_symlink():
                return
    raise OutputError(
        "A file that airkit infer did not draw is in the way",
        where=target,
        expected="no such file, or a picture of an earlier --overlay",
        got="another file",
        hint="move it away, or name another --overlay",
    )
