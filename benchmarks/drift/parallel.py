"""Runs the trials of a benchmark in processes."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from typing import Any

from threadpoolctl import threadpool_limits

Job = tuple[Callable[..., list[Any]], tuple[Any, ...]]


def run_jobs(jobs: Iterable[Job], workers: int) -> list[Any]:
    """The trials of all jobs, in their order, whatever the number of workers; prints how many are done."""
    with ProcessPoolExecutor(workers, get_context("spawn"), threadpool_limits, (1,)) as pool:
        submitted = [pool.submit(function, *arguments) for function, arguments in jobs]
        trials = []
        for number, job in enumerate(submitted, 1):
            trials.append(job.result())
            print(f"{number}/{len(submitted)}", flush=True)
    return list(chain.from_iterable(trials))
