"""Data files as COCO, and trained models as safetensors, for other programs to read."""
