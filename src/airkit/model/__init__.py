"""The AIR model, its guides and what inference returns. Torch only, no files."""
