"""Images as ``airkit infer`` reads them."""

from __future__ import annotations

from typing import Any

from airkit.data.imports.images import Given, Images
from airkit.data.imports.pictures import Bad


def read_all(given: Any, **options: Any) -> list[Given]:
    """All images of what is named; the first that cannot be read raises."""
    return [*Images(given, **options).walk(Bad(False))]
