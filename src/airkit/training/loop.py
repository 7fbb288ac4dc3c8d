"""The training loop and what surrounds it: resuming, validating, saving, stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from airkit import seeds
from airkit.checkpoint import Best, Checkpoint
from airkit.dataset import CanvasDataset, to_ink
from airkit.device import deterministic, pick_device
from airkit.errors import TrainingError
from airkit.estimators import exact
from airkit.listener import SILENT, Listener
from airkit.model.guides import Noise
from airkit.model.scene import explain
from airkit.run import RunFolder
from airkit.settings import Settings
from airkit.signals import StopRequest, stop_on_signals
from airkit.training import diagnosis
from airkit.training.setup import Start, prepare
from airkit.training.step import Trainer


@dataclass(frozen=True)
class TrainReport:
    """What a call of ``train`` did."""

    run: Path
    data: Path
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
        DeviceError: there is no such device.
        TrainingError: loss, gradient or validation ELBO are no longer finite.
        OutputError: the run folder cannot be written, or another process trains in it.
    """
    folder = RunFolder(Path(run))
    with stop_on_signals() as request, folder.locked(listener):
        start = prepare(data, folder, settings, fresh=fresh, listener=listener)
        with deterministic(start.config.train.deterministic):
            return _Loop(start, listener).go(request)


class _Loop:
    """One call's loop; its state between steps is exactly what a checkpoint holds."""

    def __init__(self, start: Start, listener: Listener) -> None:
        self.start, self.listener, self.config = start, listener, start.config
        self.device = pick_device(start.config.train.device)
        images = CanvasDataset(start.data, "train").images
        self.trainer = Trainer(start.config, images, self.device)
        self.val = CanvasDataset(start.data, "val")
        self.step, self.saved, self.spent = 0, 0, 0.0
        self.best: Best | None = None
        self.loss_sum, self.loss_count = torch.zeros((), device=self.device), 0
        if start.checkpoint is not None:
            self._restore(start.checkpoint)
            self._note_threads(start.checkpoint.threads)
        self.resumed_from = self.saved = self.step
        self.began = time.perf_counter()

    def go(self, request: StopRequest) -> TrainReport:
        """Train to the last step, or until a stop is asked for."""
        if self.start.checkpoint is None:
            self.start.run.start(self._state())  # the settings outlast a kill from here on
        else:
            self.start.run.rewind(self.start.checkpoint)
        steps = self.config.train.steps
        while self.step < steps and not request.asked:
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
        loss = self.loss_sum.item() / self.loss_count
        self.loss_sum.zero_()
        self.loss_count = 0
        self._row(
            loss=loss,
            elbo=-loss,
            learning_rate=self.trainer.optimiser.param_groups[0]["lr"],
            seconds=round(self._seconds(), 3),
        )

    def _validate(self) -> bool:
        """Measure the val split; says whether it is the best so far."""
        if len(self.val) == 0:
            return False
        self._check_steps()
        elbo, accuracy = validate(self.trainer, self.val)
        if not math.isfinite(elbo):
            raise self._error(self._validation_fault(), self.step)
        self._row(val_elbo=elbo, val_count_accuracy=accuracy)
        if self.best is not None and elbo <= self.best.elbo:
            return False
        self.best = Best(self.step, elbo, accuracy)
        return True

    def _row(self, **values: float) -> None:
        row = {"step": self.step, **values}
        self.start.run.append(row)
        self.listener.row(row)

    def _check_steps(self) -> None:
        """Stop if a step was not finite, before anything of it is written."""
        bad = self.trainer.guard.first_bad()
        if bad is not None:
            raise self._error(diagnosis.step_fault(self.trainer, bad), bad + 1)

    def _validation_fault(self) -> diagnosis.Fault:
        """Look through the val split once more for the first term that is not finite."""
        air, what, first = self.trainer.air, "The validation ELBO", 0
        for ink, noise, _ in _batches(self.trainer, self.val):
            terms = exact.terms(air, ink, noise, air.log_prior)
            canvases = torch.arange(first, first + len(ink))
            fault = diagnosis.terms_fault(what, terms, canvases, "val")
            if fault is not None:
                return fault
            first += len(ink)
        return diagnosis.Fault(what, "no number, all of its terms being finite")

    def _error(self, fault: diagnosis.Fault, step: int) -> TrainingError:
        return diagnosis.error(fault, step, self.start, self.saved)

    def _seconds(self) -> float:
        return self.spent + time.perf_counter() - self.began

    def _save(self) -> None:
        self._check_steps()
        fault = diagnosis.weights_fault(self.trainer)
        if fault is not None:  # as a faulty memory leaves them, even where the loss was finite
            raise self._error(fault, self.step)
        self.start.run.save(self._state())
        self.saved = self.step

    def _state(self) -> Checkpoint:
        return Checkpoint(
            step=self.step,
            config=self.config,
            model=self.trainer.air.state_dict(),
            baselines=self.trainer.estimator.baselines.state_dict(),
            optimiser=self.trainer.optimiser.state_dict(),
            data=str(self.start.data),
            data_digest=self.start.digest,
            seconds=self._seconds(),
            loss_sum=self.loss_sum.item(),
            loss_count=self.loss_count,
            best=self.best,
            threads=torch.get_num_threads(),
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

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.step, self.spent, self.best = checkpoint.step, checkpoint.seconds, checkpoint.best
        self.loss_sum.fill_(checkpoint.loss_sum)
        self.loss_count = checkpoint.loss_count
        self.trainer.air.load_state_dict(checkpoint.model)
        self.trainer.estimator.baselines.load_state_dict(checkpoint.baselines)
        # Adam's own numbers, such as betas, follow from the settings, and not from the file.
        groups = self.trainer.optimiser.state_dict()["param_groups"]
        self.trainer.optimiser.load_state_dict({**checkpoint.optimiser, "param_groups": groups})


@torch.no_grad()
def validate(trainer: Trainer, val: CanvasDataset) -> tuple[float, float]:
    """One-draw ELBO in nats per canvas, and one-look count accuracy, of the val split.

    The random numbers come from a stream of their own and are the same at every validation,
    so that validating never changes the weights and two validations differ by them alone.
    """
    elbo, right = 0.0, 0
    for ink, noise, counts in _batches(trainer, val):
        elbo += exact.elbo(trainer.air, ink, noise).double().sum().item()
        right += int((explain(trainer.air, ink).count.cpu() == counts).sum())
    return elbo / len(val), right / len(val)


def _batches(trainer: Trainer, val: CanvasDataset) -> Iterator[tuple[Tensor, Noise, Tensor]]:
    """Ink, random numbers and true counts of the val split, always the same."""
    air, config = trainer.air, trainer.config
    generator = torch.Generator(trainer.device)
    generator.manual_seed(seeds.integer(config.train.seed, "validation"))
    size = config.eval.batch_size
    for images, counts in zip(
        torch.split(val.images, size), torch.split(val.counts, size), strict=True
    ):
        ink = to_ink(images.to(trainer.device))
        yield ink, Noise.draw(generator, len(ink), air.slots, air.code, looks=False), counts
