"""Checkpoints spoilt in their bytes, their zip, their pickle or the dict inside."""

from __future__ import annotations

import io
import random
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from fuzz import damage
from fuzz.forgeries import FORGERIES

_SEEDS = ("saliency.pt", "saliency.pt", "lstm.pt", "nvil.pt")
GLOBALS = (
    "os system", "posix system", "builtins eval", "builtins exec", "builtins getattr",
    "builtins __import__", "builtins open", "subprocess Popen", "torch load", "torch.hub load",
    "torch.storage _load_from_bytes", "torch._utils _rebuild_parameter", "torch Tensor",
    "torch._utils _rebuild_sparse_tensor", "torch._utils _rebuild_nested_tensor",
    "torch._utils _rebuild_qtensor", "torch._utils _rebuild_meta_tensor_no_storage",
    "torch._utils _rebuild_wrapper_subclass", "torch._tensor _rebuild_from_type_v2",
    "torch FloatStorage", "torch DoubleStorage", "torch Size", "torch device", "torch float16",
    "torch.serialization _get_layout", "collections Counter", "collections OrderedDict",
    "builtins bytearray", "_codecs encode", "numpy._core.multiarray _reconstruct",
    "numpy dtype", "importlib import_module", "webbrowser open", "pickle loads",
)  # fmt: skip


def make(seeds: Path, path: Path, rng: random.Random) -> str:
    """Write a checkpoint ``path`` that is spoilt somehow."""
    name = rng.choice(_SEEDS)
    way = rng.choice(_WAYS)
    content, how = way(_content(seeds / name), rng)
    path.write_bytes(content)
    return f"{name} {way.__name__.strip('_')} {how}"


@cache
def _content(path: Path) -> bytes:
    return path.read_bytes()


def _entries(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of ``entries``, its sums right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _bytes(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    return damage.spoil(content, rng)


def _directory(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """The zip's own records at the end of the file, where lengths are."""
    data = bytearray(content)
    start = data.find(b"PK\x01\x02")
    tail = data[start:]
    rng.choice((damage.flip, damage.forge, damage.forge, damage.overwrite))(tail, rng)
    return bytes(data[:start] + tail), ""


def _entry(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """One part of the archive spoilt, gone, renamed or filled, with sums that are right."""
    entries = _entries(content)
    name = rng.choice(list(entries))
    part, how = entries.pop(name), rng.choice(("spoil", "spoil", "gone", "rename", "fill"))
    if how == "spoil":
        entries[name] = damage.spoil(part or b"\0", rng)[0]
    elif how == "rename":
        other = ("archive/data.pkl", "../it", "/etc/passwd", name + "x", name.upper(), "a/b/c")
        entries[rng.choice(other)] = part
    elif how == "fill":
        entries[name] = rng.choice((b"", bytes(3 * 10**6), content, b"0" * 100, b"-1"))
    return packed(entries), f"{how} {name.partition('/')[2]}"


def _squeezed(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Compressed parts, some of which unfold to very much."""
    entries, kinds = _entries(content), (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    entries = dict(rng.sample(sorted(entries.items()), 20))
    if rng.random() < 0.1:
        entries[rng.choice(list(entries))] = bytes(10**6)
    return packed(entries, rng.choice(kinds)), ""


def _pickle(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """A pickle whose globals, numbers or opcodes are others; the zip is sound."""
    entries = _entries(content)
    name = next(name for name in entries if name.endswith("data.pkl"))
    code, how = bytearray(entries[name]), rng.choice(("global", "global", "bytes", "number", "own"))
    if how == "global":
        old = rng.choice(
            (
                b"ctorch._utils\n_rebuild_tensor_v2\n",
                b"ccollections\nOrderedDict\n",
                b"ctorch\nFloatStorage\n",
            )
        )
        new = ("c" + rng.choice(GLOBALS).replace(" ", "\n") + "\n").encode()
        code = bytearray(bytes(code).replace(old, new, rng.choice((1, -1))))
    elif how == "bytes":
        rng.choice(damage.DAMAGES)(code, rng)
    elif how == "number":
        spots = [at for at in range(len(code)) if code[at] in b"KMJ"]
        at = rng.choice(spots)
        code[at : at + 2] = rng.choice(
            (
                b"K\xff",
                b"J\xff\xff\xff\x7f",
                b"J\xff\xff\xff\xff",
                b"\x8a\x08" + bytes(7) + b"\x10",
                b"G\x7f\xf0" + bytes(6),
            )
        )
    else:
        code = bytearray(_program(rng))
    entries[name] = bytes(code)
    return packed(entries), how


def _program(rng: random.Random) -> bytes:
    """A pickle that is not a checkpoint's: calls, deep nesting, long loops of references."""
    call = "\x80\x02c" + rng.choice(GLOBALS).replace(" ", "\n") + "\n"
    argument = "(X\x04\x00\x00\x00true" + rng.choice(("tR.", "o.", "t\x81.", "t}bR.", "t\x85R."))
    laughs = b"\x80\x02]q\x00" + b"".join(b"](h%cq%ce" % (0, 0) for _ in range(1)) + b"."
    nested = b"\x80\x02" + b"]" * 9000 + b"a" * 8999 + b"."
    tuples = b"\x80\x02N" + b"2\x86" * 60 + b"."  # two references to the one before, 60 deep
    endless = b"\x80\x02" + b"X\xff\xff\xff\x7fabc."
    longs = b"\x80\x02\x8b\xff\xff\xff\x7f."
    return rng.choice(((call + argument).encode("latin-1"), laughs, nested, tuples, endless, longs))


def _forged(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """A well-formed checkpoint in which one or two things are not what they should be."""
    found = torch.load(io.BytesIO(content), weights_only=True)
    forgeries = rng.choices(FORGERIES, k=rng.choice((1, 1, 1, 2)))
    names = [f"{forge.__name__.strip('_')} {forge(found, rng)}" for forge in forgeries]
    return _saved(found, zipped=rng.random() < 0.95), ", ".join(names)


def _saved(thing: Any, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


_WAYS = (
    _bytes,
    _directory,
    _entry,
    _squeezed,
    _pickle,
    _pickle,
    _forged,
    _forged,
    _forged,
    _forged,
)
