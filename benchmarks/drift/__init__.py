"""Benchmarks of the drift verdict, the promotion gate and the loop."""
