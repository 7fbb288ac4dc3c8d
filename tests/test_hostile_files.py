"""Attacks by name: each is refused in these very words, at once, and does nothing else."""

from __future__ import annotations

import gzip
import os
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import fails
from idx_files import idx_bytes, mnist_like, write_folder
from tiny_runs import STEPS, reference

from airkit.config import settings
from airkit.data import idx, reader
from airkit.errors import AirkitError
from airkit.runs import checkpoint
from airkit.runs.describe import describe
from airkit.runs.folder import RunFolder

HINT = "\n  try       name another with --checkpoint"
EXPECTED = "\n  expected  a checkpoint written by airkit train"


def refused(call: Callable[..., object], *arguments: Any) -> str:
    """The message of a call that fails within two seconds."""
    began = time.perf_counter()
    with pytest.raises(AirkitError) as caught:
        call(*arguments)
    assert time.perf_counter() - began < 2
    return str(caught.value)


def whole() -> Path:
    return RunFolder(reference()).file(STEPS)


def content() -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(whole(), weights_only=True)
    return loaded


def entries() -> dict[str, bytes]:
    with zipfile.ZipFile(whole()) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# Pipes and devices


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (reader.read_info, "The data file is damaged or not one of airkit's"),
        (checkpoint.read, "This checkpoint cannot be read"),
        (settings.from_file, "Cannot read the config file"),
        (lambda path: idx.read(path, 3), "Cannot read an IDX file"),
        (describe, "Cannot read this"),
    ],
)
@pytest.mark.parametrize("device", ["pipe", "/dev/zero"])
def test_a_pipe_or_a_device_is_not_opened(
    tmp_path: Path, read: Callable[[Path], object], what: str, device: str
) -> None:
    path = tmp_path / "pipe" if device == "pipe" else Path(device)
    if device == "pipe":
        os.mkfifo(path)
    message = refused(read, path)
    assert message.startswith(f"{what}\n  where     {path}\n")
    assert "  got       not a regular file" in message


# Configurations


def config_refusal(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return refused(lambda: settings.resolve(settings.from_file(path)))


NO_TOML = "Cannot read the config file"


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("a = " + "[" * 5000, "tables or lists nested too deeply"),
        ("a = " + "{a=" * 5000, "tables or lists nested too deeply"),
        ("a." * 20_000 + "a = 1", "more than 5,000 dots"),
        ("\n[" + "a." * 20_000 + "a]", "more than 5,000 dots"),
        ("#\n" * 40_000, "more than 65,536 bytes"),
        ("a = 1\0", "Expected newline or end of document after a statement (at line 1, column 6)"),
        ("a = 1\na = 2", "Cannot overwrite a value (at end of document)"),
    ],
)
def test_toml_that_keeps_a_parser_busy(tmp_path: Path, text: str, got: str) -> None:
    path = tmp_path / "it.toml"
    told = config_refusal(path, text)
    assert told.startswith(f"{NO_TOML}\n  where     {path}\n")
    assert f"  got       {got}\n" in told


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_whole_number_without_end(tmp_path: Path, sign: str) -> None:
    path = tmp_path / "it.toml"
    assert "Exceeds the limit" in config_refusal(path, f"[train]\nsteps = {sign}{'9' * 5000}")
    told = config_refusal(path, f"[train]\nsteps = {'0x' + 'f' * 9000}")
    assert f"train.steps ({path}): expected a whole number" in told


def test_long_values_and_keys_are_cut_and_made_visible(tmp_path: Path) -> None:
    path = tmp_path / "it.toml"
    message = config_refusal(path, f"[train]\nsteps = '{'x' * 50_000}'\n\"\\u001b[2J\" = 1")
    assert len(message) < 2_000
    assert "got '" + "x" * 199 + "... (str)" in message
    assert "\\x1b[2J" in message
    assert message.replace("\n", "").isprintable()


def test_more_layers_than_anyone_trains(tmp_path: Path) -> None:
    path = tmp_path / "it.toml"
    message = config_refusal(path, f"[model]\nencoder_net = {[8] * 65}")
    assert "expected auto or a list of at most 64, each entry a whole number" in message


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "it.toml"
    assert "got       'utf-8' codec can't decode" in config_refusal(path, b"a = '\xff'")


def test_the_command_line_tells_of_hostile_files(tmp_path: Path) -> None:
    path = tmp_path / "it.toml"
    path.write_text("a = " + "[" * 5000)
    assert fails("config", "show", "--config", path).startswith(f"airkit: {NO_TOML}\n")
    forged = tmp_path / "it.pt"
    torch.save({**content(), "step": 10**30}, forged)
    assert fails("info", forged) == (
        f"airkit: This checkpoint is damaged\n  where     {forged}{EXPECTED}\n"
        f"  got       step{HINT}\n"
    )
    assert "got       step\n" in fails("eval", "--run", reference(), "--checkpoint", forged)


# Digits


def test_a_gzip_bomb(tmp_path: Path) -> None:
    path, side = tmp_path / "it.gz", 32_767
    header = struct.pack(">HBB3I", 0, 8, 3, 1, side, side)
    path.write_bytes(gzip.compress(header + bytes(2**24)))
    assert refused(idx.read, path, 3) == (
        f"An IDX file claims to be too large\n  where     {path}\n"
        "  expected  at most 67108864 bytes\n"
        f"  got       {side**2} bytes, for shape 1 x {side} x {side}\n"
        "  try       fetch or copy the file again, or --source strokes, which is built in"
    )


@pytest.mark.parametrize(
    "tail", [bytes(2**25), gzip.compress(b"") * 10**6], ids=["zeros", "streams"]
)
def test_what_follows_a_gzip_stream_is_not_read(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "it.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.ones((2, 3, 3), np.uint8))) + tail)
    assert refused(idx.read, path, 3) == (
        f"An IDX file's gzip stream is damaged\n  where     {path}\n"
        "  got       it goes on behind the stream\n"
        "  try       fetch or copy the file again, or --source strokes, which is built in"
    )


def test_a_folder_with_a_pipe_in_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "digits", mnist_like(), zipped=False)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    os.mkfifo(folder / "t10k-labels-idx1-ubyte")
    message = fails("make-data", "--source", folder, "--out", tmp_path / "out.h5")
    assert message == (
        "airkit: Cannot read an IDX file\n"
        f"  where     {folder / 't10k-labels-idx1-ubyte'}\n  got       not a regular file\n"
        "  try       --source strokes, which is built in\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits"]
