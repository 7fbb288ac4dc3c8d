"""What a step costs by slots, canvas and batch, and an evaluation; a worker of ``speed.py``."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import pyro
import torch
from plain_air import PlainAIR
from pyro import poutine
from steps import blobs, now, train_images, trainer
from torch import Tensor
from worker import serve

from airkit.data.dataset import to_float
from airkit.model.air import AIR
from airkit.model.scene import explain, explain_best

DEFAULT = {"slots": 3, "side": 50, "batch": 64}
AXES = {
    "slots": (1, 2, 3, 5, 7, 10),
    "side": (32, 50, 64, 96, 128, 192, 256),
    "batch": (16, 64, 256, 1024, 4096),
}
"""One is varied at a time, the others are as by default."""
QUICK = {"slots": (1, 3), "side": (32, 64), "batch": (16, 64)}
UNITS: dict[str, Callable[[float], float]] = {
    "slots": float,
    "side": lambda side: side**2 / 1000,
    "batch": float,
}
"""What a cost is to be linear in: slots, thousands of pixels, canvases."""


def answer(what: str, **request: Any) -> Any:
    parts: dict[str, Callable[..., Any]] = {"scaling": scaling, "evaluation": evaluation}
    return parts[what](**request)


def scaling(device: str, seconds: float, rounds: int, *, quick: bool) -> dict[str, Any]:
    """Milliseconds a step along each axis, and the lines through them."""
    found = {}
    for axis, points in (QUICK if quick else AXES).items():
        steps = {point: stepper(device, **{**DEFAULT, axis: point}) for point in points}
        times = {point: median(each) for point, each in in_turns(steps, seconds, rounds, device)}
        found[axis] = {"points": rows(axis, times), "line": line(axis, times)}
    return found


def stepper(device: str, slots: int, side: int, batch: int) -> Callable[[], Any]:
    """The next step of a training in float32 on canvases of ``side`` pixels."""
    images = blobs(2 * batch, side)
    given = {"model.slots": slots, "train.batch_size": batch, "train.precision": "float32"}
    return partial(trainer(images, given, device=device).step, 0)


def in_turns(
    works: dict[Any, Callable[[], Any]], seconds: float, rounds: int, device: str
) -> list[tuple[Any, list[float]]]:
    """Milliseconds of each call of each work, for some seconds in every round, at least twice."""
    times: dict[Any, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            work()
            until, calls = time.perf_counter() + seconds, 0
            while calls < 2 or time.perf_counter() < until:
                began = now(device)
                work()
                times[name].append(1000 * (now(device) - began))
                calls += 1
    return list(times.items())


def rows(axis: str, times: dict[int, float]) -> list[dict[str, float]]:
    return [
        {axis: point, "step_ms": each, "ms_a_unit": each / UNITS[axis](point)}
        for point, each in times.items()
    ]


def line(axis: str, times: dict[int, float]) -> dict[str, float]:
    """The line of least relative squares, and how far off it a point is at most."""
    x = np.array([UNITS[axis](point) for point in times])
    y = np.array(list(times.values()))
    slope, intercept = np.polyfit(x, y, 1, w=1 / y)
    off = np.abs((intercept + slope * x) / y - 1).max()
    return {"intercept_ms": intercept, "slope_ms": slope, "furthest_off": off}


def evaluation(
    device: str, seconds: float, rounds: int, data: str, steps: int
) -> list[dict[str, Any]]:
    """Canvases a second that a model explains after some steps, beside the plain reading."""
    canvases = train_images(data)
    trained = trainer(canvases, {}, device=device)
    for number in range(1, steps + 1):
        trained.step(number)
    air, images = trained.air.eval(), to_float(canvases[:250, None].to(device))
    once = deepcopy(air)
    once.candidates = 1
    plain = PlainAIR().to(device)
    works: dict[str, Callable[[], Any]] = {
        "one look": partial(explain, air, images),
        "16 looks": partial(explain_best, air, images, 16, 0),
        "one pass of the guide": partial(explain, once, images),
        "one look, one canvas at a time": partial(one_by_one, air, images[:20]),
        "plain reading, one look": partial(plain_look, plain, images[:, 0]),
        "plain reading, one canvas at a time": partial(plain_one_by_one, plain, images[:20, 0]),
    }
    many = {name: 20 if "at a time" in name else 250 for name in works}
    with torch.no_grad():
        times = in_turns(works, seconds, rounds, device)
    return [
        {"what": name, "canvases_per_second": 1000 * many[name] / median(each)}
        for name, each in times
    ]


def one_by_one(air: AIR, images: Tensor) -> None:
    for image in images:
        explain(air, image[None])


def plain_look(air: PlainAIR, images: Tensor) -> None:
    """What the plain reading samples for images, and the canvas of it."""
    seen = poutine.trace(air.guide).get_trace(images)
    poutine.trace(poutine.replay(air.model, seen)).get_trace(images)


def plain_one_by_one(air: PlainAIR, images: Tensor) -> None:
    for image in images:
        plain_look(air, image[None])


if __name__ == "__main__":
    pyro.clear_param_store()
    serve(answer)
