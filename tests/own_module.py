"""A user's module of classes for every setting that takes one, good and bad."""

from __future__ import annotations

import sys

MODULE = """
import airkit.model.decoders
import airkit.model.objectives
import numpy as np
import torch
from airkit.data.digits import Digits, DigitSource
from airkit.errors import OutputError
from airkit.evaluation.measures import Measure
from airkit.figures import Drawing
from airkit.model.counts import GeometricPrior
from airkit.model.guides.saliency import SaliencyGuide
from matplotlib.figure import Figure

class Guide(SaliencyGuide):
    pass

class Prior(GeometricPrior):
    pass

class Seen(Measure):
    seen = 0
    def add(self, batch):
        self.seen += len(batch.images)
        self.shapes = [tuple(batch.scene.box.shape), tuple(batch.counts.shape)]
    def result(self):
        return {"seen": np.int64(self.seen), "last": self.shapes, "none": float("nan")}

class Draws(Measure):
    needs = frozenset({"counts"})
    def __init__(self, trained):
        super().__init__(trained)
        self.drawn = torch.rand(3, generator=trained.generator("mine"))
    def add(self, batch):
        torch.rand(9, generator=self.trained.generator("mine"))
    def result(self):
        return self.drawn

class RaisingMeasure(Seen):
    def add(self, batch):
        1 / 0

class OddMeasure(Seen):
    def result(self):
        return object()

class Odd:
    def tolist(self):
        1 / 0

class RaisingResult(Seen):
    def result(self):
        return {"odd": Odd()}

class NoMeasure(Measure):
    pass

def bars(count, first):
    images = np.zeros((count, 8, 8), np.uint8)
    for row in range(count):
        images[row, 1:7, 3:5] = 100 + first + row
    return Digits(images, np.arange(count) % 2)

class Bars(DigitSource):
    licence = "CC0-1.0"
    attribution = "drawn by the tests"
    def pools(self, listener):
        return {"train": bars(9, 0), "val": bars(3, 8), "test": bars(2, 20)}

class WrongBars(Bars):
    def pools(self, listener):
        train, val, test = super().pools(listener).values()
        return EXPRESSION

class RaisingBars(Bars):
    def pools(self, listener):
        1 / 0

class NoBars(DigitSource):
    pass

class NoGuide(airkit.model.guides.Guide):
    def start(self, images):
        return images

class NoDecoder(airkit.model.decoders.Decoder):
    pass

class NoPrior(airkit.model.counts.CountPrior):
    pass

class NoObjective(airkit.model.objectives.Objective):
    pass

class NoFigure(Drawing):
    pass

class Large(Drawing):
    def draw(self, request):
        return Figure(figsize=(5, 2), dpi=200)

class Nothing(Drawing):
    def draw(self, request):
        return None

class RaisingFigure(Drawing):
    def draw(self, request):
        1 / 0

class Refusing(Drawing):
    def draw(self, request):
        raise OutputError("No place for it", hint="another place")
"""


def forget() -> None:
    """Make the next import of it read the file again."""
    sys.modules.pop("mine", None)
