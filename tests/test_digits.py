from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idx_files import mnist_like, write_folder

from airkit.data import mnist, sources
from airkit.errors import DigitsError
from airkit.system.callbacks import Listener

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


class Hearer(Listener):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def refusal(source: object) -> str:
    with pytest.raises(DigitsError) as caught:
        sources.load(str(source), 0)
    return str(caught.value)


def images_of(pool: sources.Digits) -> set[bytes]:
    return {image.tobytes() for image in pool.images}


def dtypes_of(pool: sources.Digits) -> list[np.dtype[np.generic]]:
    return [pool.images.dtype, pool.labels.dtype, pool.index.dtype]


@pytest.fixture
def few_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "STROKE_COUNTS", {"train": 30, "val": 5, "test": 7})


def test_no_such_source() -> None:
    assert refusal("mnits") == (
        "No such source of digits\n"
        "  expected  mnist, strokes, auto or a folder of IDX files in MNIST's layout\n"
        "  got       mnits\n"
        "  try       --source mnist"
    )


def test_digest_names_the_digits_alone(tmp_path: Path) -> None:
    plain = write_folder(tmp_path / "plain", mnist_like(), zipped=False)
    zipped = write_folder(tmp_path / "zipped", mnist_like())
    digest = sources.load(str(plain), 0).digest
    assert len(bytes.fromhex(digest)) == 32
    assert sources.load(str(zipped), 1).digest == digest


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS])
def test_digest_changes_with_any_byte(tmp_path: Path, name: str) -> None:
    arrays = mnist_like()
    before = sources.load(str(write_folder(tmp_path, arrays)), 0).digest
    arrays[name].flat[-1] ^= 1
    assert sources.load(str(write_folder(tmp_path, arrays)), 0).digest != before


def test_images_that_splits_share_stay_in_the_held_out_one(tmp_path: Path) -> None:
    arrays = mnist_like()
    arrays[TRAIN_IMAGES][3] = arrays[TEST_IMAGES][0]
    arrays[TRAIN_IMAGES][29] = arrays[TEST_IMAGES][5]
    arrays[TRAIN_IMAGES][9] = arrays[TRAIN_IMAGES][28]
    arrays[TRAIN_IMAGES][1] = arrays[TRAIN_IMAGES][0]  # a pair within one split may stay
    folder = write_folder(tmp_path, arrays)
    hearer = Hearer()
    pools = sources.load(str(folder), 0, hearer).pools
    assert pools["train"].index.tolist() == [row for row in range(27) if row not in {3, 9}]
    assert pools["val"].index.tolist() == [27, 28]
    assert pools["test"].index.tolist() == list(range(8))
    assert hearer.notes == [
        f"{folder}: left out 2 train digits that a held-out split has too",
        f"{folder}: left out 1 val digits that a held-out split has too",
    ]


@given(
    train=st.lists(st.integers(0, 40), min_size=2, max_size=30),
    test=st.lists(st.integers(0, 40), min_size=1, max_size=10),
)
@settings(max_examples=30, deadline=None)
def test_no_image_is_in_two_pools(
    tmp_path_factory: pytest.TempPathFactory, train: list[int], test: list[int]
) -> None:
    arrays = {}
    for part, values in {"train": train, "t10k": test}.items():
        ink = np.array(values, np.uint8)
        arrays[f"{part}-images-idx3-ubyte"] = np.tile(ink[:, None, None], (1, 2, 2))
        arrays[f"{part}-labels-idx1-ubyte"] = ink
    folder = write_folder(tmp_path_factory.mktemp("digits"), arrays, zipped=False)
    try:
        pools = sources.load(str(folder), 0).pools
    except DigitsError as error:
        assert "held-out" in error.what  # noqa: PT017 - nothing may be left to train on
        return
    found = [images_of(pools[split]) for split in sources.SPLITS]
    assert len(set.union(*found)) == sum(map(len, found))
    for split, row_of in {"train": train, "val": train, "test": test}.items():
        pool = pools[split]
        np.testing.assert_array_equal(pool.images[:, 0, 0], np.array(row_of)[pool.index])
        np.testing.assert_array_equal(pool.images[:, 0, 0], pool.labels)


@pytest.mark.usefixtures("few_strokes")
def test_strokes() -> None:
    source = sources.load("strokes", 0)
    assert source.name == "strokes"
    assert [len(source.pools[split].labels) for split in sources.SPLITS] == [30, 5, 7]
    for pool in source.pools.values():
        assert pool.images.shape == (len(pool.labels), 28, 28)
        assert dtypes_of(pool) == [np.uint8, np.uint8, np.int32]
        assert pool.index.tolist() == list(range(len(pool.labels)))
    assert source.licence
    assert source.attribution


@pytest.mark.usefixtures("few_strokes")
def test_strokes_are_the_same_for_every_seed() -> None:
    assert sources.load("strokes", 0).digest == sources.load("strokes", 1).digest


def fake_fetch(
    folder: Path, asked: list[mnist.Patience]
) -> Callable[[Listener, mnist.Patience], dict[str, Path]]:
    def fetch(listener: Listener, patience: mnist.Patience = mnist.LONG) -> dict[str, Path]:
        asked.append(patience)
        return {name: folder / f"{name}.gz" for name in mnist.SHA256}

    return fetch


@pytest.mark.parametrize(("source", "patience"), [("mnist", mnist.LONG), ("auto", mnist.SHORT)])
def test_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, patience: mnist.Patience
) -> None:
    folder = write_folder(tmp_path, mnist_like())
    asked: list[mnist.Patience] = []
    monkeypatch.setattr(mnist, "fetch", fake_fetch(folder, asked))
    loaded = sources.load(source, 0)
    assert asked == [patience]
    assert loaded.name == "mnist"
    assert loaded.digest == sources.load(str(folder), 0).digest
    assert loaded.licence == "CC BY-SA 3.0"
    assert loaded.attribution == mnist.ATTRIBUTION


@pytest.mark.usefixtures("few_strokes")
def test_auto_falls_back_on_strokes_with_one_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRKIT_CACHE", str(tmp_path))
    monkeypatch.delenv("AIRKIT_OFFLINE", raising=False)
    monkeypatch.setattr(mnist, "MIRRORS", ("nonsense://one/",))
    hearer = Hearer()
    assert sources.load("auto", 0, hearer).name == "strokes"
    assert hearer.notes == [
        "No mirror served MNIST's train-images-idx3-ubyte.gz: using strokes, the built-in digits, "
        "instead (--source mnist tells more and waits longer)"
    ]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("few_strokes")
def test_auto_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRKIT_CACHE", str(tmp_path))
    monkeypatch.setenv("AIRKIT_OFFLINE", "1")
    hearer = Hearer()
    assert sources.load("auto", 0, hearer).name == "strokes"
    assert hearer.notes == [
        "MNIST is not in the cache, and AIRKIT_OFFLINE forbids fetching it: using strokes, the "
        "built-in digits, instead (--source mnist tells more and waits longer)"
    ]
    assert list(tmp_path.iterdir()) == []
