"""Images as ``airkit infer`` reads them."""

from __future__ import annotations

from typing import Any

from airkit.data.images import Given, Images
from airkit.data.pictures import Bad


def read_all(given: Any, **options: Any) -> list[Given]:
    """All images of what is named; the first that cannot be read raises."""
    return [*Images(given, **options).walk(Bad(False))]
