"""Serves a shop's champion without a project, as a container does: python -m services.deployment.release_server.

BENTOML_HOME names the Bento store, TIERREC_STATE the state folder, whose pointer.json names the champion.
"""

import argparse
import os
import sys
from pathlib import Path

from services.deployment.server import HOST, run_release_server
from services.shared_files import STATE_VARIABLE
from tierrec_core.base.errors import SettingsError, TierRecError


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; returns 2 after an error, which is printed."""
    parser = argparse.ArgumentParser(prog="release_server", description="Serve a shop's champion.")
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        home, folder = _folder("BENTOML_HOME"), _folder(STATE_VARIABLE)
        run_release_server(home, folder, options.port, options.workers, options.host)
    except TierRecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        raise SettingsError(f"{variable}: is not set, wanted a folder; set it, as deploy/Dockerfile does")
    return Path(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
