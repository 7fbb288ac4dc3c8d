"""airkit: Attend-Infer-Repeat on multi-MNIST, from canvases to counted digits."""

__version__ = "0.1.0"
