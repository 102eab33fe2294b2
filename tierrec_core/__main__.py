"""python -m tierrec_core STAGE [NAME]: run one stage in this process, as dvc.yaml does."""

import importlib
import sys
from pathlib import Path

from tierrec_core.errors import TierRecError
from tierrec_core.layout import Layout
from tierrec_core.settings import read_settings

STAGES = ("ingest", "prepare", "split", "tier", "train", "retrieve", "blend", "evaluate")


def main(arguments: list[str]) -> int:
    """Run a stage; 0 when it ended well, 2 with a message of one to three lines when the user can mend it."""
    if not arguments or arguments[0] not in STAGES:
        print(f"usage: python -m tierrec_core {{{'|'.join(STAGES)}}} [NAME]", file=sys.stderr)  # noqa: T201
        return 2
    stage, *names = arguments
    layout = Layout(Path.cwd())
    try:
        settings = read_settings(layout.params)
        importlib.import_module(f"tierrec_core.stages.{stage}").run(layout, settings, *names)
    except TierRecError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
