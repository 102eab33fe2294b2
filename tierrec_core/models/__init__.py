"""Recommendation models: one package per kind, with its Config; models do not import one another."""
