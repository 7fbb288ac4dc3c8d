"""Malicious files by name, each to be refused."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import torch

from hostile.formats import call, laughs, loaded, npy, png, saved, zip_entries, zipped

Content = bytes | Callable[[bytes], bytes]
"""A file's content, or what makes it of the content of a whole one."""
Attacks = dict[str, Content]


def _pickle(code: bytes) -> Content:
    """A sound archive with another pickle."""
    return lambda content: zipped(
        {name: code if "data.pkl" in name else part for name, part in zip_entries(content).items()}
    )


def _edit(edit: Callable[[dict[str, Any]], object]) -> Content:
    """A well-formed checkpoint with one thing forged."""

    def attack(content: bytes) -> bytes:
        found = loaded(content)
        edit(found)
        return saved(found)

    return attack


def _field(name: str, value: Any) -> Content:
    return _edit(lambda found: found.update({name: value}))


def _weights(tensor: Any) -> Content:
    return _edit(lambda found: found["model"].update({"decoder.layers.0.weight": tensor}))


def _moment(name: str, tensor: torch.Tensor) -> Content:
    return _edit(lambda found: found["optimiser"]["state"][0].update({name: tensor}))


def set_model(found: dict[str, Any], **values: Any) -> None:
    """Forge settings of the model in what a checkpoint holds."""
    config = json.loads(found["config"])
    config["model"].update(values)
    found["config"] = json.dumps(config)


def _views(found: dict[str, Any]) -> None:
    """Weights of the right shapes, all of them one number of the file."""
    one = torch.ones(1)
    found["model"] = {name: one.expand(each.shape) for name, each in found["model"].items()}


def _script(content: bytes) -> bytes:
    """A TorchScript archive is told by its parts ``constants.pkl`` and ``code``."""
    entries = zip_entries(content)
    folder = next(iter(entries)).partition("/")[0]
    return zipped({**entries, f"{folder}/constants.pkl": b"\x80\x02).", f"{folder}/code/x.py": b""})


def _zip_bomb(content: bytes) -> bytes:
    return zipped({**zip_entries(content), "x/data/0": bytes(10**8)}, zipfile.ZIP_DEFLATED)


CONFIG: Attacks = {
    "lists without end": b"a = " + b"[" * 5000,
    "tables without end": b"a = " + b"{a=" * 5000,
    "a key without end": b"a." * 20_000 + b"a = 1",
    "a header without end": b"\n[" + b"a." * 20_000 + b"a]",
    "a file without end": b"#\n" * 10**7,
    "a zero byte": b"a = 1\0",
    "a key twice": b"a = 1\na = 2",
    "a number without end": b"[train]\nsteps = " + b"9" * 5000,
    "a hexadecimal without end": b"[train]\nsteps = 0x" + b"f" * 9000,
    "a text without end": b"[train]\nsteps = '" + b"x" * 50_000 + b"'",
    "control characters": b'[train]\n"\\u001b[2J" = 1',
    "too many layers": b"[model]\nencoder_net = [" + b"8," * 65 + b"]",
    "no UTF-8": b"a = '\xff'",
}
CHECKPOINT: Attacks = {
    "os.system": _pickle(b"\x80\x02" + call("os system") + b"X\x04\0\0\0true\x85R."),
    "eval": _pickle(b"\x80\x02" + call("__builtin__ eval") + b"X\x01\0\0\0001\x85R."),
    "a terabyte of bytes": _pickle(
        b"\x80\x02" + call("__builtin__ bytearray") + b"\x8a\x06\0\0\0\0\0\1\x85R."
    ),
    "a terabyte of tensor": _pickle(
        b"\x80\x02" + call("torch Tensor") + b"\x8a\x06\0\0\0\0\0\1\x85R."
    ),
    "endless tuples": _pickle(b"\x80\x02}N" + b"2\x86" * 40 + b"Ns."),
    "deep tuples": _pickle(b"\x80\x02}N" + b"\x85" * 300_000 + b"Ns."),
    "deep lists": _pickle(b"\x80\x02" + b"]" * 9000 + b"a" * 8999 + b"."),
    "a text without end": _pickle(b"\x80\x02X\xff\xff\xff\x7fabc."),
    "a number without end": _pickle(b"\x80\x02\x8b\xff\xff\xff\x7f."),
    "a large pickle": _pickle(b"\x80\x02" + b"N0" * 300_000 + b"N."),
    "a zip bomb": _zip_bomb,
    "zips in a zip": lambda content: zipped({"archive/data.pkl": content}),
    "TorchScript": _script,
    "the format of before 2020": lambda content: saved(loaded(content), zipped=False),
    "something before the zip": lambda content: b"#!/bin/sh\n" + content,
    "a step without end": _field("step", 10**400),
    "a step below 0": _field("step", -1),
    "a version of 31 digits": _field("format_version", 10**30),
    "a list without end": _field("data", laughs()),
    "a path without end": _field("data", "x" * 10**4),
    "seconds of nan": _field("seconds", float("nan")),
    "an infinite loss": _field("loss_sum", float("inf")),
    "a best step to come": _field("best", {"step": 99, "elbo": 1.0, "count_accuracy": 1.0}),
    "a best of nan": _field("best", {"step": 1, "elbo": float("nan"), "count_accuracy": 1.0}),
    "no optimiser state": _field("optimiser", {"state": {0: 1}, "param_groups": []}),
    "an endless view": _weights(torch.ones(1).expand(2**40)),
    "a number for weights": _weights(3),
    "weights of nan": _weights(torch.full((16, 4), torch.nan)),
    "infinite weights": _weights(torch.full((16, 4), torch.inf)),
    "all weights views": _edit(_views),
    "terabytes by settings": _edit(lambda found: set_model(found, encoder_net=[8192] * 64)),
    "a moment of another shape": _moment("exp_avg", torch.ones(2)),
    "a moment of nan": _moment("exp_avg", torch.full((16, 801), torch.nan)),
    "a moment that is a view": _moment("exp_avg", torch.ones(801, 16).T),
    "a moment too many": _moment("max_exp_avg_sq", torch.ones(1)),
}

_LARGE = struct.pack(">HBB3I", 0, 8, 3, 1, 32_767, 32_767)  # the header of a gigabyte
DIGITS: Attacks = {
    "a gzip bomb": gzip.compress(_LARGE + bytes(2**24)),
    "zeros behind the stream": lambda content: gzip.compress(content) + bytes(2**25),
    "more streams": lambda content: gzip.compress(content) + gzip.compress(b"") * 10**6,
}
IMAGE: Attacks = {
    "too many pixels": png(
        (b"IHDR", struct.pack(">2I5B", 60_000, 60_000, 8, 0, 0, 0, 0)), (b"IDAT", b"")
    ),
    "a terabyte of array": npy("(1099511627776, 12, 12)", "|u1"),
    "an array of objects": npy("(2, 12, 12)", "|O"),
    "a header that calls": npy("__import__('os').system('true')", "|u1"),
}

SAYS = {
    "config lists without end": "nested too deeply",
    "config a zero byte": "line 1",
    "config a hexadecimal without end": "train.steps",
    "config a text without end": "train.steps",
    "config control characters": "\\x1b[2J",
    "config too many layers": "64",
    "checkpoint a number for weights": "decoder.layers.0.weight",
}
"""What the message of some must say."""
