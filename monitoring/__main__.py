"""python -m monitoring STAGE: run one stage of this package in this process, as dvc.yaml does."""

import sys
from functools import partial

from tierrec_core.__main__ import run_stage

STAGES = {
    "validate": "monitoring.data_gate.validate",
    "reference": "monitoring.drift.reference",
    "report": "monitoring.report.report",
}
main = partial(run_stage, "monitoring", STAGES)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
