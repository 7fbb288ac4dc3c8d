"""Checkpoints: everything that training needs to go on as if it had never stopped.

A checkpoint is one ``torch.save`` dict of tensors and plain values, read with
``weights_only=True`` so that no file can run code. Random streams are functions of the seed
and the step, so that the step number is all of their state.

A file may come from anywhere. Its archive is checked before it is loaded (``airkit.runs.archive``),
and the shapes of all tensors are compared with the configuration's model before memory is taken for
it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import ConfigDict, StrictStr
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from airkit._version import __version__
from airkit.config import settings
from airkit.config.schema import Config
from airkit.errors import CheckpointError, ConfigError
from airkit.model.air import AIR
from airkit.model.objectives.baselines import baseline_of
from airkit.runs.archive import check_archive
from airkit.runs.records import (
    Amount,
    Count,
    Number,
    PathText,
    Share,
    reason,
    require,
    restorer,
)
from airkit.runs.versions import FORMAT_VERSION, as_written
from airkit.system import files

FORMAT = "airkit-checkpoint"
ANOTHER = "name another with --checkpoint"
"""The next step where a file cannot be used."""


@dataclass(frozen=True)
class Best:
    """The best validation so far."""

    step: Count
    """Steps taken before it."""
    elbo: Number
    """One-draw ELBO of the val split, in nats per canvas."""
    count_accuracy: Share | None
    """Share of its canvases counted right from one look per slot; None where that is not known."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after ``step`` steps."""

    __pydantic_config__: ClassVar = ConfigDict(arbitrary_types_allowed=True)

    step: Count
    config: Config
    model: Mapping[StrictStr, Tensor]
    """The model's state dict."""
    baselines: Mapping[StrictStr, Tensor]
    """The state dict of the estimator's baselines; empty where it has none."""
    optimiser: Mapping[StrictStr, Any]
    """The optimiser's state dict."""
    data: PathText
    """Absolute path of the data file; its name alone in an export."""
    data_digest: PathText
    """Content digest of the data file."""
    seconds: Amount
    """Time spent training so far."""
    loss_sum: Number
    """Sum of the losses since the last row of losses in the metrics."""
    loss_count: Count
    """How many losses are in the sum."""
    best: Best | None
    """The best validation so far."""
    threads: Count | None = None
    """CPU threads that the weights were computed with; None where that is not recorded: in exports,
    in what ``airkit.save`` wrote, and in files of an older airkit."""
    processes: Count | None = None
    """Processes that the weights were computed with; None as for ``threads``."""
    data_source: PathText | None = None
    """Digits of the data file: what ``data.source`` stood for; None in files of an older airkit."""
    block: Count = 0
    """Canvases that are shuffled together; 0 for all, and where it is not recorded."""

    @property
    def parameters(self) -> int:
        """Number of the model's parameters."""
        return sum(weights.numel() for weights in self.model.values())


restored = restorer(Checkpoint)
"""The checkpoint of fields that were read from a file; raises ValueError."""


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically; raises OutputError."""
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "airkit_version": __version__,
        **vars(checkpoint),
        "config": settings.to_json(checkpoint.config),
        "model": dict(checkpoint.model),
        "baselines": dict(checkpoint.baselines),
        "optimiser": dict(checkpoint.optimiser),
        "best": None if checkpoint.best is None else vars(checkpoint.best),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    files.write_bytes(path, buffer.getvalue())


def read(path: str | Path) -> Checkpoint:
    """Return the checkpoint in a file, its tensors on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or of a newer format.
    """
    path = Path(path)
    content = _load(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _error("This is no airkit checkpoint", path, got="a file of another kind")
    try:
        _check_version(content, path)
        require(isinstance(content.get("config"), str), "no configuration")
        config = settings.from_json(content["config"], str(path))
        config = as_written(config, content["format_version"])
        state = restored({**content, "config": config})
        check(state, path.stat().st_size)
    except (ValueError, RuntimeError, ConfigError) as error:
        other = ", or of another airkit" * isinstance(error, ConfigError)
        raise _error(f"This checkpoint is damaged{other}", path, got=reason(error)) from error
    return state


def _load(path: Path) -> Any:
    """Return the file's content; bytes that make no sense can raise any exception."""
    try:
        files.check_regular(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a file that is refused in a moment
            check_archive(path)
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise _error("There is no such checkpoint", path) from error
    except OSError as error:
        raise _error("This checkpoint cannot be read", path, got=error.strerror or error) from error
    except Exception as error:
        got = "a file that is damaged or of another kind"
        raise _error("This checkpoint cannot be read", path, got=got) from error


def _check_version(content: Mapping[str, Any], path: Path) -> None:
    version = content.get("format_version")
    if type(version) is not int or not 1 <= version <= 10**6:
        raise ValueError("no format version")
    if version > FORMAT_VERSION:
        written_by = content.get("airkit_version")
        raise CheckpointError.newer("checkpoint", path, FORMAT_VERSION, version, written_by)


def _error(what: str, path: Path, got: object = None) -> CheckpointError:
    return CheckpointError(
        what,
        where=path,
        expected="a checkpoint written by airkit train",
        got=got,
        hint=ANOTHER,
    )


def check(state: Checkpoint, size: int, *, trainable: bool = True) -> None:
    """Check a state and its tensors against the configuration and the file's size.

    Classes from outside airkit are not imported to read a file. Where one makes some of the
    weights, their names and shapes are compared when the model is built.

    Args:
        state: the content of the file.
        size: its size in bytes.
        trainable: whether there are baselines and an optimiser's state beside the weights.

    Raises:
        ValueError: a tensor of a wrong type or shape, not finite, or larger than the file, as
            views can be.
        RuntimeError: weights that are missing, unexpected, or of a wrong shape.
    """
    require(state.best is None or state.best.step <= state.step, "best.step after step")
    moments = list(_moments(state.optimiser.get("state")))
    weights = [*state.model.values(), *state.baselines.values()]
    every = [*weights, *(tensor for entry in moments for tensor in entry.values())]
    for tensor in every:
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        require(plain and tensor.is_contiguous(), "a tensor of an odd layout, or a view")
    require(sum(tensor.nbytes for tensor in every) <= size, "tensors larger than the file")
    modules = _modules(state.config)
    if modules is not None:
        require(all(tensor.dtype == torch.float32 for tensor in every), "an odd number format")
        parts = [state.model, state.baselines] if trainable else [state.model]
        for module, found in zip(modules, parts, strict=False):
            module.load_state_dict(found, assign=True)
        shapes = [tensor.shape for module in modules for tensor in module.parameters()]
        _check_shapes(state.optimiser["state"], shapes)
    require(all(bool(tensor.isfinite().all()) for tensor in weights), "weights not finite")
    # A mean of squares can be infinite; Adam then takes no step, and goes on.
    require(not any(bool(tensor.isnan().any()) for tensor in every), "optimiser state is NaN")


def _moments(state: Any) -> Iterator[Mapping[str, Tensor]]:
    """Yield the tensors of Adam's state by parameter; one that was never used has none."""
    require(isinstance(state, dict), "no optimiser state")
    for number, entry in state.items():
        require(type(number) is int and isinstance(entry, dict), "optimiser state")
        tensors = all(isinstance(tensor, Tensor) for tensor in entry.values())
        require(tensors and set(entry) == {"step", "exp_avg", "exp_avg_sq"}, "optimiser state")
        yield entry


def _check_shapes(state: Mapping[int, Mapping[str, Tensor]], shapes: list[torch.Size]) -> None:
    """Compare Adam's state with the shapes of the parameters."""
    for number, entry in state.items():
        require(0 <= number < len(shapes), f"optimiser state of parameter {number}")
        for name, tensor in entry.items():
            expected = torch.Size() if name == "step" else shapes[number]
            told = f"optimiser {name} of shape {tuple(tensor.shape)}, not {tuple(expected)}"
            require(tensor.shape == expected, told)


class _Weightless(TorchFunctionMode):
    """Makes parameters of modules built within it on no device: they have but a shape.

    The device ``meta`` for everything would take a second to load.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _modules(config: Config) -> tuple[nn.Module, nn.Module] | None:
    """Return model and baseline without memory for weights; None with a class from outside."""
    if config.has_outside:
        return None
    with _Weightless():
        return AIR(config), baseline_of(config)
