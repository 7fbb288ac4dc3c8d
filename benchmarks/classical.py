"""Counting objects the classical way: background off, threshold, components, splitting.

The baseline of benchmarks of scenes. Its settings are tuned on labelled pictures, which airkit is
not given. Needs scipy: ``pip install scipy``.

Shapes: N pictures of side H, P pixels of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

try:
    from scipy import ndimage
except ImportError as error:
    raise SystemExit("The classical baseline needs scipy: pip install scipy") from error

Array = np.ndarray[Any, Any]

BACKGROUNDS = ("none", "constant", "constant, both signs", "plane", "plane, both signs", "top-hat")
SMOOTHING = (0.0, 1.0)
LEVELS = (-1.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6)
EDGES = (9.0, 0.05, 0.15)
AREAS = (1, 8, 20)
SPLITS = (5, 7, 9, 11, 13)
FINALISTS = 4
"""Recipes of each background and smoothing that are tried with splitting, too."""
TOP_HAT = 25
"""Side of the square of the top-hat, in pixels; about twice the size of an object."""
_PLANE = np.zeros((3, 3, 3), bool)
_PLANE[1] = True
"""Neighbours of a pixel in its own picture, of a stack of pictures."""


@dataclass(frozen=True)
class Recipe:
    """How objects are counted.

    Attributes:
        background: what is taken off each picture, and whether dark objects count too.
        smoothing: standard deviation of a Gaussian blur after it, in pixels.
        level: least contrast of an object, white being 1; -1 is Otsu's, of each picture.
        edge: greatest step of grey between neighbours inside an object; 9 is none.
        area: least area of an object, in pixels.
        split: side of the square in which an object has one peak of its distance transform, where
            a watershed splits it from its neighbours; 0 is no splitting.
    """

    background: str
    smoothing: float
    level: float = -1.0
    edge: float = 9.0
    area: int = 1
    split: int = 0


def classical_counts(images: Array, counts: Array, test: Array) -> tuple[Array, Recipe]:
    """Count the objects of ``test`` by the recipe that counts ``images`` best.

    Args:
        images: labelled pictures, u8 [N, H, H] or [N, H, H, 3].
        counts: their true counts, [N].
        test: pictures to count, u8 of [M, ...] likewise.

    Returns:
        The counts, i64 [M], and the recipe.
    """
    best = tune(images, counts)
    return count(contrast(test, best), best), best


def tune(images: Array, counts: Array) -> Recipe:
    """Return the recipe that counts most of the labelled pictures right.

    All are tried without splitting, and the best of each background and smoothing then with it.
    """
    scores: dict[Recipe, float] = {}
    for background, smoothing in product(BACKGROUNDS, SMOOTHING):
        plain = Recipe(background, smoothing)
        grey = contrast(images, plain)
        tried = _without_splitting(grey, plain, counts)
        for recipe in sorted(tried, key=lambda each: -tried[each])[:FINALISTS]:
            depth = distances(large_enough(objects(grey, recipe), recipe.area))
            for split in SPLITS:
                right = per_picture(peaks(depth, split))[0] == counts
                scores[replace(recipe, split=split)] = float(right.mean())
        scores.update(tried)
    return max(scores, key=lambda each: scores[each])


def _without_splitting(grey: Array, plain: Recipe, counts: Array) -> dict[Recipe, float]:
    """Share of pictures that each recipe without splitting counts right."""
    tried = {}
    for level, edge in product(LEVELS, EDGES):
        recipe = replace(plain, level=level, edge=edge)
        found = per_picture(objects(grey, recipe), AREAS)
        right = (found == counts).mean(1)
        tried.update({replace(recipe, area=area): float(right[n]) for n, area in enumerate(AREAS)})
    return tried


def contrast(images: Array, recipe: Recipe) -> Array:
    """What stands out of the background, in the channel where it does most: f32 [N, H, H]."""
    if images.ndim == 4:
        return np.asarray(np.max([contrast(each, recipe) for each in np.moveaxis(images, 3, 0)], 0))
    grey = images.astype(np.float32) / 255
    kind, _, signs = recipe.background.partition(", ")
    if kind == "constant":
        border = [grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]]
        grey = grey - np.median(np.concatenate(border, 1), 1)[:, None, None]
    elif kind == "plane":
        grey = grey - planes(grey)
    if recipe.smoothing:
        grey = ndimage.gaussian_filter(grey, (0, recipe.smoothing, recipe.smoothing))
    if kind == "top-hat":
        grey = grey - ndimage.grey_opening(grey, (1, TOP_HAT, TOP_HAT))
    return np.asarray(np.abs(grey) if signs else grey)


def planes(grey: Array) -> Array:
    """Linear gradient through the background of each picture, by trimmed least squares."""
    many, size = grey.shape[:2]
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].reshape(2, -1)
    design = np.stack([np.ones_like(x), x, y], 1)
    products = (design[:, :, None] * design[:, None]).reshape(-1, 9)
    flat = grey.reshape(many, -1).astype(np.float64)
    kept = np.ones_like(flat)
    for _ in range(10):
        normal = (kept @ products).reshape(-1, 3, 3) + 1e-6 * np.eye(3)
        right = (kept * flat) @ design
        fitted = np.linalg.solve(normal, right[:, :, None])[:, :, 0] @ design.T
        error = np.abs(flat - fitted)
        kept = (error <= np.maximum(1.5 * np.median(error, 1, keepdims=True), 0.01)).astype(float)
    return np.asarray(fitted.reshape(grey.shape), np.float32)


def objects(grey: Array, recipe: Recipe) -> Array:
    """Pixels inside objects, [N, H, H]."""
    level = recipe.level if recipe.level >= 0 else otsu(grey)[:, None, None]
    inside = np.asarray(grey > level)
    if recipe.edge < 1:
        near = (1, 3, 3)
        steps = ndimage.maximum_filter(grey, near) - ndimage.minimum_filter(grey, near)
        inside &= steps < recipe.edge
    return inside


def otsu(grey: Array) -> Array:
    """Level of each picture that parts its pixels best in two (Otsu 1979), [N]; at least 0.05."""
    middle = (np.arange(128) + 0.5) / 128
    place = np.clip(grey.reshape(len(grey), -1) * 128, 0, 127).astype(int)
    place += np.arange(len(grey))[:, None] * 128
    bins = np.bincount(place.ravel(), minlength=128 * len(grey)).reshape(-1, 128)
    below, light = bins.cumsum(1), (bins * middle).cumsum(1)
    above = below[:, -1:] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = below * above * (light / below - (light[:, -1:] - light) / above) ** 2
    level = middle[np.nan_to_num(apart).argmax(1)] + 0.5 / 128
    return np.asarray(np.maximum(level, 0.05), np.float32)


def count(grey: Array, recipe: Recipe) -> Array:
    """Objects of each picture, i64 [N]."""
    inside = objects(grey, recipe)
    if recipe.split:
        inside = peaks(distances(large_enough(inside, recipe.area)), recipe.split)
    found = per_picture(inside, [1 if recipe.split else recipe.area])
    return np.asarray(found[0])


def large_enough(inside: Array, area: int) -> Array:
    """The pixels of components of at least ``area`` pixels, [N, H, H]."""
    labels, many = ndimage.label(inside, _PLANE)
    kept = np.bincount(labels.ravel(), minlength=many + 1) >= area
    return np.asarray(inside & kept[labels])


def distances(inside: Array) -> Array:
    """Distance of each pixel from the outside of its object, a little blurred: f32 [N, H, H]."""
    distance = np.array([ndimage.distance_transform_edt(each) for each in inside], np.float32)
    return np.asarray(ndimage.gaussian_filter(distance, (0, 0.5, 0.5)) * inside)


def peaks(distance: Array, split: int) -> Array:
    """Peaks of the distance transform, the seeds of a watershed, of which each makes one part."""
    highest = ndimage.maximum_filter(distance, (1, split, split))
    return np.asarray((distance > 0) & (distance == highest))


def per_picture(inside: Array, areas: Sequence[int] = (1,)) -> Array:
    """Connected components of at least some area in each picture, i64 [areas, N]."""
    labels, many = ndimage.label(inside, _PLANE)
    first = ndimage.find_objects(labels)
    sizes = np.bincount(labels.ravel(), minlength=many + 1)[1:]
    picture = np.array([place[0].start for place in first], np.int64)
    return np.array(
        [np.bincount(picture[sizes >= area], minlength=len(inside)) for area in areas], np.int64
    )


def accuracy(validation: Mapping[str, Array], test: Mapping[str, Array]) -> tuple[float, Recipe]:
    """Share of ``test`` counted right, tuned on ``validation``; both with image and count."""
    found, recipe = classical_counts(validation["image"], validation["count"], test["image"])
    return float((found == test["count"]).mean()), recipe
