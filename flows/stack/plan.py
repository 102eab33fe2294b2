"""Describes the parts of a stack: their commands and their environment."""

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from flows.stack.folder import StackError, StackFolder
from services.shared_files import STATE_VARIABLE, serving_folder
from tierrec_core.base.params import Params
from tierrec_core.base.paths import Layout

HOST = "127.0.0.1"
SERVER, SERVICE, GPU = "server", "service", "gpu"
POOLS = ("cpu", GPU)
NAMES = (SERVER, *POOLS, SERVICE)
STACK_VARIABLE, PART_VARIABLE, RUN_VARIABLE = "TIERREC_STACK", "TIERREC_PART", "PREFECT__FLOW_RUN_ID"
_NOT_INHERITED = ("PREFECT__", "TIERREC_PART", "TIERREC_STACK", "PREFECT_API_DATABASE", "PREFECT_SERVER_DATABASE")
_TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "BENTOML_DO_NOT_TRACK": "True",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
}
_PREFECT = {
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "PREFECT_LOGGING_TO_API_ENABLED": "true",
    # With leases in memory, a killed server would forget the slots of running flows, and start others in parallel.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # The server deletes runs, their logs and events after 30 days, so that its database does not grow for ever.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs,orphans",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(30 * 86_400),
    # How often a run that waits for a concurrency slot checks for one.
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "10",
    "PREFECT_WORKER_QUERY_SECONDS": "3",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",
}


class StackOptions(Params):
    """Options of `tierrec stack up`. host, workers: of the service; database: of Prefect, None for SQLite in the
    project; schedules: whether flows run on schedule"""

    server_port: int = 4200
    service_port: int = 3000
    host: str = HOST
    workers: int = 1
    database: str | None = None
    schedules: bool = True

    def without_password(self) -> Self:
        """The options with the database's password masked."""
        return self.model_copy(update={"database": self.database and mask_password(self.database)})

    @property
    def api_url(self) -> str:
        """URL of Prefect's API."""
        return f"http://{HOST}:{self.server_port}/api"

    @property
    def service_url(self) -> str:
        """URL of the Bento on this machine."""
        return f"http://{HOST}:{self.service_port}"


@dataclass(frozen=True)
class StackPart:
    """One supervised process. environment: in addition to the common one; seconds_to_end: before it is killed"""

    name: str
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    seconds_to_end: int = 20


def stack_parts(root: Path, options: StackOptions) -> tuple[StackPart, ...]:
    """All parts of the project's stack, in order of their start."""
    return (_server(root, options), *(_worker(root, pool) for pool in POOLS), _service(root, options))


def stack_environment(root: Path, options: StackOptions, inherited: Mapping[str, str]) -> dict[str, str]:
    """The common environment of all parts: this server, project and shop, no telemetry, and the stack's variable."""
    variables = {name: value for name, value in inherited.items() if not name.startswith(_NOT_INHERITED)}
    path = os.pathsep.join((str(Path(sys.prefix) / "bin"), variables.get("PATH", os.defpath)))
    common = {
        "PATH": path,
        "PYTHONUNBUFFERED": "1",
        "PREFECT_API_URL": options.api_url,
        "PREFECT_HOME": str(Layout(root).prefect_home),
        "TIERREC_ROOT": str(root),
        STATE_VARIABLE: str(serving_folder(Layout(root)).resolve()),
        STACK_VARIABLE: str(StackFolder.of(root).path),
    }
    return variables | _TELEMETRY_OFF | _PREFECT | common


def worker_name(pool: str) -> str:
    """The name of a pool's worker on the server; its host is where the worker's processes can be inspected."""
    return f"{pool}@{platform.node()}"


def asyncpg_url(url: str) -> str:
    """A PostgreSQL URL in the form that Prefect needs; a socket's folder may be its host, as `?host=/run/postgresql`.

    Raises StackError for anything else.
    """
    split = urlsplit(url)
    options = dict(parse_qsl(split.query))
    if split.scheme.partition("+")[0] not in ("postgresql", "postgres") or not (split.hostname or "host" in options):
        raise StackError(
            f"--database {mask_password(url)}: wanted postgresql://USER:PASSWORD@HOST:PORT/NAME; "
            "without it SQLite is used"
        )
    if "sslmode" in options:  # the option of libpq; asyncpg rejects it
        options["ssl"] = options.pop("sslmode")
    return urlunsplit(split._replace(scheme="postgresql+asyncpg", query=urlencode(options)))


def mask_password(url: str) -> str:
    """A URL without its password."""
    split = urlsplit(url)
    if split.password is None:
        return url
    user, _, host = split.netloc.rpartition("@")
    return urlunsplit(split._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))


def _server(root: Path, options: StackOptions) -> StackPart:
    listen = ("--host", HOST, "--port", str(options.server_port))
    database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": asyncpg_url(options.database)} if options.database else {}
    return StackPart(SERVER, (sys.executable, "-m", "prefect", "server", "start", *listen), root, database)


def _worker(root: Path, pool: str) -> StackPart:
    """The worker of a pool. That of the gpu pool runs stages in clones, so its folder is not the project.

    It takes one run at a time, since there is one GPU. The limit is the worker's and not the pool's, so that a second
    machine may take another run, and a run whose worker was killed does not block a slot.
    """
    command = (
        *(sys.executable, "-m", "prefect", "worker", "start"),
        *("--pool", pool, "--name", worker_name(pool), "--type", "process"),
    )
    if pool != GPU:
        return StackPart(pool, command, root, {})
    return StackPart(pool, (*command, "--limit", "1"), StackFolder.of(root).path / GPU, {})


def _service(root: Path, options: StackOptions) -> StackPart:
    tierrec = str(Path(sys.prefix) / "bin" / "tierrec")
    listen = ("--port", str(options.service_port), "--host", options.host)
    command = (tierrec, "serve", *listen, "--workers", str(options.workers))
    return StackPart(SERVICE, command, root, {}, seconds_to_end=30)
