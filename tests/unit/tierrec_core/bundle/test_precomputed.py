"""The tables of a pack against pandas and plain arithmetic."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.contracts import EXPOSURES
from tierrec_core.bundle.cf_fallback import factors_of
from tierrec_core.bundle.precomputed import _promoted
from tierrec_core.bundle.user_tables import LastPurchases
from tierrec_core.data.interactions import Interactions
from tierrec_core.models.als import Als
from tierrec_core.models.popularity import Popularity
from tierrec_core.protocols.model import Training


def test_bought_tells_the_last_day_of_each_pair(interactions: Interactions) -> None:
    frame = pd.DataFrame({"user": interactions.user, "item": interactions.item, "day": interactions.day})
    wanted = frame.groupby(["user", "item"])["day"].max()
    bought = LastPurchases.of(interactions)
    for user in range(interactions.num_users):
        items, day = bought.row(user)
        assert items.tolist() == wanted[user].index.tolist()
        np.testing.assert_allclose(day, wanted[user].to_numpy(), rtol=1e-6)


def test_nobody_bought_anything(interactions: Interactions) -> None:
    bought = LastPurchases.of(interactions.where(np.zeros(len(interactions), bool)))
    assert [len(part) for part in bought.row(0)] == [0, 0]


def test_factors_are_the_models_own_where_one_has_them(training: Training) -> None:
    als = Als.fit(training, Als.Config(factors=8))
    popularity = Popularity.fit(training, Popularity.Config())
    items, encode = factors_of({"popularity": popularity, "als": als}, training.history)
    assert items is als.item_factors
    scores = encode(training.history) @ items.T
    np.testing.assert_allclose(scores, als.score_catalogue(training.history), rtol=1e-4, atol=1e-5)


def test_without_factors_a_decomposition_finds_the_taste_groups(training: Training) -> None:
    popularity = Popularity.fit(training, Popularity.Config())
    items, encode = factors_of({"popularity": popularity}, training.history)
    best = (encode(training.history) @ items.T).argmax(axis=1)
    group = np.arange(training.history.num_users) % 4
    assert (best // 10 == group).mean() > 0.9


@pytest.mark.parametrize(("share", "wanted"), [(0.5, [True, False]), (0.01, [False, False])])
def test_promoted_is_what_enough_stores_show_in_the_newest_known_week(
    share: float, wanted: list[bool]
) -> None:
    week = pd.Timestamp("2024-03-04", tz="UTC")
    rows = [("a", week, share, 0.0), ("b", week - pd.Timedelta(days=7), 1.0, 1.0), ("b", week, 0.0, 0.0)]
    rows.append(("b", week + pd.Timedelta(days=7), 1.0, 1.0))
    exposures = EXPOSURES.conform(
        pd.DataFrame(rows, columns=["item_id", "week", "display", "mailer"]), "tests"
    )
    now = (week + pd.Timedelta(days=2)).timestamp() / 86_400
    assert _promoted(exposures, pd.Index(["a", "b"]), now).tolist() == wanted
