"""Damages bytes and nested values at random."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
"""Numbers at which readers of lengths and offsets go wrong."""


def spoil(content: bytes, rng: random.Random) -> bytes:
    """Damage bytes once or twice, in one of the ways below."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2))):
        data = data or bytearray(1)
        rng.choice((truncate, insert, replace, *LOCAL))(data, rng)
    return bytes(data)


def flip(data: bytearray, rng: random.Random) -> None:
    """Flip some bits."""
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, rng: random.Random) -> None:
    """Overwrite some bytes with others."""
    for _ in range(rng.choice((1, 1, 3))):
        data[rng.randrange(len(data))] = rng.randrange(256)


def forge(data: bytearray, rng: random.Random) -> None:
    """Write an extreme number where a length, an offset or a count may be."""
    kind = rng.choice(("<B", "<H", "<I", "<Q", ">H", ">I", ">Q"))
    size = struct.calcsize(kind)
    if len(data) > size:
        number = rng.choice((*EDGES, rng.getrandbits(64))) % 2 ** (8 * size)
        struct.pack_into(kind, data, rng.randrange(len(data) - size), number)


LOCAL = (flip, overwrite, forge)
"""Damage that keeps the length."""


def truncate(data: bytearray, rng: random.Random) -> None:
    """Cut the end off."""
    del data[rng.randrange(len(data)) :]


def insert(data: bytearray, rng: random.Random) -> None:
    """Insert zeros or random bytes at the start, at the end or in between."""
    at = rng.choice((0, len(data), rng.randrange(len(data))))
    data[at:at] = rng.choice((bytes, rng.randbytes))(rng.choice((1, 8, 512, 5000)))


def replace(data: bytearray, rng: random.Random) -> None:
    """Replace a block by nothing, by zeros, by another block, or by itself twice."""
    start, other, length = *(rng.randrange(len(data)) for _ in "ab"), rng.choice((1, 4, 64, 512))
    block = data[start : start + length]
    data[start : start + length] = rng.choice(
        (b"", bytes(length), data[other : other + length], block * 2)
    )


def forge_tree(tree: Any, rng: random.Random, change: Callable[[Any, random.Random], Any]) -> Any:
    """Change, remove, rename or repeat one entry somewhere inside nested dicts and lists."""
    inner = [key for key in _keys(tree) if _keys(tree[key])]
    if inner and rng.random() < 0.8:
        key = rng.choice(inner)
        tree[key] = forge_tree(tree[key], rng, change)
    elif not _keys(tree) or rng.random() < 0.05:
        return change(tree, rng)
    else:
        _forge_entry(tree, rng.choice(_keys(tree)), rng, change)
    return tree


def _keys(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return list(tree)
    return list(range(len(tree))) if isinstance(tree, list) else []


def _forge_entry(
    tree: Any, key: Any, rng: random.Random, change: Callable[[Any, random.Random], Any]
) -> None:
    how = rng.choice(("change", "change", "change", "remove", "repeat", "rename"))
    if how == "change":
        tree[key] = change(tree[key], rng)
    elif how == "remove":
        del tree[key]
    elif isinstance(tree, list):
        tree.append(tree[key])
    else:
        tree[rng.choice(("", "x", f"{key}x"))] = tree[key] if how == "repeat" else tree.pop(key)
