"""python -m tierrec_core STAGE [NAME]: run one stage in this process, as dvc.yaml does."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

from tierrec_core.base.errors import TierRecError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings

_IN_STAGES = ("split", "tier", "churn", "campaigns", "train", "retrieve", "blend", "evaluate")
STAGES = {
    "source": "tierrec_core.sources.input_files.manifest",
    "ingest": "tierrec_core.sources",
    "prepare": "tierrec_core.sources.cleaning",
    **{stage: f"tierrec_core.stages.{stage}" for stage in _IN_STAGES},
}


def main(arguments: list[str]) -> int:
    """Run a stage of the core."""
    return run_stage("tierrec_core", STAGES, arguments)


def run_stage(package: str, modules: Mapping[str, str], arguments: list[str]) -> int:
    """Call `run` of the stage's module; 0 on success, 2 with a message for an error that the user can fix.

    modules: import path of each stage of the package
    """
    if not arguments or arguments[0] not in modules:
        print(f"usage: python -m {package} {{{'|'.join(modules)}}} [NAME]", file=sys.stderr)
        return 2
    stage, *names = arguments
    layout = Layout(Path.cwd())
    try:
        settings = read_settings(layout.params)
        importlib.import_module(modules[stage]).run(layout, settings, *names)
    except TierRecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
