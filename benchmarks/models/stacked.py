"""The blend on data with the order of purchases only: each user's last purchases are the ranker's training examples."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.gradient_boosting import RankingExamples
from tierrec_core.data.interactions import Interactions
from tierrec_core.models import registry
from tierrec_core.protocols.model import Recommender, Retriever, Training
from tierrec_core.ranking import BlendRanker, retrieve
from tierrec_core.ranking.blend import RankingContext, ranking_examples
from tierrec_core.settings import BlendSettings as BlendSettings
from tierrec_core.settings import RetrieveSettings

_OFFSET = 1e4  # puts other items behind all candidates
Members = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Stacked:
    """The members' candidates ranked by the blend, then all other items ranked by the first member."""

    members: dict[str, Recommender]
    blend: BlendRanker
    settings: RetrieveSettings

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """[U, I]"""
        candidates = retrieve(self.members, history, self.settings, repeats=False)
        first = next(iter(self.members.values()))
        assert isinstance(first, Retriever)
        scores = np.tanh(first.score_catalogue(history)) - _OFFSET
        scores[candidates.user, candidates.item] = self.blend.score(history, candidates)
        return scores.astype(np.float32)


def fit_stacked(training: Training, options: Mapping[str, Any]) -> Stacked:
    """Fit with options members (name -> kind and options), windows, candidates per member, and blend (settings)."""
    members, windows = options["members"], int(options["windows"])
    settings = RetrieveSettings(per_model_default=int(options["candidates"]))
    blend_settings = BlendSettings(**options["blend"])
    examples = [_window(training, back, members, settings, blend_settings) for back in range(1, windows + 1)]
    blend = BlendRanker.fit(
        RankingContext.fit(training, blend_settings.attributes), examples, blend_settings, training.seed
    )
    return Stacked(fit_all(training, members), blend, settings)


def fit_all(training: Training, members: Members) -> dict[str, Recommender]:
    """Fit each member with options as in params.yaml."""
    fitted = {}
    for name, block in members.items():
        model, config = registry.configure(name, block)
        fitted[name] = model.fit(training, config)
    return fitted


def fit_without_last(training: Training, options: Mapping[str, Any]) -> Recommender:
    """Fit transitions without each user's newest purchase, as the papers fit to the train part alone."""
    model, config = registry.configure("transitions", options)
    return model.fit(replace(training, history=_before(training.history, 1)), config)


def _before(history: Interactions, back: int) -> Interactions:
    """The history without each user's `back` newest purchases; all users end on the same day, a position is a day."""
    return history.before(float(np.floor(history.now)) - back + 1)


def _window(
    training: Training, back: int, members: Members, settings: RetrieveSettings, blend_settings: BlendSettings
) -> RankingExamples:
    """Examples from each user's purchase `back` positions from the end, with models fitted to the ones before."""
    past = _before(training.history, back)
    later = _before(training.history, back - 1)
    truth = later.where(later.day >= past.now)
    training_then = replace(training, history=past)
    users = np.intersect1d(np.unique(past.user), truth.user)
    candidates = retrieve(fit_all(training_then, members), past.select_users(users), settings, repeats=False)
    return ranking_examples(
        RankingContext.fit(training_then, blend_settings.attributes),
        past,
        candidates.renumbered(users),
        (truth.user, truth.item),
        negative_share=blend_settings.negative_share,
        rng=np.random.default_rng([training.seed, back]),
    )
