"""``airkit infer``: the same counts and boxes as in evaluation, lines of JSON, pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import fails, run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from some_truth import whole
from tiny_runs import SEARCH, Recorder, data_file, fit, folder

import airkit
from airkit.data import reader
from airkit.errors import OutputError
from airkit.evaluation import infer
from airkit.evaluation.evaluate import Evaluation
from airkit.evaluation.infer import Inferred
from airkit.figures.examples import explained
from airkit.model import batch_sizes
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT

Array = np.ndarray[Any, Any]


@cache
def skilled() -> Path:
    """A run that was trained for long enough to count most of the tiny canvases right."""
    run = folder() / "skilled"
    every: dict[str, Any] = {"train__val_every": 200, "train__checkpoint_every": 400}
    every["eval__candidates"] = SEARCH
    fit(run, train__steps=400, train__learning_rate=4e-3, train__log_every=200, **every)
    return run


def canvases() -> Array:
    """The test split's canvases, uint8 [20, 24, 24]."""
    return reader.read_split(data_file(), "test").image


@pytest.fixture(name="stack")
def _stack(home: Path) -> Path:
    np.save(home / "test.npy", canvases())
    return Path("test.npy")


def write(name: str, image: Array) -> Path:
    """Write a PNG."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def lines(*arguments: object) -> list[dict[str, Any]]:
    """What the command prints, each line parsed."""
    result = run("infer", "--run", skilled(), *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def refused(*arguments: object) -> str:
    """The message of the command with pictures in the folder ``seen``."""
    return fails("infer", *arguments, "--run", skilled(), "--overlay", "seen")


# What is found


@pytest.mark.parametrize(("looks", "how"), [(1, "mode"), (1, "sampled"), (3, "mode")])
def test_counts_are_those_of_evaluation(stack: Path, looks: int, how: str) -> None:
    """Of a stack and of PNGs, canvas by canvas."""
    given = {"eval.looks": looks, "eval.counts": how}
    evaluation = Evaluation(open_run(skilled(), None, "best", given, SILENT))
    expected = [n for batch in evaluation.batches(SILENT) for n in batch.scene.count.tolist()]
    pictures = [write(f"{index:02}.png", image) for index, image in enumerate(canvases())]
    assert len(set(expected)) > 1
    asked = ["--looks", looks, "--set", f"eval.counts={how}"]
    assert [each["count"] for each in lines(stack, *asked)] == expected
    assert [each["count"] for each in lines(*pictures, *asked)] == expected


def test_what_is_found_is_what_is_drawn(stack: Path) -> None:
    """Boxes and probabilities are those of ``render``, to the bit."""
    opened = open_run(skilled(), None, "best", {}, SILENT)
    theirs = list(explained(opened, SILENT))
    ours = airkit.infer(stack, skilled())
    assert sum(each.count for each in ours) > 5
    for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert (one.image, one.index, one.count) == ("test.npy", index, other.count)
        assert [each.box for each in one.objects] == [tuple(box) for box in other.boxes.tolist()]
        shown = other.presence[: other.count].tolist()
        assert [each.confidence for each in one.objects] == shown
        assert {len(each.z_where) for each in one.objects} <= {3}
        assert {len(each.z_what) for each in one.objects} <= {4}
        assert sum(one.count_probability) == pytest.approx(1, abs=1e-5)


def test_each_line_is_json_with_the_keys_of_the_docs(stack: Path) -> None:
    found = lines(stack, write("one.png", canvases()[1]))
    names = [field.name for field in fields(Inferred)]
    inner = [field.name for field in fields(infer.InferredObject)]
    single = [name for name in names if name != "index"]
    assert [list(each) for each in found] == [names] * 20 + [single]
    assert {tuple(each) for line in found for each in line["objects"]} == {tuple(inner)}
    page = Path(__file__).parent.parent / "docs" / "commands" / "infer.md"
    told = page.read_text(encoding="utf-8")
    assert [name for name in [*names, *inner] if f"| `{name}` |" not in told] == []
    for each in found:
        assert each["count"] == len(each["objects"])
        assert (each["width"], each["height"]) == (24, 24)
    library = [each.to_dict() for each in airkit.infer([stack, "one.png"], skilled())]
    assert found == json.loads(json.dumps(library))


def test_the_order_given_is_kept_over_sizes(home: Path) -> None:
    image = canvases()[1]
    large = write("large.png", np.pad(image, 9))
    small = write("small.png", image)
    found = lines(large, small, large)
    assert [each["image"] for each in found] == ["large.png", "small.png", "large.png"]
    assert [each["width"] for each in found] == [42, 24, 42]
    assert found[1] == lines(small)[0]


def test_slots_may_be_more_than_in_training(stack: Path) -> None:
    assert {len(each["count_probability"]) for each in lines(stack, "--slots", 5)} == {6}


def test_boxes_are_where_the_digits_are(stack: Path) -> None:
    """Within 3 pixels of the centres of most true boxes."""
    truth = whole("test")
    near = []
    every = lines(stack, "--looks", 16)
    for found, count, boxes in zip(every, truth.count, truth.box, strict=True):
        centres = np.array([_centre(each["box"]) for each in found["objects"]]).reshape(-1, 2)
        for box in boxes[:count]:
            apart = np.abs(centres - _centre(box)).max(1, initial=0)
            near.append(bool(len(apart)) and apart.min() <= 3)
    assert len(near) > 10
    assert np.mean(near) >= 0.8


def _centre(box: Any) -> Array:
    x, y, width, height = map(float, box)
    return np.array([x + width / 2, y + height / 2])


@given(height=st.integers(8, 60), width=st.integers(8, 60))
@settings(max_examples=15, deadline=None)
def test_boxes_lie_on_the_image_whatever_its_size(height: int, width: int) -> None:
    ink = np.random.default_rng(height * 100 + width).integers(0, 256, (3, height, width), np.uint8)
    path = folder() / "noise.npy"
    np.save(path, ink)
    for found in airkit.infer(path, skilled(), settings={"eval.looks": 1}):
        assert (found.width, found.height) == (width, height)
        for each in found.objects:
            x, y, across, down = each.box
            assert 0 <= x <= x + across <= width
            assert 0 <= y <= y + down <= height
            assert min(across, down) >= 1


def test_an_image_that_is_not_square_is_looked_at_as_it_is(home: Path) -> None:
    """Blank to its right moves little."""
    image = canvases()[1]
    narrow = write("narrow.png", image[:, :20])
    square = write("square.png", np.pad(image[:, :20], ((0, 0), (0, 4))))
    (one,), (other,) = lines(narrow, "--looks", 1), lines(square, "--looks", 1)
    assert (one["width"], other["width"]) == (20, 24)
    assert one["count"] > 0
    assert one["count_probability"] == pytest.approx(other["count_probability"], abs=0.05)
    ours, theirs = (sorted(each["box"] for each in it["objects"]) for it in (one, other))
    for here, there in zip(ours, theirs, strict=True):
        x, y, width, height = there
        clipped = [min(x, 19), y, max(1, min(x + width, 20) - min(x, 19)), height]
        assert here == pytest.approx(clipped, abs=1)


def test_large_images_are_looked_at_in_parts(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lines(stack, "--looks", 1)
    monkeypatch.setattr(batch_sizes, "MOST_NUMBERS", 24 * 24 * 24)
    parts = lines(stack, "--looks", 1)
    assert [each["count"] for each in parts] == [each["count"] for each in whole]


# Notes and messages


def test_dark_ink_on_paper(home: Path) -> None:
    """A note says so, once for all images; with ``--invert`` they are the same images."""
    light, paper = Path("light.npy"), Path("paper.npy")
    np.save(light, canvases()[:3])
    np.save(paper, 255 - canvases()[:3])
    for image, options, told in (
        (paper, [], "paper.npy and 2 more: bright at the border, where no ink should be; if ink"),
        (light, ["--invert"], "light.npy and 2 more: bright at the border once inverted; if ink"),
    ):
        stderr = run("infer", image, "--run", skilled(), *options).stderr
        assert [line.startswith(told) for line in stderr.splitlines()].count(True) == 1
    for inverted, plain in zip(lines(paper, "--invert"), lines(light), strict=True):
        assert inverted["count"] == plain["count"]
        one, other = ([each["box"] for each in it["objects"]] for it in (inverted, plain))
        assert np.allclose(one, other)


def test_full_slots_are_told(stack: Path) -> None:
    listener = Recorder()
    found = airkit.infer(stack, skilled(), settings={"model.slots": 1}, listener=listener)
    full = sum(each.count == 1 for each in found)
    assert full > 1
    (note,) = listener.notes
    assert note.startswith(f"test.npy and {full - 1} more: as many objects as there are slots, 1;")
    assert "--slots" in note


def test_a_failing_file_is_one_message_and_no_line(stack: Path) -> None:
    """All files are read before the first is looked at, wherever the failing one stands."""
    Path("torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    told = refused(stack, "torn.png", stack)
    assert told.startswith("airkit: Cannot read a picture\n  where     torn.png\n")
    assert refused(stack, "none.png").startswith("airkit: Cannot read")
    assert not Path("seen").exists()


def test_a_guide_of_one_size_refuses_others(home: Path) -> None:
    fit(Path("lstm"), guide__kind="lstm", train__steps=2)
    image = canvases()[1]
    assert json.loads(run("infer", write("a.png", image), "--run", "lstm").stdout)["width"] == 24
    told = fails("infer", "a.png", write("b.png", np.pad(image, 3)), "--run", "lstm")
    assert told.startswith("airkit: The lstm guide of this run reads canvases of one size only\n")
    assert "where     b.png\n" in told
    assert "got       30x30 px\n" in told


def test_a_reader_that_leaves_early_is_no_error(stack: Path) -> None:
    """As ``airkit infer ... | head -1`` does."""
    command = [sys.executable, "-m", "airkit", "infer", *[str(stack)] * 4]
    command += ["--run", str(skilled()), "--looks", "1"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "pipesize": 4096}
    with subprocess.Popen(command, **pipes) as piped:  # holds a part of what is written
        assert piped.stdout is not None
        assert piped.stderr is not None
        assert json.loads(piped.stdout.readline())["index"] == 0
        piped.stdout.close()
        told = piped.stderr.read().decode().splitlines()
    assert [line for line in told if not line.startswith(("inferring: ", "test.npy"))] == []


# Pictures


def test_a_picture_of_each_image(stack: Path) -> None:
    wide = write("wide.png", np.pad(canvases()[1], ((0, 0), (0, 6))))
    lines(stack, wide, "--overlay", "seen", "--looks", 1, "--set", "render.scale=2")
    names = sorted(path.name for path in Path("seen").iterdir())
    assert names == sorted(["wide.png", *(f"test-{index}.png" for index in range(20))])
    before = Path("seen/test-1.png").read_bytes()
    with Image.open("seen/test-1.png") as picture:
        assert picture.size == (48 + 28, 2 * 48 + 10 + 28)
        assert picture.info["Software"] == "airkit infer --overlay"
    lines(stack, "--overlay", "seen", "--looks", 1, "--set", "render.scale=2")
    assert Path("seen/test-1.png").read_bytes() == before


def test_a_picture_shows_ink_and_boxes(home: Path) -> None:
    """The image in dark on white; the frame just outside the box."""
    image = canvases()[1]
    found = lines(write("a.png", image), "--overlay", "seen", "--set", "render.scale=1")[0]
    assert found["count"]
    with Image.open("seen/a.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    shown = pixels[14 : 14 + 24, 14 : 14 + 24]
    grey = (shown == shown[:, :, :1]).all(2)
    assert grey.mean() > 0.6
    assert np.array_equal(shown[grey], np.repeat((255 - image)[grey][:, None], 3, 1))
    x, y, width, height = (round(value) for value in found["objects"][0]["box"])
    blue = (pixels == [0, 114, 178]).all(2)
    rows, columns = np.argwhere(blue[: 14 + 24 + 5]).T
    assert (columns.min(), columns.max() + 1) == (14 + x - 2, 14 + x + width + 2)
    assert (rows.min(), rows.max() + 1) == (14 + y - 2, 14 + y + height + 2)


def test_two_images_never_share_a_picture(stack: Path) -> None:
    one, two = (write(f"{name}/a.png", canvases()[1]) for name in ("one", "two"))
    told = refused(one, two)
    assert told.startswith("airkit: Two images would have the same picture\n")
    assert "got       one/a.png and two/a.png\n" in told
    clash = write("test-3.png", canvases()[3])
    with pytest.raises(OutputError, match="the same picture"):
        airkit.infer([stack, clash], skilled(), overlay="seen")
    assert not Path("seen").exists()


def test_a_picture_never_replaces_an_image(home: Path) -> None:
    one = write("one/a.png", canvases()[1])
    before = one.read_bytes()
    for seen, told in ((home / "one", "The picture would replace an"), (one, "A file is in the")):
        assert told in fails("infer", one, "--run", skilled(), "--overlay", seen)
    assert one.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"mine", "a PNG", "a link", "a folder"])
def test_a_picture_never_replaces_a_file_of_the_users(stack: Path, content: bytes | str) -> None:
    """This is told before the work, and no other image is drawn either."""
    mine = Path("seen/test-7.png")
    mine.parent.mkdir()
    if content == "a link":
        mine.symlink_to("nowhere")
    elif content == "a folder":
        mine.mkdir()
    elif isinstance(content, bytes):
        mine.write_bytes(content)
    else:
        write(str(mine), canvases()[7])
    before = (mine.lstat().st_ino, mine.lstat().st_mtime_ns)
    told = refused(stack)
    assert "  where     seen/test-7.png\n" in told
    assert list(mine.parent.iterdir()) == [mine]
    assert (mine.lstat().st_ino, mine.lstat().st_mtime_ns) == before


def test_a_picture_is_whole_or_not_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there stays when writing fails half-way."""
    image = write("a.png", canvases()[1])
    lines(image, "--overlay", "seen")
    before = Path("seen/a.png").read_bytes()

    def write_half(target: Path, content: bytes) -> None:
        with target.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    told = refused(image)
    assert "airkit: Cannot write a file\n  where     seen/a.png\n  got       No space left" in told
    assert Path("seen/a.png").read_bytes() == before
    assert [path.name for path in Path("seen").iterdir()] == ["a.png"]
