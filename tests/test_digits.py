from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idx_files import Bytes, mnist_like, write_folder

from airkit.canvases import digits, mnist
from airkit.errors import DigitsError
from airkit.listener import Listener

MINI = Path(__file__).parents[2] / "shared" / "mnist-mini"
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


class Hearer(Listener):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def refusal(source: object) -> str:
    with pytest.raises(DigitsError) as caught:
        digits.load(str(source), 0)
    return str(caught.value)


def images_of(pool: digits.Digits) -> set[bytes]:
    return {image.tobytes() for image in pool.images}


def dtypes_of(pool: digits.Digits) -> list[np.dtype[np.generic]]:
    return [pool.images.dtype, pool.labels.dtype, pool.index.dtype]


@pytest.fixture
def few_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "STROKE_COUNTS", {"train": 30, "val": 5, "test": 7})


@pytest.mark.parametrize("zipped", [False, True])
def test_folder(tmp_path: Path, zipped: bool) -> None:
    arrays = mnist_like(train=30, test=8)
    folder = write_folder(tmp_path, arrays, zipped)
    source = digits.load(str(folder), 0)
    train, val, test = (source.pools[split] for split in digits.SPLITS)
    np.testing.assert_array_equal(train.images, arrays[TRAIN_IMAGES][:27])
    np.testing.assert_array_equal(train.labels, arrays[TRAIN_LABELS][:27])
    np.testing.assert_array_equal(train.index, np.arange(27))
    np.testing.assert_array_equal(val.images, arrays[TRAIN_IMAGES][27:])
    np.testing.assert_array_equal(val.labels, arrays[TRAIN_LABELS][27:])
    np.testing.assert_array_equal(val.index, [27, 28, 29])
    np.testing.assert_array_equal(test.images, arrays[TEST_IMAGES])
    np.testing.assert_array_equal(test.labels, arrays[TEST_LABELS])
    np.testing.assert_array_equal(test.index, np.arange(8))
    for pool in source.pools.values():
        assert dtypes_of(pool) == [np.uint8, np.uint8, np.int32]
    assert list(source.pools) == ["train", "val", "test"]
    assert source.name == str(folder)
    assert source.licence == "not stated"
    assert source.attribution == f"digits of the folder {folder}"


def test_folder_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder(tmp_path / "digits", mnist_like())
    assert digits.load("~/digits", 0).name == "~/digits"


@pytest.mark.parametrize("side", [1, 32])
def test_folder_of_another_side(tmp_path: Path, side: int) -> None:
    arrays = mnist_like(train=2, test=1, side=side)
    for value, name in enumerate((TRAIN_IMAGES, TEST_IMAGES)):
        arrays[name][:, 0, 0] = [2 * value, 2 * value + 1][: len(arrays[name])]
    pools = digits.load(str(write_folder(tmp_path, arrays)), 0).pools
    assert [pools[split].images.shape for split in digits.SPLITS] == [(1, side, side)] * 3


def test_digest_names_the_digits_alone(tmp_path: Path) -> None:
    plain = write_folder(tmp_path / "plain", mnist_like(), zipped=False)
    zipped = write_folder(tmp_path / "zipped", mnist_like())
    digest = digits.load(str(plain), 0).digest
    assert len(bytes.fromhex(digest)) == 32
    assert digits.load(str(zipped), 1).digest == digest


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS])
def test_digest_changes_with_any_byte(tmp_path: Path, name: str) -> None:
    arrays = mnist_like()
    before = digits.load(str(write_folder(tmp_path, arrays)), 0).digest
    arrays[name].flat[-1] ^= 1
    assert digits.load(str(write_folder(tmp_path, arrays)), 0).digest != before


def test_no_such_source() -> None:
    assert refusal("mnits") == (
        "No such source of digits\n"
        "  expected  mnist, strokes, auto or a folder of IDX files in MNIST's layout\n"
        "  got       mnits\n"
        "  try       mnist"
    )


def test_file_in_place_of_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"")
    assert refusal(file) == (
        "No such source of digits\n"
        "  expected  mnist, strokes, auto or a folder of IDX files in MNIST's layout\n"
        f"  got       {file}"
    )


def test_folder_that_cannot_be_looked_into() -> None:
    name = "x" * 5000
    assert refusal(name) == (
        f"Cannot read a folder of digits\n  where     {name}\n  got       File name too long"
    )


def test_empty_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        "A folder of digits lacks files\n"
        f"  where     {tmp_path}\n"
        f"  expected  {TRAIN_IMAGES}[.gz] and {TRAIN_LABELS}[.gz] and "
        f"{TEST_IMAGES}[.gz] and {TEST_LABELS}[.gz]\n"
        "  got       none of MNIST's four files\n"
        "  try       give the files MNIST's names"
    )


def test_folder_that_lacks_two_files(tmp_path: Path) -> None:
    arrays = mnist_like()
    del arrays[TRAIN_LABELS], arrays[TEST_IMAGES]
    assert refusal(write_folder(tmp_path, arrays)) == (
        "A folder of digits lacks files\n"
        f"  where     {tmp_path}\n"
        f"  expected  {TRAIN_LABELS}[.gz] and {TEST_IMAGES}[.gz]\n"
        f"  got       {TRAIN_IMAGES}.gz, {TEST_LABELS}.gz\n"
        "  try       give the files MNIST's names"
    )


def cut_width(arrays: dict[str, Bytes]) -> None:
    arrays[TEST_IMAGES] = arrays[TEST_IMAGES][:, :, :27]


def cut_side(arrays: dict[str, Bytes]) -> None:
    arrays[TEST_IMAGES] = arrays[TEST_IMAGES][:, :20, :20]


def drop_label(arrays: dict[str, Bytes]) -> None:
    arrays[TRAIN_LABELS] = arrays[TRAIN_LABELS][:-1]


def large_label(arrays: dict[str, Bytes]) -> None:
    arrays[TEST_LABELS][3:5] = 128, 255


def one_digit(arrays: dict[str, Bytes]) -> None:
    for name in (TRAIN_IMAGES, TRAIN_LABELS):
        arrays[name] = arrays[name][:1]


def same_digits(arrays: dict[str, Bytes]) -> None:
    arrays[TEST_IMAGES], arrays[TEST_LABELS] = arrays[TRAIN_IMAGES], arrays[TRAIN_LABELS]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            cut_width,
            "Digits are not square\n"
            f"  where     FOLDER/{TEST_IMAGES}.gz\n"
            "  expected  as many rows as columns\n"
            "  got       28 x 27",
        ),
        (
            cut_side,
            "Train and test digits differ in size\n"
            f"  where     FOLDER/{TEST_IMAGES}.gz\n"
            f"  expected  side 28, as in {TRAIN_IMAGES}.gz\n"
            "  got       side 20",
        ),
        (
            drop_label,
            "Images and labels differ in number\n"
            f"  where     FOLDER/{TRAIN_LABELS}.gz\n"
            f"  expected  30 labels, one for each image in {TRAIN_IMAGES}.gz\n"
            "  got       29 labels",
        ),
        (
            large_label,
            "A label is too large\n"
            f"  where     FOLDER/{TEST_LABELS}.gz, row 3\n"
            "  expected  0 to 127\n"
            "  got       128",
        ),
        (
            one_digit,
            "Too few digits to part into train and val\n"
            f"  where     FOLDER/{TRAIN_IMAGES}.gz\n"
            "  expected  at least 2\n"
            "  got       1",
        ),
        (
            same_digits,
            "All train digits are in a held-out split too\n"
            "  where     FOLDER\n"
            "  expected  other images in the train files than in the t10k files\n"
            "  got       27 shared images",
        ),
    ],
)
def test_folder_that_makes_no_pools(
    tmp_path: Path, damage: Callable[[dict[str, Bytes]], None], message: str
) -> None:
    arrays = mnist_like()
    damage(arrays)
    folder = write_folder(tmp_path, arrays)
    assert refusal(folder) == message.replace("FOLDER", str(folder))


def test_label_127_is_taken(tmp_path: Path) -> None:
    arrays = mnist_like()
    arrays[TEST_LABELS][0] = 127
    assert digits.load(str(write_folder(tmp_path, arrays)), 0).pools["test"].labels[0] == 127


def test_damaged_file_of_a_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, mnist_like(), zipped=False)
    (folder / TEST_IMAGES).write_bytes(b"")
    assert refusal(folder) == (
        "An IDX file is empty\n"
        f"  where     {folder / TEST_IMAGES}\n"
        "  try       fetch or copy the file again"
    )


def test_images_that_splits_share_stay_in_the_held_out_one(tmp_path: Path) -> None:
    arrays = mnist_like()
    arrays[TRAIN_IMAGES][3] = arrays[TEST_IMAGES][0]
    arrays[TRAIN_IMAGES][29] = arrays[TEST_IMAGES][5]
    arrays[TRAIN_IMAGES][9] = arrays[TRAIN_IMAGES][28]
    arrays[TRAIN_IMAGES][1] = arrays[TRAIN_IMAGES][0]  # a pair within one split may stay
    folder = write_folder(tmp_path, arrays)
    hearer = Hearer()
    pools = digits.load(str(folder), 0, hearer).pools
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
        pools = digits.load(str(folder), 0).pools
    except DigitsError as error:
        assert "held-out" in error.what  # noqa: PT017 - nothing may be left to train on
        return
    found = [images_of(pools[split]) for split in digits.SPLITS]
    assert len(set.union(*found)) == sum(map(len, found))
    for split, row_of in {"train": train, "val": train, "test": test}.items():
        pool = pools[split]
        np.testing.assert_array_equal(pool.images[:, 0, 0], np.array(row_of)[pool.index])
        np.testing.assert_array_equal(pool.images[:, 0, 0], pool.labels)


@pytest.mark.usefixtures("few_strokes")
def test_strokes() -> None:
    source = digits.load("strokes", 0)
    assert source.name == "strokes"
    assert [len(source.pools[split].labels) for split in digits.SPLITS] == [30, 5, 7]
    for pool in source.pools.values():
        assert pool.images.shape == (len(pool.labels), 28, 28)
        assert dtypes_of(pool) == [np.uint8, np.uint8, np.int32]
        assert pool.index.tolist() == list(range(len(pool.labels)))
    assert source.licence
    assert source.attribution


@pytest.mark.usefixtures("few_strokes")
def test_strokes_are_the_same_for_every_seed() -> None:
    assert digits.load("strokes", 0).digest == digits.load("strokes", 1).digest


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
    loaded = digits.load(source, 0)
    assert asked == [patience]
    assert loaded.name == "mnist"
    assert loaded.digest == digits.load(str(folder), 0).digest
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
    assert digits.load("auto", 0, hearer).name == "strokes"
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
    assert digits.load("auto", 0, hearer).name == "strokes"
    assert hearer.notes == [
        "MNIST is not in the cache, and AIRKIT_OFFLINE forbids fetching it: using strokes, the "
        "built-in digits, instead (--source mnist tells more and waits longer)"
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not MINI.is_dir(), reason="the small share of MNIST is not at hand")
def test_a_share_of_the_real_thing() -> None:
    source = digits.load(str(MINI), 0)
    assert {split: len(pool.labels) for split, pool in source.pools.items()} == {
        "train": 7200,
        "val": 800,
        "test": 2000,
    }
    for pool in source.pools.values():
        assert set(pool.labels.tolist()) == set(range(10))
        assert 0.11 < pool.images.mean() / 255 < 0.17
