"""Whether counts are to be trusted by the true ones, where these are known.

Legend: N pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from airkit.evaluation.counting import Ints
from airkit.runs.trust import Trust

LEAST_RIGHT = 0.5
"""Share of counts that are right, below which results are in doubt."""
NEAR = 0.1
"""How far off a count may be to pass for right, as a share of the true one: below 10 not at all."""
_ONE_WAY = 0.8
"""Share of wrong counts from which on most are too high, or too low."""
_UNRELATED, _ENOUGH = 0.3, 10
"""Correlation of true counts and those found below which they have little to do with each other,
and how many pictures it takes to say so."""
_LOOK = "airkit render --kind errors draws what is counted"


def with_truth(trust: Trust, true: Ints, found: Ints) -> Trust:
    """Return a verdict that takes the true counts into account.

    There is doubt if fewer than half of the counts are right, or if more than half are off by the
    same number. The verdict stays as it is otherwise.

    Args:
        trust: the verdict without truth.
        true: true counts, [N], at least one.
        found: counts found, [N].
    """
    off = found.astype(int) - true
    same = _usual(off)
    if same == 0 and _near(off, true).mean() >= LEAST_RIGHT:
        return trust
    trouble = _offset(off, same) if same else _wrong(off, true)
    constant = bool(same) and bool(np.ptp(found[off == same]))
    if constant:
        advice = (_constant(same), *trust.advice)
    else:
        advice = trust.advice or tuple(_causes(off, true, found))
    return replace(trust, trouble=(trouble, *trust.trouble), advice=advice)


def _usual(off: Ints) -> int:
    """Return the number other than 0 by which more than half of the counts are off, or else 0."""
    values, many = np.unique(off, return_counts=True)
    return int(values[many.argmax()]) if many.max() > len(off) / 2 else 0


def _near(off: Ints, true: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which counts pass for right, [N]."""
    return np.asarray(abs(off) <= NEAR * true)


def _offset(off: Ints, same: int) -> str:
    """Return how many counts are off by the same number, in words."""
    many = int((off == same).sum())
    return f"{many:,} of {len(off):,} counts are {abs(same)} too {'high' if same > 0 else 'low'}"


def _wrong(off: Ints, true: Ints) -> str:
    """Return how many counts are right, and how the others are off, in words."""
    near = _near(off, true)
    tolerance = " to within a tenth" if NEAR * true.max() >= 1 else ""
    wrong = off[~near]
    ways = [
        f"{many:,} too {way}"
        for way, many in (("high", int((wrong > 0).sum())), ("low", int((wrong < 0).sum())))
        if many
    ]
    return (
        f"{int(near.sum()):,} of {len(off):,} counts are right{tolerance}, "
        f"{' and '.join(ways)}, by {abs(wrong).mean():.1f} on average"
    )


def _constant(same: int) -> str:
    """Return the likely cause of counts that are off by the same number, with the way out."""
    if same > 0:
        objects = "an object" if same == 1 else f"{same} objects"
        return (
            f"something on every picture is counted as {objects}, such as a scale bar, a label or "
            f"a frame: leave it out with airkit import --crop, and train again; {_LOOK}"
        )
    return (
        "the true counts include what is not found on any picture, such as objects that the border "
        f"cuts off: leave these out of the true counts, or out of the pictures; {_LOOK}"
    )


def _causes(off: Ints, true: Ints, found: Ints) -> Iterator[str]:
    """Yield likely causes of wrong counts where nothing else is wrong, with the way out."""
    if _unrelated(true, found):
        yield (
            "the counts found do not follow the true ones: check that each true count belongs to "
            "its picture, and that both are in the same order"
        )
    high, wrong = int((off > 0).sum()), int((off != 0).sum())
    if high >= _ONE_WAY * wrong:
        yield (
            "one object is taken for several, or something else is counted as well: a larger "
            f"model.object_size, or a smaller prior.ratio; {_LOOK}"
        )
    elif wrong - high >= _ONE_WAY * wrong:
        yield (
            "objects are missed, or several are taken for one: a smaller model.object_size or "
            f"model.pixel_sd, or a larger prior.ratio; {_LOOK}"
        )
    else:
        yield f"the model has not settled: more --steps; {_LOOK}"


def _unrelated(true: Ints, found: Ints) -> bool:
    """Return whether the counts found have little to do with the true ones."""
    if len(true) < _ENOUGH or not np.ptp(true) or not np.ptp(found):
        return False
    return float(np.corrcoef(true, found)[0, 1]) < _UNRELATED
