"""A PostgreSQL server of our own for the tests: real, durable, on a socket in a folder that goes away with it."""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

_ACCOUNT = "postgres"
_START_SECONDS = 60
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "autovacuum": "off",
}
_NAMES = (f"store{number}" for number in itertools.count())


def program(name: str) -> Path:
    """Where a program of PostgreSQL lies. Raises FileNotFoundError telling what to install."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = shutil.which(name)
    for path in [*installed, *([Path(found)] if found else [])]:
        return path
    raise FileNotFoundError(
        f"{name}: not found on PATH nor in /usr/lib/postgresql/*/bin; "
        "the tests run on a real PostgreSQL: `apt-get install postgresql`, or put its bin folder on PATH"
    )


@contextlib.contextmanager
def running() -> Iterator[str]:
    """A new server; the URL of its database. It is stopped and removed when the block ends.

    PostgreSQL refuses to run as root, so that root runs it as the account that its package has made.
    """
    folder = Path(tempfile.mkdtemp(prefix="tierrec-pg-"))
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam(_ACCOUNT)
        os.chown(folder, account.pw_uid, account.pw_gid)
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    try:
        _make(folder, who)
        with _started(folder, who):
            yield f"postgresql://{_ACCOUNT}@/{_ACCOUNT}?host={folder}"
    finally:
        shutil.rmtree(folder)


def _make(folder: Path, who: dict[str, Any]) -> None:
    arguments = ["-D", folder / "data", "-U", _ACCOUNT, "-A", "trust", "-E", "UTF8", "--locale=C"]
    made = subprocess.run(
        [program("initdb"), *arguments], cwd=folder, capture_output=True, text=True, check=False, **who
    )
    if made.returncode:
        raise RuntimeError(f"initdb ended with {made.returncode}: {made.stderr.strip()}")


@contextlib.contextmanager
def _started(folder: Path, who: dict[str, Any]) -> Iterator[None]:
    options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
    arguments = ["-D", folder / "data", "-k", folder, *options]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [program("postgres"), *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT, **who
        )
    try:
        _wait(folder, server)
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def _wait(folder: Path, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(host=str(folder), user=_ACCOUNT, dbname=_ACCOUNT),
        ):
            return
        time.sleep(0.02)
    raise RuntimeError(f"postgres does not answer: {(folder / 'log').read_text()[-2000:]}")


def new_schema(server: str) -> str:
    """The URL of an empty place of its own within the server's database."""
    name = next(_NAMES)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create schema {name}")
    return f"{server}&options=-csearch_path%3D{name}"
