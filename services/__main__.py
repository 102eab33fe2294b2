"""python -m services STAGE: runs a stage of this package, as dvc.yaml does."""

import sys

from tierrec_core.__main__ import run_stage

STAGES = {"package": "services.deployment.package"}


def main(arguments: list[str]) -> int:
    """Run the stage that the arguments name."""
    return run_stage("services", STAGES, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
