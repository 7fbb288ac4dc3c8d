"""The training loop: steps, rows of metrics, validation and checkpoints."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from airkit.config.pictures import PicturesConfig
from airkit.data.dataset import CanvasDataset, images_of, note_ink
from airkit.data.stream import Streamed, block_of
from airkit.errors import CheckpointError, TrainingError
from airkit.runs.checkpoint import Best, Checkpoint
from airkit.runs.memory_needs import check_steps
from airkit.runs.trust import Trust
from airkit.runs.weights import load_model, load_weights
from airkit.system import threads
from airkit.system.callbacks import Listener
from airkit.system.device import own_device
from airkit.system.files import write_text
from airkit.system.paths import to_record
from airkit.system.signals import StopRequest
from airkit.system.tables import Labelled
from airkit.system.text import duration
from airkit.training.diagnosis import Fault, fault_error, find_fault
from airkit.training.parallel import ALONE, ProcessGroup, check_batch
from airkit.training.resume import Start, check_same_data, note_resumption
from airkit.training.step import Trainer
from airkit.training.tensorboard import TensorBoard
from airkit.training.validation import judge_results, validate


@dataclass(frozen=True)
class TrainReport(Labelled):
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
    """The best validation; None where there was none."""
    trust: Trust | None = None
    """Whether results are to be trusted, judged without any truth after a training on pictures or
    drawn scenes; None for digits, and where nothing was left to train."""

    def rows(self) -> list[tuple[str, str]]:
        """Return what was trained, and what is in doubt, as labels and values."""
        rows = [
            ("run", str(self.run)),
            ("steps", f"{self.steps:,}"),
            ("time", duration(self.seconds)),
        ]
        if self.best is not None:
            share = self.best.count_accuracy
            accuracy = "" if share is None else f", count accuracy {100 * share:.1f} %"
            best = f"ELBO {self.best.elbo:.1f}{accuracy}, at step {self.best.step}"
            rows.append(("best validation", best))
        if self.trust is not None and self.trust.trouble:
            rows += self.trust.rows()
        return rows


class Loop:
    """The loop of one call; its state between steps is what a checkpoint holds."""

    def __init__(self, start: Start, listener: Listener, processes: ProcessGroup = ALONE) -> None:
        """Build the model, with the checkpoint's weights if there is one; nothing is written."""
        self.start, self.listener, self.config = start, listener, start.config
        self.processes = processes
        device, images, self.val = processes.by_each(self._read)
        self.trainer = Trainer(start.config, images, device, processes)
        self.step, self.spent = 0, 0.0
        self.best: Best | None = None
        self.loss_sum, self.loss_count = torch.zeros((), device=device), 0
        if start.checkpoint is not None:
            self._restore(start.checkpoint, images)
        self._set_threads(images)
        if self.start.checkpoint is not None:
            note_resumption(self.start, device.type, processes.launch.count, listener)
        elif self.trainer.augments:
            listener.note("pictures are turned and mirrored at random, unless train.augment=false")
        self.resumed_from = self.saved = self.step
        self.board = TensorBoard(start.run, start.config, self.start.checkpoint)
        self.began = time.perf_counter()

    def run(self, request: StopRequest) -> TrainReport:
        """Train to the last step, or until a stop is asked for."""
        self.processes.by_lead(self._open_folder)
        train = self.config.train
        while self.step < train.steps and not self.processes.any(request.asked):
            self.loss_sum += self.trainer.step(self.step)
            self.loss_count += 1
            self.step += 1
            if not self.trainer.optimiser.asynchronous:
                self._check_finite()
            self.listener.progress("training", self.step, train.steps)
            if self.step % train.log_every == 0:
                self._log()
            due = self.step % train.checkpoint_every == 0
            early = train.val_early and self.step < train.val_every
            every = train.val_early if early else train.val_every
            if self.step % every == 0 or self.step == train.steps:
                due = self._validate() or due
            if due:
                self._save()
        if self.saved != self.step:
            self._save()
        if self.step < train.steps:
            stopped = f"stopped at step {self.step} of {self.start.run.path}"
            self.listener.note(f"{stopped}: training it again goes on from there")
        trust = self._judge()
        if trust is not None and trust.trouble:
            self.listener.verdict(trust.rows())
        return TrainReport(
            run=self.start.run.path,
            data=self.start.data.path,
            steps=self.step,
            resumed_from=self.resumed_from,
            seconds=self._seconds(),
            stopped=self.step < train.steps,
            best=self.best,
            trust=trust,
        )

    def _judge(self) -> Trust | None:
        """The verdict at the end of a training on pictures."""
        pictures = self.config.pictures != PicturesConfig()
        if not pictures or self.step < self.config.train.steps:
            return None
        held_out = self.val.rows["image"] if len(self.val) else self.trainer.images

        def verdict() -> Trust | None:
            if self.resumed_from == self.step and self.start.run.verdict.exists():
                return None
            trust = judge_results(self.trainer, held_out)
            write_text(self.start.run.verdict, json.dumps(trust.to_dict()) + "\n")
            return trust

        return self.processes.by_lead(verdict)

    def _read(self) -> tuple[torch.device, Tensor | Streamed, CanvasDataset]:
        """The device, the images to train on and the split to validate on."""
        data, launch = self.start.data.path, self.processes.launch
        earlier = self.start.checkpoint
        if not launch.alone:
            check_same_data(self.start)
        note_ink(self.start.data, "train", self.listener)
        block = earlier.block if earlier else block_of(self.start.data, "train")
        images = images_of(data, "train", block)
        check_batch(min(self.config.batch_size, len(images)), launch)
        device = own_device(self.config.train.device, launch)
        check_steps(self.config, len(images), launch, device)
        return device, images, CanvasDataset(data, "val")

    def _set_threads(self, images: Tensor | Streamed) -> None:
        """Compute on the run's number of CPU threads; a new run takes as many as pay."""
        config, device = self.config, self.trainer.device
        elsewhere = device.type != "cpu" or not self.processes.launch.alone
        if elsewhere or threads.fixed() or self.step >= config.train.steps:
            return
        rehearsal = Trainer(config, images, device)  # its steps leave no trace in the run
        paying, most = threads.paying(lambda: rehearsal.step(0)), torch.get_num_threads()
        earlier = self.start.checkpoint
        kept = 0 if earlier is None or config.train.deterministic else earlier.threads or 0
        if paying < kept <= most:
            self.listener.note(
                f"{kept} CPU threads, as the run had, keep its bits; on the busy cores {paying} "
                f"would be faster: OMP_NUM_THREADS={paying}"
            )
        elif not kept and paying < most:
            self.listener.note(threads.note(paying))
        torch.set_num_threads(kept if 0 < kept <= most else paying)

    def _restore(self, checkpoint: Checkpoint, images: Tensor | Streamed) -> None:
        """Take up the state of a checkpoint; one of no step that does not fit is passed over."""
        try:
            self._load(checkpoint)
        except CheckpointError as error:
            # Weights that ``airkit.save`` wrote, which records no threads, are not to be lost.
            if checkpoint.step or checkpoint.threads is None:
                raise
            self.listener.note(f"{error.what}; no step had been taken with it: starting anew")
            self.trainer = Trainer(self.config, images, self.trainer.device, self.processes)
            self.start = replace(self.start, checkpoint=None)

    def _load(self, checkpoint: Checkpoint) -> None:
        trainer, config = self.trainer, self.config
        load_model(trainer.air, checkpoint.model, config)
        classes = {"": ("train.estimator", config.train.estimator)}
        load_weights(trainer.objective.baselines, checkpoint.baselines, classes)
        trainer.optimiser.load_state_dict(checkpoint.optimiser)
        self.step, self.spent, self.best = checkpoint.step, checkpoint.seconds, checkpoint.best
        self.loss_sum.fill_(checkpoint.loss_sum)
        self.loss_count = checkpoint.loss_count

    def _open_folder(self) -> None:
        if self.start.checkpoint is None:
            self.start.run.start(self._state())  # from here on a killed run can go on
        else:
            self.start.run.rewind(self.start.checkpoint)

    def _log(self) -> None:
        """Write a row with the mean loss since the last one."""
        self._check_finite()
        self._note_graph()
        loss = self.loss_sum.item() / self.loss_count
        self.loss_sum.zero_()
        self.loss_count = 0
        rate, seconds = self.trainer.optimiser.learning_rate, round(self._seconds(), 3)
        self._row(loss=loss, elbo=-loss, learning_rate=rate, seconds=seconds)

    def _validate(self) -> bool:
        """Measure the val split; returns whether it is the best validation so far."""
        if len(self.val) == 0:
            return False
        self._check_finite()
        elbo, accuracy = validate(self.trainer, self.val)
        if not math.isfinite(elbo):
            raise self._error(Fault("The validation ELBO", f"{elbo:g}"), self.step)
        known = {} if accuracy is None else {"val_count_accuracy": accuracy}
        self._row(val_elbo=elbo, **known)
        with self.trainer.evaluating():
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

    def _save(self) -> None:
        self._check_finite()
        self.processes.by_lead(lambda: self.start.run.save(self._state()))
        self.saved = self.step

    def _check_finite(self) -> None:
        """Stop before anything is written of steps that were not finite."""
        bad = self.trainer.optimiser.first_bad()
        if bad is not None:
            raise self._error(find_fault(self.trainer, bad), bad + 1)

    def _error(self, fault: Fault, step: int) -> TrainingError:
        return fault_error(fault, step, self.start, self.saved, self.processes.launch.program)

    def _note_graph(self) -> None:
        """Note once why no CUDA graph is used."""
        graph = self.trainer.graph
        if graph is not None and graph.failure is not None:
            self.listener.note(f"no CUDA graph can be made of a step: {graph.failure}")
            self.trainer.graph = None

    def _seconds(self) -> float:
        return self.spent + time.perf_counter() - self.began

    def _state(self) -> Checkpoint:
        return Checkpoint(
            step=self.step,
            config=self.config,
            model=self.trainer.air.state_dict(),
            baselines=self.trainer.objective.baselines.state_dict(),
            optimiser=self.trainer.optimiser.state_dict(),
            data=to_record(self.start.data.path),
            data_digest=self.start.data.content_digest,
            seconds=self._seconds(),
            loss_sum=self.loss_sum.item(),
            loss_count=self.loss_count,
            best=self.best,
            threads=torch.get_num_threads(),
            processes=self.processes.launch.count,
            data_source=self.start.data.source,
            block=self.trainer.batches.block,
        )
