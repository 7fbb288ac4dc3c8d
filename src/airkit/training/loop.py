"""The training loop and what surrounds it: resuming, validating, saving, stopping."""

from __future__ import annotations

import math
import platform
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from airkit.config.settings import Settings
from airkit.data import reader
from airkit.data.dataset import CanvasDataset
from airkit.errors import DataFileError, TrainingError
from airkit.runs.checkpoint import Best, Checkpoint
from airkit.runs.folder import RunFolder
from airkit.system.callbacks import SILENT, Listener
from airkit.system.device import deterministic, own_device
from airkit.system.signals import StopRequest, stop_on_signals
from airkit.training import diagnosis
from airkit.training.parallel import ALONE, ProcessGroup, check_batch, joined
from airkit.training.resume import Start, prepare
from airkit.training.step import Trainer
from airkit.training.tensorboard import Board, check_installed
from airkit.training.validation import validate, validation_fault


@dataclass(frozen=True)
class TrainReport:
    """What a call of ``train`` did."""

    run: Path
    """The run folder."""
    data: Path
    """The data file."""
    steps: int
    """Steps taken in all, earlier calls included."""
    resumed_from: int
    """The step that this call went on from; 0 for a new run."""
    seconds: float
    """Time spent training in all."""
    stopped: bool
    """Whether a signal ended it before ``train.steps``; the work is saved."""
    best: Best | None
    """The best validation, where there was one."""


def train(
    data: str | Path | None = None,
    run: str | Path = "runs/air",
    *,
    settings: Settings = (),
    fresh: bool = False,
    listener: Listener = SILENT,
) -> TrainReport:
    """Train on a data file, or go on where the run folder stopped.

    Settings are laid over those in the data file, or in the run that is resumed. Stopping
    anywhere and calling again gives the same weights, bit for bit, as never stopping.

    Where ``torchrun`` started several processes, all call this with the same arguments, and
    train together: the first one writes, and calls its listener; all return the report.

    Args:
        data: the data file; by default that of the run that goes on, else multi-mnist.h5.
        run: the run folder.
        settings: dotted keys and values, or layers.
        fresh: start anew, removing what an earlier training left in the folder.
        listener: hears notes, progress and rows of metrics.

    Raises:
        DataFileError: the data file cannot be used, or contradicts the settings.
        CheckpointError: the run belongs to other settings or data, or cannot be read.
        ConfigError: settings that make no configuration.
        DeviceError: there is no such device, or not one for each process.
        LaunchError: the processes cannot meet, or cannot share the batch.
        TrainingError: loss, gradient or validation ELBO are no longer finite,
            or another process ended.
        OutputError: the run folder cannot be written, or another process trains in it.
        AirkitError: ``train.tensorboard`` is on, and TensorBoard is not installed.
    """
    folder = RunFolder(Path(run))
    with ExitStack() as stack:
        # The caller may have switched gradients off, as is usual around trained models.
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        processes = stack.enter_context(joined())
        # A launcher hands on the Ctrl-C that its processes may have had from the terminal.
        request = stack.enter_context(stop_on_signals(patient=not processes.launch.alone))

        def begin() -> Start:
            stack.enter_context(folder.locked(listener))
            start = prepare(data, folder, settings, fresh=fresh, listener=listener)
            check_installed(start.config)
            return start

        start = processes.by_lead(begin)
        stack.enter_context(deterministic(start.config.train.deterministic))
        loop = _Loop(start, listener if processes.lead else SILENT, processes)
        stack.callback(loop.board.close)
        return loop.go(request)


class _Loop:
    """One call's loop; its state between steps is exactly what a checkpoint holds."""

    def __init__(self, start: Start, listener: Listener, processes: ProcessGroup = ALONE) -> None:
        self.start, self.listener, self.config = start, listener, start.config
        self.processes = processes
        self.device, images, self.val = processes.by_each(self._read)
        self.trainer = Trainer(start.config, images, self.device, processes)
        self.step, self.saved, self.spent = 0, 0, 0.0
        self.best: Best | None = None
        self.loss_sum, self.loss_count = torch.zeros((), device=self.device), 0
        if start.checkpoint is not None:
            self._restore(start.checkpoint)
            self._note_threads(start.checkpoint.threads)
            self._note_processes(start.checkpoint.processes)
        self.resumed_from = self.saved = self.step
        self.board = Board(start.run, start.config, self.step)
        self.began = time.perf_counter()

    def _read(self) -> tuple[torch.device, Tensor, CanvasDataset]:
        """The device, the images to train on and the split to validate on."""
        data, launch = self.start.data, self.processes.launch
        if not launch.alone:
            _check_data(self.start)
        images = CanvasDataset(data, "train").images
        check_batch(min(self.config.train.batch_size, len(images)), launch)
        return own_device(self.config.train.device, launch), images, CanvasDataset(data, "val")

    def go(self, request: StopRequest) -> TrainReport:
        """Train to the last step, or until a stop is asked for."""
        self.processes.by_lead(self._ready)
        steps = self.config.train.steps
        while self.step < steps and not self.processes.any(request.asked):
            self.loss_sum += self.trainer.step(self.step)
            if not self.trainer.guard.lags:
                self._check_steps()
            self.loss_count += 1
            self.step += 1
            self.listener.progress("training", self.step, steps)
            self._after_step()
        if self.saved != self.step:
            self._save()
        return TrainReport(
            run=self.start.run.path,
            data=self.start.data,
            steps=self.step,
            resumed_from=self.resumed_from,
            seconds=self._seconds(),
            stopped=self.step < steps,
            best=self.best,
        )

    def _ready(self) -> None:
        """Ready the run folder."""
        if self.start.checkpoint is None:
            self.start.run.start(self._state())  # the settings outlast a kill from here on
        else:
            self.start.run.rewind(self.start.checkpoint)

    def _after_step(self) -> None:
        """Log, validate and save where this step asks for it."""
        config = self.config.train
        if self.step % config.log_every == 0:
            self._log()
        due = self.step % config.checkpoint_every == 0
        if self.step % config.val_every == 0 or self.step == config.steps:
            due = self._validate() or due
        if due:
            self._save()

    def _log(self) -> None:
        self._check_steps()
        self._note_capture()
        loss = self.loss_sum.item() / self.loss_count
        self.loss_sum.zero_()
        self.loss_count = 0
        self._row(
            loss=loss,
            elbo=-loss,
            learning_rate=float(self.trainer.optimiser.param_groups[0]["lr"]),
            seconds=round(self._seconds(), 3),
        )

    def _note_capture(self) -> None:
        """Say once why steps are taken one kernel after the other."""
        captured = self.trainer.captured
        if captured is not None and captured.trouble is not None:
            self.listener.note(f"no CUDA graph can be made of a step: {captured.trouble}")
            self.trainer.captured = None

    def _validate(self) -> bool:
        """Measure the val split; says whether it is the best so far."""
        if len(self.val) == 0:
            return False
        self._check_steps()
        elbo, accuracy = validate(self.trainer, self.val)
        if not math.isfinite(elbo):
            raise self._error(validation_fault(self.trainer, self.val), self.step)
        self._row(val_elbo=elbo, val_count_accuracy=accuracy)
        self.processes.by_lead(
            lambda: self.board.reconstructions(self.step, self.trainer.air, self.val)
        )
        if self.best is not None and elbo <= self.best.elbo:
            return False
        self.best = Best(self.step, elbo, accuracy)
        return True

    def _row(self, **values: float) -> None:
        row = {"step": self.step, **values}

        def write() -> None:
            self.start.run.append(row)
            self.board.row(row)

        self.processes.by_lead(write)
        self.listener.row(row)

    def _check_steps(self) -> None:
        """Stop if a step was not finite, before anything of it is written."""
        bad = self.trainer.guard.first_bad()
        if bad is not None:
            raise self._error(diagnosis.step_fault(self.trainer, bad), bad + 1)

    def _error(self, fault: diagnosis.Fault, step: int) -> TrainingError:
        return diagnosis.error(fault, step, self.start, self.saved, self.processes.launch.program)

    def _seconds(self) -> float:
        return self.spent + time.perf_counter() - self.began

    def _save(self) -> None:
        self._check_steps()
        fault = self.processes.first(diagnosis.weights_fault(self.trainer))
        if fault is not None:  # as a faulty memory leaves them, even where the loss was finite
            raise self._error(fault, self.step)
        self.processes.by_lead(lambda: self.start.run.save(self._state()))
        self.saved = self.step

    def _state(self) -> Checkpoint:
        return Checkpoint(
            step=self.step,
            config=self.config,
            model=self.trainer.air.state_dict(),
            baselines=self.trainer.estimator.baselines.state_dict(),
            optimiser=self.trainer.optimiser_state(),
            data=str(self.start.data),
            data_digest=self.start.digest,
            seconds=self._seconds(),
            loss_sum=self.loss_sum.item(),
            loss_count=self.loss_count,
            best=self.best,
            threads=torch.get_num_threads(),
            processes=self.processes.launch.count,
            data_source=self.start.source,
        )

    def _note_threads(self, before: int | None) -> None:
        """Say where another number of threads costs the promise of the same bits."""
        now, config = torch.get_num_threads(), self.config.train
        strays = self.device.type == "cpu" and not config.deterministic
        if strays and before not in (None, now) and self.step < config.steps:
            self.listener.note(
                f"{now} CPU threads where the run had {before}: the last bits of its weights may "
                f"differ from those of an undisturbed one; OMP_NUM_THREADS={before} keeps them"
            )

    def _note_processes(self, before: int | None) -> None:
        """The same of another number of processes."""
        now, config = self.processes.launch.count, self.config.train
        if before in (None, now) or self.step >= config.steps:
            return
        strays = "the last bits of its weights may differ from"
        if config.estimator == "nvil":
            strays = "it draws other random numbers, and its weights will not be"
        self.listener.note(
            f"{now} processes where the run had {before}: {strays} those of an undisturbed one; "
            f"torchrun --nproc-per-node {before} keeps them"
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.step, self.spent, self.best = checkpoint.step, checkpoint.seconds, checkpoint.best
        self.loss_sum.fill_(checkpoint.loss_sum)
        self.loss_count = checkpoint.loss_count
        self.trainer.air.load_state_dict(checkpoint.model)
        self.trainer.estimator.baselines.load_state_dict(checkpoint.baselines)
        # Adam's own numbers, such as betas, follow from the settings, and not from the file.
        groups = self.trainer.optimiser.state_dict()["param_groups"]
        self.trainer.optimiser.load_state_dict({**checkpoint.optimiser, "param_groups": groups})


def _check_data(start: Start) -> None:
    """Other machines may have another file of that name."""
    found = reader.read_info(start.data)
    if found.content_digest != start.digest:
        raise DataFileError(
            "Not all processes have the same data file",
            where=f"{start.data} on {platform.node()}",
            expected=f"canvases with digest {start.digest[:16]}, as the first process has",
            got=f"digest {found.content_digest[:16]}",
            hint="copy the file to every machine, or name one that all of them share with --data",
        )
