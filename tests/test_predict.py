"""``airkit predict``: the posterior of eval and infer, as arrays and as tables."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import fails, run
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO
from some_truth import knowing, write
from tiny_runs import Recorder, data_file, reference

import airkit
from airkit.data import reader
from airkit.data.imports.images import Given
from airkit.evaluation import prediction_sources
from airkit.evaluation.evaluate import Evaluation
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT

Array = np.ndarray[Any, Any]


def canvases() -> Array:
    """The test split's canvases, uint8 [20, 24, 24]."""
    return reader.read_split(data_file(), "test").image


def same(one: Any, other: Any) -> bool:
    """Whether predictions are equal, floats up to the size of batches."""
    ours, theirs = one.arrays, other.arrays
    assert list(ours) == list(theirs)
    return all(
        np.array_equal(ours[name], theirs[name])
        if ours[name].dtype.kind != "f"
        else np.allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-4)
        for name in ours
    )


# The same posterior


def test_fewer_slots_than_the_run_has_are_taken() -> None:
    """By ``eval`` too, which finds one object at most where there are two."""
    few, rest = {"model.slots": 1}, {"model.slots": 3}
    found = airkit.predict(reference(), settings=few)
    assert found.count_probability.shape == (20, 2)
    assert found.count.max() <= 1
    measures = airkit.evaluate(reference(), settings=few)
    assert sum(measures.confusion[2]) > 0
    assert all(sum(row[2:]) == 0 for row in measures.confusion)
    assert airkit.predict(reference(), settings=rest).count_probability.shape == (20, 4)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"eval.looks": 1, "eval.counts": "sampled"},
        {"eval.looks": 9, "eval.batch_size": 6, "eval.split": "val"},
    ],
)
def test_it_is_the_posterior_of_evaluation(settings: dict[str, Any]) -> None:
    found = airkit.predict(reference(), settings=settings)
    evaluation = Evaluation(open_run(reference(), None, "best", settings, SILENT))
    scenes = [batch.scene for batch in evaluation.batches(SILENT)]
    assert found.count.tolist() == evaluation.counts.table[1].tolist()
    assert found.true_count is not None
    assert found.true_count.tolist() == evaluation.counts.table[0].tolist()
    names = {"box": "box", "z_what": "what", "confidence": "presence", "score": "score"}
    names |= {"count_probability": "count_probability", "z_where": "where"}
    for name, theirs in names.items():
        whole = np.concatenate([getattr(scene, theirs).numpy() for scene in scenes])
        assert np.array_equal(found[name], whole), name


def test_pictures_are_as_infer_finds_them(home: Path) -> None:
    """Of several sizes, in the order of their names, which are kept."""
    Path("plates").mkdir()
    for place, image in enumerate(canvases()[:7]):
        wide = np.pad(image, [(0, 5 * (place % 2)), (0, 3 * (place % 3 == 1))])
        Image.fromarray(wide).save(f"plates/{place}.png")
    inferred = airkit.infer("plates", reference(), labels="labels")
    found = airkit.predict(reference(), images="plates")
    assert found.count.tolist() == [each.count for each in inferred]
    assert found.image.tolist() == [each.image for each in inferred]
    assert found.status.tolist() == [each.status for each in inferred]
    assert found.mask.shape == (7, 29, 27)
    for row, each in enumerate(inferred):
        assert (found.height[row], found.width[row]) == (each.height, each.width)
        boxes = found.box[row, : each.count]
        assert boxes.tolist() == [pytest.approx(list(it.box), abs=1e-3) for it in each.objects]
        assert (found.box[row, each.count :] == -1).all()
        labels = np.asarray(Image.open(f"labels/{row}_labels.tif"))
        assert np.array_equal(found.mask[row, : each.height, : each.width], labels)
        assert found.mask[row].sum() == labels.sum()
    assert found.index.tolist() == [-1] * 7
    assert found.true_count is None


def test_arrays_in_memory_and_stacks(home: Path) -> None:
    np.save("stack.npy", canvases())
    stack = airkit.predict(reference(), images="stack.npy")
    whole = airkit.predict(reference())
    assert stack.index.tolist() == whole.index.tolist() == [*range(20)]
    assert stack.count.tolist() == whole.count.tolist()
    assert np.array_equal(stack.mask, whole.mask)
    several = airkit.predict(reference(), images=[canvases()[3], Image.fromarray(canvases()[4])])
    assert several.image.tolist() == ["image-0", "image-1"]
    assert several.count.tolist() == whole.count[3:5].tolist()


def test_pictures_go_in_their_order_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [np.pad(it, [(0, 4 * (k % 3)), (0, 0)]) for k, it in enumerate(canvases())]
    whole = airkit.predict(reference(), images=images, samples=2)
    monkeypatch.setattr(prediction_sources, "TOGETHER", 3)
    assert same(whole, airkit.predict(reference(), images=images, samples=2))


@pytest.mark.parametrize("sides", [(8, 8, 8, 8), (2, 16, 2, 2, 2, 2), (16, 2, 16, 2), (2, 2, 8)])
def test_masks_of_a_part_are_bounded_by_the_largest_picture(
    sides: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that were reduced have masks of their own size, all as large as the largest."""
    monkeypatch.setattr(prediction_sources, "_PIXELS", 256)
    blank = np.zeros((1, 2, 2), np.float32)
    pictures = [Given(Path(), place, blank, came=(side, side)) for place, side in enumerate(sides)]
    parts = [*prediction_sources._in_parts(enumerate(pictures))]
    assert [each for part in parts for each in part.items()] == [*enumerate(pictures)]
    for part in parts:
        largest = max(each.came[0] for each in part.values())
        assert len(part) == 1 or len(part) * largest**2 <= 256


def test_what_is_off_with_pictures_is_told() -> None:
    listener = Recorder()
    found = airkit.predict(reference(), images=255 - canvases()[:4], listener=listener)
    assert set(found.status) == {"inverted"}
    assert any("--invert" in note for note in listener.notes)
    turned = airkit.predict(reference(), images=255 - canvases()[:4], invert=True)
    assert turned.count.tolist() == airkit.predict(reference())[:4].count.tolist()


def test_more_slots_for_pictures_and_canvases() -> None:
    settings = {"model.slots": 5}
    for images in (None, canvases()):
        found = airkit.predict(reference(), images=images, settings=settings)
        assert found.count_probability.shape == (20, 6)
        assert np.allclose(found.count_probability.sum(1), 1, atol=1e-5)


def test_canvases_without_truth(home: Path) -> None:
    blind = write(home / "blind.h5", knowing())
    found = airkit.predict(reference(), data=blind)
    assert found.count.tolist() == airkit.predict(reference()).count.tolist()
    assert not [name for name in found.arrays if name.startswith("true")]
    assert "true_count" not in found.to_pandas()


# Samples


def test_samples_of_a_picture_are_its_own() -> None:
    """Neither the batch nor their number changes them, nor do they change anything else."""
    few, many = (airkit.predict(reference(), samples=number) for number in (2, 5))
    single = airkit.predict(reference(), samples=5, settings={"eval.batch_size": 1})
    assert same(many, single)
    assert few.sample_z_what is not None
    assert many.sample_z_what is not None
    assert np.array_equal(few.sample_z_what, many.sample_z_what[:, :2])
    assert many.sample_weight is not None
    assert np.allclose(many.sample_weight.sum(1), 1)
    plain = airkit.predict(reference())
    assert all(np.array_equal(plain[name], many[name]) for name in plain.arrays)
    other = airkit.predict(reference(), samples=2, settings={"eval.seed": 1}).sample_z_what
    assert other is not None
    assert not np.allclose(other, few.sample_z_what)


# Arrays, slices and tables


def test_slices() -> None:
    found = airkit.predict(reference(), samples=1)
    assert len(found) == 20
    assert found["count"] is found.count
    part = found[5:9]
    assert len(part) == 4
    assert np.array_equal(part.box, found.box[5:9])
    assert np.array_equal(found[[3, 1]].index, [3, 1])
    assert np.array_equal(found[found.count == 2].index, np.flatnonzero(found.count == 2))
    assert found[-1].index.tolist() == [19]
    assert len(found[:0].to_pandas()) == 0
    with pytest.raises(IndexError):
        found[20]
    with pytest.raises(KeyError):
        found["counts"]


def test_tables_of_pictures_and_of_objects() -> None:
    found = airkit.predict(reference())
    pictures, objects = found.to_pandas(), found.to_pandas("objects")
    assert len(pictures) == 20
    assert np.allclose(pictures.filter(regex=r"^p_\d$").sum(axis=1), 1, atol=1e-5)
    assert (pictures["least"] <= pictures["count"]).all()
    assert (pictures["count"] <= pictures["greatest"]).all()
    per_picture = objects.groupby("index").size().reindex(range(20), fill_value=0)
    assert per_picture.tolist() == found.count.tolist()
    assert objects.filter(like="z_what").shape[1] == found.z_what.shape[2]
    row, number = objects.loc[3, ["index", "object"]]
    box = found.box[row, number - 1].tolist()
    assert objects.loc[3, ["x", "y", "width", "height"]].tolist() == box
    with pytest.raises(airkit.AirkitError, match="rows"):
        found.to_pandas("samples")  # type: ignore[arg-type]


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of JSON lines or of Parquet as plain values."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    rows: list[dict[str, Any]] = json.loads(pd.read_parquet(path).to_json(orient="records"))
    return rows


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_records(home: Path, ending: str) -> None:
    found = airkit.predict(reference(), samples=3)
    path = home / f"out{ending}"
    written = airkit.write_predictions(path, reference(), samples=3)
    assert (written.path, written.pictures, written.bytes) == (path, 20, path.stat().st_size)
    for row, each in enumerate(_rows(path)):
        assert each["count"] == len(each["objects"]) == found.count[row]
        assert each["true_count"] == len(each["true_boxes"]) == len(each["true_labels"])
        assert np.allclose(each["count_probability"], found.count_probability[row], atol=1e-6)
        for slot, it in enumerate(each["objects"]):
            runs = coco.frPyObjects(it["mask"], *it["mask"]["size"])
            assert np.array_equal(coco.decode(runs), found.mask[row] == slot + 1)
            assert np.allclose(it["z_what"], found.z_what[row, slot], atol=1e-6)
            assert np.allclose(it["box"], found.box[row, slot])
        assert found.sample_count is not None
        assert [it["count"] for it in each["samples"]] == found.sample_count[row].tolist()
        assert [len(it["z_where"]) for it in each["samples"]] == found.sample_count[row].tolist()
        assert sum(it["weight"] for it in each["samples"]) == pytest.approx(1)


def test_numpys_arrays(home: Path) -> None:
    images = [np.pad(it, [(0, 4 * (k % 3)), (0, 0)]) for k, it in enumerate(canvases())]
    found = airkit.predict(reference(), images=images, samples=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction_sources, "TOGETHER", 3)  # parts of other sizes
        airkit.write_predictions("out.npz", reference(), images=images, samples=2)
    with np.load("out.npz", allow_pickle=False) as arrays:
        assert same(found, airkit.evaluation.predictions.Predictions(**arrays))
    assert [path.name for path in home.iterdir()] == ["out.npz"]


def test_csv_has_a_row_a_picture_or_an_object(home: Path) -> None:
    found = airkit.predict(reference())
    for rows in ("pictures", "objects"):
        result = run("predict", reference(), "--out", f"{rows}.csv", "--rows", rows)
        assert result.exit_code == 0, result.output
        table, told = pd.read_csv(f"{rows}.csv"), found.to_pandas(rows)
        assert list(table) == list(told)
        assert table["index"].tolist() == told["index"].tolist()
        numbers = told.select_dtypes("number")
        assert np.allclose(table[numbers.columns], numbers, rtol=1e-5)


def test_the_command_says_what_it_wrote(home: Path) -> None:
    np.save("stack.npy", canvases()[:5])
    result = run("predict", reference(), "stack.npy", "--out", "out.jsonl", "--json")
    told = json.loads(result.stdout)
    assert (told["path"], told["pictures"], told["bad"]) == ("out.jsonl", 5, {})
    plain = run("predict", reference(), "stack.npy", "--out", "made/")
    assert "made/predictions.csv" in plain.stdout
    table = pd.read_csv("made/predictions.csv")
    np.save("more.npy", canvases()[:2])
    both = run("predict", "--run", reference(), "stack.npy", "more.npy", "--out", "both.csv")
    assert both.exit_code == 0, both.output
    assert len(pd.read_csv("both.csv")) == 7
    own = run("predict", "--run", reference(), "--out", "own.csv")
    assert own.exit_code == 0, own.output
    assert len(pd.read_csv("own.csv")) == airkit.evaluate(reference()).canvases
    assert "runs/air" in fails("predict", "--out", "other.csv")
    assert table["count"].tolist() == [len(it["objects"]) for it in _rows(home / "out.jsonl")]
    assert set(table["image"]) == {"stack.npy"}


def test_a_name_that_is_no_utf_8_is_kept(home: Path) -> None:
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    Image.fromarray(canvases()[0]).save(name)
    for ending in ("csv", "jsonl", "parquet", "npz"):
        airkit.write_predictions(f"out.{ending}", reference(), images=name)
    assert b"caf\xe9.png" in Path("out.csv").read_bytes()
    assert _rows(home / "out.jsonl")[0]["image"] == name
    assert _rows(home / "out.parquet")[0]["image"] == r"caf\xe9.png"
    with np.load("out.npz") as arrays:
        assert arrays["image"].tolist() == [name]


# What is left out, and refused


def test_bad_pictures_are_left_out_and_named(home: Path) -> None:
    Path("p").mkdir()
    Image.fromarray(canvases()[0]).save("p/1.png")
    Path("p/2.png").write_bytes(b"none")
    given = ("predict", reference(), "p", "--out", "out.csv")
    assert "p/2.png" in fails(*given)
    assert not Path("out.csv").exists()
    result = run(*given, "--skip-bad")
    assert result.exit_code == 1
    assert "p/2.png" in result.stderr
    assert pd.read_csv("out.csv")["image"].tolist() == ["p/1.png"]
    Path("p/1.png").write_bytes(b"none")
    assert "No picture could be read" in fails(*given, "--skip-bad")


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools
def test_coco_results_are_read_by_pycocotools_and_score(home: Path) -> None:
    """Over the borders of batches too, and counted as they were found."""
    airkit.write_predictions("found.json", reference(), settings={"eval.batch_size": 7})
    found = airkit.predict(reference())
    airkit.export(data_file(), "canvases", split="test")
    with redirect_stdout(StringIO()):
        results = COCO("canvases/annotations.json").loadRes("found.json")
    each = [len(results.getAnnIds(imgIds=[number])) for number in range(1, 21)]
    assert each == found.count.tolist()
    first = int(found.count.nonzero()[0][0])
    (entry, *_) = results.loadAnns(results.getAnnIds(imgIds=[first + 1]))
    assert entry["bbox"] == pytest.approx(found.box[first, 0].tolist())
    assert entry["score"] == pytest.approx(found.confidence[first, 0])
    scores = airkit.score("found.json", data_file(), least_score=0)
    measures = airkit.evaluate(reference())
    assert scores.confusion == measures.confusion
    assert scores.mean_iou == pytest.approx(measures.mean_iou)


def test_coco_results_of_nothing_are_an_empty_list(home: Path) -> None:
    np.save("blank.npy", np.zeros((2, 24, 24), np.uint8))
    assert not airkit.predict(reference(), images="blank.npy").count.any()
    airkit.write_predictions("found.json", reference(), images="blank.npy")
    assert json.loads(Path("found.json").read_text()) == []
