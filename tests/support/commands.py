"""Commands of tierrec in the test's process, which saves the seconds of their imports."""

import contextlib
from pathlib import Path

from typer.testing import CliRunner

from flows.cli.main import app
from tierrec_core.base.errors import TierRecError


def tierrec(*arguments: object, folder: Path = Path(), code: int = 0) -> str:
    """What `tierrec` prints in the folder, when it ends with the code. Raises the TierRecError that it raises."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    if isinstance(done.exception, TierRecError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output
