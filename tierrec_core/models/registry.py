"""Registry of model kinds, one line each; a kind is imported on first use."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from tierrec_core.base.errors import SettingsError
from tierrec_core.base.params import warn_renamed
from tierrec_core.settings import Params, parse

if TYPE_CHECKING:  # the command line checks kinds without waiting two seconds for what models import
    from tierrec_core.protocols.model import Recommender

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
# Former names of kinds, accepted until 0.3. Each has a folder, because dvc.yaml depends on the folder of a kind.
RENAMED_KINDS: Mapping[str, str] = {"repeat": "tifu_knn", "seed_mf": "symmetric_mf"}


def kind_name(name: str, block: Mapping[str, Any]) -> str:
    """The current name of the kind of a block of `models`; `kind` defaults to the block's name."""
    given = str(block.get("kind", name))
    return RENAMED_KINDS.get(given, given)


def check_kinds(models: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise SettingsError, naming the closest kind, unless all blocks are of known kinds. Warn of former names."""
    for block, options in models.items():
        given, current = str(options.get("kind", block)), kind_name(block, options)
        if current not in KINDS:
            closest = difflib.get_close_matches(current, KINDS, n=1)
            hint = f"did you mean {closest[0]!r}?" if closest else f"known are {', '.join(KINDS)}"
            raise SettingsError(f"params.yaml: models.{block}: kind {current!r} is unknown; {hint}")
        if given != current:
            warn_renamed("params.yaml", f"models.{block}.kind: {given}", f"kind: {current}")


def kind(name: str) -> type[Recommender]:
    """The class of a kind, by its current or former name. Raises SettingsError naming the closest kind."""
    current = kind_name(name, {})
    check_kinds({current: {}})
    module, _, attribute = KINDS[current].partition(":")
    return cast("type[Recommender]", getattr(importlib.import_module(module), attribute))


def configure(name: str, block: Mapping[str, Any]) -> tuple[type[Recommender], Params]:
    """The class and the validated Config of one block of `models` in params.yaml."""
    check_kinds({name: block})
    model = kind(kind_name(name, block))
    options = {key: value for key, value in block.items() if key != "kind"}
    return model, parse(model.Config, options, f"params.yaml: models.{name}")
