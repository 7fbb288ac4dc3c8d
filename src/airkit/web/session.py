"""A trained model that answers a page: what it sees on one canvas.

Legend: T slots, H canvas side, W window side.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.data import reader
from airkit.data.dataset import CanvasDataset, to_grey, to_ink
from airkit.errors import DataFileError
from airkit.model.air import AIR
from airkit.model.scene import Scene, explain, explain_by_looks, possible_looks
from airkit.runs.checkpoint import Checkpoint
from airkit.runs.trained import open_model
from airkit.system.callbacks import Listener
from airkit.system.device import generator

Array = np.ndarray[Any, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Seen:
    """What the model makes of one canvas; grey levels are uint8."""

    image: Array
    """The canvas, [H, H]."""
    count: int
    """Objects inferred."""
    posterior: list[float]
    """q(n) for n = 0..T."""
    presence: list[float]
    """Probability that slots 1..t are on, [T]."""
    boxes: list[list[float]]
    """Boxes of the objects' ink (x, y, width, height) in pixels, [count, 4]."""
    windows: Array
    """What each slot paints, before it is placed, [T, W, W]."""
    reconstruction: Array
    """The canvas of the objects inferred, [H, H]."""
    looks: int = 1
    """Explanations compared."""
    true_count: int | None = None
    """Objects there are, where that is known."""

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values, for JSON; grey levels as base64, row by row."""
        return {
            "image": _packed(self.image),
            "count": self.count,
            "posterior": self.posterior,
            "presence": self.presence,
            "boxes": self.boxes,
            "windows": [_packed(window) for window in self.windows],
            "reconstruction": _packed(self.reconstruction),
            "looks": self.looks,
            "true_count": self.true_count,
        }


class Session:
    """An opened model, whoever asks it, and a thread of its own to answer them one by one.

    It computes on one core of the CPU: for one canvas, threads and GPUs cost more than they save.
    """

    def __init__(self, config: Config, air: AIR, canvases: CanvasDataset | None) -> None:
        """Keep ``canvases``, if any, to choose from."""
        self.config, self.air, self.canvases = config, air, canvases
        self.air.guide.sharpness = config.eval.look_sharpness
        self._generator = generator(config.eval.seed, "demo")
        self._worker = ThreadPoolExecutor(1, "model", torch.set_num_threads, (1,))

    @property
    def looks(self) -> int:
        """Explanations that ``best`` compares; a guide that does not look has but one."""
        return possible_looks(self.air, self.config.eval.looks)

    def facts(self) -> dict[str, Any]:
        """What a page has to know before the first drawing: sizes, and what can be asked for."""
        return {
            "canvas": self.air.canvas,
            "slots": self.air.slots,
            "digit": self.config.data.digit_size,
            "looks": self.looks,
            "random": self.canvases is not None,
        }

    def see(self, image: Tensor) -> Seen:
        """Explain one canvas, ink in 0..1, [H, H], from one look, which keeps pace with a pen."""
        return self._work(lambda: self._see(image))

    def best(self, image: Tensor) -> Seen:
        """Explain one canvas, ink in 0..1, [H, H], by the best of several looks, as in ``eval``.

        The same canvas gives the same answer.
        """
        return self._work(lambda: self._best(image))

    def random(self) -> Seen | None:
        """See a canvas of the run's test split; None where its data are not there."""
        canvases = self.canvases
        return None if canvases is None else self._work(lambda: self._random(canvases))

    def sample(self) -> Seen:
        """See a canvas drawn from the model, of 1 up to the run's most digits, chosen evenly.

        The count prior of a trained model may leave nearly all canvases empty.
        """
        return self._work(self._sample)

    def close(self) -> None:
        """Answer what is being asked, and nothing from now on."""
        self._worker.shutdown()

    def _work(self, act: Callable[[], T]) -> T:
        """What ``act`` returns on the thread of the model.

        Raises:
            ConnectionAbortedError: the session is closed.
        """
        try:
            answer = self._worker.submit(_without_gradients, act)
        except RuntimeError as error:
            raise ConnectionAbortedError("the session is closed") from error
        return answer.result()

    def _see(self, image: Tensor, true_count: int | None = None) -> Seen:
        return _seen(image, explain(self.air, image[None]), 1, true_count)

    def _best(self, image: Tensor) -> Seen:
        draws = generator(self.config.eval.seed, "looks")
        scene = explain_by_looks(self.air, image[None], self.looks, draws)
        return _seen(image, scene, self.looks)

    def _random(self, canvases: CanvasDataset) -> Seen:
        index = int(torch.randint(len(canvases), (), generator=self._generator))
        return self._see(to_ink(canvases.images[index]), int(canvases.counts[index]))

    def _sample(self) -> Seen:
        most = max(1, self.config.data.max_digits)
        count = torch.randint(1, most + 1, (1,), generator=self._generator)
        canvas = self.air.sample_canvases(count, self._generator)[0]
        return self._see(to_ink(torch.from_numpy(_grey(canvas))), int(count))


def _without_gradients(act: Callable[[], T]) -> T:
    with torch.inference_mode():
        return act()


def _seen(image: Tensor, scene: Scene, looks: int, true_count: int | None = None) -> Seen:
    """A scene of one canvas as the page is told it."""
    count = int(scene.count[0])
    return Seen(
        image=_grey(image),
        count=count,
        posterior=scene.count_probability[0].tolist(),
        presence=scene.presence[0].tolist(),
        boxes=scene.box[0, :count].tolist(),
        windows=_grey(scene.windows[0]),
        reconstruction=_grey(scene.canvas[0]),
        looks=looks,
        true_count=true_count,
    )


def open_session(run: str | Path, checkpoint: str, listener: Listener) -> Session:
    """Load a trained model, and the test split of the data it was trained on if that is there.

    Raises:
        CheckpointError: no such run or checkpoint, or a damaged one.
    """
    model = open_model(run, checkpoint, (), listener)
    air = model.build(device=torch.device("cpu"))
    return Session(model.config, air, _test_split(model.state, air.canvas, listener))


def _test_split(state: Checkpoint, side: int, listener: Listener) -> CanvasDataset | None:
    """The canvases to choose from; None where there are none of the model's size."""
    path = Path(state.data)
    try:
        trained_on = reader.read_info(path).content_digest == state.data_digest
        canvases = CanvasDataset(path, "test") if trained_on else None
    except DataFileError as error:
        listener.note(f"{error.what}: {path}; going on without its canvases")
        return None
    if canvases is None:
        listener.note(f"{path} is not what the run was trained on; going on without its canvases")
        return None
    return canvases if len(canvases) and canvases.images.shape[-1] == side else None


def _grey(ink: Tensor) -> Array:
    """Ink as grey levels, what is over full ink cut off, uint8 of the same shape."""
    grey: Array = to_grey(ink).numpy()
    return grey


def _packed(grey: Array) -> str:
    return b64encode(grey.tobytes()).decode("ascii")
