"""python -m benchmarks.models [--only gowalla,ml1m] [--models ease,als] [--as-recorded]

Tunes every model on the validation round of a data set, fits it to the whole train part, evaluates it once on the test
part, and merges the figures into results.json and results.md in benchmarks/. The data sets are Parquet files in the
folder TIERREC_BENCH_DATA (by default ../shared/data); results.md lists their sources and columns. --page rewrites
results.md from results.json without measuring.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import gettempdir

from benchmarks.models import bench, page, record
from benchmarks.models.datasets.public import DATASETS
from benchmarks.serving.report import revision

ROOT = Path(__file__).parents[2]
FIGURES, PAGE = ROOT / "benchmarks/results.json", ROOT / "benchmarks/results.md"
SEED = 20_25


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the chosen data sets and models; figures are recorded after every model, so that a run can be interrupted."""
    options = _parser().parse_args(arguments)
    if options.page:
        page.write_results_page(PAGE, record.read(FIGURES))
        return
    data = Path(os.environ.get("TIERREC_BENCH_DATA", ROOT.parent / "shared/data"))
    runner = bench.Bench(data, Path(gettempdir()) / "tierrec-bench", revision(ROOT), SEED)
    for name in options.only or list(DATASETS):
        dataset = DATASETS[name]
        for entry in bench.select_entries(dataset.entries, options.models):
            recorded = record.read(FIGURES).get(name, {})
            line = runner.measure(dataset, entry, recorded.get(entry.name) if options.as_recorded else None)
            figures = ", ".join(f"{metric} {line[metric]['value']:.4f}" for metric in dataset.metrics)
            print(f"{name} {entry.name}: {figures}, fit in {line['fit_cpu_s']:.0f} CPU s", flush=True)
            lines = runner.compare(dataset, record.read(FIGURES).get(name, {}) | {entry.name: line})
            record.merge_lines(FIGURES, name, lines)
        page.write_results_page(PAGE, record.read(FIGURES))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_names, default=[], help="data sets, comma-separated; default all")
    parser.add_argument("--models", type=_names, default=[], help="models, comma-separated; default all")
    parser.add_argument("--as-recorded", action="store_true", help="use the options in results.json, tune nothing")
    parser.add_argument("--page", action="store_true", help="rewrite results.md, measure nothing")
    return parser


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    main()
