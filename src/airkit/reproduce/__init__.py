"""A publication's experiments, from digits to its figures and a table."""
