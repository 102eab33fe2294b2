"""The BentoML service: one process kind, async handlers, the heavy work in threads."""

import asyncio
from pathlib import Path

import bentoml
from starlette.responses import JSONResponse

from services.middleware import JsonOnly
from services.release import BUNDLE, Release
from services.schemas import Answer, Info, Problem, RecommendRequest
from tierrec_core.errors import DataError, TierRecError

SERVICE = "tierrec"
_ROOT = Path(__file__).parents[1]
# OpenMP and BLAS read these when they are loaded, so the worker's process must start with them.
_ONE_THREAD = [
    {"name": name, "value": "1"} for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
]
_TIMEOUT = 30  # seconds


@bentoml.service(
    name=SERVICE,
    workers=1,
    traffic={"timeout": _TIMEOUT},
    logging={"access": {"enabled": False}},
    envs=_ONE_THREAD,
)
class Recommender:
    """Lists of products for known users, unknown users and visitors, with reasons."""

    def __init__(self) -> None:
        from services.engine import Engine  # heavy; building and starting a Bento need none of it

        release = Release.read(_ROOT)
        self.engine = Engine.load(release, _bundle(release))
        self.engine.answer(RecommendRequest(explain=True))

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def verify() -> None:
        """Refuse to start on a damaged model: once, before any worker is there."""
        release = Release.read(_ROOT)
        try:
            release.verify(_bundle(release))
        except TierRecError as error:
            raise SystemExit(f"error: {error}") from error

    @bentoml.api(output_spec=Answer)  # type: ignore[untyped-decorator]
    async def recommend(self, request: RecommendRequest, /) -> Answer | JSONResponse:
        """The first k items for a user or a visitor."""
        try:
            return await asyncio.to_thread(self.engine.answer, request)
        except DataError as error:
            return JSONResponse(Problem(error=str(error)).model_dump(), status_code=400)

    @bentoml.api  # type: ignore[untyped-decorator]
    async def info(self) -> Info:
        """What is being served: version, tasks and labels."""
        return self.engine.info()


Recommender.add_asgi_middleware(JsonOnly)  # type: ignore[attr-defined]


def _bundle(release: Release) -> Path:
    return Path(bentoml.models.get(release.model).path_of(BUNDLE))
