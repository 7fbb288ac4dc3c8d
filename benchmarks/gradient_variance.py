"""How much the gradient of presence varies: exact, and NVIL with and without baselines.

    python benchmarks/gradient_variance.py --data FILE [--guide lstm] [--steps 2000] [--seeds 0 1 2]

One model is trained a seed, by the exact estimator; baselines learn beside it on the same
batches. Now and then it stands still: one batch of 64 canvases, and many gradients of it by each
estimator, which differ by their random numbers alone. The table, and
``benchmarks/results/gradient_variance.json``, have the total variance of the gradient of the
weights that presence is read from, the sum of each weight's, beside the square of the mean
gradient's length; the picture shows them along training. Exact has variance as well, since
z_where and z_what are sampled by all.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import figures
import provenance
import torch
from torch import Tensor

from airkit.config import settings
from airkit.config.schema import Config
from airkit.config.settings import Layer
from airkit.data import reader
from airkit.data.dataset import CanvasDataset, to_float
from airkit.model.air import AIR
from airkit.model.objectives import Objective, build
from airkit.training.step import Trainer

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "gradient_variance.json"
PICTURE = HERE.parent / "docs" / "images" / "gradient-variance.png"
ESTIMATORS: dict[str, dict[str, str]] = {
    "exact": {"train.estimator": "exact"},
    "NVIL, LSTM baseline": {"train.estimator": "nvil", "train.baseline": "lstm"},
    "NVIL, MLP baseline": {"train.estimator": "nvil", "train.baseline": "mlp"},
    "NVIL, no baseline": {"train.estimator": "nvil", "train.baseline": "none"},
}
PRESENCE = {"lstm": "guide.predict", "saliency": "guide.proposer.head"}
"""The networks in whose last layer the first row is the presence logit's."""
STOPS = (0, 50, 100, 200, 400, 700, 1000, 1500, 2000, 3000, 4000)


def main() -> None:
    args = parse()
    rows: list[dict[str, Any]] = []
    print(
        f"{'seed':>4} {'step':>6} {'estimator':<20} {'variance':>12} {'mean²':>12} {'to exact':>9}"
    )
    for seed in args.seeds:
        rows += measure(args, seed)
    content = {
        **provenance.note(
            f"gradient_variance.py --guide {args.guide} --steps {args.steps} "
            f"--draws {args.draws} --seeds {' '.join(map(str, args.seeds))}",
            "torch",
            how=f"threads: {torch.get_num_threads()}",
        ),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draw(rows, args.guide)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="made by airkit make-data")
    parser.add_argument("--guide", choices=sorted(PRESENCE), default="lstm")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    return args


def measure(args: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """Train once, and stop to measure; one row for each stop and estimator."""
    given = {"guide.kind": args.guide, "train.seed": seed, "train.steps": args.steps}
    if args.guide == "lstm":
        given["train.learning_rate"] = 1e-3
    data = Layer("data file", reader.read_info(args.data).config.model_dump())
    config = settings.resolve(data, *settings.layers(given))
    trainer = Trainer(config, CanvasDataset(args.data, "train").images, torch.device("cpu"))
    batch = to_float(CanvasDataset(args.data, "val").images[: config.batch_size])
    rivals = {name: rival(trainer.air, config, keys) for name, keys in ESTIMATORS.items()}
    learners = {
        name: torch.optim.Adam(each.baselines.parameters(), config.train.baseline_learning_rate)
        for name, each in rivals.items()
        if list(each.baselines.parameters())
    }
    rows = []
    for step in range(args.steps + 1):
        if step in STOPS:
            rows += stop(rivals, batch, trainer, step, args)
        if step < args.steps:
            for name, learner in learners.items():
                learn(rivals[name], learner, trainer, step)
            trainer.step(step)
    return rows


def rival(air: AIR, config: Config, keys: dict[str, str]) -> Objective:
    """One of the estimators, for the model that is being trained."""
    return build(air, settings.resolve(Layer("run", config.model_dump()), *settings.layers(keys)))


def learn(one: Objective, learner: torch.optim.Optimizer, trainer: Trainer, step: int) -> None:
    """A step of a baseline on the batch that the model is about to learn from."""
    images = to_float(trainer.images[trainer.batches.at(step)])
    learner.zero_grad()
    one(images, one.random(len(images), step), trainer.log_prior(step))[1].backward()
    learner.step()


def stop(
    rivals: dict[str, Objective],
    batch: Tensor,
    trainer: Trainer,
    step: int,
    args: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Many gradients of one batch by each estimator; the model's weights stay as they are."""
    rows: list[dict[str, Any]] = []
    for name, one in rivals.items():
        every = torch.stack(
            [
                presence_gradient(one, batch, draw, trainer.log_prior(step), args.guide)
                for draw in range(args.draws)
            ]
        )
        variance, mean = float(every.var(0).sum()), float(every.mean(0).square().sum())
        seed = trainer.config.train.seed
        rows.append(
            {"seed": seed, "step": step, "estimator": name, "variance": variance, "mean2": mean}
        )
        ratio = variance / rows[0]["variance"]
        print(
            f"{seed:>4} {step:>6} {name:<20} {variance:>12.4g} {mean:>12.4g} {ratio:>9.3g}",
            flush=True,
        )
    return rows


def presence_gradient(
    one: Objective, images: Tensor, seed: int, log_prior: Tensor, guide: str
) -> Tensor:
    """The gradient of the weights that the presence logit is read from, flat."""
    one.air.zero_grad()
    one(images, one.random(len(images), seed), log_prior)[1].backward()
    *_, last = one.air.get_submodule(PRESENCE[guide]).children()
    weight, bias = (each.grad for each in last.parameters())
    assert weight is not None
    assert bias is not None
    return torch.cat([weight[0], bias[:1]])


def draw(rows: list[dict[str, Any]], guide: str) -> None:
    """Variance along training, one line an estimator, thin ones the seeds."""
    figure, (axes,) = figures.chart(f"Variance of the gradient of presence, {guide} guide")
    for name, colour in zip(ESTIMATORS, figures.COLOURS, strict=False):
        for seed in sorted({row["seed"] for row in rows}):
            mine = [row for row in rows if (row["estimator"], row["seed"]) == (name, seed)]
            axes.plot(
                [row["step"] for row in mine],
                [row["variance"] for row in mine],
                color=colour,
                marker="o",
                markersize=4,
                label=name if seed == rows[0]["seed"] else None,
            )
    axes.set_yscale("log")
    axes.legend(frameon=False, ncols=2)
    figures.label(axes, "steps of training", "total variance, nats² (log scale)")
    figures.save(figure, PICTURE)


if __name__ == "__main__":
    main()
