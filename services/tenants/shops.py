"""All shops that one process serves: shops.yaml names them; without it there is one, called default."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from prometheus_client import CollectorRegistry
from pydantic import Field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from services.auth.limits import RequestLimits
from services.observability.metrics import ServiceMetrics
from services.shared_files import serving_folder
from services.tenants.shop import IMPRESSION_DAYS, Loader, Shop
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Params, parse

DEFAULT = "default"
SHOPS_VARIABLE, STORE_VARIABLE = "TIERREC_SHOPS", "TIERREC_STORE"
_MAX_SHOPS = 100

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]


class ShopSettings(Params):
    """One shop. folder: its state, of which no two shops may share one; store_url: SQLite in the folder if unset.

    bento: the tag that answers until a pointer names another; the Bento's own where unset
    impression_days: how long impressions are kept; experiments, rollouts and reports see no older ones
    """

    folder: Path
    store_url: str = ""
    bento: str = ""
    impression_days: Annotated[int, Field(ge=1, le=36_500)] = IMPRESSION_DAYS


class ShopsSettings(Params):
    """shops.yaml; limits hold for every shop."""

    limits: RequestLimits = RequestLimits()
    shops: Annotated[dict[Name, ShopSettings], Field(min_length=1, max_length=_MAX_SHOPS)]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises SettingsError for a file that is no such thing, and for two shops that share folder or store."""
        try:
            raw = YAML(typ="safe").load(path.read_text())
        except (OSError, YAMLError) as error:
            raise SettingsError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
        found = parse(cls, raw if isinstance(raw, Mapping) else {"shops": raw}, str(path))
        _refuse_shared(path, {name: str(one.folder.resolve()) for name, one in found.shops.items()}, "folder")
        _refuse_shared(path, {name: one.store_url for name, one in found.shops.items()}, "store_url")
        return found

    @classmethod
    def from_environment(cls) -> Self:
        """What TIERREC_SHOPS names, else one shop in TIERREC_STATE with the store at TIERREC_STORE."""
        if named := os.environ.get(SHOPS_VARIABLE):
            return cls.read(Path(named))
        folder = serving_folder(Layout(Path()))
        return cls(shops={DEFAULT: ShopSettings(folder=folder, store_url=os.environ.get(STORE_VARIABLE, ""))})


@dataclass(frozen=True)
class Shops:
    """The open shops by name, and the metrics of all."""

    by_name: Mapping[str, Shop]
    metrics: ServiceMetrics

    @classmethod
    def open(cls, settings: ShopsSettings, load: Loader, own_bento: str) -> Self:
        """Open every shop; own_bento answers where neither shops.yaml nor a pointer names one."""
        metrics = ServiceMetrics(CollectorRegistry())
        shops = {
            name: Shop(
                name,
                one.folder,
                load=load,
                default=one.bento or own_bento,
                metrics=metrics.of(name),
                store_url=one.store_url,
                impression_days=one.impression_days,
            )
            for name, one in settings.shops.items()
        }
        return cls(shops, metrics)

    def is_ready(self) -> bool:
        """Whether each has a model and its store answers."""
        return all(shop.is_ready() for shop in self.by_name.values())

    def exposition(self) -> str:
        """The metrics of all shops and workers."""
        for shop in self.by_name.values():
            shop.metrics.store_state(shop.impressions.lag_seconds, shop.impressions.num_queued)
        return self.metrics.exposition()

    def close(self) -> None:
        """Write what is waiting and close all stores."""
        for shop in self.by_name.values():
            shop.close()


def _refuse_shared(path: Path, places: Mapping[str, str], what: str) -> None:
    """Two shops in one place would read each other's data."""
    seen: dict[str, str] = {}
    for name, place in places.items():
        if place and place in seen:
            raise SettingsError(f"{path}: shops {seen[place]} and {name} have the same {what}; wanted one for each")
        seen[place] = name
