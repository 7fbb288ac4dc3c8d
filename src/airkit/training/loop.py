"""The training loop and what surrounds it: resuming, validating, saving, stopping."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from airkit import seeds
from airkit.checkpoint import Best, Checkpoint
from airkit.dataset import CanvasDataset, to_ink
from airkit.device import pick_device
from airkit.errors import CheckpointError, TrainingError
from airkit.estimators import exact
from airkit.listener import SILENT, Listener
from airkit.model.guides import Noise
from airkit.model.scene import explain
from airkit.run import RunFolder, load_weights
from airkit.settings import Settings
from airkit.training.setup import Start, prepare
from airkit.training.signals import StopRequest, stop_on_signals
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
        TrainingError: the loss is no longer finite.
        OutputError: the run folder cannot be written.
    """
    start = prepare(data, RunFolder(Path(run)), settings, fresh=fresh, listener=listener)
    with stop_on_signals() as request:
        return _Loop(start, listener).go(request)


class _Loop:
    """One call's loop; its state between steps is exactly what a checkpoint holds."""

    def __init__(self, start: Start, listener: Listener) -> None:
        self.start, self.listener, self.config = start, listener, start.config
        self.device = pick_device(start.config.train.device)
        images = CanvasDataset(start.data, "train").images
        self.trainer = Trainer(start.config, images, self.device)
        self.val = CanvasDataset(start.data, "val")
        self.step, self.spent = 0, 0.0
        self.best: Best | None = None
        self.loss_sum, self.loss_count = torch.zeros((), device=self.device), 0
        if start.checkpoint is not None:
            self._restore(start.checkpoint)
        self.resumed_from, self.began = self.step, time.perf_counter()

    def go(self, request: StopRequest) -> TrainReport:
        """Train to the last step, or until a stop is asked for."""
        if self.start.checkpoint is None:
            self.start.run.start(self._state())  # the settings outlast a kill from here on
        else:
            self.start.run.rewind(self.step)
        saved, steps = self.step, self.config.train.steps
        while self.step < steps and not request.asked:
            self.loss_sum += self.trainer.step(self.step)
            self.loss_count += 1
            self.step += 1
            self.listener.progress("training", self.step, steps)
            if self._after_step():
                saved = self.step
        if saved != self.step:
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

    def _after_step(self) -> bool:
        """Log, validate and save where this step asks for it; says whether it was saved."""
        config = self.config.train
        if self.step % config.log_every == 0:
            self._log()
        due = self.step % config.checkpoint_every == 0
        if self.step % config.val_every == 0 or self.step == config.steps:
            due = self._validate() or due
        if due:
            self._save()
        return due

    def _log(self) -> None:
        loss = self.loss_sum.item() / self.loss_count
        self._check_finite(loss)
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
        elbo, accuracy = validate(self.trainer, self.val)
        self._check_finite(-elbo)
        self._row(val_elbo=elbo, val_count_accuracy=accuracy)
        if self.best is not None and elbo <= self.best.elbo:
            return False
        self.best = Best(self.step, elbo, accuracy)
        return True

    def _row(self, **values: float) -> None:
        row = {"step": self.step, **values}
        self.start.run.append(row)
        self.listener.row(row)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                "The loss is no longer a number",
                where=f"step {self.step} of {self.start.run.path}",
                got=loss,
                hint="start anew, --fresh, with a lower train.learning_rate or a train.clip_norm; "
                "the last checkpoint is still good",
            )

    def _seconds(self) -> float:
        return self.spent + time.perf_counter() - self.began

    def _save(self) -> None:
        self._check_finite(self.loss_sum.item())
        for module in (self.trainer.air, self.trainer.estimator.baselines):
            for weights in module.parameters():  # they can be worse than the last loss
                self._check_finite(weights.sum().item())
        self.start.run.save(self._state())

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
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.step, self.spent, self.best = checkpoint.step, checkpoint.seconds, checkpoint.best
        self.loss_sum.fill_(checkpoint.loss_sum)
        self.loss_count = checkpoint.loss_count
        load_weights(self.trainer.air, checkpoint.model)
        load_weights(self.trainer.estimator.baselines, checkpoint.baselines)
        try:
            # Its numbers, such as betas, follow from the settings, and not from the file.
            groups = self.trainer.optimiser.state_dict()["param_groups"]
            self.trainer.optimiser.load_state_dict({**checkpoint.optimiser, "param_groups": groups})
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                "The checkpoint's optimiser does not fit its configuration",
                where=self.start.run.file(self.step),
                got=error,
                hint="start anew with --fresh",
            ) from error


@torch.no_grad()
def validate(trainer: Trainer, val: CanvasDataset) -> tuple[float, float]:
    """One-draw ELBO in nats per canvas, and one-look count accuracy, of the val split.

    The random numbers come from a stream of their own and are the same at every validation,
    so that validating never changes the weights and two validations differ by them alone.
    """
    air, config = trainer.air, trainer.config
    generator = torch.Generator(trainer.device)
    generator.manual_seed(seeds.integer(config.train.seed, "validation"))
    elbo, right = 0.0, 0
    size = config.eval.batch_size
    for images, counts in zip(
        torch.split(val.images, size), torch.split(val.counts, size), strict=True
    ):
        ink = to_ink(images.to(trainer.device))
        noise = Noise.draw(generator, len(ink), air.slots, air.code, looks=False)
        elbo += exact.elbo(air, ink, noise).double().sum().item()
        right += int((explain(air, ink).count.cpu() == counts).sum())
    return elbo / len(val), right / len(val)
