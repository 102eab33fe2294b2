"""The catalogue that is served, and filters on it."""
