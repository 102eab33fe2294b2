"""Multi-task networks against single-task and decomposed baselines."""

from benchmarks.families.multitask.benchmark import lines, measure

__all__ = ["lines", "measure"]
