"""Detects flow runs whose process has died, and ends them as crashed."""
