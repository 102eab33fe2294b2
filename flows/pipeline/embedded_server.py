"""The Prefect server that flows of this process report to: a running one, or one of their own that ends with them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
from filelock import FileLock

from flows.stack.plan import mask_password
from flows.stack.state import find_api_url
from tierrec_core.base.errors import SettingsError, StageError
from tierrec_core.base.paths import Layout

EMBEDDED_VARIABLE = "TIERREC_EMBEDDED_SERVER"  # set while the server is one that this process started
_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
}
_OF_SERVER = {
    "PREFECT__SERVER_EPHEMERAL": "1",  # without the services that only schedules and automations want
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_UI_ENABLED": "false",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
}
_START_SECONDS = 120.0
_ANSWER_SECONDS = 10.0


def configure_prefect(root: Path) -> None:
    """Use the server of PREFECT_API_URL or of this project's stack; otherwise start one without logs.

    Raises SettingsError when no Prefect server answers at that URL, StageError when one does not start.
    """
    url = find_api_url(root)
    if url is not None:
        check_server(url)
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
        return
    for name, value in (_QUIET | {"PREFECT_HOME": str(Layout(root).prefect_home)}).items():
        os.environ.setdefault(name, value)
    home = Path(os.environ["PREFECT_HOME"]).expanduser()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / ".start.lock"):  # two servers at once would both create the tables of the database
            _start_server()
            import prefect  # noqa: F401 - takes seconds, in which the server starts

            httpx.get(f"{os.environ['PREFECT_API_URL']}/health", timeout=_START_SECONDS).raise_for_status()
    except (OSError, httpx.HTTPError) as error:
        raise StageError(
            f"Prefect's server did not start in {home}: {error}; see that this folder can be written, then run again"
        ) from error


def check_server(url: str) -> None:
    """Set PREFECT_API_URL to the URL. Raises SettingsError unless a server that Prefect can use answers there."""
    os.environ["PREFECT_API_URL"] = url
    remedy = "unset it to run without a server, or start that server"
    try:
        httpx.get(f"{url}/health", timeout=_ANSWER_SECONDS)  # Prefect would try for minutes
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SettingsError(
            f"PREFECT_API_URL is {mask_password(url)}, where no server answers ({error}); {remedy}"
        ) from error
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        try:
            client.raise_for_api_version_mismatch()
        except (RuntimeError, ValueError, httpx.HTTPError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(
                f"PREFECT_API_URL is {mask_password(url)}, which is no usable server ({reason}); {remedy}"
            ) from error


def _start_server() -> None:
    """Start a server that ends with this process, and set PREFECT_API_URL; requests wait until it is ready."""
    listener = socket.create_server(("127.0.0.1", 0))
    uvicorn = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    descriptor = str(listener.fileno())
    end_of_guard, _ = os.pipe()  # the other end closes with this process
    subprocess.Popen(
        [sys.executable, "-m", "flows.graph.process_guard", *uvicorn, "--workers", "1", "--fd", descriptor],
        env=os.environ | _OF_SERVER,
        stdin=end_of_guard,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
        start_new_session=True,
    )
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
    os.environ[EMBEDDED_VARIABLE] = "1"
    os.close(end_of_guard)
    listener.close()
