"""python -m benchmarks.models [--only gowalla,ml1m] [--models ease,als] [--as-recorded]

Tunes every model on the validation round of a data set, fits it on the whole train part, judges it once on the test,
and merges the figures into results.json and results.md in the folder above. The data sets are read from
TIERREC_BENCH_DATA, or from ../shared/data beside the project.
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
    """Run what is asked for; figures are written after every model, so that a long run can be cut."""
    asked = _parser().parse_args(arguments)
    data = Path(os.environ.get("TIERREC_BENCH_DATA", ROOT.parent / "shared/data"))
    this = bench.Bench(data, Path(gettempdir()) / "tierrec-bench", revision(ROOT), SEED)
    for name in asked.only or list(DATASETS):
        dataset = DATASETS[name]
        for entry in bench.chosen(dataset.entries, asked.models):
            known = record.read(FIGURES).get(name, {})
            line = this.line(dataset, entry, known.get(entry.name) if asked.as_recorded else None)
            figures = ", ".join(f"{metric} {line[metric]['value']:.4f}" for metric in dataset.metrics)
            print(f"{name} {entry.name}: {figures}, fit in {line['fit_cpu_s']:.0f} CPU s", flush=True)
            lines = this.compared(dataset, record.read(FIGURES).get(name, {}) | {entry.name: line})
            record.merged(FIGURES, name, lines)
        page.write(PAGE, record.read(FIGURES))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=_names, default=[], help="data sets, by comma; all where none is named"
    )
    parser.add_argument("--models", type=_names, default=[], help="models, by comma")
    parser.add_argument(
        "--as-recorded", action="store_true", help="take the options of results.json, tune nothing"
    )
    return parser


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    main()
