"""Histories against plain pandas: every matrix and every slice of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.data.interactions import Interactions, from_days, to_days


def test_matrix_is_the_crosstab(events, interactions) -> None:
    wanted = pd.crosstab(events["user_id"], events["item_id"]).reindex(columns=interactions.items, fill_value=0)
    np.testing.assert_array_equal(interactions.matrix().toarray(), wanted)
    np.testing.assert_array_equal(interactions.binary_matrix().toarray(), wanted > 0)


def test_events_are_in_order_of_user_and_day(interactions) -> None:
    order = np.lexsort((interactions.day, interactions.user))
    np.testing.assert_array_equal(order, np.arange(len(interactions)))
    assert (interactions.age > 0).all()


def test_the_order_of_rows_changes_nothing(events, interactions) -> None:
    shuffled = Interactions.from_events(events.sample(frac=1, random_state=1), items=interactions.items)
    np.testing.assert_array_equal(shuffled.day, interactions.day)
    assert (shuffled.matrix() != interactions.matrix()).nnz == 0


@given(chosen=st.lists(st.integers(0, 59), max_size=80))
def test_rows_equal_the_matrix_rows(interactions, chosen: list[int]) -> None:
    part = interactions.select_users(np.array(chosen, dtype=int))
    np.testing.assert_array_equal(part.matrix().toarray(), interactions.matrix().toarray()[chosen])
    assert list(part.users) == list(interactions.users[chosen])


@given(back=st.floats(0, 130))
def test_before_and_after_are_all(interactions, back: float) -> None:
    now = interactions.now - back
    known = interactions.before(now)
    assert known.day.max(initial=0) < now
    assert len(known) == (interactions.day < now).sum()


def test_decay_halves_in_a_half_life(interactions) -> None:
    later = replace(interactions, now=interactions.now + 30).decayed_matrix(30).toarray()
    np.testing.assert_allclose(later, interactions.decayed_matrix(30).toarray() / 2, rtol=1e-5)


def test_pairs_are_the_nonzeros(interactions) -> None:
    rows, columns = interactions.binary_matrix().toarray().nonzero()
    user, item = interactions.unique_pairs()
    np.testing.assert_array_equal(user, rows)
    np.testing.assert_array_equal(item, columns)


def test_only_keeps_named_events(interactions) -> None:
    assert len(interactions.filter_events("view", "cart")) == 0
    assert len(interactions.filter_events("purchase")) == len(interactions)


def test_a_visitor_has_the_items_in_order() -> None:
    items = pd.Index(["a", "b", "c"], dtype=object)
    visitor = Interactions.from_history(["c", "nothing", "a"], items, now=100.0)
    np.testing.assert_array_equal(visitor.item, [2, 0])
    assert (np.diff(visitor.day) > 0).all()
    assert visitor.day.max() < 100.0
    assert len(Interactions.from_history([], items, now=100.0)) == 0


def test_unknown_ids_only_is_an_error(events) -> None:
    with pytest.raises(EmptyDataError, match="none of"):
        Interactions.from_events(events, items=pd.Index(["nothing"], dtype=object))


def test_events_without_session_are_sessions_of_their_own(events) -> None:
    bare = Interactions.from_events(EVENTS.conform(events.drop(columns="session_id"), "tests"))
    assert len(np.unique(bare.session)) == len(bare)


@given(moment=st.datetimes(pd.Timestamp("1971-01-01").to_pydatetime(), pd.Timestamp("2100-01-01").to_pydatetime()))
def test_days_and_moments_are_inverse(moment) -> None:
    stamp = pd.Timestamp(moment, tz="UTC")
    day = to_days(pd.Series([stamp]).astype("datetime64[us, UTC]"))[0]
    assert abs(from_days(day) - stamp) < pd.Timedelta("1ms")
