"""Training: the step, the loop around it, checkpoints, validation, and resuming."""
