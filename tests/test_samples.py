"""How many objects there are on canvases drawn from the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import data_file, fit, reference

import airkit
from airkit.config import settings
from airkit.config.schema import Config
from airkit.errors import OutputError
from airkit.figures import Request
from airkit.figures.render import render
from airkit.figures.samples import MAX_COUNT, Prior, choose_counts, even
from airkit.runs.folder import RunFolder
from airkit.system.callbacks import SILENT


def config(counts: str, ratio: float | str = 0.5, **given: Any) -> Config:
    """Forty rows of fifty canvases."""
    sheet = {"render.counts": counts, "render.rows": 40, "render.columns": 50}
    return settings.resolve(*settings.layers({**sheet, "prior.ratio": ratio, **given}))


def shares(counts: Any, most: int) -> list[float]:
    """Share of each number from 0 to ``most``."""
    return list(np.bincount(counts, minlength=most + 1)[: most + 1] / len(counts))


def test_even_counts_go_by_row_from_one_to_the_most() -> None:
    assert even(3, 3, 2).tolist() == [1, 1, 2, 2, 3, 3]
    assert even(5, 3, 1).tolist() == [1, 3, 5]
    assert even(1, 2, 1).tolist() == [1, 1]
    counts, words = choose_counts(config("even"), 5, 6)
    assert counts.tolist() == even(5, 40, 50).tolist()
    assert words == "from 1 up to 5"


@pytest.mark.parametrize(
    ("kind", "ratio", "expected"),
    [("geometric", 0.5, [4 / 7, 2 / 7, 1 / 7]), ("success", 0.8, [0.2, 0.16, 0.64])],
)
def test_counts_of_the_prior_follow_it_up_to_the_slots(
    kind: str, ratio: float, expected: list[float]
) -> None:
    counts, words = choose_counts(config("prior", ratio, **{"prior.kind": kind}), 9, 2)
    assert counts.dtype == np.int64
    assert shares(counts, 2) == pytest.approx(expected, abs=0.04)
    assert f"the {kind} prior of ratio {ratio} on 0..2" in words
    assert ("a greater prior.ratio gives more" in words) == (expected[0] > 0.5)


def test_unbounded_counts_know_neither_slots_nor_digits() -> None:
    counts, words = choose_counts(config("unbounded", 0.75), 1, 1)
    assert shares(counts, 3) == pytest.approx([0.25 * 0.75**n for n in range(4)], abs=0.04)
    assert counts.mean() == pytest.approx(3, abs=0.4)
    assert counts.max() > 10
    assert "p(n) = (1 - 0.75) 0.75^n, n = 0, 1, 2 ... without bound" in words


@pytest.mark.parametrize("kind", ["prior", "unbounded"])
def test_the_seed_of_evaluation_draws_the_counts(kind: str) -> None:
    one, again, other = (
        choose_counts(config(kind, **{"eval.seed": seed}), 2, 3)[0].tolist() for seed in (0, 0, 1)
    )
    assert one == again != other


def test_absurd_counts_are_refused() -> None:
    with pytest.raises(OutputError, match="The prior draws too many objects") as caught:
        choose_counts(config("unbounded", 0.999999), 2, 3)
    assert "at most 1,000" in str(caught.value)
    assert "as prior.ratio is 0.999999" in str(caught.value)
    assert MAX_COUNT > choose_counts(config("unbounded", 0.98), 2, 3)[0].max() > 100


def test_pictures_are_of_the_counts_asked_for(tmp_path: Path) -> None:
    out, file = tmp_path / "a.png", data_file(canvas_size=32, max_digits=3)
    pictures = set()
    for counts in ("even", "prior", "unbounded"):
        for ratio in (0.6, 0.9):
            given = {"render.counts": counts, "prior.ratio": ratio}
            picture = render(reference(), kind="prior", data=file, out=out, settings=given)
            pictures.add(picture.path.read_bytes())
    assert len(pictures) == 5, "the ratio is nothing to even counts"


@pytest.mark.parametrize(("digits", "most", "slots"), [(None, 2, 3), (5, 5, 6), (1, 1, 3)])
def test_slots_are_those_of_evaluation(digits: int | None, most: int, slots: int) -> None:
    """And the rows of ``even`` go up to the most digits of the data."""
    data = None if digits is None else data_file(canvas_size=48, max_digits=digits)
    for counts, words in (("even", str(most)), ("prior", f"on 0..{slots}")):
        given = settings.layers({"render.counts": counts})
        request = Request(RunFolder(reference()), data, "best", given, SILENT)
        texts = [text.words for text in Prior().sheet(request).texts]
        assert (texts[-1] == words) if counts == "even" else (words in " ".join(texts))


def test_the_prior_on_auto_follows_learned_noise(tmp_path: Path) -> None:
    fit(tmp_path, model__pixel_noise="learned", train__learning_rate=0.05)
    air = airkit.load(tmp_path)
    learned = air.prior_ratio
    assert learned < air.config.prior_ratio / 10
    for counts, words in (("prior", "ratio {:.3g} on"), ("unbounded", "p(n) = (1 - {:.3g})")):
        for given, ratio in (({}, learned), ({"prior.ratio": 0.6}, 0.6)):
            asked = settings.layers({"render.counts": counts, **given})
            request = Request(RunFolder(tmp_path), None, "best", asked, SILENT)
            texts = " ".join(text.words for text in Prior().sheet(request).texts)
            assert words.format(ratio) in texts
