"""Training: the order of batches and the loop."""
