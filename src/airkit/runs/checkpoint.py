"""Checkpoints: everything that training needs to go on as if it had never stopped.

A checkpoint is one ``torch.save`` dict of tensors and plain values, read with
``weights_only=True`` so that no file can run code. Random streams are functions of the seed
and the step, so that the step number is all of their state.

A file may come from anywhere. ``torch.load`` can be made to take any amount of memory or time, or
to crash, so that the archive is checked before it is loaded, and the shapes of all tensors are
compared with the configuration's model before memory is taken for it.
"""

from __future__ import annotations

import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from airkit._version import __version__
from airkit.config import settings
from airkit.config.registry import is_outside
from airkit.config.schema import Config
from airkit.errors import CheckpointError, ConfigError, sanitize
from airkit.model.air import AIR
from airkit.model.objectives.baselines import BASELINES
from airkit.runs.records import Amount, Count, Number, PathText, Record, Share, first_problem
from airkit.system import files

FORMAT = "airkit-checkpoint"
FORMAT_VERSION = 1
ANOTHER = "name another with --checkpoint"
"""The next step where a file cannot be used."""
_GLOBALS = re.compile(
    r"torch\._utils _rebuild_tensor_v2|collections OrderedDict"
    r"|torch (Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage"
)
"""All that a checkpoint's pickle may name."""
_MOST_PICKLE = 2**19  # bytes: some 3,000 tensors; the largest model of airkit's own has fewer
_MOST_TUPLE = 1_000  # items of a tuple and of all tuples in it; a tensor's has some twenty

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Best:
    """The best validation so far."""

    step: int
    """Steps taken before it."""
    elbo: float
    """One-draw ELBO of the val split, in nats per canvas."""
    count_accuracy: float
    """Share of its canvases counted right from one look per slot."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after ``step`` steps."""

    step: int
    config: Config
    model: Mapping[str, Tensor]
    """The model's state dict."""
    baselines: Mapping[str, Tensor]
    """The state dict of the estimator's baselines; empty where it has none."""
    optimiser: Mapping[str, Any]
    """The optimiser's state dict."""
    data: str
    """Absolute path of the data file."""
    data_digest: str
    """Content digest of the data file."""
    seconds: float
    """Time spent training so far."""
    loss_sum: float
    """Sum of the losses since the last row of losses in the metrics."""
    loss_count: int
    """How many losses are in the sum."""
    best: Best | None
    """The best validation so far."""
    threads: int | None = None
    """CPU threads that the weights were computed with; None in files of an older airkit."""
    processes: int | None = None
    """Processes that the weights were computed with; None in files of an older airkit."""
    data_source: str | None = None
    """Digits of the data file: what ``data.source`` stood for; None in files of an older airkit."""


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


class _BestRecord(Record, extra="forbid"):
    step: Count
    elbo: Number
    count_accuracy: Share


class _Values(Record):
    """The fields of a checkpoint's file, before the configuration and the tensors are read."""

    step: Count
    config: str
    model: dict[str, Any]
    baselines: dict[str, Any]
    optimiser: dict[str, Any]
    data: PathText
    data_digest: PathText
    seconds: Amount
    loss_sum: Number
    loss_count: Count
    best: _BestRecord | None
    threads: Count | None = None
    processes: Count | None = None
    data_source: PathText | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.best is not None and self.best.step > self.step:
            raise ValueError("best.step after step")
        return self


def read(path: Path) -> Checkpoint:
    """Return the checkpoint in a file, its tensors on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or of a newer format.
    """
    content = _load(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _error("This is no airkit checkpoint", path, got="a file of another kind")
    try:
        _check_version(content, path)
        values = _Values.model_validate(content)
        config = settings.from_json(values.config, str(path))
        _check_tensors(values, config, path.stat().st_size)
    except (ValueError, ConfigError) as error:
        raise _error("This checkpoint is damaged", path, got=first_problem(error)) from error
    known = {field.name: getattr(values, field.name) for field in fields(Checkpoint)}
    best = None if values.best is None else Best(**values.best.model_dump())
    return Checkpoint(**{**known, "config": config, "best": best})


def _load(path: Path) -> Any:
    """Return the file's content; bytes that make no sense can raise any exception."""
    try:
        files.check_regular(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a file that is refused in a moment
            _check_archive(path)
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise _error("There is no such checkpoint", path) from error
    except OSError as error:
        raise _error("This checkpoint cannot be read", path, got=error.strerror or error) from error
    except Exception as error:
        reason = "a file that is damaged or of another kind"
        raise _error("This checkpoint cannot be read", path, got=reason) from error


def _check_version(content: Mapping[str, Any], path: Path) -> None:
    version, written_by = content.get("format_version"), content.get("airkit_version")
    if type(version) is not int or not 1 <= version <= 10**6:
        raise ValueError("no format version")
    if version > FORMAT_VERSION:
        named = ""
        if isinstance(written_by, str):
            named = f", written by airkit {sanitize(written_by, 40)}"
        raise CheckpointError(
            "This checkpoint is from a newer airkit",
            where=path,
            expected=f"format version {FORMAT_VERSION}",
            got=f"format version {version}{named}",
            hint="upgrade airkit: pip install --upgrade airkit",
        )


def _error(what: str, path: Path, got: object = None) -> CheckpointError:
    return CheckpointError(
        what,
        where=path,
        expected="a checkpoint written by airkit train",
        got=got,
        hint=ANOTHER,
    )


def _check_archive(path: Path) -> None:
    """Check that ``torch.save`` could have written the file: its zip archive and its pickle.

    Raises:
        BadZipFile, ValueError, or whatever else ``zipfile`` makes of bytes without sense.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        _require(parts[0].header_offset == 0, "something before its first part")
        _require(all(part.compress_type == zipfile.ZIP_STORED for part in parts), "compression")
        size = sum(part.file_size for part in parts)
        _require(size <= path.stat().st_size, "parts that are larger than the file")
        _require(archive.testzip() is None, "a wrong checksum")  # torch.load compares none
        (pickle,) = (part for part in parts if part.filename.endswith("data.pkl"))
        _require(pickle.file_size <= _MOST_PICKLE, "a pickle too large")
        _check_pickle(archive.read(pickle))


def _check_pickle(content: bytes) -> None:
    """Follow a pickle without running it, and refuse what it may not name, and endless tuples.

    A tuple of tuples may refer to itself so often that it takes forever to hash, or be nested
    deeper than the stack. For each item on the pickle's stack, count the items in it.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[object, int] = {}
    for code, argument, _ in pickletools.genops(content):
        if code.name == "GLOBAL":
            _require(_GLOBALS.fullmatch(str(argument)) is not None, f"a call of {argument}")
        if "PUT" in code.name:
            memo[argument] = stack[-1]
        elif "GET" in code.name:
            stack.append(memo[argument])
        elif code.name == "MARK":
            marks.append(len(stack))
        else:
            items = sum(_popped(code, stack, marks))
            _require("TUPLE" not in code.name or items < _MOST_TUPLE, "endless tuples")
            stack += [1 + items] * len(code.stack_after)


def _popped(code: pickletools.OpcodeInfo, stack: list[int], marks: list[int]) -> Iterator[int]:
    """Pop what an instruction takes from the stack."""
    below = len(code.stack_before)
    if pickletools.markobject in code.stack_before:
        below = code.stack_before.index(pickletools.markobject)
        start = marks.pop()
        yield from stack[start:]
        del stack[start:]
    for _ in range(below):
        yield stack.pop()


def _check_tensors(values: _Values, config: Config, size: int) -> None:
    """Check all tensors against the configuration and the file's ``size`` in bytes.

    Raises:
        ValueError: a tensor is missing, of a wrong type or shape, not finite, or larger than the
            file, as views can be.
    """
    weights, baselines = _model_shapes(config), _baseline_shapes(config)
    _check_weights("model", values.model, weights)
    _check_weights("baselines", values.baselines, baselines)
    known = weights is not None and baselines is not None
    shapes = [*(weights or {}).values(), *(baselines or {}).values()] if known else None
    moments = list(_moments(values.optimiser.get("state"), shapes))
    tensors = [*values.model.values(), *values.baselines.values(), *moments]
    _require(sum(tensor.nbytes for tensor in tensors) <= size, "tensors larger than the file")
    # A mean of squares can be infinite; Adam then takes no step, and goes on.
    _require(not any(bool(tensor.isnan().any()) for tensor in moments), "optimiser state")
    for part, found in (("model", values.model), ("baselines", values.baselines)):
        finite = all(bool(tensor.isfinite().all()) for tensor in found.values())
        _require(finite, f"{part} weights that are NaN or infinite")


class _Weightless(TorchFunctionMode):
    """Makes parameters of modules built within it on no device: they have but a shape.

    The device ``meta`` for everything would take a second to load.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _model_shapes(config: Config) -> Shapes | None:
    """Return the shapes of the model's weights; None where a class from outside makes some.

    Such a class is not imported to read a file; its weights are compared when they are loaded.
    """
    if is_outside(config.guide.kind) or is_outside(config.prior.kind):
        return None
    with _Weightless():
        return _shapes(AIR(config))


def _baseline_shapes(config: Config) -> Shapes | None:
    """Return the shapes of the estimator's baselines; None where it is a class from outside."""
    train = config.train
    if is_outside(train.estimator):
        return None
    if train.estimator == "exact" or train.baseline == "none":
        return {}
    with _Weightless():
        return _shapes(BASELINES[train.baseline](config, config.data.canvas_size))


def _shapes(module: nn.Module) -> Shapes:
    return {name: tuple(weights.shape) for name, weights in module.state_dict().items()}


def _check_weights(part: str, weights: Mapping[str, Any], expected: Shapes | None) -> None:
    for name in weights if expected is None else {**expected, **weights}:
        known = name in weights and (expected is None or name in expected)
        _require(known, f"{part} weights {name!r}: missing or unexpected")
        shape = None if expected is None else expected[name]
        _check_tensor(f"{part} weights {name}", weights[name], shape)


def _moments(state: Any, shapes: list[tuple[int, ...]] | None) -> Iterator[Tensor]:
    """Yield the tensors of Adam's state; a parameter that was never used has none."""
    _require(isinstance(state, dict), "optimiser state")
    for number, entry in state.items():
        known = shapes is None or (type(number) is int and 0 <= number < len(shapes))
        names = {"step", "exp_avg", "exp_avg_sq"}
        _require(known and isinstance(entry, dict) and set(entry) == names, "optimiser state")
        for name, tensor in entry.items():
            shape = None if shapes is None else () if name == "step" else shapes[number]
            _check_tensor(f"optimiser {name}", tensor, shape)
            yield tensor


def _check_tensor(name: str, tensor: Any, shape: tuple[int, ...] | None) -> None:
    """Check a tensor; where its shape is known, it is one of airkit's own, of type float32."""
    plain = isinstance(tensor, Tensor) and tensor.layout == torch.strided
    _require(plain and tensor.device.type == "cpu", f"{name}: no plain tensor")
    if shape is not None:
        _require(tensor.dtype == torch.float32, f"{name}: no float32 tensor")
        _require(tensor.shape == shape, f"{name} of shape {tuple(tensor.shape)}, not {shape}")
    _require(tensor.is_contiguous(), f"{name}: a view")  # on which Adam's kernel aborts


def _require(fine: bool, otherwise: str) -> None:
    if not fine:
        raise ValueError(otherwise)
