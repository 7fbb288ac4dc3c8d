"""The work of one seed of a sweep: train, measure, and write the measures beside the run."""

from __future__ import annotations

from airkit.config.settings import Layer
from airkit.runs.sweep_folder import Trial
from airkit.system.callbacks import Listener


def run_trial(trial: Trial, listener: Listener) -> bool:
    """Train and measure one seed, or go on where an earlier attempt stopped.

    Args:
        trial: the seed, and the plan that it belongs to.
        listener: hears notes and progress.

    Returns:
        Whether it is finished; False where a signal stopped the training.

    Raises:
        AirkitError: as ``train`` and ``evaluate`` do.
    """
    from airkit.evaluation.evaluate import evaluate  # noqa: PLC0415 - torch, in the trial's process
    from airkit.training.train import train  # noqa: PLC0415

    # A recorded layer keeps the marks of the classes that were named in this call, and adds none.
    layers = [Layer("sweep", trial.config.model_dump(), recorded=True)]
    data = trial.plan.training_data.read().path
    report = train(data, trial.run, settings=layers, listener=listener)
    if report.stopped:
        return False
    data = trial.plan.training_data.read().path  # it may have been replaced meanwhile
    measures = evaluate(trial.run, data, settings=layers, listener=listener)
    trial.write(measures.to_dict(), report.seconds)
    return True
