"""python -m services STAGE: run one stage of this room in this process, as dvc.yaml does."""

import sys

from tierrec_core.__main__ import run_stage

STAGES = {"package": "services.deployment.package"}


def main(arguments: list[str]) -> int:
    """Run a stage of the service room."""
    return run_stage("services", STAGES, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
