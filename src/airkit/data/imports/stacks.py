"""Pictures of an array: in memory, in a NumPy file or archive, or inside an HDF5 file.

Shapes: N pictures of H x W pixels; C channels.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from airkit.data.imports.pictures import (
    SMALLEST,
    Array,
    Bad,
    Picture,
    Pictures,
    Reading,
    reading_of,
)
from airkit.data.imports.truth import NAMES, check_known, parts_of, truth_of
from airkit.errors import ImageError

_BLOCK_BYTES = 2**24
_LONGEST_HEAD = 10_000
"""Bytes of a NumPy file's header, as NumPy has it."""
_ROWS = 256
"""Rows that are compared to tell flattened pictures."""
_SHAPES = "an array [N, H, W], [N, H, W, C] or [N, C, H, W] of numbers"


@dataclass(frozen=True)
class Stack:
    """An array of pictures, wherever it is."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], Iterator[Array]]
    """Yields its rows in order, some megabytes at a time."""
    single: bool = False
    """Whether it is one picture rather than several."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def channels_first(self) -> bool:
        """Whether it is [N, C, H, W], as in PyTorch."""
        shape = self.shape
        return len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 2, 3, 4)

    @property
    def picture(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.shape[2:4] if self.channels_first else self.shape[1:3]
        return height, width

    def channels_last(self, block: Array) -> Array:
        """Rows as [n, H, W, C]."""
        block = np.moveaxis(block, 1, -1) if self.channels_first else block
        block = block[..., None] if block.ndim == 3 else block
        return block.astype(np.uint8) * 255 if block.dtype == np.bool_ else block


class Rows(Pictures):
    """Pictures of a stack, read some rows at a time."""

    def __init__(self, stack: Stack, known: Mapping[str, Any], reading: Reading) -> None:
        super().__init__(stack.name, stack.shape[0], reading)
        self.stack, self.known = stack, known
        height, width = stack.picture
        reading.check_size(f"{stack.name} of {list(stack.shape)}", width, height)

    def walk(self, bad: Bad) -> Iterator[Picture]:
        """See ``Pictures.walk``; an array is read as a whole or not at all."""
        with reading_of(Path(self.name), "a whole array of numbers"):
            yield from self._walk(bad)

    def _walk(self, bad: Bad) -> Iterator[Picture]:
        pairs = zip(rows(self.stack), known_of_each(self.known), strict=False)
        for row, (values, known) in enumerate(pairs):
            levels = self.stack.channels_last(values[None])[0]
            single = self.stack.single
            name, index = (self.name, None) if single else (f"{self.name}, picture {row}", row)
            try:
                truth = truth_of(name, known, self.reading)
            except ImageError as error:
                bad(Path(name), error)
            else:
                yield self.reading.picture(name, levels, Path(self.name), index, truth)


def rows_of(stack: Stack, known: Mapping[str, Any], reading: Reading) -> Rows:
    """The pictures of a stack, after its shape, its type and the lengths of its truth were checked.

    Raises:
        ImageError: they do not fit.
    """
    axes = len(stack.shape)
    if reading.single and (axes == 2 or (axes == 3 and stack.shape[2] <= 4)):
        reading.check_size(stack.name, stack.shape[1], stack.shape[0])
        stack = _alone(stack)
    shape, dtype = stack.shape, stack.dtype
    whole = len(shape) in (3, 4) and min(shape) > 0 and dtype.kind in "biuf"
    if not whole or (len(shape) == 4 and not (shape[3] <= 4 or shape[1] in (1, 3))):
        raise ImageError(
            "An array holds no pictures",
            where=stack.name,
            expected=_SHAPES,
            got=f"{dtype} {list(shape)}",
            hint="array.reshape(-1, H, W), where each picture is a row"
            if len(shape) == 2
            else "save it in one of these shapes",
        )
    check_known(stack.name, known, shape[0])
    return Rows(stack, known, reading)


def known_of_each(known: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What is known of one picture after another, by part; without end where nothing is known."""
    if not known:
        yield from repeat({})
    for parts in zip(*map(rows, known.values()), strict=True):
        yield dict(zip(known, parts, strict=True))


def rows(given: Any) -> Iterator[Array]:
    """Rows of a stack, or of an array, a tensor or a list."""
    if isinstance(given, Stack):
        return (row for block in given.read() for row in block)
    return (as_array(row) for row in given)


def _alone(stack: Stack) -> Stack:
    """A stack of one picture, of an array [H, W] or [H, W, C]; raises ImageError."""
    first = next(stack.read(), np.zeros((0, 1)))
    if len(stack.shape) == 2 and (side := _side_in_rows(first[:_ROWS], stack.shape)):
        raise ImageError(
            "An array seems to have a flattened picture in each row",
            where=stack.name,
            expected=_SHAPES,
            got=f"{stack.dtype} {list(stack.shape)}",
            hint=f"give each picture its rows: array.reshape(-1, {side}, {side})",
        )

    def whole() -> Iterator[Array]:
        yield np.concatenate([*stack.read()])[None]

    return Stack(stack.name, (1, *stack.shape), stack.dtype, whole, single=True)


def _side_in_rows(rows: Array, shape: tuple[int, ...]) -> int | None:
    """The side of square pictures that are flattened to the rows of an array [N, side * side].

    A pixel of these resembles the one a side further on more than the one in the next row of the
    array, and the next row is no closer to it than any other.

    Args:
        rows: some of the rows, [n, side * side].
        shape: of the whole array.
    """
    side = math.isqrt(shape[1])
    if side < SMALLEST or side**2 != shape[1] or len(rows) < 2 or rows.dtype.kind not in "biuf":
        return None
    rows = rows.astype(np.float32)
    below = np.abs(np.diff(rows, axis=0)).mean()
    further = np.abs(rows[:, side:] - rows[:, :-side]).mean()
    elsewhere = np.abs(rows - np.roll(rows, len(rows) // 2, axis=0)).mean()
    return side if below > max(1.2 * further, 0.7 * elsewhere) else None


def as_array(given: Any) -> Array:
    """An array of an array or a tensor, which may be on a GPU or need gradients."""
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        given = given.float() if given.is_floating_point() else given  # NumPy has no bfloat16
    return np.asarray(given)


def of_array(name: str, array: Any) -> Stack:
    """A stack of an array in memory."""
    return Stack(name, array.shape, array.dtype, lambda: _blocks(array))


def _step(shape: tuple[int, ...]) -> int:
    return max(1, _BLOCK_BYTES // max(1, 8 * math.prod(shape[1:])))


def _blocks(array: Any) -> Iterator[Array]:
    """Rows of an array, of a memory-mapped one or of an HDF5 dataset, some megabytes at a time."""
    step = _step(array.shape)
    for start in range(0, array.shape[0], step):
        yield np.asarray(array[start : start + step])


def of_npy(path: Path) -> Stack:
    """The stack of a NumPy file, which is not memory-mapped: pages once read would stay."""
    with path.open("rb") as file:
        try:
            shape, dtype = _head(file)
        except _FortranError:
            return of_array(str(path), np.load(path, mmap_mode="r"))
    if dtype.hasobject:
        return Stack(str(path), shape, dtype, lambda: iter(()))
    if path.stat().st_size < math.prod(shape) * dtype.itemsize:
        raise ValueError(f"fewer bytes than {dtype} {list(shape)} takes")
    return Stack(str(path), shape, dtype, _streamed(lambda: path.open("rb")))


def of_npz(path: Path, reading: Reading) -> tuple[Stack, dict[str, Stack]]:
    """The stack of a NumPy archive, and what is known of it.

    The pictures are the array ``images``, ``image`` or ``x``, or the only one of such a shape.

    Raises:
        ImageError: it has none, or several.
    """
    with zipfile.ZipFile(path) as archive:
        heads = {}
        for member in (name for name in archive.namelist() if name.endswith(".npy")):
            with archive.open(member) as file:
                heads[member.removesuffix(".npy")] = _head(file)
    plain = {name: head for name, head in heads.items() if not head[1].hasobject}
    reading.noticed["pickled"] += len(heads) - len(plain)
    likely = [name for name, (shape, _) in plain.items() if len(shape) > 2 and name not in NAMES]
    chosen = [name for name in ("images", "image", "x") if name in likely][:1] or likely
    if len(chosen) != 1:
        raise ImageError(
            "It is unclear which array holds the pictures",
            where=path,
            expected=f"one called images, or one alone: {_SHAPES}",
            got=", ".join(f"{name} {list(shape)}" for name, (shape, _) in heads.items())
            or "nothing",
            hint="numpy.savez(FILE, images=...)",
        )

    def stack(name: str) -> Stack:
        read = _streamed(lambda: _member(path, f"{name}.npy"))
        return Stack(f"{path}, {name}", *plain[name], read)

    known = {part: stack(name) for part, name in parts_of(plain, reading).items()}
    return replace(stack(chosen[0]), name=str(path)), known


class _FortranError(ValueError):
    """An array is stored column by column."""


def _head(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of a NumPy file, which is read up to its numbers."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
        length = int.from_bytes(file.read(4), "little")
        if length > _LONGEST_HEAD:  # which NumPy would make room for before it refuses it
            raise ValueError(f"a header of {length:,} bytes")
        file.seek(-4, 1)
    shape, fortran, dtype = read(file)
    if fortran and len(shape) > 1:
        raise _FortranError("an array in Fortran's order; save numpy.ascontiguousarray of it")
    return shape, dtype


def _streamed(
    opened: Callable[[], AbstractContextManager[IO[bytes]]],
) -> Callable[[], Iterator[Array]]:
    """What reads the rows of a NumPy file some megabytes at a time."""

    def read() -> Iterator[Array]:
        with opened() as file:
            shape, dtype = _head(file)
            size, step = math.prod(shape[1:]) * dtype.itemsize, _step(shape)
            for start in range(0, shape[0], step):
                rows = min(step, shape[0] - start)
                yield np.frombuffer(file.read(rows * size), dtype).reshape(rows, *shape[1:])

    return read


@contextmanager
def _member(path: Path, name: str) -> Iterator[IO[bytes]]:
    """A file inside an archive."""
    with zipfile.ZipFile(path) as archive, archive.open(name) as file:
        yield file


def of_hdf5(path: Path, inner: str, reading: Reading) -> tuple[Stack, dict[str, Stack]]:
    """The stack that is a dataset inside an HDF5 file, and what those beside it tell of it.

    Raises:
        ImageError: there is no such dataset.
    """
    with h5py.File(path, "r") as file:
        if _plain(file, inner) is None:
            raise ImageError(
                "There is no such array in the HDF5 file",
                where=f"{path}:{inner}",
                expected=_SHAPES,
                got="nothing, a group or a link",
                hint=f"one of {', '.join(_datasets(file)) or 'none'}",
            )
        group, _, own = file[inner].name.rpartition("/")
        beside = {name: _plain(file, f"{group}/{name}") for name in NAMES if name != own}
        heads = {name: (it.shape, it.dtype) for name, it in beside.items() if it is not None}
        head = file[inner].shape, file[inner].dtype

    def stack(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Stack:
        return Stack(f"{path}:{name}", shape, dtype, lambda: _of_dataset(path, name))

    parts = parts_of(heads, reading)
    known = {part: stack(f"{group}/{name}", *heads[name]) for part, name in parts.items()}
    return stack(inner, *head), known


def _plain(file: Any, inner: str) -> Any:
    """A dataset that is in the file itself; None if there is no such one."""
    names = [name for name in inner.split("/") if name]
    links = [file.get("/".join(names[:end]), getlink=True) for end in range(1, len(names) + 1)]
    own = bool(links) and all(isinstance(link, h5py.HardLink) for link in links)
    found = file[inner] if own else None
    inside = isinstance(found, h5py.Dataset) and not (found.external or found.is_virtual)
    return found if inside else None


def _of_dataset(path: Path, inner: str) -> Iterator[Array]:
    with h5py.File(path, "r") as file:
        yield from _blocks(file[inner])


def _datasets(file: Any) -> list[str]:
    """Paths of a file's arrays of three or four dimensions."""
    found: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim in (3, 4):
            found.append(f"/{name}")

    file.visititems(visit)
    return found[:5]
