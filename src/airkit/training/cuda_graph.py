"""Work on a GPU captured once as a CUDA graph, and then replayed.

A training step of AIR is about a thousand small kernels, which a GPU runs faster than Python can
launch them; a graph launches all of them at once. A replay reads the memory that the capture read,
so inputs are copied there first. Weights, gradients and Adam's state stay where they are anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

Inputs = Sequence[Tensor | None]
"""What differs from call to call: tensors of the same shapes, or None, at the same places."""

WARM_UP = 3
"""Eager calls before the capture, in which libraries and the optimiser allocate their state."""


class CUDAGraph:
    """Calls a function eagerly three times, then captures it as a CUDA graph and replays that."""

    def __init__(self, function: Callable[..., Tensor], device: torch.device) -> None:
        """Capture ``function``, which takes tensors on ``device`` or None, and returns a tensor."""
        self.function, self.device = function, device
        self.calls = 0
        self.static: Inputs = ()
        """Copies of the inputs, which the graph reads."""
        self.replay: Callable[[], Tensor] | None = None
        self.failure: str | None = None
        """Why the function could not be captured; it is then called eagerly."""

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """Returns the function's result, which the next call overwrites."""
        self.calls += 1
        if self.calls <= WARM_UP:
            return self.warm_up(inputs)
        if self.calls == WARM_UP + 1:
            self.static = [None if each is None else each.clone() for each in inputs]
            try:
                self.replay = self.capture(self.static)
            except RuntimeError as error:  # an operation that cannot be captured
                self.failure = str(error).partition("\n")[0]
        if self.replay is None:
            return self.function(*inputs)
        for static, new in zip(self.static, inputs, strict=True):
            if static is not None and new is not None:
                static.copy_(new, non_blocking=True)
        return self.replay()

    def warm_up(self, inputs: Inputs) -> Tensor:
        """Call the function on a stream of its own, as PyTorch asks for before a capture."""
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = self.function(*inputs)
        current.wait_stream(self._stream)
        return result

    def capture(self, inputs: Inputs) -> Callable[[], Tensor]:
        """Capture a call on ``inputs``; returns a function that replays it on what is there."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            result = self.function(*inputs)

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay

    @cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
