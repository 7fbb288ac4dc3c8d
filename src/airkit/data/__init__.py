"""Canvases: seeded multi-MNIST scenes with their truth, in one HDF5 file. NumPy only, no torch."""
