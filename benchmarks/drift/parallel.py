"""Runs the trials of a benchmark in processes, as many as its command line says."""

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from typing import Any

from threadpoolctl import threadpool_limits

Job = tuple[Callable[..., list[Any]], tuple[Any, ...]]


def parse_options(doc: str, arguments: Sequence[str] | None, quick: str) -> argparse.Namespace:
    """The options --quick and --workers. doc: of the command; quick: what it then measures"""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{quick}; nothing is recorded")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(arguments)


def run_jobs(jobs: Iterable[Job], workers: int) -> list[Any]:
    """The trials of all jobs, in their order, whatever the number of workers; prints how many are done."""
    with ProcessPoolExecutor(workers, get_context("spawn"), threadpool_limits, (1,)) as pool:
        submitted = [pool.submit(function, *arguments) for function, arguments in jobs]
        trials = []
        for number, job in enumerate(submitted, 1):
            trials.append(job.result())
            print(f"{number}/{len(submitted)}", flush=True)
    return list(chain.from_iterable(trials))
