"""Hostile files: damaged, forged and malicious inputs, and what must hold when they are read.

damage     ways to damage bytes and nested values
formats    ways to damage HDF5 files, checkpoints, IDX files, images, TOML and JSON
attacks    particular malicious files, by name
kinds      the table: which file is damaged how, and which commands read it
watch      reads one file within limits of time, memory and side effects
campaign   reads thousands of files in processes that may die
"""
