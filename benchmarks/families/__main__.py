"""python -m benchmarks.families [NAME ...] [--seed N]

Measures the families (default all) on the finished run in the working directory, and writes each one's record in this
folder, and results.md.
"""

import argparse

from benchmarks.families.family import NAMES, family, record_path
from benchmarks.models import page, record
from benchmarks.models.__main__ import FIGURES, PAGE, ROOT, SEED
from benchmarks.serving.report import revision
from tierrec_core.base import artifacts


def main() -> None:
    """Measure the named families; each record is written as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    for name in options.names or NAMES:
        measured = family(name).measure(options.seed)
        artifacts.write_json({"revision": revision(ROOT), "seed": options.seed} | measured, record_path(name))
        print("\n".join(family(name).lines(measured)), flush=True)
        page.write_results_page(PAGE, record.read(FIGURES))


if __name__ == "__main__":
    main()
