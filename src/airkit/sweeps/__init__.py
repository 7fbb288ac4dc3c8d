"""The same training for many seeds: how often it works, not how well it went once."""
