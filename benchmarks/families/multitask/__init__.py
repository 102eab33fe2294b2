"""Multi-task networks against single-task and decomposed baselines."""

from benchmarks.families.multitask.benchmark import TITLE, lines, measure

__all__ = ["TITLE", "lines", "measure"]
