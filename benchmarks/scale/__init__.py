"""Benchmarks of size: throughput on a GPU, large catalogues, a million users."""
