"""Serves the Bento whose code this is by uvicorn alone: python -m services.deployment.worker HOST PORT WORKERS.

`bentoml serve` serves the same Bento behind BentoML's tracing, timeout and context, which cost more than most lists.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from services.tenants.shops import Shops

PARENT_VARIABLE = "TIERREC_PARENT"  # the id of the process that starts this one, and with which it ends
_STOP_SECONDS = 10  # for requests under way when the server is told to stop
_HUNG_SECONDS = 60  # without a sign of life, after which a worker is replaced
_PR_SET_PDEATHSIG = 1


def create_application() -> "ASGIApp":
    """The application, with the shops open until uvicorn stops; exit with one line if they cannot be opened."""
    if (supervisor := multiprocessing.parent_process()) is not None:
        _end_with_parent(supervisor.pid)

    from uvicorn.config import STARTUP_FAILURE

    from services.service import RecommenderService, application
    from tierrec_core.base.errors import TierRecError

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        service = RecommenderService()
    except TierRecError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(STARTUP_FAILURE) from error

    @contextlib.asynccontextmanager
    async def closing(_: "FastAPI") -> AsyncIterator[None]:
        yield
        service.close()

    application.router.lifespan_context = closing
    return _with_probes(application, service.shops)


def _with_probes(app: "ASGIApp", shops: "Shops") -> "ASGIApp":
    """Answer the probes before any middleware, as BentoML does."""
    from starlette.responses import Response

    probes = {"/livez": lambda: True, "/readyz": shops.is_ready}

    async def answer(scope: "Scope", receive: "Receive", send: "Send") -> None:
        probe = probes.get(scope["path"]) if scope["type"] == "http" else None
        await (app if probe is None else Response(status_code=200 if probe() else 503))(scope, receive, send)

    return answer


def main(host: str, port: int, workers: int) -> None:
    """Check the model once, and serve until SIGTERM; a single worker is this process, others are restarted by it."""
    if PARENT_VARIABLE in os.environ:
        _end_with_parent(int(os.environ[PARENT_VARIABLE]))

    import uvicorn

    from services.service import verify_model

    verify_model()
    uvicorn.run(
        "services.deployment.worker:create_application",
        factory=True,
        http="services.deployment.http_limits:BoundedHttpProtocol",
        host=host,
        port=port,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
        timeout_worker_healthcheck=_HUNG_SECONDS,
    )


def _end_with_parent(parent: int | None) -> None:
    """Have Linux kill this process when the one that started it ends, since an orphan would keep the port.

    Called before the imports that take seconds.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        raise SystemExit(f"serve: process {parent}, which started this one, has ended")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
