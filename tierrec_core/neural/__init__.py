"""Shared parts of the neural models: training loop, metric tracking and training curves."""
