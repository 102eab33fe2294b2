"""python -m monitoring STAGE: run one stage of this package in this process, as dvc.yaml does."""

import sys

from tierrec_core.__main__ import run_stage

STAGES = {
    "validate": "monitoring.data_gate.validate",
    "reference": "monitoring.drift.reference",
    "report": "monitoring.report.report",
}

if __name__ == "__main__":
    sys.exit(run_stage("monitoring", STAGES, sys.argv[1:]))
