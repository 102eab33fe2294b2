"""python -m benchmarks.families [NAME ...] [--seed N]

Measures the families of models (all without a name) on the finished run in the working directory, writes each one's
record beside its module, and results.md anew.
"""

import argparse

from benchmarks.families.family import NAMES, family, place
from benchmarks.models import page, record
from benchmarks.models.__main__ import FIGURES, PAGE, ROOT, SEED
from benchmarks.serving.report import revision
from tierrec_core.base import artifacts


def main() -> None:
    """Measure what is asked for; a record is written as soon as it is measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    for name in asked.names or NAMES:
        found = family(name).measure(asked.seed)
        artifacts.write_json({"revision": revision(ROOT), "seed": asked.seed} | found, place(name))
        print("\n".join(family(name).lines(found)), flush=True)
        page.write_results_page(PAGE, record.read(FIGURES))


if __name__ == "__main__":
    main()
