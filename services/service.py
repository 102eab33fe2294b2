"""The BentoML service, which mounts the application and opens the shops."""

from pathlib import Path
from typing import TYPE_CHECKING

import bentoml
from bentoml.exceptions import BentoMLException
from fastapi import FastAPI

from services.releases.manifest import BUNDLE, ReleaseManifest
from tierrec_core.base.errors import ArtifactError, TierRecError

if TYPE_CHECKING:
    from services.tenants.served_model import ServedModel

SERVICE = "tierrec"
_ROOT = Path(__file__).parents[1]
# OpenMP and BLAS read these when they are loaded, so the worker process must start with them.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_TIMEOUT = 30  # seconds

application = FastAPI(  # configured when a worker starts
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    telemetry={"tracing": False, "metrics": False, "logs": False},  # which is looked up at each request
)


@bentoml.service(
    name=SERVICE,
    workers=1,
    traffic={"timeout": _TIMEOUT},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},  # BentoML's have a series per path, and so per user id
    envs=[{"name": name, "value": value} for name, value in ONE_THREAD.items()],
)
@bentoml.asgi_app(application, path="/")
class RecommenderService:
    """Serves lists for every surface of every shop, with reasons, and stores feedback."""

    def __init__(self) -> None:
        from services.api.app import configure_app  # heavy, and not needed to build a Bento
        from services.tenants.shops import Shops, ShopsSettings

        settings = ShopsSettings.from_environment()
        self.shops = Shops.open(settings, _load, ReleaseManifest.read(_ROOT).bento)
        configure_app(application, self.shops, settings.limits)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def verify() -> None:
        """Check the model once, before workers start."""
        verify_model()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Write the queued impressions, and close the stores."""
        self.shops.close()

    async def __is_ready__(self) -> bool:
        """Whether every shop can serve lists; /healthz/store tells of its store."""
        return self.shops.is_ready()


def verify_model() -> None:
    """Exit if the model of this Bento is damaged."""
    release = ReleaseManifest.read(_ROOT)
    try:
        release.verify(_bundle(release))
    except TierRecError as error:
        raise SystemExit(f"error: {error}") from error


def _load(tag: str) -> "ServedModel":
    """The model of a stored Bento or of the running one."""
    from services.tenants.served_model import ServedModel

    release = ReleaseManifest.read(_ROOT)
    if tag != release.bento:
        try:
            release = ReleaseManifest.read(Path(bentoml.get(tag).path_of("src")))
        except (BentoMLException, ValueError) as error:
            raise ArtifactError(f"{tag}: is not in the store ({error}); deploy another Bento") from error
    return ServedModel(release, _bundle(release))


def _bundle(release: ReleaseManifest) -> Path:
    return Path(bentoml.models.get(release.model).path_of(BUNDLE))
