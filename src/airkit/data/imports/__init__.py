"""Pictures of a user's own: read, checked, surveyed, and written to a data file."""
