"""What to try where a model has all its slots in use on an image: tiles, or more slots."""

from __future__ import annotations

from math import ceil, prod

from airkit.config.schema import Config
from airkit.config.sections import MOST_SLOTS
from airkit.evaluation.pieces import least_tile
from airkit.model.spatial_transformer import Shape


def full_slots(config: Config, slots: int, shape: Shape, tile: int | None, *, tiles: bool) -> str:
    """Return what is said of images on which all slots are in use.

    Args:
        config: the settings of the run, overridden by those of the call.
        slots: slots on an image, or on a tile of it.
        shape: height and width of the largest of the images, in pixels once they are resized.
        tile: side of the tiles that images were cut into, in their own pixels; None for none.
        tiles: whether the command cuts images into tiles.
    """
    full = f"as many objects as there are slots, {slots}; there may be more"
    if tile is not None:
        smaller = f"smaller tiles than {tile} px, or " * (
            tile > least_tile(config.object_size, config.pictures.scale)
        )
        return f"on a tile, {full}, try {smaller}more --slots"
    height, width = config.data.shape
    if prod(shape) <= height * width:
        return f"{full}, try more --slots"
    trained = f"{width}x{height} px" + " once resized" * (config.pictures.scale != 1)
    larger = f"{full}, as the image is larger than the {trained} of the training: try "
    side, many = training_tile(config), ceil(slots * prod(shape) / (height * width))
    ways = [f"--slots {min(many, MOST_SLOTS)}"] if slots < MOST_SLOTS else []
    if max(shape) > config.pictures.scale * side:
        with_tiles = f"--tile {side}, which cuts it into tiles"
        ways = [with_tiles, *ways] if tiles else [*ways, f"airkit infer --tile {side}"]
    return larger + (", or ".join(ways) or "smaller images")


def training_tile(config: Config) -> int:
    """Return the side of tiles as large as the canvases of the training, or the least allowed.

    Args:
        config: the settings of the run.

    Returns:
        The side in pixels of images as they come, before they are resized.
    """
    scale, side = config.pictures.scale, max(config.data.shape)
    tile = round(side / scale)
    return max(tile + (round(scale * tile) < side), least_tile(config.object_size, scale))
