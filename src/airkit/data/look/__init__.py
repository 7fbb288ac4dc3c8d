"""Looks at pictures without labels: what is in them, and whether a model can count it."""
