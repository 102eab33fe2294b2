"""Hyperparameter search on the validation window."""
