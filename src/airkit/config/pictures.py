"""What a look at pictures of a user's own found, without labels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from airkit.config.sections import Section, Share, as_tuple

Side = Annotated[int, Field(ge=0)]
Edges = Annotated[tuple[Side, Side, Side, Side], BeforeValidator(as_tuple)]
"""Pixels at the left, the top, the right and the bottom of a picture."""


class PicturesConfig(Section):
    """What was found in imported pictures or drawn scenes; the defaults are for digits.

    The data file records it, and settings of the model that are `auto` follow it.
    """

    background: Literal["none", "constant", "plane", "quadratic", "smooth"] = "none"
    """The background: none (black), constant (one grey level per picture), plane (a linear
    gradient), quadratic (a gradient that bends, as of a lamp) or smooth (soft lumps)."""
    polarity: Literal["bright", "dark", "both"] = "bright"
    """Whether objects are brighter than the background, darker, or some of each."""
    compositing: Literal["add", "over"] = "add"
    """How overlapping objects combine: add (light adds up, as in digits and fluorescence) or over
    (one hides the other)."""
    noise: Share = 0.0
    """Standard deviation of the pixel noise, black being 0 and white 1."""
    contrast: Share = 0.6
    """Typical contrast of an object with the background, black being 0 and white 1."""
    object_size: Annotated[float, Field(ge=0)] = 0.0
    """Typical side of an object as a look at the pictures found it, in pixels; 0 if it found none,
    and for digits."""
    stretch: Share = 0.0
    """Contrast above which ink is compressed, by asinh(contrast / stretch), because some objects
    are far fainter than others; 0 means no compression."""
    height: Side = 0
    """Height of the pictures in pixels, once cropped and scaled; 0 if sizes are mixed, and for
    digits."""
    width: Side = 0
    """Width of the pictures in pixels, once cropped and scaled; 0 if sizes are mixed, and for
    digits."""
    channels: Annotated[int, Field(ge=0, le=4)] = 0
    """Channels of the original pictures; 0 if they are mixed, and for digits."""
    channel: Literal["grey", "red", "green", "blue"] = "grey"
    """What replaces colours that are not kept: grey (luminance), or one channel."""
    behind: Share = 0.0
    """Grey behind transparent pixels, 0 (black) to 1 (white)."""
    crop: Edges = (0, 0, 0, 0)
    """Pixels cut off at the left, the top, the right and the bottom of the pictures, before they
    were scaled."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Factor by which the sides of the pictures were multiplied."""
    low: float = 0.0
    """Grey level of the pictures, in their own unit, that became black (0)."""
    high: float = 255.0
    """Grey level of the pictures, in their own unit, that became white (255)."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) is not below high ({self.high:g})")
        return self


def filter_of(background: str, polarity: str) -> str:
    """The ``model.background`` that removes a ``pictures.background``."""
    if background == "smooth":
        return "median" if polarity == "both" else "rolling-ball"
    return background
