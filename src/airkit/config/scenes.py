"""Settings of the scenes that ``make-data`` draws itself."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from airkit.config.sections import Section, Share, as_tuple

Range = Annotated[tuple[Share, Share], BeforeValidator(as_tuple)]
"""Least and greatest of numbers from 0 to 1."""


class ScenesConfig(Section):
    """Scenes that make-data draws: data.source = sprites or cells."""

    shapes: Annotated[
        tuple[Literal["square", "ellipse", "heart"], ...],
        Field(min_length=1),
        BeforeValidator(as_tuple),
    ] = ("square", "ellipse", "heart")
    """Shapes that sprites are drawn from."""
    grey: Range = (1.0, 1.0)
    """Least and greatest grey of an object, 0 (black) to 1 (white); each object draws one."""
    texture: Share = 0.0
    """Texture of objects: standard deviation of their pixels' grey, as a share of it."""
    least_visible: Share = 0.5
    """Least share of each object that remains visible: not hidden by later sprites or brighter
    cells."""
    least_distance: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Least distance of two objects' centres, as a share of the sum of their radii."""
    background: Literal["constant", "gradient", "lamp", "lumps"] = "constant"
    """What is behind the objects: one grey level, a linear gradient between two, the light of a
    lamp that falls off from one level to another, or soft lumps that rise from the least grey of
    background_grey to one drawn from that range."""
    background_grey: Range = (0.0, 0.0)
    """Least and greatest grey of the background, 0 to 1; each scene draws its own."""
    noise: Share = 0.0
    """Standard deviation of Gaussian noise on every pixel, white being 1."""
    photons: Annotated[float, Field(ge=0, le=300)] = 0.0
    """Poisson noise: mean number of photons of a white pixel; 0 means no such noise."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name in ("grey", "background_grey"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} begins at {low:g}, above its end at {high:g}")
        return self
