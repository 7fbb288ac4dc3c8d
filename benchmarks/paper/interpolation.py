"""Interpolation: trained on 0, 1 and 3 digits, tested on 2, without further training.

    python benchmarks/paper/interpolation.py --source FOLDER [--seeds 0 1 2] [--lstm-seeds 0 1 2]

FOLDER has digits in MNIST's layout (or is ``mnist`` or ``strokes``). Models of both guides train on
50x50 pixels and count held-out digits on canvases of the same size. Runs that are in the folder
already are neither trained nor counted again, a stopped one goes on.
``benchmarks/results/interpolation.json`` has every seed.
"""

from __future__ import annotations

import common

MODELS = (
    common.Model("default-without-2", "default", counts=(0, 1, 3)),
    common.Model("lstm-without-2", "lstm", counts=(0, 1, 3)),
)
TESTS = (common.Canvases(side=50, most=3, number=2000),)

if __name__ == "__main__":
    common.measure("interpolation", common.arguments(__doc__), MODELS, TESTS)
