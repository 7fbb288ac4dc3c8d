"""Explaining many images, batch by batch: in this process, or in several where that takes long.

Operations on a batch are small. Threads, which wait for each other after each of them, make it
hardly faster; processes, which do not wait, do.

Legend: B images of a batch.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain, tee
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from airkit.errors import WorkerError
from airkit.model.air import AIR
from airkit.model.guides import Noise
from airkit.model.objectives import elbo, iwae
from airkit.model.posterior import Explanation
from airkit.model.scene import Scene, explanations, scene_of
from airkit.system import memory, threads
from airkit.system.workers import in_processes

About = TypeVar("About")
LONG = 10.0
"""Seconds of work left from which it is shared out among processes, which take some to start."""
MOST = 8
"""Most processes."""
MEMORY = 2**30
"""Bytes that must be free for each of them."""


class Task(NamedTuple):
    """Images to explain together.

    Attributes:
        air: the trained model.
        images: levels in 0..1, [B, C, H, W].
        looks: the most explanations to compare.
        seed: of the looks.
        noise: for bounds on the likelihood: of the ELBO's draw, then of the draws for the IWAE
            bound. Without any, bounds are not computed.
    """

    air: AIR
    images: Tensor
    looks: int
    seed: int
    noise: tuple[Noise, ...] = ()


class Result(NamedTuple):
    """What a model finds on images.

    Attributes:
        one: at one look.
        best: at all looks together; the same object for one.
        bounds: the ELBO and the IWAE bound in nats, [2, B]; None where they are not asked for.
    """

    one: Explanation
    best: Explanation
    bounds: Tensor | None


def explained(
    jobs: Iterable[tuple[About, Task]], images: int
) -> Generator[tuple[About, Task, Result]]:
    """Yield jobs with what is found on their images, in order.

    Every process computes on one CPU thread, and there are at most as many as there were threads.

    Args:
        jobs: tasks, and what the caller knows them by; read as they are needed.
        images: how many images there are in all tasks together.
    """
    behind, ahead = tee(jobs)
    found = _results((task for _, task in ahead), images, torch.get_num_threads())
    with threads.restored(), closing(found):
        torch.set_num_threads(1)
        for (about, task), each in zip(behind, found, strict=True):
            yield about, task, each


@torch.no_grad()
def explain_task(task: Task) -> Result:
    """What is found on the images of a task, in this process."""
    one, best = explanations(task.air, task.images, task.looks, task.seed)
    return Result(one, best, _bounds(task) if task.noise else None)


def best_scene(task: Task, found: Result, generator: torch.Generator | None) -> Scene:
    """The scene of all looks together; ``generator`` samples the counts of one look alone."""
    return scene_of(task.air, task.images, found.best, generator if task.looks == 1 else None)


def _results(tasks: Iterator[Task], images: int, most: int) -> Generator[Result]:
    """Yield what is found for each task; from processes once what is left would take long."""
    seconds, done = 0.0, 0
    for task in tasks:
        began = time.perf_counter()
        found = explain_task(task)
        seconds, done = seconds + time.perf_counter() - began, done + len(task.images)
        yield found
        left = images - done
        if most > 1 and seconds / done * left > LONG:
            many = min(most, math.ceil(left / len(task.images)), _possible(task))
            if many > 1:
                yield from _from_processes(tasks, many)


def _from_processes(tasks: Iterator[Task], many: int) -> Iterator[Result]:
    """Yield what worker processes find for each task; what they fail to do is done here."""
    begun = deque[Task]()

    def noted() -> Iterator[Task]:
        for task in tasks:
            begun.append(task)
            yield task

    try:
        with closing(in_processes(_on_one_thread, noted(), many)) as results:
            for found in results:
                begun.popleft()
                yield found
    except WorkerError:  # such as for lack of memory
        yield from map(explain_task, chain(begun, tasks))


def _on_one_thread(task: Task) -> Result:
    """``explain_task`` in a worker process."""
    torch.set_num_threads(1)
    return explain_task(task)


def _possible(task: Task) -> int:
    """In how many processes such tasks can be done.

    In one on a GPU, in a process that may not start others, and with classes from outside airkit,
    which another process may not find, or find changed.
    """
    alone = multiprocessing.current_process().daemon or task.air.config.has_outside
    if alone or task.images.device.type != "cpu":
        return 1
    return int(min(MOST, memory.available()[0] / MEMORY))


def _bounds(task: Task) -> Tensor:
    """Lower bounds on the log-likelihood of each image, [2, B]; see ``Result``."""
    draw = task.air.draws(task.images)
    first, *others = task.noise
    one = elbo.elbo_of(task.air, draw(first), task.air.log_prior)
    log_weights = [iwae.log_weight(task.air, draw(noise)) for noise in others]
    return torch.stack([one, iwae.iwae(torch.stack(log_weights))])
