"""Several processes that train one model, each on its rows of every batch.

All run the same program. They meet in a group of ``torch.distributed``, average their gradients
with ``DistributedDataParallel``, and take every decision together: a process that leaves out a
collective operation keeps the others waiting in it.
"""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from airkit.errors import AirkitError, LaunchError, TrainingError
from airkit.model.objectives import Share
from airkit.system.processes import Launch, launched

T = TypeVar("T")


class ProcessGroup:
    """The processes of a training, as one of them sees them.

    All call the same methods in the same order. For a single process every method is trivial.
    """

    def __init__(self, launch: Launch) -> None:
        """The processes of ``launch``, which have joined already."""
        self.launch = launch
        self.share = Share(launch.rank, launch.count)

    @property
    def lead(self) -> bool:
        """Whether this is the first process, which writes and prints."""
        return self.launch.rank == 0

    def by_lead(self, work: Callable[[], T]) -> T:
        """Call ``work`` in the first process; all return its result or raise its AirkitError."""
        if self.launch.alone:
            return work()
        outcome: list[Any] = [_attempt(work) if self.lead else None]
        distributed.broadcast_object_list(outcome, src=0)
        result, error = outcome[0]
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def by_each(self, work: Callable[[], T]) -> T:
        """Call ``work`` in every process; all raise the AirkitError of the first that has one."""
        if self.launch.alone:
            return work()
        result, error = _attempt(work)
        errors: list[AirkitError | None] = [None] * self.launch.count
        distributed.all_gather_object(errors, error)
        for each in errors:
            if each is not None:
                raise each
        return result  # type: ignore[return-value]  # None only where T is

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any process; communicates on the CPU."""
        return flag if self.launch.alone else bool(self.sum(torch.tensor(int(flag))))

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, the same bits in each."""
        if self.launch.alone:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, the same bits in each."""
        return values if self.launch.alone else self.sum(values) / self.launch.count

    def averaging(self, module: nn.Module) -> nn.Module:
        """Wrap ``module`` so that every backward pass ends with gradients averaged over processes.

        Its graph must be the same at each step; parameters may be unused. Buffers that are part of
        its state, as those of batch normalisation, follow the first process, which saves them.
        """
        if self.launch.alone:
            return module
        state = module.state_dict()
        stateful = any(name in state for name, _ in module.named_buffers())
        with warnings.catch_warnings():
            # PyTorch 2.10, the oldest supported, knows no other name of ``broadcast_buffers``.
            warnings.simplefilter("ignore", FutureWarning)
            return nn.parallel.DistributedDataParallel(
                module, broadcast_buffers=stateful, static_graph=True
            )


ALONE = ProcessGroup(Launch())


@contextmanager
def joined() -> Iterator[ProcessGroup]:
    """Join the processes that were launched together; yields ``ALONE`` where there are no others.

    The group lasts until the process ends: a second one would find the first one's addresses in
    the launcher's store. A group that the caller has made is used; it must serve CPU tensors too.

    Raises:
        LaunchError: the other processes cannot be reached.
        TrainingError: another process ended first.
    """
    launch = launched()
    if launch.alone:
        yield ALONE
        return
    _join()
    try:
        yield ProcessGroup(launch)
    except AirkitError as error:
        error.shared = launch.rank > 0
        raise
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error).lower():
            raise
        ended = _ended(launch)
        ended.shared = launch.rank > 0
        raise ended from error


def check_batch(size: int, launch: Launch) -> None:
    """Check that every process gets as many rows, so that the mean of their means is the mean.

    Raises:
        LaunchError: ``size`` is no multiple of the number of processes.
    """
    if size % launch.count == 0:
        return
    fitting = max(each for each in range(1, launch.count) if size % each == 0)
    multiple = max(1, size // launch.count) * launch.count
    raise LaunchError(
        "The batch cannot be shared out evenly",
        where="train.batch_size",
        expected=f"a multiple of the number of processes, {launch.count}",
        got=f"batches of {size} canvases",
        hint=f"{fitting} in all with torchrun --nproc-per-node, or, for a new run, "
        f"--set train.batch_size={multiple}",
    )


def _join() -> None:
    if distributed.is_initialized():
        return
    nccl = torch.cuda.is_available() and distributed.is_nccl_available()
    try:
        # Gloo for decisions, which are CPU tensors so that they wait for no GPU.
        distributed.init_process_group("cpu:gloo,cuda:nccl" if nccl else "gloo")
    except (RuntimeError, ValueError) as error:
        raise LaunchError(
            "The processes cannot meet",
            where=f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}",
            got=str(error).partition("\n")[0],
            hint="start all of them at once with torchrun, on machines that reach each other",
        ) from error
    atexit.register(distributed.destroy_process_group)


def _attempt(work: Callable[[], T]) -> tuple[T | None, AirkitError | None]:
    try:
        return work(), None
    except AirkitError as error:
        return None, error


def _ended(launch: Launch) -> TrainingError:
    return TrainingError(
        "Another process of the training has ended",
        where=f"process {launch.rank} of {launch.count}",
        expected="all processes at work until the last step",
        hint="see what torchrun reports of it; the same command goes on from the last checkpoint",
    )
