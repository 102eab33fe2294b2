"""A job of a benchmark for its processes, in a module that imports nothing else."""

from pathlib import Path


def numbers(log: Path, first: int) -> list[int]:
    """Two numbers; writes the first to the log, and fails for 2 until there is a file `repaired` beside it."""
    with log.open("a") as file:
        file.write(f"{first}\n")
    if first == 2 and not log.with_name("repaired").exists():
        raise ValueError("interrupted")
    return [first, first + 1]
