"""What is on disk of a training: its folder, its checkpoints, its origin and its exports."""
