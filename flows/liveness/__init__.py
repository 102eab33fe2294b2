"""Runs whose process has died."""
