"""Paired comparisons of two windows: effect sizes, their limits, and permutation tests."""
