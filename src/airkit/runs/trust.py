"""Whether to trust a model's results on pictures, judged without any truth.

Signs of trouble come first (``airkit.runs.signs``). Where there are none, results are to be
trusted, whatever the settings. Where there are some, the cause is looked for in what the model
assumes: what differs from what a look at the pictures finds, then what the signs themselves say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from airkit.config.pictures import filter_of
from airkit.config.schema import Config
from airkit.config.sections import PICTURES
from airkit.data.look.findings import TEXTURED, Findings
from airkit.data.look.fixed import told, way_out
from airkit.runs.signs import LARGE, Signs
from airkit.system.statistics import wilson
from airkit.system.tables import Labelled

MOST = {
    "full": 0.02,
    "unstable": 0.05,
    "missed": 0.03,
    "needless": 0.03,
    "doubled": 0.03,
    "large": 0.02,
}
"""Shares above which, beyond chance, something is wrong."""
LEAST_CERTAINTY = 0.93
"""Mean probability, by the guide at one look, of its most probable count, below which counts are
guesses."""
MOST_UNEXPLAINED = 0.5
"""Share of the ink that may be left unexplained."""
APART = 1.6
"""Factor between what the model assumes and what a look finds from which on they differ."""
ENOUGH = 12
"""Pictures that have to be looked at before what is found in them may correct a setting."""
CLEAR = 5.0
"""Contrast in standard deviations of the noise below which noise passes for objects."""
SHORT = 400
"""Steps of a training below which no other cause is looked for in the signs."""
ODDS_APART = 2.5
"""Factor between two log prior odds of an object from which on they differ."""
_LUMPS, _SIMPLE = 4, {"none": 0, "constant": 1, "plane": 2, "quadratic": 3}
"""How far backgrounds vary: soft lumps, and those that vary less."""


@dataclass(frozen=True)
class Trust(Labelled):
    """Whether results are to be trusted, and why not."""

    signs: Signs
    """The numbers that it rests on."""
    trouble: tuple[str, ...]
    """Signs of trouble in words; empty where results are to be trusted."""
    advice: tuple[str, ...]
    """The likely causes, the likeliest first, each with the way out."""

    @property
    def verdict(self) -> str:
        """Trust or doubt."""
        return "doubt" if self.trouble else "trust"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the verdict first."""
        told = {"verdict": self.verdict, "trouble": self.trouble, "advice": self.advice}
        return told | asdict(self.signs)

    def rows(self) -> list[tuple[str, str]]:
        """Return the verdict in words, as labels and values."""
        if not self.trouble:
            return [("trust", "no sign of trouble")]
        return [("in doubt", "; ".join(self.trouble)), *(("try", each) for each in self.advice)]

    def facts(self) -> dict[str, str]:
        """Return the numbers in words, by what they are of."""
        signs = self.signs
        rates = ", ".join(f"{rate:.0%}" for rate in signs.slot_rates)
        unstable = "one look alone was taken" if signs.looks == 1 else f"{signs.unstable:.1%}"
        found = "none" if math.isnan(signs.box_size) else f"{signs.box_size:.0f} px"
        return {
            "pictures with all slots in use": f"{signs.full:.1%}",
            "pictures without an object": f"{signs.empty:.1%}",
            "pictures with each slot in use": rates,
            f"pictures that one look counts differently from {signs.looks} together": unstable,
            "probability of one look's count": f"{signs.certainty:.1%} on average, by the guide",
            "median box": f"{found}; the model expects objects of {signs.object_size:.0f} px",
            f"objects larger than {LARGE:g} of the picture": f"{signs.large:.1%}",
            "objects where nothing stands out": f"{signs.needless:.1%} of {signs.objects:,}",
            "objects in nearly the same box as another": f"{signs.doubled:.1%}",
            "what stands out, in no box": f"{signs.missed:.1%} of {signs.candidates:,} parts",
            "what stands out, unexplained": f"{signs.unexplained:.1%} of its ink",
            "pixels that the background explains": f"{signs.background_explains:.1%}",
            "what is left over": f"{signs.residual:.1%} of white a pixel, correlation "
            f"{signs.residual_correlation:.2f} of neighbours; noise of {signs.noise:.1%}",
        }


def judge(signs: Signs, found: Findings, config: Config) -> Trust:
    """Return the verdict.

    Args:
        signs: what was seen of the model's results.
        found: what a look at the same pictures finds.
        config: the run's settings.
    """
    wrong = {name for name in MOST if _beyond(signs, name)}
    trouble = (*((told(found.fixed),) if found.fixed else ()), *_trouble(signs, wrong))
    advice = tuple(_causes(signs, found, config, wrong)) if trouble else ()
    return Trust(signs, trouble, advice)


def _beyond(signs: Signs, name: str) -> bool:
    """Whether a share is above its limit, beyond chance."""
    share = getattr(signs, name)
    objects = round(signs.objects_per_picture * signs.pictures)
    of = {"needless": signs.objects, "doubled": signs.objects, "large": objects}
    total = {**of, "missed": signs.candidates}.get(name, signs.pictures)
    if math.isnan(share) or not total:
        return False
    return wilson(round(share * total), total)[0] > MOST[name]


def _trouble(signs: Signs, wrong: set[str]) -> Iterator[str]:
    """What is wrong, in words."""
    slots = len(signs.slot_rates)
    all_are = f"all {slots} slots are" if slots > 1 else "the only slot is"
    said = {
        "full": f"{all_are} in use on {signs.full:.0%} of the pictures",
        "missed": f"{signs.missed:.0%} of what stands out is in no object's box",
        "needless": f"{signs.needless:.0%} of the objects found are where nothing stands out",
        "doubled": f"{signs.doubled:.0%} of the objects found have nearly the same box as another",
        "large": f"{signs.large:.0%} of the objects are larger than {LARGE:g} of the picture",
        "unstable": f"one look and {signs.looks} together count differently on "
        f"{signs.unstable:.0%} of the pictures",
    }
    yield from (words for name, words in said.items() if name in wrong)
    if signs.certainty < LEAST_CERTAINTY:
        yield f"one look is only {signs.certainty:.0%} sure of its count"
    if signs.unexplained > MOST_UNEXPLAINED:
        yield f"{signs.unexplained:.0%} of what stands out is left unexplained"


def _causes(signs: Signs, found: Findings, config: Config, wrong: set[str]) -> Iterator[str]:
    """Likely causes with the way out: what no setting mends, what differs, what the signs say."""
    if found.fixed:
        yield way_out(found.fixed, config)
        return
    if TEXTURED in found.doubts:
        yield f"{TEXTURED}; even out the light, or import smaller tiles, in which it is more even"
        return
    if found.contrast < CLEAR * found.noise:
        yield "the noise is as large as the contrast: blur the pictures before you import them"
        return
    if "doubled" in wrong and config.train.steps >= SHORT:
        size = f"{1.5 * config.object_size:.0f}"
        named = _named(config, f"--object-size {size}", f"model.object_size={size}")
        yield f"one object is found twice, as it is larger than the model expects: {named} or more"
        return
    corrections: list[str] = []
    if signs.pictures >= ENOUGH:
        corrections = [*_differing(found, config), *_unbalanced(signs, found, config, wrong)]
    yield from corrections or _by_signs(signs, found, config, wrong)


def _differing(found: Findings, config: Config) -> Iterator[str]:
    """Where what the model assumes differs from what a look at the pictures finds."""
    if config.polarity not in (found.polarity, "both"):
        kind = "bright and dark" if found.polarity == "both" else found.polarity
        yield (
            f"objects are {kind} on their background, but the model looks for "
            f"{config.polarity} ones: --set model.polarity={found.polarity}"
        )
    if _SIMPLE.get(config.background, _LUMPS) < _SIMPLE.get(found.background, _LUMPS):
        yield (
            f"the background varies more than model.background={config.background} explains: "
            f"--set model.background={filter_of(found.background, config.polarity)}"
        )
    if found.stretch and not config.stretch:
        yield f"some objects are far fainter than others: --set model.stretch={found.stretch:g}"
    seen, expected = found.object_size, config.object_size
    if seen and max(seen / expected, expected / seen) > APART and not _named_size(found, config):
        yield (
            f"objects look about {seen:.0f} px large, but the model expects {expected:.0f} px: "
            + _named(config, f"--object-size {seen:.0f}", f"model.object_size={seen:.0f}")
        )
    if config.compositing != found.compositing:
        adds = found.compositing == "add"
        overlap = "light adds up" if adds else "one object hides the other"
        yield (
            f"where objects overlap, {overlap}, but model.compositing is {config.compositing}: "
            f"--set model.compositing={found.compositing}"
        )
    if config.stretch and not found.stretch:
        yield "no objects are far fainter than others: --set model.stretch=0"


def _named_size(found: Findings, config: Config) -> bool:
    """Whether the size was set by hand at import, where a look measured about what it finds now."""
    at_import = config.pictures.object_size
    measured = replace(found, object_size=at_import).digit_size
    same = at_import and max(found.object_size / at_import, at_import / found.object_size) < APART
    return bool(same) and not math.isclose(config.data.digit_size, measured, rel_tol=0.01)


def _unbalanced(signs: Signs, found: Findings, config: Config, wrong: set[str]) -> Iterator[str]:
    """A named pixel noise or prior ratio that does not fit the objects' contrast and size."""
    pictures = found.pictures().model_copy(update={"stretch": config.stretch})
    seen = config.model_copy(update={"pictures": pictures})
    usual, sd = seen.updated("model", pixel_sd="auto").pixel_sd, config.pixel_sd
    if max(usual / sd, sd / usual) > APART:
        kind = "small" if sd < usual else "large"
        yield (
            f"model.pixel_sd={sd:.2g} is {kind} for the contrast of the objects: "
            f"--set model.pixel_sd={usual:.2g}"
        )
        return
    fair = seen.updated("prior", ratio="auto").prior_ratio
    factor = math.log(config.prior_ratio) / min(math.log(fair), -1e-9)
    missed = "missed" in wrong or signs.unexplained > MOST_UNEXPLAINED
    if factor > ODDS_APART if missed else factor < 1 / ODDS_APART:
        kind = "low" if missed else "high"
        yield f"the prior odds of an object are {kind}: --set prior.ratio={fair:.0e}"


def _by_signs(signs: Signs, found: Findings, config: Config, wrong: set[str]) -> Iterator[str]:
    """Causes that the signs suggest."""
    if config.train.steps < SHORT:
        yield f"the training was short, and may explain all of it: --steps {Config().train.steps}"
        return
    if "needless" in wrong:
        yield (
            "objects are painted where nothing stands out: the light may be less even than "
            f"model.background={config.background} can follow; correct it before the import, or "
            "import smaller tiles"
        )
        return
    sure = "unstable" not in wrong and signs.certainty >= LEAST_CERTAINTY
    if not sure or not {"full", "large"} & wrong:
        longer = f"--steps {2 * config.train.steps}"
        yield f"the model has not settled, or what objects look like is too varied: {longer}"
    # Drawn scenes have slots enough: with them it is a sign of too little training.
    if "full" in wrong and (sure or config.data.source == PICTURES):
        more = max(found.most_objects, 2 * config.data.max_digits)
        yield "there may be more objects than slots: " + _named(
            config, f"--most-objects {more}", f"model.slots={more + 1}"
        )
    if "large" in wrong:
        yield "objects are as large as the pictures: cut larger pictures, or pad them"


def _named(config: Config, option: str, setting: str) -> str:
    """How to name a value: in ``airkit import`` for imported pictures, else as a setting."""
    if config.data.source == PICTURES:
        return f"{option} in airkit import"
    return f"--set {setting}"
