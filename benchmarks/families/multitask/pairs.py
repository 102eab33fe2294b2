"""Pairs of a household and a category of the demo shop: features at a cut, and labels of the next 28 days."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS, BoolArray, FloatArray, IntArray
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog
from tierrec_core.features.user_item import item_features, pair_features

HORIZON = 28.0
NUM_CATEGORIES = 128

_HALF_LIVES = (14.0, 60.0, np.inf)
_NEVER_DAYS = 400.0


@dataclass(frozen=True)
class Categories:
    """The shop's log by product and by category.

    products: histories over products of the selected categories; category, department: of each product, [I]
    log: the same events over categories; bound: the first day of the test, in days
    """

    products: Interactions
    category: IntArray
    department: IntArray
    log: Interactions
    bound: float

    @classmethod
    def read(cls, root: Path = Path()) -> Self:
        """Select the categories with most households up to two horizons before the test."""
        layout = Layout(root)
        split = artifacts.load(SplitLog, layout.split)
        items = artifacts.read_frame(layout.items, ITEMS)
        code, names = pd.factorize(items["category"])
        past = split.log.before(split.final.bound - 2 * HORIZON)
        seen = pd.DataFrame({"user": past.user, "category": code[past.item]}).drop_duplicates()
        chosen = np.sort(seen["category"].value_counts().index[:NUM_CATEGORIES].to_numpy())
        index_of = np.full(len(names), -1)
        index_of[chosen] = np.arange(len(chosen))
        products = split.log.where(index_of[code][split.log.item] >= 0)
        log = replace(products, item=index_of[code][products.item].astype(np.int32), items=pd.Index(names[chosen]))
        return cls(
            products,
            index_of[code],
            pd.factorize(items["department"], use_na_sentinel=False)[0],
            log,
            split.final.bound,
        )


@dataclass(frozen=True)
class Table:
    """N pairs: features [N, F], user and category [N], and labels: bought, bought with a coupon [N].

    log_rate: log of the sampling rate of unbought pairs, [N]
    """

    features: FloatArray
    user: IntArray
    category: IntArray
    bought: BoolArray
    coupon: BoolArray
    log_rate: FloatArray

    @classmethod
    def of(cls, shop: Categories, cut: float) -> Self:
        """All pairs as of the cut, in days."""
        known = shop.log.before(cut)
        user = np.repeat(np.arange(known.num_users), known.num_items)
        category = np.tile(np.arange(known.num_items), known.num_users)
        following = shop.log.where((shop.log.day >= cut) & (shop.log.day < cut + HORIZON))
        columns = [
            pair_features(known, user, category),
            item_features(known)[category],
            *_of_coupons(known, user, category),
            _of_user(known)[user],
            *_of_products(shop, cut, user, category),
        ]
        labels = [part.binary_matrix().toarray().ravel() > 0 for part in (following, following.where(following.coupon))]
        return cls(np.hstack(columns).astype(np.float32), user, category, *labels, np.zeros(len(user), np.float32))

    def thinned(self, rate: float, rng: np.random.Generator) -> Self:
        """All bought pairs, and a random share of the others."""
        kept = self.bought | (rng.random(len(self.user)) < rate)
        log_rate = np.full(len(self.user), np.log(rate), np.float32)
        return replace(self.where(kept), log_rate=log_rate[kept])

    def where(self, kept: BoolArray) -> Self:
        """A subset of the pairs."""
        return type(self)(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, tables: Sequence[Self]) -> Self:
        """Concatenate pairs of several cuts."""
        return cls(*(np.concatenate([getattr(one, name) for one in tables]) for name in cls.__dataclass_fields__))


def _of_coupons(known: Interactions, user: IntArray, category: IntArray) -> Iterator[FloatArray]:
    """Coupon use by pair, user and category at three half-lives, and days since the last."""
    used = known.where(known.coupon)
    for half_life in _HALF_LIVES:
        weight, each = np.exp2(-used.age / half_life), np.exp2(-known.age / half_life)
        pair = used.matrix(weight).toarray().ravel()
        by_user, all_of_user = _sums(used.user, weight, known.user, each, known.num_users)
        by_category, all_of_category = _sums(used.item, weight, known.item, each, known.num_items)
        yield np.log1p(np.stack([pair, by_user[user], all_of_user[user], by_category[category]], axis=1))
        user_share, category_share = by_user / (all_of_user + 3), by_category / (all_of_category + 10)
        yield np.stack([user_share[user], category_share[category]], axis=1)
    code = used.user.astype(np.int64) * known.num_items + used.item
    yield _since(used.age, code, known.num_users * known.num_items)[:, None]
    yield _since(used.age, used.user, known.num_users)[user, None]
    yield _since(used.age, used.item, known.num_items)[category, None]


def _of_user(known: Interactions) -> FloatArray:
    """Days since the last visit, visit days of the last 56, categories of the last 90 days, and with coupons."""
    visits = np.unique(np.stack([known.user, np.floor(known.day)])[:, known.age <= 56], axis=1)[0]
    columns = [
        _since(known.age, known.user, known.num_users),
        np.log1p(np.bincount(visits.astype(int), minlength=known.num_users)),
        np.diff(known.where(known.age <= 90).binary_matrix().indptr),
        np.diff(known.where(known.coupon).binary_matrix().indptr),
    ]
    return np.stack(columns, axis=1)


def _of_products(shop: Categories, cut: float, user: IntArray, category: IntArray) -> Iterator[FloatArray]:
    """Money spent, coupons expected from the products that the user buys, and coupons used in the department."""
    known = shop.products.before(cut)
    used = known.where(known.coupon)
    shape = known.num_users, shop.log.num_items
    for half_life in (14.0, 60.0):
        share = np.bincount(used.item, np.exp2(-used.age / half_life), known.num_items) / (
            np.bincount(known.item, np.exp2(-known.age / half_life), known.num_items) + 2.0
        )
        expected = share[known.item] * np.exp2(-known.age / 120.0)
        yield np.log1p(_summed(known.user, shop.category[known.item], expected, shape))[:, None]
    spent = np.exp2(-known.age / 60.0) * known.value.clip(0)
    yield np.log1p(_summed(known.user, shop.category[known.item], spent, shape))[:, None]
    department = np.zeros(shop.log.num_items, int)
    inside = shop.category >= 0
    department[shop.category[inside]] = shop.department[inside]
    wide = known.num_users, shop.department.max() + 1
    by_department = _summed(used.user, shop.department[used.item], np.exp2(-used.age / 60.0), wide)
    yield np.log1p(by_department.reshape(wide)[user, department[category]])[:, None]


def _summed(user: IntArray, column: IntArray, weight: FloatArray, shape: tuple[int, int]) -> FloatArray:
    return np.bincount(user.astype(np.int64) * shape[1] + column, weight, shape[0] * shape[1])


def _sums(
    some: IntArray, weight: FloatArray, key: IntArray, each: FloatArray, size: int
) -> tuple[FloatArray, FloatArray]:
    return np.bincount(some, weight, size), np.bincount(key, each, size)


def _since(age: FloatArray, key: IntArray, size: int) -> FloatArray:
    """Log of the days since the last event of each key."""
    last = np.full(size, _NEVER_DAYS)
    np.minimum.at(last, key, age)
    return np.log1p(last)
