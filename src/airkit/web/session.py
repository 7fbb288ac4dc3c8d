"""What a trained model sees on one canvas, for the page of ``airkit demo``.

Legend: C channels, T slots, H height and W width of a canvas, w window side.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.config.settings import Settings
from airkit.data.dataset import CanvasDataset, note_ink, to_float, to_uint8
from airkit.errors import DataFileError
from airkit.evaluation.found import interval
from airkit.model.air import AIR
from airkit.model.scene import Scene, explain, explain_by_looks, possible_looks
from airkit.runs.trained import TrainedModel, look_seed, open_model
from airkit.system.callbacks import Listener
from airkit.system.device import generator

INK = 20 / 28
"""Share of a digit's patch that its ink takes up, as in MNIST."""
LOOKED_AT = 10_000
"""Most canvases whose levels tell whether they are empty."""
TRIES = 20
"""Most canvases of unknown count that are looked at for one that is not empty."""
LARGER = 1.15
"""Factor of the typical size up to which any model knows an object."""
T = TypeVar("T")
Seen = dict[str, Any]
"""What the model makes of one canvas, ready for JSON. Levels are bytes in base64, row by row,
pixel by pixel, a byte for each channel.

``image`` and ``reconstruction``, [H, W, C]; ``windows``, what each slot paints before it is placed,
T of [w, w, C]; ``count``, the inferred objects; ``boxes`` of their ink, (x, y, width, height) in
pixels; ``posterior``, p(n) for n = 0..T; ``presence``, the probability of slots 1..t, for t = 1..T;
``interval``, the counts that p(n) leaves possible, as of ``airkit infer``; ``looks``, the
explanations compared; ``true_count``, None where it is not known.
"""


class Session:
    """A trained model with a thread of its own, which answers one question after the other.

    It computes on one core of the CPU: for one canvas, threads and GPUs cost more than they save.
    """

    def __init__(self, config: Config, air: AIR, canvases: CanvasDataset | None) -> None:
        """Keep ``canvases``, if any, for ``random`` to choose from those that show something."""
        self.config, self.air, self.canvases = config, air, canvases
        self._filled = torch.empty(0) if canvases is None else _filled(canvases)
        self.looks = possible_looks(air, config.eval.looks)
        self._generator = generator(config.eval.seed, "demo")
        self._threads = torch.get_num_threads()
        self._worker = ThreadPoolExecutor(1, "model", torch.set_num_threads, (1,))

    def facts(self) -> dict[str, Any]:
        """Return what the page needs before the first drawing: sizes, and what it may ask for."""
        data = self.config.data
        ink = data.digit_size * (INK if data.of_digits else 1)
        return {
            "height": self.air.shape[0],
            "width": self.air.shape[1],
            "window": self.config.window_size,
            "channels": self.air.channels,
            "what": "digit" if data.of_digits else "object",
            "dark": self.config.polarity == "dark",
            "slots": self.air.slots,
            "digit": data.digit_size,
            "ink": ink,
            "largest": ink * max(LARGER, 1 + data.digit_size_sd / data.digit_size),
            "looks": self.looks,
            "random": len(self._filled) > 0,
        }

    def see(self, image: Tensor) -> Seen:
        """Explain a canvas, levels in 0..1, [C, H, W], by one look, which keeps pace with a pen."""
        return self._on_worker(lambda: self._see(image))

    def best(self, image: Tensor) -> Seen:
        """Explain one canvas, levels in 0..1, [C, H, W], by ``eval.looks`` looks together.

        The same canvas gives the same answer.
        """

        def act() -> Seen:
            seed = look_seed(self.config)
            return _seen(
                image, explain_by_looks(self.air, image[None], self.looks, seed), self.looks
            )

        return self._on_worker(act)

    def random(self) -> Seen | None:
        """Explain a canvas of the run's test split that is not empty; None where there is none.

        Where nobody has counted, one on which the model finds something is looked for a while.
        """
        canvases = self.canvases
        if canvases is None or not len(self._filled):
            return None

        def act() -> Seen:
            for _ in range(TRIES):
                place = torch.randint(len(self._filled), (), generator=self._generator)
                index = int(self._filled[place])
                count = None if canvases.counts is None else int(canvases.counts[index])
                seen = self._see(to_float(canvases.rows["image"][index]), count)
                if count or seen["count"]:
                    break
            return seen

        return self._on_worker(act)

    def sample(self) -> Seen:
        """Explain a canvas drawn from the model, of 1 up to ``data.max_digits`` objects.

        That number is uniform: under the prior of a trained model nearly all canvases may be empty.
        """

        def act() -> Seen:
            most = max(1, self.config.data.max_digits)
            count = torch.randint(1, most + 1, (1,), generator=self._generator)
            canvas = self.air.sample_canvases(count, self._generator)[0]
            return self._see(to_float(to_uint8(canvas)), int(count))

        return self._on_worker(act)

    def close(self) -> None:
        """Answer the questions asked so far, and no more."""
        self._worker.shutdown()
        torch.set_num_threads(self._threads)  # the worker has set it for all new threads

    def _on_worker(self, act: Callable[[], T]) -> T:
        """Return ``act()``, called on the model's thread.

        Raises:
            ConnectionAbortedError: the session is closed.
        """
        try:
            answer = self._worker.submit(torch.inference_mode()(act))
        except RuntimeError as error:
            raise ConnectionAbortedError("the session is closed") from error
        return answer.result()

    def _see(self, image: Tensor, true_count: int | None = None) -> Seen:
        return _seen(image, explain(self.air, image[None]), 1, true_count)


def open_session(run: str | Path, checkpoint: str, given: Settings, listener: Listener) -> Session:
    """Load a trained model, and the test split of its data file if that is there.

    Args:
        run: the run folder.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        given: settings of the call, which override the run's.
        listener: hears why there is no test split.

    Raises:
        CheckpointError: no such run or checkpoint, or a damaged one.
        ConfigError: the settings are not valid.
        ExtensionError: the run was trained with a class from outside that ``given`` does not name.
    """
    model = open_model(run, checkpoint, given, listener)
    air = model.build(device=torch.device("cpu"))
    return Session(model.config, air, _test_split(model, listener))


def _test_split(model: TrainedModel, listener: Listener) -> CanvasDataset | None:
    """Return the canvases to choose from; None where there are none."""
    try:
        data = model.data.read()
        canvases = CanvasDataset(data.path, "test")
    except DataFileError as error:
        listener.note(f"{error.what}: {model.data.path}; going on without its canvases")
        return None
    note_ink(data, "test", listener)
    return canvases if len(canvases) else None


def _filled(canvases: CanvasDataset) -> Tensor:
    """Return the places of canvases that are not empty, by their counts or some by their levels."""
    if canvases.counts is not None:
        return canvases.counts.nonzero().squeeze(1)
    levels = canvases.rows["image"][:LOOKED_AT].flatten(1)
    return (levels.amax(1) > levels.amin(1)).nonzero().squeeze(1)


def _seen(image: Tensor, scene: Scene, looks: int, true_count: int | None = None) -> Seen:
    """Return the scene of one canvas as the page needs it."""
    count = int(scene.count[0])
    return {
        "image": _packed(image),
        "count": count,
        "interval": interval(scene.count_probability[0].numpy(), count),
        "posterior": scene.count_probability[0].tolist(),
        "presence": scene.presence[0].tolist(),
        "boxes": scene.box[0, :count].tolist(),
        "windows": [_packed(window) for window in scene.windows[0]],
        "reconstruction": _packed(scene.canvas[0]),
        "looks": looks,
        "true_count": true_count,
    }


def _packed(levels: Tensor) -> str:
    """Return levels in 0..1, [C, H, W], as bytes [H, W, C] in base64."""
    return b64encode(to_uint8(levels).permute(1, 2, 0).numpy().tobytes()).decode("ascii")
