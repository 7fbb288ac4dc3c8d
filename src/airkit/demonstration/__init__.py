"""A local page to draw digits on and see at once what a trained model makes of them."""

from airkit.demonstration.server import Serving, demo

__all__ = ["Serving", "demo"]
