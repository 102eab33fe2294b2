"""The shops that one process serves: those of shops.yaml, or a single one named default."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from prometheus_client import CollectorRegistry
from pydantic import Field

from services.auth.limits import RequestLimits
from services.observability.metrics import ServiceMetrics
from services.shared_files import (
    SHOPS_VARIABLE,
    STORE_VARIABLE,
    parse_yaml_mapping,
    read_or_last_valid,
    read_text,
    serving_folder,
)
from services.tenants.shop import Loader, Shop, ShopSettings
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Params, parse

log = logging.getLogger(__name__)

DEFAULT = "default"
_MAX_SHOPS = 100

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]


class ShopsSettings(Params):
    """shops.yaml; the limits apply to every shop."""

    limits: RequestLimits = RequestLimits()
    shops: Annotated[dict[Name, ShopSettings], Field(min_length=1, max_length=_MAX_SHOPS)]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises SettingsError for an invalid file, and for two shops with the same folder or store."""
        if not path.is_file():
            raise SettingsError(f"{path}: is missing; set {SHOPS_VARIABLE} to a file that lists the shops")
        settings = parse(cls, parse_yaml_mapping(read_text(path), str(path)), str(path))
        _refuse_shared(path, {name: str(shop.folder.resolve()) for name, shop in settings.shops.items()}, "folder")
        _refuse_shared(path, {name: shop.store_url for name, shop in settings.shops.items()}, "store_url")
        return settings

    @classmethod
    def from_environment(cls) -> Self:
        """The file that TIERREC_SHOPS names, else one shop in TIERREC_STATE with the store at TIERREC_STORE."""
        if path := os.environ.get(SHOPS_VARIABLE):
            return read_or_last_valid(Path(path), cls.read, lambda error: log.error("%s", error))
        folder = serving_folder(Layout(Path()))
        return cls(shops={DEFAULT: ShopSettings(folder=folder, store_url=os.environ.get(STORE_VARIABLE, ""))})


@dataclass(frozen=True)
class Shops:
    """The open shops by name, and their metrics."""

    by_name: Mapping[str, Shop]
    metrics: ServiceMetrics

    @classmethod
    def open(cls, settings: ShopsSettings, load: Loader, own_bento: str) -> Self:
        """Open every shop; own_bento serves shops for which neither shops.yaml nor a pointer names one."""
        metrics = ServiceMetrics(CollectorRegistry())
        shops = {
            name: Shop(name, shop, load=load, own_bento=own_bento, metrics=metrics.for_shop(name))
            for name, shop in settings.shops.items()
        }
        return cls(shops, metrics)

    def is_ready(self) -> bool:
        """Whether every shop can serve lists without first loading models; its store may be away."""
        return all(shop.is_warm for shop in self.by_name.values())

    def exposition(self) -> str:
        """The metrics of all shops and workers."""
        for shop in self.by_name.values():
            shop.metrics.set_store_lag(shop.impressions.lag_seconds, shop.impressions.num_queued)
        return self.metrics.exposition()

    def close(self) -> None:
        """Write the queued impressions, and close all stores."""
        for shop in self.by_name.values():
            shop.close()


def _refuse_shared(path: Path, values: Mapping[str, str], key: str) -> None:
    """Raise SettingsError if two shops have the same value, since they would read each other's data."""
    shop_by_value: dict[str, str] = {}
    for name, value in values.items():
        if value and value in shop_by_value:
            raise SettingsError(
                f"{path}: shops {shop_by_value[value]} and {name} have the same {key}; wanted a different one for each"
            )
        shop_by_value[value] = name
