"""python -m benchmarks.serving [PART...]: measure all parts or some, print them, and write serving.json."""

import gc
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.serving import durability, ratios, report, rerank, sizes, soak, swap
from benchmarks.serving.harness.servers import Bench
from tierrec_core.base.errors import TierRecError
from tierrec_core.base.paths import Layout

ROOT = Path(__file__).parents[2]
PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "ratios": ratios.run,
    "rerank": rerank.run,
    "curve": rerank.curve,
    "swap": swap.run,
    "events": durability.run,
    "soak": soak.run,
    "vectors": sizes.vectors,
    "million": sizes.million,
}


def main(names: Sequence[str]) -> None:
    """Run the parts; the figures of each are written before the next starts."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"error: parts: {', '.join(unknown)}: unknown, wanted some of {', '.join(PARTS)}")
    console, bench = Console(), Bench.read(Layout(ROOT))
    gc.freeze()  # keeps the collector from scanning imported modules while requests are timed
    figures: dict[str, Any] = {}
    for name in names or PARTS:
        console.print(f"measuring {name} ...")
        began = time.perf_counter()
        measured = PARTS[name](bench)
        measured |= report.measurement_info(ROOT, bench.report.tag, name, time.perf_counter() - began)
        figures = report.merge(ROOT / report.FIGURES, measured)
    report.show(figures, console)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TierRecError as error:
        sys.exit(f"error: {error}")
