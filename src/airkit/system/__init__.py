"""Files, folders, locks, signals, devices, processes, seeds, text and statistics."""
