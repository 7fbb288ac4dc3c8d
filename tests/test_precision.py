"""Mixed precision: what is multiplied in which dtype, who chooses, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from sweeps import InTurn
from tiny_runs import (
    STEPS,
    TRAIN,
    Recorder,
    assert_as_if_never_stopped,
    data_file,
    fit,
    go_on,
    interrupt,
    state,
)
from torch import Tensor

from airkit.errors import CheckpointError, ConfigError
from airkit.evaluation.evaluate import evaluate
from airkit.model import fast
from airkit.model.air import AIR
from airkit.model.precision import PRECISIONS, best_precision, precision, product_dtype
from airkit.sweeps.sweep import sweep

Capabilities = Callable[[dict[str, object]], None]


def _factor(dtype: torch.dtype = torch.float32) -> torch.dtype:
    return product_dtype(dtype)


# The context


@pytest.mark.parametrize("name", PRECISIONS)
def test_only_float32_is_rounded_and_only_for_bfloat16(name: str) -> None:
    with precision(name):
        assert _factor() == (torch.bfloat16 if name == "bfloat16" else torch.float32)
        assert _factor(torch.float64) == torch.float64
    assert _factor() == torch.float32


def test_contexts_nest_and_outlive_no_exception() -> None:
    with precision("bfloat16"):
        with precision("float32"):
            assert _factor() == torch.float32
        assert _factor() == torch.bfloat16
        with pytest.raises(ZeroDivisionError), precision("float32"):
            raise ZeroDivisionError
        assert _factor() == torch.bfloat16
    with pytest.raises(ZeroDivisionError), precision("bfloat16"):
        raise ZeroDivisionError
    assert _factor() == torch.float32


def test_other_threads_choose_for_themselves() -> None:
    seen: list[torch.dtype] = []
    with precision("bfloat16"):
        thread = threading.Thread(target=lambda: seen.append(_factor()))
        thread.start()
        thread.join()
    assert seen == [torch.float32]


@pytest.fixture(name="tf32", params=[False, True])
def _tf32(request: pytest.FixtureRequest) -> Iterator[bool]:
    """What the caller chose."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, request.param
    yield request.param
    matmul.allow_tf32 = before


@pytest.mark.parametrize("name", PRECISIONS)
def test_tf32_is_on_where_asked_for_and_put_back(tf32: bool, name: str) -> None:
    matmul = torch.backends.cuda.matmul
    with precision(name):
        assert matmul.allow_tf32 == (tf32 or name == "tf32")
    assert matmul.allow_tf32 == tf32
    with pytest.raises(ZeroDivisionError), precision(name):
        raise ZeroDivisionError
    assert matmul.allow_tf32 == tf32


# What auto stands for


@pytest.fixture(name="processor")
def _processor(monkeypatch: pytest.MonkeyPatch) -> Capabilities:
    """Says what the processor is capable of."""

    def can(capabilities: dict[str, object]) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return can


@pytest.mark.parametrize(
    ("capabilities", "best"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": False, "avx512_f": True}, "float32"),
        ({}, "float32"),
    ],
)
def test_the_best_is_what_the_processor_has(
    processor: Capabilities, capabilities: dict[str, object], best: str
) -> None:
    processor(capabilities)
    assert best_precision("cpu") == best


def test_a_gpu_has_float32(processor: Capabilities, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the processor beside it; auto is a GPU where there is one."""
    processor({"avx512_bf16": True})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [best_precision(name) for name in ("cpu", "auto")] == ["bfloat16"] * 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [best_precision(name) for name in ("auto", "cuda:1", "mps")] == ["float32"] * 3


def test_deterministic_runs_have_float32(processor: Capabilities, tmp_path: Path) -> None:
    processor({"avx512_bf16": True})
    fit(tmp_path, train__precision="auto", train__deterministic=True, train__steps=2)
    assert _precision(tmp_path, 2) == "float32"


def test_a_pytorch_that_cannot_tell_has_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert best_precision("cpu") == "float32"


BF16: dict[str, object] = {"avx512_bf16": True}


def _precision(run: Path, step: int = STEPS) -> str:
    return state(run, step).config.train.precision


@pytest.mark.parametrize(("one", "other"), [(BF16, {}), ({}, BF16)])
def test_a_run_keeps_what_auto_was_where_it_began(
    one: dict[str, object], other: dict[str, object], processor: Capabilities, tmp_path: Path
) -> None:
    """Whatever the machine that it goes on with, so that it ends with the same bits."""
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    processor(one)
    name = best_precision("cpu")
    fit(stopped, listener=Recorder(step11=interrupt), train__precision="auto")
    processor(other)
    go_on(stopped)
    fit(whole, train__precision=name)
    for run in (stopped, whole):
        assert _precision(run) == name
        assert f'precision = "{name}"' in (run / "config.toml").read_text()
        assert_as_if_never_stopped(run, whole)


def test_precisions_give_different_weights(tmp_path: Path) -> None:
    """And tf32 is float32 on the CPU."""
    weights = {}
    for name in PRECISIONS:
        fit(tmp_path / name, train__precision=name, train__steps=2)
        model = state(tmp_path / name, 2).model
        weights[name] = torch.cat([each.flatten() for each in model.values()])
    assert torch.equal(weights["float32"], weights["tf32"])
    assert not torch.equal(weights["float32"], weights["bfloat16"])
    torch.testing.assert_close(weights["bfloat16"], weights["float32"], rtol=0, atol=0.02)


def test_a_run_does_not_change_its_precision(tmp_path: Path) -> None:
    fit(tmp_path, train__precision="float32", train__steps=2)
    with pytest.raises(CheckpointError) as caught:
        go_on(tmp_path, train__precision="bfloat16", train__steps=3)
    assert "expected  train.precision = float32" in str(caught.value)
    assert "got       train.precision = bfloat16" in str(caught.value)
    assert _precision(tmp_path, 2) == "float32"


@pytest.mark.parametrize("capabilities", [BF16, {}])
def test_a_run_goes_on_where_auto_is_asked_for_again(
    capabilities: dict[str, object], processor: Capabilities, tmp_path: Path
) -> None:
    """As by the same command, or the same --config, a second time on another machine."""
    processor(capabilities)
    name = best_precision("cpu")
    fit(tmp_path, train__precision="auto", train__steps=2)
    processor({} if capabilities else BF16)
    fit(tmp_path, train__precision="auto", train__steps=3)
    assert _precision(tmp_path, 3) == name


def test_an_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        fit(tmp_path, train__precision="float16")
    assert "train.precision" in str(caught.value)
    assert "auto or float32 or tf32 or bfloat16" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_sweep_has_one_precision(processor: Capabilities, tmp_path: Path) -> None:
    """That of the machine that planned it."""
    given = {**TRAIN, "train.steps": 2, "train.precision": "auto"}
    for seeds, capabilities in ((1, BF16), (2, {})):
        processor(capabilities)
        sweep(data_file(), tmp_path, seeds=seeds, settings=given, engine=InTurn())
    assert [_precision(run, 2) for run in tmp_path.glob("seed-*")] == ["bfloat16"] * 2


# Where it holds


@pytest.fixture(name="passes")
def _passes() -> Any:
    """Of each pass of the model: whether it has gradients, and what it multiplies in."""
    seen: list[tuple[bool, torch.dtype]] = []

    def spy(forward: Callable[..., Any]) -> Callable[..., Any]:
        def unroll(air: AIR, images: Tensor, *noise: Any, **given: Any) -> Any:
            seen.append((torch.is_grad_enabled(), product_dtype(images.dtype)))
            return forward(air, images, *noise, **given)

        return unroll

    with (
        mock.patch.object(AIR, "unroll", spy(AIR.unroll)),
        mock.patch.object(fast, "unroll", spy(fast.unroll)),
    ):
        yield seen


def test_only_training_steps_are_rounded(
    passes: list[tuple[bool, torch.dtype]], tmp_path: Path
) -> None:
    """Validation and evaluation are float32 whatever a run trains in."""
    fit(tmp_path, train__precision="bfloat16")
    assert set(passes) == {(True, torch.bfloat16), (False, torch.float32)}
    assert _factor() == torch.float32
    passes.clear()
    evaluate(tmp_path)
    assert set(passes) == {(False, torch.float32)}
