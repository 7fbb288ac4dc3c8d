from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from idx_files import Bytes, mnist_like, write_folder

from airkit.data import sources
from airkit.errors import DigitsError

MINI = Path(__file__).parents[2] / "shared" / "mnist-mini"
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def refusal(source: object) -> str:
    with pytest.raises(DigitsError) as caught:
        sources.load(str(source), 0)
    return str(caught.value)


def dtypes_of(pool: sources.Digits) -> list[np.dtype[np.generic]]:
    return [pool.images.dtype, pool.labels.dtype, pool.index.dtype]


@pytest.mark.parametrize("zipped", [False, True])
def test_folder(tmp_path: Path, zipped: bool) -> None:
    arrays = mnist_like(train=30, test=8)
    folder = write_folder(tmp_path, arrays, zipped)
    source = sources.load(str(folder), 0)
    train, val, test = (source.pools[split] for split in sources.SPLITS)
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
    assert sources.load("~/digits", 0).name == "~/digits"


@pytest.mark.parametrize("side", [1, 32])
def test_folder_of_another_side(tmp_path: Path, side: int) -> None:
    arrays = mnist_like(train=2, test=1, side=side)
    for value, name in enumerate((TRAIN_IMAGES, TEST_IMAGES)):
        arrays[name][:, 0, 0] = [2 * value, 2 * value + 1][: len(arrays[name])]
    pools = sources.load(str(write_folder(tmp_path, arrays)), 0).pools
    assert [pools[split].images.shape for split in sources.SPLITS] == [(1, side, side)] * 3


def test_file_in_place_of_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"")
    assert refusal(file) == (
        "No such source of digits\n"
        "  expected  mnist, strokes, auto or a folder of IDX files in MNIST's layout\n"
        f"  got       {file}\n"
        "  try       --source strokes"
    )


def test_folder_of_a_user_who_is_not_there() -> None:
    assert refusal("~nobody-of-this-name/digits") == (
        "No such source of digits\n"
        "  expected  mnist, strokes, auto or a folder of IDX files in MNIST's layout\n"
        "  got       ~nobody-of-this-name/digits\n"
        "  try       --source strokes"
    )


def test_folder_that_cannot_be_looked_into() -> None:
    name = "x" * 5000
    assert refusal(name) == (
        f"Cannot read a folder of digits\n  where     {name}\n  got       File name too long\n"
        "  try       --source strokes, which is built in"
    )


def test_empty_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        "A folder of digits lacks files\n"
        f"  where     {tmp_path}\n"
        f"  expected  {TRAIN_IMAGES}[.gz] and {TRAIN_LABELS}[.gz] and "
        f"{TEST_IMAGES}[.gz] and {TEST_LABELS}[.gz]\n"
        "  got       none of MNIST's four files\n"
        "  try       give the files MNIST's names, or --source strokes, which is built in"
    )


def test_folder_that_lacks_two_files(tmp_path: Path) -> None:
    arrays = mnist_like()
    del arrays[TRAIN_LABELS], arrays[TEST_IMAGES]
    assert refusal(write_folder(tmp_path, arrays)) == (
        "A folder of digits lacks files\n"
        f"  where     {tmp_path}\n"
        f"  expected  {TRAIN_LABELS}[.gz] and {TEST_IMAGES}[.gz]\n"
        f"  got       {TRAIN_IMAGES}.gz, {TEST_LABELS}.gz\n"
        "  try       give the files MNIST's names, or --source strokes, which is built in"
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
            "  got       28 x 27\n"
            "  try       mend the files, or --source strokes, which is built in",
        ),
        (
            cut_side,
            "Train and test digits differ in size\n"
            f"  where     FOLDER/{TEST_IMAGES}.gz\n"
            f"  expected  side 28, as in {TRAIN_IMAGES}.gz\n"
            "  got       side 20\n"
            "  try       mend the files, or --source strokes, which is built in",
        ),
        (
            drop_label,
            "Images and labels differ in number\n"
            f"  where     FOLDER/{TRAIN_LABELS}.gz\n"
            f"  expected  30 labels, one for each image in {TRAIN_IMAGES}.gz\n"
            "  got       29 labels\n"
            "  try       mend the files, or --source strokes, which is built in",
        ),
        (
            large_label,
            "A label is too large\n"
            f"  where     FOLDER/{TEST_LABELS}.gz, row 3\n"
            "  expected  0 to 127\n"
            "  got       128\n"
            "  try       mend the files, or --source strokes, which is built in",
        ),
        (
            one_digit,
            "Too few digits to part into train and val\n"
            f"  where     FOLDER/{TRAIN_IMAGES}.gz\n"
            "  expected  at least 2\n"
            "  got       1\n"
            "  try       mend the files, or --source strokes, which is built in",
        ),
        (
            same_digits,
            "All train digits are in a held-out split too\n"
            "  where     FOLDER\n"
            "  expected  other images in the train files than in the t10k files\n"
            "  got       27 shared images\n"
            "  try       mend the files, or --source strokes, which is built in",
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
    assert sources.load(str(write_folder(tmp_path, arrays)), 0).pools["test"].labels[0] == 127


def test_damaged_file_of_a_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, mnist_like(), zipped=False)
    (folder / TEST_IMAGES).write_bytes(b"")
    assert refusal(folder) == (
        "An IDX file is empty\n"
        f"  where     {folder / TEST_IMAGES}\n"
        "  try       fetch or copy the file again, or --source strokes, which is built in"
    )


@pytest.mark.skipif(not MINI.is_dir(), reason="the small share of MNIST is not at hand")
def test_a_share_of_the_real_thing() -> None:
    source = sources.load(str(MINI), 0)
    assert {split: len(pool.labels) for split, pool in source.pools.items()} == {
        "train": 7200,
        "val": 800,
        "test": 2000,
    }
    for pool in source.pools.values():
        assert set(pool.labels.tolist()) == set(range(10))
        assert 0.11 < pool.images.mean() / 255 < 0.17
