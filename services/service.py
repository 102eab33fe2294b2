"""The BentoML service: one process kind that mounts the application and opens the shops."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import bentoml
from fastapi import FastAPI

from services.releases.manifest import BUNDLE, ReleaseManifest
from tierrec_core.base.errors import TierRecError

if TYPE_CHECKING:
    from services.tenants.served_model import ServedModel

SERVICE = "tierrec"
_ROOT = Path(__file__).parents[1]
# OpenMP and BLAS read these when they are loaded, so the worker's process must start with them.
_ONE_THREAD = [{"name": name, "value": "1"} for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")]
_TIMEOUT = 30  # seconds

application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)  # configured when a worker starts


@bentoml.service(
    name=SERVICE,
    workers=1,
    traffic={"timeout": _TIMEOUT},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},  # BentoML's would have a series for each path, and so for each user id
    envs=_ONE_THREAD,
)
@bentoml.asgi_app(application, path="/")
class RecommenderService:
    """Lists for every surface of every shop, with reasons; and whatever happens in the shops."""

    def __init__(self) -> None:
        from services.api.app import configure_app  # heavy; building and starting a Bento need none of it
        from services.tenants.shops import Shops, ShopsSettings

        own = ReleaseManifest.read(_ROOT)
        settings = ShopsSettings.from_environment()
        self.shops = Shops.open(settings, _load, own.bento)
        configure_app(application, self.shops, settings.limits)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def verify() -> None:
        """Refuse to start on a damaged model: once, before any worker is there."""
        release = ReleaseManifest.read(_ROOT)
        try:
            release.verify(_bundle(release))
        except TierRecError as error:
            raise SystemExit(f"error: {error}") from error

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Write what is waiting."""
        self.shops.close()

    async def __is_ready__(self) -> bool:
        """Whether every shop has a model, and its store answers."""
        return await asyncio.to_thread(self.shops.is_ready)


def _load(tag: str) -> "ServedModel":
    """The model of any Bento in the store; our own lies beside this code."""
    from services.tenants.served_model import ServedModel

    own = ReleaseManifest.read(_ROOT)
    release = own if tag == own.bento else ReleaseManifest.read(Path(bentoml.get(tag).path_of("src")))
    return ServedModel(release, _bundle(release))


def _bundle(release: ReleaseManifest) -> Path:
    return Path(bentoml.models.get(release.model).path_of(BUNDLE))
