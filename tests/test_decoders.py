"""Decoders from outside airkit: trained, measured and drawn, and told what is wrong with them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import outside
import pytest
import torch
from command_line import run
from model_factory import generator, tiny_config
from tiny_runs import (
    STEPS,
    Recorder,
    assert_as_if_never_stopped,
    data_file,
    fit,
    go_on,
    interrupt,
    state,
)
from torch import Tensor, nn

import airkit
from airkit.config.registry import Named
from airkit.errors import CheckpointError, ConfigError, ExtensionError
from airkit.model.air import AIR
from airkit.model.decoders import Decoder, build_decoder

KIND = "outside:Convolutions"


class Tuned(Decoder):
    """A decoder whose windows a test chooses."""

    made: Any = staticmethod(lambda decoder, code: None)

    def forward(self, code: Tensor) -> Tensor:
        made: Tensor = Tuned.made(self, code)
        return made


def _level(value: float, dtype: torch.dtype = torch.float32) -> Any:
    def windows(decoder: Decoder, code: Tensor) -> Tensor:
        return code.new_full((len(code), decoder.channels, 6, 6), value, dtype=dtype)

    return windows


def _mask(value: float) -> Any:
    def windows(decoder: Decoder, code: Tensor) -> Tensor:
        made: Tensor = _level(0.5)(decoder, code)
        made[:, -1] = value
        return made

    return windows


@pytest.mark.parametrize(
    ("made", "model", "got"),
    [
        (lambda *_: None, {}, "NoneType"),
        (lambda _, code: code.new_zeros(8, 6, 6), {}, "float32 [8, 6, 6]"),
        (lambda _, code: code.new_zeros(8, 1, 7, 7), {}, "float32 [8, 1, 7, 7]"),
        (_level(0.5, torch.float16), {}, "float16 [8, 1, 6, 6]"),
        (
            lambda _, code: code.new_zeros(8, 1, 6, 6),
            {"compositing": "over"},
            "float32 [8, 1, 6, 6]",
        ),
        (_level(float("nan")), {}, "not finite"),
        (_level(float("inf")), {"decoder_output": "linear"}, "not finite"),
        (_level(1.5), {}, "ink from 1.5 to 1.5"),
        (_level(-0.5), {}, "ink from -0.5 to -0.5"),
        (_mask(1.5), {"compositing": "over", "decoder_output": "linear"}, "masks from 1.5 to 1.5"),
        (lambda *_: 1 / 0, {}, "ZeroDivisionError"),
    ],
)
def test_windows_that_cannot_be_used(
    made: Any, model: dict[str, Any], got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuned, "made", made)
    with pytest.raises(ExtensionError) as caught:
        AIR(tiny_config(decoder=Named("test_decoders:Tuned"), **model))
    assert "test_decoders:Tuned" in caught.value.what
    assert got in str(caught.value.got)
    if "Error" in got:
        assert Path(__file__).name in str(caught.value)


@pytest.mark.parametrize(
    ("level", "model"),
    [
        (1.5, {"decoder_output": "linear"}),
        (-0.5, {"polarity": "both"}),
        (1.0, {"compositing": "over"}),
    ],
)
def test_levels_that_are_allowed(
    level: float, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuned, "made", _level(level))
    AIR(tiny_config(decoder=Named("test_decoders:Tuned"), **model))


def test_windows_of_another_shape_later_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as those of one code alone, squeezed, which would broadcast."""
    monkeypatch.setattr(Tuned, "made", lambda *given: _level(0.5)(*given).squeeze(0))
    air = AIR(tiny_config(decoder=Named("test_decoders:Tuned")))
    with pytest.raises(ExtensionError, match=r"\[1, 1, 6, 6\]"):
        air(torch.zeros(1, 1, 16, 16))


def test_to_try_a_decoder_moves_neither_weights_nor_random_numbers() -> None:
    config = tiny_config(decoder=Named("outside:Decoder"))
    torch.manual_seed(0)
    decoder = build_decoder(config)
    after = torch.rand(3)
    torch.manual_seed(0)
    outside.Decoder(config)
    assert torch.equal(torch.rand(3), after)
    assert decoder.training
    assert decoder.get_buffer("norm.num_batches_tracked") == 0


def test_the_training_pass(tmp_path: Path) -> None:
    """Auto is autograd, as the decoder may draw random numbers; fast is there for the asking."""
    own: dict[str, Any] = {"model__decoder": KIND, "train__val_every": STEPS}
    fit(tmp_path / "auto", **own)
    assert state(tmp_path / "auto").config.train.backward == "reference"
    fit(tmp_path / "fast", train__backward="fast", **own)
    ours, theirs = (state(tmp_path / name).model for name in ("fast", "auto"))
    for name, weights in ours.items():
        torch.testing.assert_close(weights, theirs[name], rtol=1e-3, atol=1e-4)
    with pytest.raises(ConfigError, match="fast serves"):
        fit(tmp_path / "nvil", train__backward="fast", train__estimator="nvil", **own)


@pytest.mark.parametrize("estimator", ["exact", "nvil"])
def test_a_run_with_one(estimator: str, tmp_path: Path) -> None:
    own: dict[str, Any] = {"model__decoder": KIND, "train__estimator": estimator}
    own |= {"train__val_every": 12}
    whole, run, named = tmp_path / "whole", tmp_path / "run", {"model.decoder": KIND}
    fit(whole, **own)
    fit(run, listener=Recorder(step7=interrupt), **own)
    assert go_on(run, **own).resumed_from == 7
    assert_as_if_never_stopped(run, whole)
    air = airkit.load(run, settings=named)
    assert isinstance(air.decoder, outside.Convolutions)
    assert airkit.evaluate(run, settings=named).canvases == 20
    assert airkit.render(run, kind="steps", settings=named).path.exists()
    canvases = air.sample_canvases(torch.tensor([0, 2]), generator(0))
    assert canvases.shape == (2, 1, 24, 24)
    for call in (airkit.load, airkit.evaluate):
        with pytest.raises(ExtensionError, match=r"name it with --set model\.decoder="):
            call(run)
    with pytest.raises(ExtensionError, match="You named outside:Decoder, but"):
        airkit.load(run, settings={"model.decoder": "outside:Decoder"})
    airkit.export(run, tmp_path / "exported")
    again = airkit.load(tmp_path / "exported", settings=named)
    assert all(map(torch.equal, again.state_dict().values(), air.state_dict().values()))


def test_the_next_command_names_the_class(tmp_path: Path) -> None:
    words = ("--set", f"model.decoder={KIND}", "--set", "train.estimator=outside:Objective")
    done = run("train", "--data", data_file(), "--run", tmp_path / "run", "--steps", "2", *words)
    assert done.exit_code == 0, done.stderr
    (told,) = re.findall(r"airkit (eval .*)", done.stdout + done.stderr)
    assert "Objective" not in told
    assert run(*shlex.split(told)).exit_code == 0


def test_a_decoder_that_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(tmp_path / "run", train__steps=2, model__decoder=KIND)

    class Wider(outside.Convolutions):
        def __init__(self, config: airkit.Config) -> None:
            super().__init__(config)
            self.more = nn.Linear(2, 2)

    monkeypatch.setattr(outside, "Convolutions", Wider)
    with pytest.raises(CheckpointError, match=r"model\.decoder = outside:Convolutions"):
        airkit.load(tmp_path / "run", settings={"model.decoder": KIND})
