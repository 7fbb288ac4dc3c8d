"""Canvases, composed, drawn or imported, with what is known of them, in one HDF5 file."""
