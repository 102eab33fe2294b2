"""python -m services STAGE: runs a stage of this package, as dvc.yaml does."""

import sys
from functools import partial

from tierrec_core.__main__ import run_stage

STAGES = {"package": "services.deployment.package"}
main = partial(run_stage, "services", STAGES)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
