"""Extrapolation: trained on 0 to 2 digits, tested on more of them, without further training.

    python benchmarks/paper/extrapolation.py --source FOLDER [--seeds 0 1 2] [--lstm-seeds 0 1 2]

FOLDER has digits in MNIST's layout (or is ``mnist`` or ``strokes``). Models of both guides train
on 0 to 2 digits on 50x50 pixels, and count held-out digits there (0 to 3), on 80x80 pixels (0 to
5) and on 128x128 (0 to 9). The LSTM reads canvases of one size only, so it is trained on 80x80
too. Runs that are in the folder already are neither trained nor counted again, a stopped one goes
on.
``benchmarks/results/extrapolation.json`` has every seed.
"""

from __future__ import annotations

import common

MODELS = (
    common.Model("default", "default"),
    common.Model("lstm", "lstm"),
    common.Model("lstm-80", "lstm", canvas=80),
)
TESTS = (
    common.Canvases(side=50, most=3, number=2000),
    common.Canvases(side=80, most=5, number=2400),
    common.Canvases(side=128, most=9, number=2000),
)

if __name__ == "__main__":
    common.measure("extrapolation", common.arguments(__doc__), MODELS, TESTS)
