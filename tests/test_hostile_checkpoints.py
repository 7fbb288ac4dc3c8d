"""Attacks on the reader of checkpoints by name: each is refused at once, before it does harm."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzz.checkpoints import packed
from test_hostile_files import EXPECTED, content, entries, refused
from tiny_runs import assert_as_if_never_stopped, go_on, state, trained

from airkit.runs import checkpoint
from airkit.runs.folder import RunFolder
from airkit.runs.trained import build

CANNOT = "This checkpoint cannot be read"
DAMAGED = "This checkpoint is damaged"


def told(what: str, path: Path, got: str) -> str:
    return f"{what}\n  where     {path}{EXPECTED}\n  got       {got}"


def _program(code: bytes) -> bytes:
    """A sound archive with this pickle."""
    parts = entries()
    (name,) = (name for name in parts if name.endswith("data.pkl"))
    return packed({**parts, name: code})


def _legacy() -> bytes:
    buffer = io.BytesIO()
    torch.save(content(), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def _nested() -> bytes:
    return packed({"archive/" + name.partition("/")[2]: packed(entries()) for name in entries()})


def _script() -> bytes:
    """A TorchScript archive is told by this part."""
    parts = entries()
    folder = next(iter(parts)).partition("/")[0]
    return packed({**parts, f"{folder}/constants.pkl": b"\x80\x02).", f"{folder}/code/x.py": b""})


CALL = b"\x80\x02c%s\n%s\n%s\x85R."
TUPLES = b"\x80\x02}" + b"N" + b"2\x86" * 40 + b"Ns."  # a key of 2**40 leaves
DEEP = b"\x80\x02}" + b"N" + b"\x85" * 300_000 + b"Ns."  # a key that a stack has no room for
ATTACKS: dict[str, Callable[[], bytes]] = {
    "os.system": lambda: _program(CALL % (b"os", b"system", b"X\x04\0\0\0true")),
    "eval": lambda: _program(CALL % (b"__builtin__", b"eval", b"X\x01\0\0\0001")),
    "a terabyte of bytes": lambda: _program(
        CALL % (b"__builtin__", b"bytearray", b"\x8a\x06\0\0\0\0\0\1")
    ),
    "a terabyte of tensor": lambda: _program(
        CALL % (b"torch", b"Tensor", b"\x8a\x06\0\0\0\0\0\1")
    ),
    "endless tuples": lambda: _program(TUPLES),
    "deep tuples": lambda: _program(DEEP),
    "a large pickle": lambda: _program(b"\x80\x02" + b"N0" * 300_000 + b"N."),
    "squeezed parts": lambda: packed(entries(), zipfile.ZIP_DEFLATED),
    "a zip bomb": lambda: packed({**entries(), "x/data/0": bytes(10**8)}, zipfile.ZIP_DEFLATED),
    "zips in a zip": _nested,
    "TorchScript": _script,
    "the format of before 2020": _legacy,
    "something before the zip": lambda: b"#!/bin/sh\n" + packed(entries()),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_archives(tmp_path: Path, attack: str) -> None:
    path = tmp_path / "it.pt"
    path.write_bytes(ATTACKS[attack]())
    reason = "a file that is damaged or of another kind"
    assert refused(checkpoint.read, path).startswith(told(CANNOT, path, reason))


def test_a_sound_archive_is_read(tmp_path: Path) -> None:
    """What the attacks above are made from passes."""
    path = tmp_path / "it.pt"
    path.write_bytes(packed(entries()))
    assert checkpoint.read(path).step == content()["step"]


def laughs() -> list[Any]:
    inner: list[Any] = ["ha"]
    for _ in range(40):
        inner = [inner, inner]
    return inner


NAME = "decoder.layers.0.weight"
SHAPE = "(16, 4)"
FIELDS: dict[str, tuple[str, Any, str]] = {
    "step": ("step", 10**400, "step"),
    "step before": ("step", -1, "step"),
    "version": ("format_version", 10**30, "no format version"),
    "laughs": ("data", laughs(), "data"),
    "long path": ("data", "x" * 10**4, "data"),
    "nan": ("seconds", float("nan"), "seconds"),
    "infinite": ("loss_sum", float("inf"), "loss_sum"),
    "best later": ("best", {"step": 99, "elbo": 1.0, "count_accuracy": 1.0}, "best.step"),
    "best nan": ("best", {"step": 1, "elbo": float("nan"), "count_accuracy": 1.0}, "best.elbo"),
    "text": ("optimiser", {"state": {0: 1}, "param_groups": []}, "optimiser state"),
}


@pytest.mark.parametrize("fault", FIELDS)
def test_fields(tmp_path: Path, fault: str) -> None:
    field, value, got = FIELDS[fault]
    path = tmp_path / "it.pt"
    torch.save({**content(), field: value}, path)
    assert refused(checkpoint.read, path).startswith(told(DAMAGED, path, got))


def _weights(tensor: Any) -> Callable[[dict[str, Any]], None]:
    def edit(found: dict[str, Any]) -> None:
        found["model"][NAME] = tensor

    return edit


def _moments(name: str, tensor: torch.Tensor) -> Callable[[dict[str, Any]], None]:
    def edit(found: dict[str, Any]) -> None:
        found["optimiser"]["state"][0][name] = tensor

    return edit


def _settings(section: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    def edit(found: dict[str, Any]) -> None:
        config = json.loads(found["config"])
        config[section].update(values)
        found["config"] = json.dumps(config)

    return edit


def _views(found: dict[str, Any]) -> None:
    """As large as the settings say, and all of it one number of the file."""
    _settings("model", hidden_size=8192)(found)
    with torch.device("meta"):
        from airkit.config.settings import from_json  # noqa: PLC0415
        from airkit.model.air import AIR  # noqa: PLC0415

        shapes = {
            name: each.shape
            for name, each in AIR(from_json(found["config"], "")).state_dict().items()
        }
    found["model"] = {name: torch.ones(1).expand(shape) for name, shape in shapes.items()}
    found["optimiser"]["state"] = {}


WEIGHTS = f"model weights {NAME}"
TENSORS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "endless view": (
        _weights(torch.ones(1).expand(2**40)), f"{WEIGHTS} of shape (1099511627776,), not {SHAPE}",
    ),
    "views": (_views, "model weights guide.proposer.0.weight: a view"),
    "terabytes by settings": (
        _settings("model", encoder_net=[8192] * 64),
        "model weights guide.encoder.layers.0.weight of shape (16, 128), not (8192, 128)",
    ),
    "number": (_weights(3), f"{WEIGHTS}: no plain tensor"),
    "nan": (_weights(torch.full((16, 4), torch.nan)), "model weights that are NaN or inf"),
    "infinite": (_weights(torch.full((16, 4), torch.inf)), "model weights that are NaN or inf"),
    "moment of another shape": (
        _moments("exp_avg", torch.ones(2)), "optimiser exp_avg of shape (2,), not (16, 801)",
    ),
    "moment nan": (_moments("exp_avg", torch.full((16, 801), torch.nan)), "optimiser state"),
    "moment a view": (
        _moments("exp_avg", torch.ones(801, 16).T), "optimiser exp_avg: a view",
    ),
    "moment more": (_moments("max_exp_avg_sq", torch.ones(1)), "optimiser state"),
}  # fmt: skip


@pytest.mark.parametrize("fault", TENSORS)
def test_tensors(tmp_path: Path, fault: str) -> None:
    edit, got = TENSORS[fault]
    path, found = tmp_path / "it.pt", content()
    edit(found)
    torch.save(found, path)
    assert refused(checkpoint.read, path).startswith(told(DAMAGED, path, got))


def test_the_optimisers_numbers_come_from_the_settings(tmp_path: Path) -> None:
    """Betas and the like in a forged file change nothing of how training goes on."""
    run = trained(tmp_path / "run")
    newest = RunFolder(run).saved()[-1]
    for path in RunFolder(run).saved():
        found = torch.load(path, weights_only=True)
        found["optimiser"]["param_groups"][0].update(betas=(0.0, 0.0), eps=7.0, maximize=True)
        torch.save(found, path)
    newest.unlink()
    go_on(run)
    assert_as_if_never_stopped(run)


def test_a_forged_newest_checkpoint_is_passed_over(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    path = RunFolder(run).saved()[-1]
    found = torch.load(path, weights_only=True)
    _settings("model", hidden_size=8192)(found)
    torch.save(found, path)
    go_on(run)
    assert_as_if_never_stopped(run)
    assert build(state(run), torch.device("cpu")).slots == 3
