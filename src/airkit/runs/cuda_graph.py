"""A training step captured once as a CUDA graph, and then replayed.

A step of AIR is a thousand small kernels, which a GPU runs faster than Python can ask for them.
A graph asks for all of them at once. It always reads the same memory, so that what differs from
step to step, batch, random numbers, prior and number, is copied there first; all else, weights,
gradients and the optimiser's state, stays where it is anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

Inputs = Sequence[Any]
"""What differs from step to step: always as many tensors of the same shapes, or None."""
Take = Callable[[Inputs], Tensor]
"""Takes a step; returns the loss."""
Call = Callable[[], Tensor]

WARM_UP = 3
"""Steps before one is captured: libraries set themselves up, the optimiser makes its state."""


class Recorder(Protocol):
    """What captures a call."""

    def warm_up(self, call: Call) -> Tensor:
        """Make a call like the one to be captured."""

    def capture(self, call: Call) -> Call:
        """Record what a call asks for, and return what does that again."""


class CUDAGraphs:
    """Calls captured as CUDA graphs; warmed up on a stream of its own, as PyTorch advises."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def warm_up(self, call: Call) -> Tensor:
        """See ``Recorder.warm_up``."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = call()
        current.wait_stream(self.stream)
        return result

    def capture(self, call: Call) -> Call:
        """See ``Recorder.capture``."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            result = call()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


class Captured:
    """Takes steps as the function it is made of does, after a few by replaying one."""

    def __init__(self, take: Take, recorder: Recorder) -> None:
        self.take, self.recorder = take, recorder
        self.left = WARM_UP
        self.inputs: Inputs = ()
        self.replay: Call | None = None
        self.trouble: str | None = None
        """Why no step could be captured, if that was tried in vain."""

    def __call__(self, inputs: Inputs) -> Tensor:
        """Take a step; the loss that is returned holds until the next one."""
        if self.left > 0:
            self.left -= 1
            return self.recorder.warm_up(lambda: self.take(inputs))
        if self.replay is None and self.trouble is None:
            self._capture(inputs)
        if self.replay is None:
            return self.take(inputs)
        for place, new in zip(self.inputs, inputs, strict=True):
            if place is not None:
                place.copy_(new, non_blocking=True)
        return self.replay()

    def _capture(self, inputs: Inputs) -> None:
        self.inputs = [None if each is None else each.clone() for each in inputs]
        try:
            self.replay = self.recorder.capture(lambda: self.take(self.inputs))
        except RuntimeError as error:  # PyTorch's, or CUDA's, where something cannot be captured
            self.trouble = str(error).partition("\n")[0]
