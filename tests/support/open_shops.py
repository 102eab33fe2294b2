"""Shops of the tiny world, open in this process and called without a socket.

Use with `pytest_plugins = ["tests.support.open_shops"]`.
"""

import asyncio
import contextlib
import gc
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pandas as pd
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from services.api.app import configure_app
from services.api.middleware import SHOP_HEADER
from services.auth.limits import RequestLimits
from services.deployment.package import write_bundle
from services.observability.metrics import ServiceMetrics
from services.releases.manifest import ReleaseManifest
from services.tenants.served_model import ServedModel
from services.tenants.shop import Shop, ShopSettings
from services.tenants.shops import DEFAULT, Shops
from tests.support.api_keys import HEADER, allow_all
from tests.support.packaged_project import judged_project, ranked_lists
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings
from tierrec_core.stages import campaigns

OWN = "tierrec:own"
GROUPS = range(4)
COUPONS = ("c0", "c1", "c2", "c3")  # c1 is redeemed by whom group 1 pleases
SURFACES = ("products", "ads", "campaigns", "onboarding", "rank", "search", "similar")
LOOK_SECONDS = 0.06  # a little more than the time between two looks at a file
_PATIENCE_SECONDS = 30.0
_CLOSED_BEFORE_FREED = 10
_closed = itertools.count(1)


@dataclass(frozen=True)
class World:
    """A packaged bundle, and the lists that it ranks, by task and user."""

    bundle: Path
    ranked: Mapping[str, Mapping[str, list[str]]]


def make_world(folder: Path, items: pd.DataFrame, **params: Any) -> World:
    """Run every stage in the folder, with coupons that users redeem for the campaign of their taste group."""
    layout, settings = judged_project(folder, items, **params)
    _redeem(layout, settings)
    write_bundle(layout, settings)
    return World(layout.bundle, {task: ranked_lists(layout.bundle, task) for task in settings.tasks})


def _redeem(layout: Layout, settings: Settings) -> None:
    """Each purchase with a coupon redeems the campaign of the user's group."""
    events = artifacts.read_frame(layout.prepared_events, EVENTS)
    redeemed = events[events["channel"].eq("coupon")].copy()
    group = redeemed["user_id"].str[1:].astype(int) % len(GROUPS)
    redeemed["item_id"], redeemed["event"] = "c" + group.astype(str), "redeem"
    artifacts.write_frame(EVENTS.conform(pd.concat([events, redeemed]), "tests"), layout.prepared_events)
    campaigns.run(layout, settings)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, items: pd.DataFrame) -> World:
    return make_world(tmp_path_factory.mktemp("world"), items)


@dataclass
class Caller:
    """Asks an application as somebody on this machine, over ASGI. headers: of every request."""

    app: FastAPI
    shops: Shops
    address: tuple[str, int] = ("127.0.0.1", 1)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def shop(self) -> Shop:
        """The shop that is asked."""
        return self.shops.by_name[self.headers.get(SHOP_HEADER, DEFAULT)]

    def of(self, shop: str, **headers: str) -> "Caller":
        """The same application, asked for another shop."""
        return Caller(self.app, self.shops, self.address, {SHOP_HEADER: shop, **headers})

    def send(self, method: str, path: str, **given: Any) -> httpx.Response:
        """One request."""
        return self.send_all([(method, path, given)])[0]

    def send_all(self, requests: list[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """All of these at once."""

        async def sent() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app, client=self.address)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost", headers=self.headers
            ) as client:
                return await asyncio.gather(
                    *(client.request(method, path, **given) for method, path, given in requests)
                )

        return asyncio.run(sent())

    def told(self, method: str, path: str, **given: Any) -> Any:
        """What a request that succeeds is answered."""
        answer = self.send(method, path, **given)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def recommend(self, **body: Any) -> dict[str, Any]:
        return dict(self.told("POST", "/recommend", json=body))

    def ask(self, surface: str, **body: Any) -> dict[str, Any]:
        """A list for any surface; search is asked for all things, similar for what is like i00."""
        if surface in ("search", "similar"):
            asked = {"query": "thing"} if surface == "search" else {"item_id": "i00"}
            return dict(self.told("POST", f"/{surface}", json=asked | body))
        given = {"items": [f"i{number:02d}" for number in range(40)]} if surface == "rank" else {}
        return self.recommend(surface=surface, **given | body)

    def listed(self, **body: Any) -> list[str]:
        """Ids of a list."""
        return ids(self.recommend(**body))

    def post_events(self, *events: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.told("POST", "/events", json={"events": list(events)}))

    def post_items(self, *items: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.told("POST", "/items", json={"items": list(items)}))

    def post_users(self, *users: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.told("POST", "/users", json={"users": list(users)}))

    def erase(self, user_id: str) -> dict[str, int]:
        """How many rows of the user were deleted; copies in the files of the store follow."""
        answer = self.send("DELETE", f"/users/{quote(user_id, safe='')}")
        assert answer.status_code in (200, 202), answer.text
        return {part: answer.json()[part] for part in ("events", "impressions", "users")}

    def samples(self, name: str) -> list[Sample]:
        """All samples of a metric."""
        families = text_string_to_metric_families(self.send("GET", "/metrics").text)
        return [sample for family in families for sample in family.samples if sample.name == name]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels, 0 where there is none."""
        return sum(sample.value for sample in self.samples(name) if labels.items() <= sample.labels.items())


def ids(answer: Mapping[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def event(number: int, user: str, item: str, name: str = "view", **more: Any) -> dict[str, Any]:
    return {"key": f"{user}-{number}", "user_id": user, "item_id": item, "event": name} | more


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


@dataclass
class Opener:
    """Opens workers on the state folders below `root`; all are closed when the test ends.

    bundles: by the tag of the Bento that carries it
    patience: seconds for which a request waits for changes; long, since other tests may keep the processors busy
    """

    root: Path
    bundles: dict[str, Path]
    opened: list[Shops] = field(default_factory=list)
    patience: float = 10.0
    keyed: bool = False  # whether shops have a key that may do everything, with which they are asked

    def __call__(
        self,
        *names: str,
        limits: RequestLimits | None = None,
        default: str = OWN,
        address: str = "127.0.0.1",
        store_url: str = "",
    ) -> Caller:
        """A worker with shops of these names, one called `default` if none is given."""
        for name in names or (DEFAULT,) if self.keyed else ():
            allow_all(self.root / name)
        metrics = ServiceMetrics(CollectorRegistry())
        opened = {
            name: Shop(
                name,
                ShopSettings(folder=self.root / name, store_url=store_url),
                load=self._load,
                own_bento=default,
                metrics=metrics.for_shop(name),
                patience=self.patience,
            )
            for name in names or (DEFAULT,)
        }
        shops = Shops(opened, metrics)
        self.opened.append(shops)
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        configure_app(app, shops, limits or RequestLimits())
        headers = ({SHOP_HEADER: names[0]} if names else {}) | (HEADER if self.keyed else {})
        return Caller(app, shops, (address, 1), headers)

    def close(self) -> None:
        """Close all workers, and let the models of closed ones be freed from time to time."""
        while self.opened:
            self.opened.pop().close()
            if next(_closed) % _CLOSED_BEFORE_FREED == 0:
                gc.unfreeze()  # a worker exempts its models from garbage collection

    def add(self, tag: str, damage: Callable[[Path], None]) -> str:
        """Another Bento: the first one's bundle with some damage."""
        folder = self.root / "bundles" / tag.replace(":", "-")
        shutil.copytree(self.bundles[OWN], folder)
        damage(folder)
        self.bundles[tag] = folder
        return tag

    def _load(self, tag: str) -> ServedModel:
        if tag not in self.bundles:
            raise ArtifactError(f"{tag}: is not in the store, wanted one of {', '.join(self.bundles)}")
        name = f"tierrec-bundle:{tag.partition(':')[2]}"
        return ServedModel(ReleaseManifest(bento=tag, model=name, default_task="next", labels={}), self.bundles[tag])


@pytest.fixture
def start(world: World, tmp_path: Path) -> Iterator[Opener]:
    """Starts workers; those of one name share their state."""
    with contextlib.closing(Opener(tmp_path, {OWN: world.bundle})) as opened:
        yield opened


@pytest.fixture(scope="module")
def opener(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    """The same for a whole module."""
    with contextlib.closing(Opener(tmp_path_factory.mktemp("shops"), {OWN: world.bundle})) as opened:
        yield opened
