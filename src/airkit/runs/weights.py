"""From a checkpoint's weights to a model: ``build``."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from airkit.config.registry import Named, is_outside
from airkit.config.schema import Config
from airkit.errors import CheckpointError, ExtensionError
from airkit.model.air import AIR
from airkit.model.spatial_transformer import Shape
from airkit.runs.checkpoint import Checkpoint


def build(
    state: Checkpoint,
    device: torch.device,
    call: Config | None = None,
    *,
    canvas_size: int | Shape | None = None,
    slots: int | None = None,
) -> AIR:
    """Return the model of a checkpoint with its weights, in evaluation mode.

    Args:
        state: the checkpoint.
        device: where it computes.
        call: the settings of the call. A class from outside airkit that the checkpoint records
            is used only where they name it.
        canvas_size: side of square canvases in pixels, or height and width; by default those
                of the training.
        slots: most objects it can explain; by default as many as in training.

    Raises:
        ExtensionError: such a class that ``call`` does not name.
        CheckpointError: such a class whose weights have other names or shapes.
    """
    config = with_classes_named(state.config, call or state.config)
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and then replaced
        air = AIR(config, canvas_size=canvas_size, slots=slots)
    load_model(air, state.model, config)
    return air.to(device).eval()


def load_model(air: AIR, weights: Mapping[str, Tensor], config: Config) -> None:
    """Load a checkpoint's weights into a model of ``config``; raises as ``load_weights`` does."""
    classes = {"guide.": ("guide.kind", config.guide.kind)}
    if is_outside(config.model.decoder):
        classes = {"decoder.": ("model.decoder", config.model.decoder), **classes}
    load_weights(air, weights, classes)


def load_weights(
    module: nn.Module, weights: Mapping[str, Tensor], classes: Mapping[str, tuple[str, str]]
) -> None:
    """Load a checkpoint's weights into a module.

    Args:
        module: the model, or the objective's baselines.
        weights: its state dict in the checkpoint.
        classes: the classes that may have changed, each as the setting that names it and its name,
            by the prefix of their weights.

    Raises:
        CheckpointError: weights of other names or shapes; reading a checkpoint compares them for
            airkit's own classes alone.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        wrong, got = misfits(module, weights), str(error).splitlines()[-1].strip()
        for prefix, (setting, kind) in classes.items():
            if any(name.startswith(prefix) for name in wrong):
                raise CheckpointError(
                    "The checkpoint's weights do not fit the class named",
                    where=f"{setting} = {kind}",
                    expected="the class that the run was trained with",
                    got=got,
                    hint=f"--set {setting}=package.module:Class names another; airkit train "
                    "--fresh trains this one from the start",
                ) from error
        raise CheckpointError(
            "The checkpoint's weights do not fit the model of its settings",
            where=next(iter(wrong), None),
            expected="the networks that its settings name",
            got=got,
            hint="name another with --checkpoint",
        ) from error


def misfits(module: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Return names of weights that are missing, unexpected or of another shape than a module's."""
    own = {name: value.shape for name, value in module.state_dict().items()}
    found = {name: value.shape for name, value in weights.items()}
    return [name for name in {**own, **found} if own.get(name) != found.get(name)]


def with_classes_named(recorded: Config, call: Config) -> Config:
    """Return ``recorded``, with classes from outside marked as named where ``call`` names them.

    Raises:
        ExtensionError: ``call`` names another class from outside.
    """
    for section, key in (("model", "decoder"), ("guide", "kind"), ("prior", "kind")):
        ours, named = (getattr(getattr(each, section), key) for each in (recorded, call))
        if ours == named:
            recorded = recorded.updated(section, **{key: named})
        elif is_outside(ours) and isinstance(named, Named):
            raise ExtensionError(
                f"You named {named}, but this run was trained with {ours}",
                where=f"{section}.{key}",
                expected=ours,
                got=named,
                hint=f"--set {section}.{key}={ours}",
            )
    return recorded
