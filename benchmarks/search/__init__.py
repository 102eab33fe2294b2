"""Benchmarks of search and of similar items."""
