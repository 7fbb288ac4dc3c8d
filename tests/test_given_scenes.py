"""What measures make of scenes that are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import data_file, evaluated
from torch import Tensor

from airkit.data.dataset import CanvasDataset, to_float
from airkit.evaluation.evaluate import Evaluation
from airkit.evaluation.measures import Boxes, Counts, Measure, Reconstruction
from airkit.model.scene import Scene
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT

PRECISIONS = "mean_iou", "ap", "ap50", "ap75", "ap50_voc"


@pytest.fixture(scope="module")
def run() -> Path:
    return evaluated()


def given(run: Path, kind: type[Measure], **scene: Tensor) -> dict[str, Any]:
    """What a measure makes of the test split if ``scene`` is found there, once by one look.

    ``canvas`` is as if it had been painted.
    """
    trained = open_run(run, None, "last", {"eval.batch_size": 20}, SILENT)
    (batch,) = Evaluation(trained).batches(SILENT)
    measure, canvas = kind(trained), scene.pop("canvas", None)
    changed: Scene = replace(batch.scene, **scene)  # type: ignore[arg-type]
    if canvas is not None:
        vars(changed)["canvas"] = canvas
    measure.add(replace(batch, scene=changed))
    found: dict[str, Any] = measure.result()
    return found


def test_perfect_scenes(run: Path) -> None:
    test = CanvasDataset(data_file(), "test")
    found = given(run, Counts, count=test.truth("counts"))
    assert found["count_accuracy"] == 1
    assert set(found["per_count_accuracy"].values()) == {1.0}
    assert np.trace(np.array(found["confusion"])) == 20
    boxes = torch.nn.functional.pad(test.truth("boxes"), (0, 0, 0, 1), value=-1.0)
    found = given(run, Boxes, box=boxes, presence=(boxes[:, :, 2] > 0) * 0.9)
    assert found == pytest.approx(dict.fromkeys(PRECISIONS, 1))
    assert given(run, Reconstruction, canvas=to_float(test.images)) == {"mse": 0}


def test_scenes_of_nothing(run: Path) -> None:
    test, none = CanvasDataset(data_file(), "test"), torch.zeros(20, dtype=torch.int64)
    totals = test.truth("counts").bincount().tolist()
    found = given(run, Counts, count=none)
    assert found["count_accuracy"] == totals[0] / 20
    assert found["confusion"] == [[total, 0, 0, 0] for total in totals]
    assert given(run, Boxes, box=torch.full((20, 3, 4), -1.0)) == dict.fromkeys(PRECISIONS, 0)
    mean_square = float(to_float(test.images).square().mean())
    assert given(run, Reconstruction, count=none)["mse"] == pytest.approx(mean_square)
