"""The service's application under uvicorn without BentoML, which restarts fast enough to be killed many times."""

from pathlib import Path

import uvicorn
from fastapi import FastAPI

from benchmarks.serving.harness.load import HOST
from services.api.app import configure_app
from services.releases.manifest import ReleaseManifest
from services.tenants.served_model import ServedModel
from services.tenants.shop import ShopSettings
from services.tenants.shops import DEFAULT, Shops, ShopsSettings

_RELEASE = ReleaseManifest(bento="bench:1", model="bench-bundle:1", default_task="next", labels={})


def serve(bundle: Path, folder: Path, port: int, store_url: str) -> None:
    """Serve one shop until the process ends. bundle: its models; folder: its state."""
    settings = ShopsSettings(shops={DEFAULT: ShopSettings(folder=folder, store_url=store_url)})
    shops = Shops.open(settings, lambda _: ServedModel(_RELEASE, bundle), _RELEASE.bento)
    application = FastAPI(openapi_url=None)
    configure_app(application, shops, settings.limits)
    uvicorn.run(application, host=HOST, port=port, log_level="error", access_log=False)
