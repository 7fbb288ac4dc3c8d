"""The weights of a trained model as a safetensors file, beside its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import torch

from airkit._version import __version__
from airkit.config import settings
from airkit.errors import AirkitError
from airkit.runs.checkpoint import FORMAT_VERSION, Checkpoint
from airkit.runs.export_folder import WEIGHTS
from airkit.system import files


def library() -> ModuleType:
    """The library that writes safetensors.

    Raises:
        AirkitError: it is not installed.
    """
    try:
        import safetensors.torch  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise AirkitError(
            "safetensors is not installed", hint='pip install "airkit[export]"'
        ) from error
    return safetensors.torch


def write(state: Checkpoint, folder: Path) -> None:
    """Write ``model.safetensors`` and ``config.toml`` into a folder of their own.

    The same checkpoint gives the same bytes.

    Raises:
        AirkitError: safetensors is not installed.
        OSError: a file cannot be written.
    """
    weights = {  # of memory of its own each, as the format asks
        name: value.clone(memory_format=torch.contiguous_format)
        for name, value in state.model.items()
    }
    about = _about(state)
    content = {
        WEIGHTS: _ordered(library().save(weights, about), about),
        "config.toml": settings.to_toml(state.config).encode(),
    }
    for name, written in content.items():
        (folder / name).write_bytes(written)
        files.sync(folder / name)


def _about(state: Checkpoint) -> dict[str, str]:
    """The metadata, which the format holds as text."""
    return {
        "airkit_version": __version__,  # first: what tells an export
        "format": "pt",  # what other readers of safetensors look for: weights of PyTorch
        "format_version": str(FORMAT_VERSION),
        "step": str(state.step),
        "seed": str(state.config.train.seed),
        "data_digest": state.data_digest,
        "config": settings.to_json(state.config),
    }


def _ordered(content: bytes, about: Mapping[str, str]) -> bytes:
    """A safetensors file with its metadata in our order; the library's is left to chance.

    The file is the length of its header in 8 bytes, the header as JSON, and the tensors. Spaces
    at the header's end keep the tensors at a multiple of 8 bytes.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps({**json.loads(content[8:start]), "__metadata__": about}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[start:]
