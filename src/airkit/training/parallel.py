"""Several processes that train one model, each on its rows of every batch.

All of them run the same program. They meet in a group of ``torch.distributed``, average their
gradients with ``DistributedDataParallel``, and take every decision together: whoever stays out
of one collective operation leaves the others waiting in it.
"""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from airkit.errors import AirkitError, LaunchError, TrainingError
from airkit.model.objectives import Share
from airkit.system.processes import Launch, launched

T = TypeVar("T")


class ProcessGroup:
    """The processes of a training, seen from one; all call the same methods in the same order.

    Where there is but one, every method is next to nothing.
    """

    def __init__(self, launch: Launch) -> None:
        """Those of ``launch``, which have joined already."""
        self.launch = launch
        self.share = Share(launch.rank, launch.count)

    @property
    def lead(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.launch.rank == 0

    def by_lead(self, work: Callable[[], T]) -> T:
        """Have the first process do ``work``; all return its result, or raise its error."""
        if self.launch.alone:
            return work()
        told = [_outcome(work) if self.lead else (None, None)]
        distributed.broadcast_object_list(told, src=0)
        return _opened(*told[0])

    def by_each(self, work: Callable[[], T]) -> T:
        """Do ``work`` in every process; all raise the first one's error, if any has one."""
        if self.launch.alone:
            return work()
        result, error = _outcome(work)
        return _opened(result, self.first(error))

    def first(self, found: T | None) -> T | None:
        """What the first process has found that has found anything."""
        if self.launch.alone:
            return found
        every: list[T | None] = [None] * self.launch.count
        distributed.all_gather_object(every, found)
        return next((each for each in every if each is not None), None)

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process; asks the CPUs, and waits for no GPU."""
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
        """``module``, so that every backward pass ends with the mean of all gradients.

        Its graph must be the same at each step; a parameter may be left out of it.
        """
        if self.launch.alone:
            return module
        with warnings.catch_warnings():
            # The name that succeeds ``broadcast_buffers`` is not in all versions that will do.
            warnings.simplefilter("ignore", FutureWarning)
            return nn.parallel.DistributedDataParallel(
                module, broadcast_buffers=False, static_graph=True
            )


ALONE = ProcessGroup(Launch())


@contextmanager
def joined() -> Iterator[ProcessGroup]:
    """Join the processes that were launched together, or be alone.

    They stay together until their ends, as they cannot meet twice in one place: what the first
    meeting left in the launcher's store would mislead the second. A group that the caller has
    made is used as it is, and has to serve tensors on the CPU, too.

    Raises:
        LaunchError: there should be others, and they cannot be met.
        TrainingError: another process ended before this one was done with it.
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
        if not _is_loss(error):
            raise
        lost = _lost(launch)
        lost.shared = launch.rank > 0
        raise lost from error


def check_batch(size: int, launch: Launch) -> None:
    """Refuse a batch whose rows cannot be shared out evenly: a mean of means would be another.

    Raises:
        LaunchError: ``size`` rows are no multiple of the number of processes.
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
    """Make the group unless there is one."""
    if not distributed.is_available():
        raise LaunchError(
            "This PyTorch cannot train on several processes",
            expected="one that was built with torch.distributed",
            got=f"torch {torch.__version__}",
            hint="install another build of PyTorch, or train with one process: airkit train",
        )
    if distributed.is_initialized():
        return
    nccl = torch.cuda.is_available() and distributed.is_nccl_available()
    try:
        # Decisions are taken on CPU tensors, so that they wait for no GPU.
        distributed.init_process_group("cpu:gloo,cuda:nccl" if nccl else "gloo")
    except (RuntimeError, ValueError) as error:
        raise LaunchError(
            "The processes cannot meet",
            where=f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}",
            got=str(error).partition("\n")[0],
            hint="start all of them at once with torchrun, on machines that reach each other",
        ) from error
    atexit.register(distributed.destroy_process_group)


def _outcome(work: Callable[[], T]) -> tuple[T | None, AirkitError | None]:
    try:
        return work(), None
    except AirkitError as error:
        return None, error


def _opened(result: T | None, error: AirkitError | None) -> T:
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # None only where T is


def _is_loss(error: RuntimeError) -> bool:
    """Whether an error is of the connection to another process, as its end is seen from here."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()


def _lost(launch: Launch) -> TrainingError:
    return TrainingError(
        "Another process of the training has ended",
        where=f"process {launch.rank} of {launch.count}",
        expected="all processes at work until the last step",
        hint="see what torchrun reports of it; the same command goes on from the last checkpoint",
    )
