"""A trained model as a folder to share: weights as safetensors, ``config.json``, a model card.

model.safetensors   parameters under the names of PyTorch's state dict
config.json         the configuration, and what the weights were trained on
README.md           the model card; see ``airkit.runs.cards``

Nothing in it can run code. A folder may come from anywhere: safetensors checks the layout of the
tensors, and their names and shapes are compared with the configuration's model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from airkit._version import __version__
from airkit.config import settings
from airkit.data.info import shared_source
from airkit.errors import CheckpointError, ConfigError
from airkit.runs import checkpoint
from airkit.runs.cards import CONFIG, WEIGHTS
from airkit.runs.checkpoint import Checkpoint
from airkit.runs.records import Count, Record, checked, parsed, reason
from airkit.runs.versions import FORMAT_VERSION, as_written
from airkit.system import files

_MOST_CONFIG = 2**18
_FACTS = ("step", "best", "data", "data_digest", "data_source", "seconds")
"""What ``config.json`` holds beside the configuration, as a checkpoint does."""


class _Header(Record):
    format_version: Count
    config: dict[str, Any] = Field(strict=True)


def contents(state: Checkpoint) -> dict[str, bytes]:
    """Return weights and configuration by file name; the same checkpoint gives the same bytes.

    Of the data file and of a folder of digits only the names are told, not where they were.
    """
    facts = {name: getattr(state, name) for name in _FACTS}
    config = state.config.model_dump(mode="json")
    config["data"]["source"] = shared_source(config["data"]["source"])
    about = {
        "airkit_version": __version__,  # first: the mark of an export
        "format_version": FORMAT_VERSION,
        **facts,
        "best": None if state.best is None else vars(state.best),
        "data": Path(state.data).name,
        "data_source": None if state.data_source is None else shared_source(state.data_source),
        "config": config,
    }
    weights = {name: value.contiguous().clone() for name, value in state.model.items()}
    return {
        WEIGHTS: save(weights, {"format": "pt"}),
        CONFIG: (json.dumps(about, indent=2) + "\n").encode(),
    }


def read(folder: Path) -> Checkpoint:
    """Return the model in a folder as a checkpoint that has no state to train on.

    Raises:
        CheckpointError: a file is missing, damaged, of another model, or of a newer format.
    """
    try:
        about = _about(folder / CONFIG)
        files.check_regular(folder / WEIGHTS)
        about["model"] = load_file(folder / WEIGHTS)
        state = checkpoint.restored(about)
        size = (folder / WEIGHTS).stat().st_size
        checkpoint.check(state, size, trainable=False)
    except OSError as error:
        raise _error("This model cannot be read", folder, error.strerror or error) from error
    except (ValueError, RuntimeError, SafetensorError, ConfigError) as error:
        raise _error("This model is damaged, or none of airkit's", folder, reason(error)) from error
    return state


def _about(path: Path) -> dict[str, Any]:
    """Return the values of a checkpoint but for its weights."""
    text = files.start_of(path, _MOST_CONFIG + 1)
    if len(text) > _MOST_CONFIG:
        raise ValueError(f"{CONFIG} is too large")
    values = parsed(text)
    if not isinstance(values, dict):
        raise ValueError(f"{CONFIG} is no table")
    header = checked(_Header.model_validate, values)
    if header.format_version > FORMAT_VERSION:
        raise CheckpointError.newer("model", path, FORMAT_VERSION, header.format_version)
    config = settings.from_json(json.dumps(header.config), str(path))
    config = as_written(config, header.format_version)
    none = {"baselines": {}, "optimiser": {"state": {}}, "loss_sum": 0.0, "loss_count": 0}
    return {**{name: values.get(name) for name in _FACTS}, **none, "config": config}


def _error(what: str, folder: Path, got: object) -> CheckpointError:
    return CheckpointError(
        what,
        where=folder,
        expected=f"{WEIGHTS} and {CONFIG}, as airkit export wrote them",
        got=got,
        hint="fetch or export it again, or name another",
    )
