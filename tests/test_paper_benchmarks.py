"""The benchmarks of what codes are good for: labels, slots, matches, classifiers, and both once."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import classifier
import codes
import inferred
import probe
import pytest
import runs
import torch
from classifier import Examples, Perceptron
from command_line import TINY, run
from torch import Tensor

TRUTH = SimpleNamespace(
    labels=torch.tensor([[3, 8], [3, 8], [8, 3], [5, 5], [0, 1]]),
    boxes=torch.tensor(
        [
            [[1, 0, 4, 9], [10, 0, 4, 9]],
            [[10, 0, 4, 9], [1, 0, 4, 9]],
            [[2, 0, 9, 9], [3, 30, 2, 9]],  # the wider one begins first and is centred later
            [[1, 0, 4, 9], [10, 0, 4, 9]],
            [[4, 0, 4, 9], [5, 30, 2, 9]],  # one above the other
        ],
        dtype=torch.float32,
    ),
)
PAIRS: Any = SimpleNamespace(truth=partial(getattr, TRUTH))


def found(**parts: Any) -> inferred.Found:
    """What a model found on two canvases with three slots: two objects and one."""
    given = {
        "canvases": None,
        "count": torch.tensor([2, 1]),
        "where": torch.arange(18.0).view(2, 3, 3),
        "what": 100 + torch.arange(12.0).view(2, 3, 2),
        "box": torch.zeros(2, 3, 4),
        "size": torch.zeros(2, 3),
        "centre": torch.zeros(2, 3, 2),
        "window": 8,
    }
    return inferred.Found(**(given | parts))


def clusters(count: int) -> Examples:
    """Two classes that a line tells apart."""
    classes = torch.arange(count) % 2
    noise = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    return Examples(0.1 * noise + classes[:, None], classes)


def test_sums_are_of_both_digits() -> None:
    assert codes.sums(PAIRS).tolist() == [11, 11, 11, 10, 1]


def test_order_goes_by_centres_and_leaves_ties_out() -> None:
    assert codes.order(PAIRS).tolist() == [1, 0, 1, -1, -1]


def test_what_has_no_class_is_left_out() -> None:
    kept = codes.answered(torch.arange(5), codes.order(PAIRS))
    assert (kept.inputs.tolist(), kept.classes.tolist()) == ([0, 1, 2], [1, 0, 1])


def test_slots_keep_their_order_and_are_blank_beyond_the_count() -> None:
    rows = found().slots()
    assert rows[0, 0].tolist() == [1, 0, 1, 2, 100, 101]
    assert rows[0, 1].tolist() == [1, 3, 4, 5, 102, 103]
    assert rows[1, 0].tolist() == [1, 9, 10, 11, 106, 107]
    assert not rows[0, 2].any()
    assert not rows[1, 1:].any()
    assert torch.equal(codes.flat(found())[0], rows[0].flatten())


def test_matching_is_one_to_one_and_best_first() -> None:
    truth = torch.tensor([[[0, 0, 10, 10], [20, 0, 10, 10]], [[0, 0, 10, 10], [-1, -1, -1, -1]]])
    slots = torch.tensor(
        [
            [[20, 1, 10, 10], [20, 0, 10, 10], [0, 2, 10, 10]],
            [[0, 6, 10, 10], [-1, -1, -1, -1], [-1, -1, -1, -1]],  # an IoU of 0.25
        ]
    )
    assert inferred.matched(truth.float(), slots.float(), 0.5).tolist() == [[2, 1], [-1, -1]]
    assert inferred.matched(truth.float(), slots.float(), 0.2).tolist() == [[2, 1], [0, -1]]


def test_windows_frame_their_box() -> None:
    image = torch.zeros(1, 1, 20, 20, dtype=torch.uint8)
    image[..., 4:12, 6:10] = 255
    size, centre = probe.framed(torch.tensor([[6.0, 4.0, 4.0, 8.0]]), 20)
    window = probe.windows(image, size, centre, 8).view(8, 8)
    wanted = torch.zeros(8, 8)
    wanted[:, 2:6] = 1
    torch.testing.assert_close(window, wanted)


def test_probe_tells_classes_apart_and_its_penalty_shrinks_it() -> None:
    train = clusters(100)
    weights, small = (probe.probe(train.inputs, train.classes, decay) for decay in (1e-4, 1.0))
    digits = probe.Digits(train.classes, {"codes": train.inputs}, 120)
    assert probe.hits(weights, digits, "codes").all()
    assert small[:-1].norm() < weights[:-1].norm() / 5


def test_fit_leaves_the_best_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes after the best look is undone."""
    shares = iter([0.5, 0.9, 0.7])
    seen: list[Tensor] = []

    def share_right(net: Perceptron, _: Examples) -> float:
        seen.append(net.state_dict()["8.bias"].clone())
        return next(shares)

    monkeypatch.setattr(classifier, "EVERY", 1)
    monkeypatch.setattr(classifier, "share_right", share_right)
    net = Perceptron(3, 2, width=8)
    went = classifier.fit(net, clusters(64), clusters(64), rate=1e-2, seed=0, limit=3)
    assert (went.accuracy, went.steps) == (0.9, 2)
    assert torch.equal(net.state_dict()["8.bias"], seen[1])
    assert not torch.equal(seen[1], seen[2])


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of four steps, where a benchmark would have trained it."""
    folder = tmp_path_factory.mktemp("paper")
    assert run("make-data", *TINY, "--out", folder / "tiny.h5").exit_code == 0
    given = "--data", folder / "tiny.h5", "--run", folder / "tiny-0", "--steps", 4
    assert run("train", *given).exit_code == 0
    return folder


@pytest.mark.parametrize(
    ("benchmark", "more"), [(codes, ("--limit", "4")), (probe, ())], ids=["codes", "probe"]
)
def test_benchmark_measures_every_input(
    benchmark: Any, more: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def airkit_command(*arguments: str) -> str:
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    monkeypatch.setattr(runs, "airkit_command", airkit_command)
    monkeypatch.setattr(probe, "LEAST", 0.01)
    name = benchmark.__name__
    given = ["--preset", "tiny", "--source", "strokes", "--seeds", "0", *more]
    sizes = [f"--{split}={count}" for split, count in (("train", 60), ("val", 30), ("test", 40))]
    where = ["--folder", str(folder), "--results", str(folder)]
    monkeypatch.setattr("sys.argv", [name, *given, *sizes, *where])
    benchmark.main()
    report = json.loads((folder / f"{name}.json").read_text())
    assert report["command"] == f"python benchmarks/paper/{name}.py --source FOLDER --seeds 0"
    inputs = [row["inputs"] for row in report["rows"]]
    if name == "codes":
        assert inputs == ["codes"] * 6 + ["pixels"] * 6
        assert {row["tested"] for row in report["rows"] if row["task"] == "sum"} == {40}
        assert all(row["canvases"] < 60 for row in report["rows"] if row["task"] == "order")
    else:
        assert inputs == ["z_what", "window", "true box", "components"]


def test_benchmark_measures_nothing_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the run before are all there."""
    rows = json.loads((folder / "codes-rows.json").read_text())["rows"]
    args: Any = SimpleNamespace(folder=folder, seeds=[0], limit=4)
    bench = codes.Bench(args, folder / "pairs.h5")
    monkeypatch.setattr(codes, "fit", None)
    for read in (codes.codes, codes.pixels):
        bench.measure(read)
    assert bench.rows == rows
