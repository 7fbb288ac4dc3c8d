"""Models that were trained elsewhere, as in Pyro, written as runs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from airkit.config import settings
from airkit.data import reader
from airkit.data.info import DataInfo
from airkit.errors import AirkitError, CheckpointError, DataFileError, OutputError
from airkit.model.air import AIR
from airkit.model.objectives.baselines import baseline_of
from airkit.runs.checkpoint import Checkpoint
from airkit.runs.folder import MOST_STEPS, RunFolder
from airkit.runs.training_data import SCENE
from airkit.runs.weights import misfits
from airkit.system.callbacks import SILENT, Listener
from airkit.system.paths import absolute, to_path, to_record
from airkit.system.text import argument, first_three


def save(
    air: AIR,
    run: str | Path,
    data: str | Path = "multi-mnist.h5",
    *,
    steps: int = 0,
    baseline: nn.Module | None = None,
    listener: Listener = SILENT,
) -> Path:
    """Write a model that was trained elsewhere, as with Pyro's SVI, as a new run.

    Every command takes the run: ``evaluate`` measures it, and ``train`` goes on from its weights
    with an optimiser that has seen nothing yet.

    Args:
        air: the model; such as ``programs.air`` of a ``PyroAIR``, whose weights Pyro's optimisers
            move in place.
        run: the run folder, without a training in it.
        data: the data file that it was trained on.
        steps: steps taken; ``train.steps`` and the learning rate count from there.
        baseline: that of the estimator; a new one by default, where the estimator has one.
        listener: hears of a folder that cannot be locked.

    Returns:
        The run folder.

    Raises:
        CheckpointError: the weights are not finite, or not those of a model of its settings, as
            after a network was replaced.
        DataFileError: the data file cannot be read, or the model is not one of its canvases.
        AirkitError: no run has so many steps.
        OutputError: the folder holds a training or other files, or cannot be written.
    """
    folder, info = RunFolder(to_path(run)), reader.read_info(to_path(data))
    _check_data(air, info)
    _check_steps(steps)
    state = _state(air, info, steps, baseline)
    with folder.locked(listener):
        _check_free(folder)
        folder.save(state)
    return folder.path


def _state(air: AIR, info: DataInfo, steps: int, baseline: nn.Module | None) -> Checkpoint:
    config = air.config.on_canvases_of(info.config)
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, of which none is kept
        made, own = AIR(config), baseline_of(config)
    return Checkpoint(
        step=steps,
        config=config,
        model=_weights(air, made),
        baselines=_weights(own if baseline is None else baseline, own),
        optimiser={"state": {}},
        data=to_record(absolute(info.path)),
        data_digest=info.content_digest,
        seconds=0.0,
        loss_sum=0.0,
        loss_count=0,
        best=None,
        data_source=info.source,
    )


def _weights(module: nn.Module, made: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights as a checkpoint has them.

    Args:
        module: the model or the baseline.
        made: that of the settings, which those who read the checkpoint build.

    Raises:
        CheckpointError: they are not finite, or have other names or shapes than those of ``made``.
    """
    state = module.state_dict()
    if wrong := misfits(made, state):
        own = made.state_dict()
        raise CheckpointError(
            "The weights are not those of a model of its settings",
            where=wrong[0],
            expected=_shape(own.get(wrong[0])),
            got=_shape(state.get(wrong[0])),
            hint="choose networks by settings, such as model.decoder_net, or name a guide or a "
            "decoder of your own; torch.save keeps the weights of others",
        )
    for name, value in state.items():
        if not bool(value.isfinite().all()):
            hint = "save it at a step where it was, or train with a lower learning rate"
            raise CheckpointError("The weights are not finite", where=name, hint=hint)
    return {name: value.detach().cpu().float().contiguous() for name, value in state.items()}


def _shape(weights: torch.Tensor | None) -> str:
    return "no such weights" if weights is None else f"weights {[*weights.shape]}"


def _check_data(air: AIR, info: DataInfo) -> None:
    """Refuse canvases that the model was not made for; raises DataFileError."""
    differing = settings.differences(info.config, air.config)
    wrong = {key: values for key, values in differing.items() if key.startswith(SCENE)}
    if wrong:
        theirs, ours = ([f"{key} = {each[i]}" for key, each in wrong.items()] for i in (0, 1))
        raise DataFileError(
            "The model was made for other canvases",
            where=info.path,
            expected=", ".join(ours),
            got=", ".join(theirs),
            hint="name the data file that it was trained on, whose settings AIR was built with",
        )


def _check_steps(steps: int) -> None:
    """Refuse a number of steps that no run has; raises AirkitError."""
    if not 0 <= steps < MOST_STEPS:
        raise AirkitError(
            "A run has no such number of steps",
            where=argument("steps"),
            expected=f"0 to {MOST_STEPS - 1:,}",
            got=steps,
            hint="leave it out for 0",
        )


def _check_free(folder: RunFolder) -> None:
    """Refuse a folder that holds a training, or what it would replace."""
    there = [path.name for path in folder.saved()] or folder.foreign() or folder.others()
    if there:
        raise OutputError(
            "This folder is in use",
            where=folder.path,
            expected="a new folder",
            got=first_three(there),
            hint="name another run",
        )
