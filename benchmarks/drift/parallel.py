"""Runs the trials of a benchmark in processes, and keeps what is done of an interrupted one."""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter
from threadpoolctl import threadpool_limits

from benchmarks.serving.report import revision
from tierrec_core.base import artifacts

R = TypeVar("R")

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Job:
    """A function and its arguments; name: unique among the jobs of a benchmark, and a file's name."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def parse_options(doc: str, arguments: Sequence[str] | None, quick: str) -> argparse.Namespace:
    """The options --quick and --workers. doc: of the command; quick: what it then measures"""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{quick}; nothing is recorded")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(arguments)


def run_jobs(jobs: Sequence[Job], workers: int, kind: TypeAdapter[R], *, keep: bool) -> list[R]:
    """The results of all jobs, in their order, whatever the number of workers; prints each that is done.

    kind: of a result
    keep: write results below .trials/REVISION, and take from there what an interrupted run has left; not in a changed
        tree, which no revision names
    """
    measured = revision(_ROOT)
    is_kept = keep and not measured.endswith("+")
    return run_in(Path(__file__).parent / ".trials" / measured if is_kept else None, jobs, workers, kind)


def run_in(folder: Path | None, jobs: Sequence[Job], workers: int, kind: TypeAdapter[R]) -> list[R]:
    """As run_jobs, with results kept in the folder, or not at all."""
    started = time.monotonic()
    results = {job.name: kind.validate_json(path.read_bytes()) for job, path in _kept(jobs, folder)}
    missing = [job for job in jobs if job.name not in results]
    with ProcessPoolExecutor(workers, get_context("spawn"), threadpool_limits, (1,)) as pool:
        job_of = {pool.submit(job.function, *job.arguments): job for job in missing}
        for future in as_completed(job_of):
            job, result = job_of[future], future.result()
            results[job.name] = result
            if folder is not None:
                artifacts.write_json(kind.dump_python(result, mode="json"), folder / f"{job.name}.json")
            print(f"{len(results)}/{len(jobs)} {time.monotonic() - started:.0f} s: {job.name}", flush=True)
    return [results[job.name] for job in jobs]


def _kept(jobs: Sequence[Job], folder: Path | None) -> list[tuple[Job, Path]]:
    paths = [] if folder is None else [(job, folder / f"{job.name}.json") for job in jobs]
    return [(job, path) for job, path in paths if path.exists()]
