"""Few-shot learners in a tiny world: a few items of a group identify the group."""

import numpy as np
import pytest

from benchmarks.families import few_shot
from tests.conftest import NUM_GROUPS
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.support_sets import episodes, newest_items, popularity
from tierrec_core.protocols.model import Training

pytestmark = pytest.mark.slow

OPTIONS = {"fit_joint": {"epochs": 40}, "fit_anil": {"epochs": 40}, "fit_reptile": {"batches": 100}}


@pytest.fixture(scope="module", params=OPTIONS)
def learner(request: pytest.FixtureRequest, training: Training) -> few_shot.FewShot:
    parts = episodes(training.history, training.target, 3, 20.0, 20.0)
    start = popularity(training.history, training.target, 20.0)
    learn = getattr(few_shot, request.param)
    found: few_shot.FewShot = learn(parts, start, 0, **OPTIONS[request.param])
    return found


def test_three_items_identify_the_group(learner: few_shot.FewShot, interactions: Interactions):
    support = newest_items(interactions, 3, np.random.default_rng(0))
    top = np.argsort(-learner.score_catalogue(support), axis=1)[:, :10]
    own = top // 10 == (np.arange(interactions.num_users) % NUM_GROUPS)[:, None]
    assert own.mean() > 0.4  # a quarter by chance


def test_an_empty_history_scores_as_the_initialization(learner: few_shot.FewShot, interactions: Interactions):
    empty = Interactions.from_history([], interactions.items, interactions.now)
    start = learner.start
    expected = (start["items"] @ start["user"] + start["bias"]).numpy() + learner.popularity
    np.testing.assert_allclose(learner.score_catalogue(empty)[0], expected, rtol=1e-4, atol=1e-5)
