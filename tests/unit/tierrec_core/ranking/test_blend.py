"""Candidates and the learned ranker, with two small honest models."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.bundle.explain import reasons
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import Training
from tierrec_core.ranking import BlendRanker, Candidates, retrieve
from tierrec_core.ranking.blend import SHORT_HISTORY_ITEMS, RankingContext, ranking_examples
from tierrec_core.settings import BlendSettings as BlendSettings
from tierrec_core.settings import Params, RetrieveSettings

SMALL = BlendSettings(num_trees=20, min_data_in_leaf=5, attributes=("category",))


@dataclass(frozen=True)
class Untrained:
    class Config(Params): ...

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        return cls()


class Often(Untrained):
    """Retriever: how often the user took the item."""

    def score_catalogue(self, history: Interactions) -> FloatArray:
        return history.matrix().toarray()


class ById(Untrained):
    """Ranker: a low column is good."""

    def score_candidates(self, history: Interactions, candidates: IntArray) -> FloatArray:
        return np.where(candidates < 0, -np.inf, -candidates).astype(np.float32)


MODELS = {"often": Often(), "by_id": ById()}
ALL = {"negative_share": 1.0, "rng": np.random.default_rng(0)}
FEW = RetrieveSettings(max_repeat_candidates=5, per_model_default=3)


@pytest.fixture(scope="module")
def world(training: Training) -> tuple[RankingContext, Interactions, Candidates, tuple[IntArray, IntArray]]:
    cut = training.history.now - 30
    past, later = training.history.before(cut), training.history.where(training.history.day >= cut)
    candidates = retrieve(MODELS, past, RetrieveSettings(max_repeat_candidates=40, per_model_default=10), repeats=True)
    return RankingContext.fit(training, ("category",)), past, candidates, later.unique_pairs()


def test_candidates_are_own_items_and_the_first_of_each_retriever(interactions: Interactions):
    candidates = retrieve(MODELS, interactions, FEW, repeats=True)
    counts = interactions.matrix().toarray()
    decayed = interactions.decayed_matrix(FEW.repeat_half_life).toarray()
    for user in range(interactions.num_users):
        own = set(np.argsort(-decayed[user], kind="stable")[:5]) & set(np.flatnonzero(decayed[user]))
        first = set(np.argsort(-counts[user], kind="stable")[:3])
        assert set(candidates.item[candidates.user == user]) == own | first


def test_without_repeats_no_candidate_was_met_before(interactions: Interactions):
    candidates = retrieve(MODELS, interactions, FEW, repeats=False)
    assert len(candidates) > 0
    assert not interactions.matrix()[candidates.user, candidates.item].any()


def test_every_model_scores_every_candidate(interactions: Interactions):
    candidates = retrieve(MODELS, interactions, FEW, repeats=True)
    expected = np.asarray(interactions.matrix()[candidates.user, candidates.item]).ravel()
    np.testing.assert_array_equal(candidates.scores["often"], expected)
    np.testing.assert_array_equal(candidates.scores["by_id"], -candidates.item)


def test_ranks_count_the_better_candidates_of_the_same_user(interactions: Interactions):
    candidates = retrieve(MODELS, interactions, FEW, repeats=True)
    ranks = candidates.ranks()["by_id"]
    for pair in range(0, len(candidates), 17):
        mine = candidates.user == candidates.user[pair]
        assert ranks[pair] == (candidates.item[mine] < candidates.item[pair]).sum()


def test_padded_and_pairs_hold_the_same(interactions: Interactions):
    candidates = retrieve(MODELS, interactions, FEW, repeats=True)
    table = candidates.padded(interactions.num_users)
    user, place = np.nonzero(table >= 0)
    np.testing.assert_array_equal(user, candidates.user)
    np.testing.assert_array_equal(table[user, place], candidates.item)


def test_the_blend_orders_better_than_chance_and_than_its_worst_model(world):
    context, past, candidates, truth = world
    examples = ranking_examples(context, past, candidates, truth, **ALL)
    blend = BlendRanker.fit(context, [examples], SMALL, seed=1)
    score = blend.score_table(examples.table)
    hit, miss = score[examples.label], score[~examples.label]
    assert (hit[:, None] > miss[None, :]).mean() > 0.75


def test_same_seed_same_trees_and_they_survive_disk(world, tmp_path: Path):
    context, past, candidates, truth = world
    examples = ranking_examples(context, past, candidates, truth, **ALL)
    first, second = (BlendRanker.fit(context, [examples], SMALL, seed=1) for _ in range(2))
    assert first.trees == second.trees
    artifacts.save(first, tmp_path / "blend")
    again = artifacts.load(BlendRanker, tmp_path / "blend")
    np.testing.assert_array_equal(again.score(past, candidates), first.score(past, candidates))


def test_short_histories_are_ordered_by_what_newcomers_did_and_the_others_as_without_them(world, tmp_path: Path):
    """Newcomers took exactly what known users did not."""
    context, past, candidates, truth = world
    known = ranking_examples(context, past, candidates, truth, **ALL)
    contrary = replace(known, label=~known.label)
    alone = BlendRanker.fit(context, [known], SMALL, seed=1)
    blend = BlendRanker.fit(context, [known], SMALL, seed=1, cold_users=[contrary] * 9)
    artifacts.save(blend, tmp_path / "blend")
    blend = artifacts.load(BlendRanker, tmp_path / "blend")
    num_items = np.diff(past.binary_matrix().indptr)[candidates.user]
    short = num_items <= SHORT_HISTORY_ITEMS
    assert 0 < short.sum() < len(short)
    scores, expected = blend.score(past, candidates), alone.score(past, candidates)
    np.testing.assert_array_equal(scores[~short], expected[~short])
    assert np.corrcoef(scores[short], expected[short])[0, 1] < -0.5
    one = candidates.of_users(candidates.user[short][:1])
    np.testing.assert_array_equal(blend.score(past, one), scores[candidates.user == one.user[0]])
    shares = blend.contributions(past, candidates)
    np.testing.assert_allclose(shares.sum(axis=1), scores, atol=1e-6)


def test_contributions_and_their_reasons_add_up_to_the_score(world):
    context, past, candidates, truth = world
    blend = BlendRanker.fit(context, [ranking_examples(context, past, candidates, truth, **ALL)], SMALL, seed=1)
    few = candidates.of_users(np.arange(3))
    shares = blend.contributions(past, few)
    np.testing.assert_allclose(shares.sum(axis=1), blend.score(past, few), atol=1e-6)
    gathered = [sum(reasons(row).values()) for row in shares.to_dict("records")]
    np.testing.assert_allclose(gathered, blend.score(past, few), atol=1e-6)


def test_users_without_a_truth_teach_nothing(world):
    context, past, candidates, truth = world
    one = truth[0][-1]
    only = truth[0] == one
    examples = ranking_examples(context, past, candidates, (truth[0][only], truth[1][only]), **ALL)
    assert set(examples.user) == {one}
    assert examples.label.sum() == np.isin(candidates.item[candidates.user == one], truth[1][only]).sum() > 0


def test_sampling_keeps_all_that_was_taken_and_a_share_of_the_rest_as_it_was(world):
    context, past, candidates, truth = world
    whole = ranking_examples(context, past, candidates, truth, **ALL)
    part = ranking_examples(context, past, candidates, truth, negative_share=0.2, rng=np.random.default_rng(0))
    assert part.label.sum() == whole.label.sum()
    assert (~part.label).sum() == pytest.approx(0.2 * (~whole.label).sum(), rel=0.2)
    rows = {tuple(row) for row in np.stack(list(whole.table.values()), axis=1).tolist()}
    assert all(tuple(row) in rows for row in np.stack(list(part.table.values()), axis=1).tolist())
