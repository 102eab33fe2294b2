"""The project's blend where only the order of purchases is known: each user's last purchases teach the ranker."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.models import registry
from tierrec_core.protocols.model import Recommender, Retriever, Training
from tierrec_core.ranking import BlendRanker, retrieve
from tierrec_core.ranking.ranker import RankingContext, RankingDataset
from tierrec_core.settings import BlendSettings as BlendSettings
from tierrec_core.settings import RetrieveSettings

_BEHIND = 1e4  # a rank that no candidate has
Members = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Stacked:
    """The members' candidates in the blend's order, and behind them everything in the first member's order."""

    members: dict[str, Recommender]
    blend: BlendRanker
    settings: RetrieveSettings

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """[U, I]"""
        found = retrieve(self.members, history, self.settings, repeats=False)
        first = next(iter(self.members.values()))
        assert isinstance(first, Retriever)
        scores = np.tanh(first.score_catalogue(history)) - _BEHIND
        scores[found.user, found.item] = self.blend.score(history, found)
        return scores.astype(np.float32)


def stacked(training: Training, options: Mapping[str, Any]) -> Stacked:
    """Options: members (name -> kind and options), windows, candidates a member, and blend (settings)."""
    members, windows = options["members"], int(options["windows"])
    settings = RetrieveSettings(per_model_default=int(options["candidates"]))
    chosen = BlendSettings(**options["blend"])
    examples = [_window(training, back, members, settings, chosen) for back in range(1, windows + 1)]
    blend = BlendRanker.fit(RankingContext.fit(training, chosen.attributes), examples, chosen, training.seed)
    return Stacked(fit_all(training, members), blend, settings)


def fit_all(training: Training, members: Members) -> dict[str, Recommender]:
    """Each member as params.yaml would make it."""
    found = {}
    for name, block in members.items():
        model, config = registry.configure(name, block)
        found[name] = model.fit(training, config)
    return found


def without_last(training: Training, options: Mapping[str, Any]) -> Recommender:
    """Transitions that have not learned from the newest purchase of each user, as papers fit on train alone."""
    model, config = registry.configure("transitions", options)
    return model.fit(replace(training, history=_before(training.history, 1)), config)


def _before(history: Interactions, back: int) -> Interactions:
    """The history without each user's newest purchases; all users end on the same day, and places are days."""
    return history.before(float(np.floor(history.now)) - back + 1)


def _window(
    training: Training, back: int, members: Members, settings: RetrieveSettings, chosen: BlendSettings
) -> RankingDataset:
    """What the models say of each user's purchase so many places from the end, fitted on what lay before it."""
    past = _before(training.history, back)
    later = _before(training.history, back - 1)
    truth = later.where(later.day >= past.now)
    known = replace(training, history=past)
    users = np.unique(past.user)
    asked = np.intersect1d(users, truth.user)
    candidates = retrieve(fit_all(known, members), past.select_users(asked), settings, repeats=False)
    return RankingDataset.of(
        RankingContext.fit(known, chosen.attributes),
        past,
        candidates.renumbered(asked),
        (truth.user, truth.item),
        negative_share=chosen.negative_share,
        rng=np.random.default_rng([training.seed, back]),
    )
