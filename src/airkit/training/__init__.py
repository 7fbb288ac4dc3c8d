"""Training: the order of batches, the step, the loop around it, and stopping kindly."""
