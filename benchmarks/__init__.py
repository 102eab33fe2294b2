"""Benchmarks: what is measured on real parts, with a baseline in the same run."""
