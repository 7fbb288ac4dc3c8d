"""Settings that have no effect beside another one, which a training notes."""

from __future__ import annotations

from airkit.config import settings
from airkit.config.schema import Config
from airkit.config.settings import Layer
from airkit.system.callbacks import Listener

IDLE = {
    "guide.kind = saliency": (
        "guide.embed_net",
        "guide.predict_net",
        "guide.presence_bias",
        "guide.pose_sd_bias",
    ),
    "guide.kind = lstm": (
        "guide.looks",
        "guide.look_sharpness",
        "guide.glimpse_size",
        "guide.refinements",
        "guide.size_reach",
        "guide.blur",
        "guide.surround",
        "eval.looks",
        "eval.candidates",
        "eval.look_sharpness",
    ),
    "guide.looks = argmax": ("guide.look_sharpness",),
    "prior.schedule = constant": ("prior.anneal_",),
    "train.estimator = exact": ("train.baseline", "train.masking"),
    "train.baseline = none": ("train.baseline_",),
}
"""Prefixes of the settings that have no effect beside another one."""


def note_idle(layers: list[Layer], config: Config, listener: Listener) -> None:
    """Note settings without effect; not those of presets, which may serve several guides."""
    own = [settings.flatten(layer.values) for layer in layers if not layer.preset]
    asked = {key for each in own for key, _ in each} & {*settings.changed(config)}
    chosen = dict(settings.flatten(config.model_dump()))
    for why, idle in IDLE.items():
        key, _, value = why.partition(" = ")
        keys = sorted(each for each in asked if each.startswith(idle))
        if keys and chosen[key] == value:
            listener.note(f"{', '.join(keys)}: no effect with {why}")
