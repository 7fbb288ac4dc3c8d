"""Measures of trained models, and inference on pictures."""
