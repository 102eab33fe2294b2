"""The kinds of models: one line a kind, imported only when it is asked for."""

import difflib
import importlib
from collections.abc import Mapping
from typing import Any, cast

from tierrec_core.base.errors import SettingsError
from tierrec_core.protocols.model import Recommender
from tierrec_core.settings import Params, parse

KINDS: Mapping[str, str] = {
    "popularity": "tierrec_core.models.popularity:Popularity",
    "tier_prior": "tierrec_core.models.tier_prior:TierPrior",
    "tifu_knn": "tierrec_core.models.tifu_knn:TifuKnn",
    "tier_knn": "tierrec_core.models.tier_knn:TierKnn",
    "item_knn": "tierrec_core.models.item_knn:ItemKnn",
    "ease": "tierrec_core.models.ease:Ease",
    "linear_autoencoder": "tierrec_core.models.linear_autoencoder:LinearAutoencoder",
    "graph_filter": "tierrec_core.models.graph_filter:GraphFilter",
    "transitions": "tierrec_core.models.transitions:Transitions",
    "funnel_ranker": "tierrec_core.models.funnel_ranker:FunnelRanker",
    "als": "tierrec_core.models.als:Als",
    "symmetric_mf": "tierrec_core.models.symmetric_mf:SymmetricMf",
    "two_tower": "tierrec_core.models.two_tower:TwoTower",
    "sasrec": "tierrec_core.models.sasrec:SasRec",
    "multitask": "tierrec_core.models.multitask:Multitask",
    "cold_start": "tierrec_core.models.cold_start:ColdStart",
    "set_encoder": "tierrec_core.models.set_encoder:SetEncoder",
}


def check_kinds(models: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise SettingsError, naming the nearest kind that exists, unless all blocks are of known kinds."""
    for block, options in models.items():
        name = str(options.get("kind", block))
        if name not in KINDS:
            near = difflib.get_close_matches(name, KINDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(KINDS)}"
            raise SettingsError(f"params.yaml: models.{block}: kind {name!r} is unknown; {hint}")


def kind(name: str) -> type[Recommender]:
    """The class of a kind. Raises SettingsError naming the nearest kind that exists."""
    check_kinds({name: {}})
    module, _, attribute = KINDS[name].partition(":")
    return cast("type[Recommender]", getattr(importlib.import_module(module), attribute))


def configure(name: str, block: Mapping[str, Any]) -> tuple[type[Recommender], Params]:
    """The class and the checked Config of one block of params.yaml's models; `kind` defaults to the block's name."""
    options = dict(block)
    model = kind(str(options.pop("kind", name)))
    return model, parse(model.Config, options, f"params.yaml: models.{name}")
