"""A bundle's lists obey the policy's places and order, in a batch as for one user alone."""

from dataclasses import replace

import numpy as np
import pytest

from tierrec_core.bundle.bundle import Bundle
from tierrec_core.ranking.policy import ListPolicy
from tierrec_core.settings import PolicySettings as PolicySettings
from tierrec_core.tiers import TIER_NAMES


def under(bundle: Bundle, **settings: object) -> Bundle:
    policy = ListPolicy.fit(bundle.history, bundle.items, PolicySettings(**settings))
    return replace(bundle, known=replace(bundle.known, policy=policy))


def everybody(**settings: float) -> dict[str, dict[str, float]]:
    return dict.fromkeys(TIER_NAMES, settings)


def test_repeats_are_limited_where_the_task_has_them(bundle: Bundle):
    limited = under(bundle, tiers=everybody(repeat_slots=0.3)).recommend("next", bundle.history, 10).items
    usual = bundle.recommend("next", bundle.history, 10).items
    met = bundle.history.binary_matrix().toarray() > 0
    found, before = ((met[np.arange(60)[:, None], one] & (one >= 0)).sum(axis=1) for one in (limited, usual))
    assert found.max() <= 3 < before.max()


@pytest.mark.parametrize("kind", ["mmr", "calibrated"])
def test_one_user_has_the_list_of_the_batch_and_a_short_list_begins_a_long_one(bundle: Bundle, kind: str):
    tiers = everybody(exploration=0.2, quality_floor=0.2, repeat_slots=0.5)
    asked = under(bundle, rerank={"kind": kind, "weight": 0.5}, tiers=tiers)
    batch = asked.recommend("next", asked.history, 12)
    for user in (0, 31, 59):
        alone = asked.recommend("next", asked.history.select_users(np.array([user])), 6)
        np.testing.assert_array_equal(alone.items[0], batch.items[user, :6])
    there = batch.scores[np.isfinite(batch.scores).all(axis=1)]
    assert (np.diff(there, axis=1) <= 0).all()
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in batch.items)
