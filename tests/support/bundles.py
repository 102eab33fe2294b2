"""A small bundle of the tiny world, for whatever asks one."""

import numpy as np

from tierrec_core.bundle.bundle import Bundle, KnownUsers, TaskConfig
from tierrec_core.models import registry
from tierrec_core.protocols.model import Training
from tierrec_core.ranking import BlendRanker, retrieve
from tierrec_core.ranking.blend import RankingContext, ranking_examples
from tierrec_core.ranking.policy import ListPolicy
from tierrec_core.settings import BlendSettings as BlendSettings
from tierrec_core.settings import PolicySettings as PolicySettings
from tierrec_core.settings import RetrieveSettings

KINDS = {"popularity": "popularity", "habit": "tifu_knn", "ease": "ease"}
BLOCKED = "i03"


def make_bundle(training: Training) -> Bundle:
    """Answers two tasks, with and without repeats; one item is blocked."""
    cut = training.history.now - 30
    past, later = training.history.before(cut), training.history.where(training.history.day >= cut)
    models = {}
    for name, kind in KINDS.items():
        model, config = registry.configure(name, {"kind": kind})
        models[name] = model.fit(training, config)
    settings = RetrieveSettings(max_repeat_candidates=20, per_model_default=10)
    context = RankingContext.fit(training, ("category",))
    candidates = retrieve(models, past, settings, repeats=True)
    examples = ranking_examples(
        context, past, candidates, later.unique_pairs(), negative_share=1.0, rng=np.random.default_rng(0)
    )
    blend = BlendRanker.fit(context, [examples], BlendSettings(num_trees=20, min_data_in_leaf=5), seed=0)
    policy = ListPolicy.fit(training.history, training.items, PolicySettings(blocked_items=(BLOCKED,)))
    return Bundle(
        kinds=KINDS,
        models=models,
        blends={"next": blend, "discovery": blend},
        task_configs={
            "next": TaskConfig(repeats=True, retrieve=settings),
            "discovery": TaskConfig(repeats=False, retrieve=settings),
        },
        known=KnownUsers(training.history, policy),
        items=training.items,
    )
