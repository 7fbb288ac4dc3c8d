"""The one configuration: its schema, its layers, its presets and its registry of names."""
