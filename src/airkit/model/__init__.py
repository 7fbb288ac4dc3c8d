"""The AIR model, its guides and objectives, and scenes inferred with it. Torch and Pyro only."""
