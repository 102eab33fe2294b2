"""Frames, errors and paths that everything else uses."""
