"""Learns by category whether users buy an item again, and after how many days it may be recommended again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol, Self

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeFloat

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import Params, Share


class Override(Protocol):
    """A configured rule for a category; None keeps the learned value."""

    @property
    def may_repeat(self) -> bool | None:
        """Whether a bought item may be recommended again; without wait_days, False hides it forever."""

    @property
    def wait_days(self) -> float | None:
        """For how many days a bought item is hidden; takes precedence over may_repeat."""


@dataclass(frozen=True)
class RepurchasePolicy:
    """Learned values of each category; the last entry of each array is for items without a known category.

    names: categories, sorted, [C]
    repeat_share: share of purchases in which a user bought an item again, shrunk towards the overall share, [C + 1]
    repeats: whether repeat_share reaches min_share, [C + 1]
    wait_days: the `quantile` of days between two purchases of one item, shrunk likewise, [C + 1]
    """

    names: tuple[str, ...]
    repeat_share: FloatArray
    repeats: BoolArray
    wait_days: FloatArray

    class Config(Params):
        """min_share: categories with fewer repeats are durable; quantile: share of repeats that come before wait_days.

        prior_purchases: weight of the overall values, in purchases; raise it for small logs.
        """

        min_share: Share = 0.05
        quantile: Annotated[float, Field(gt=0, lt=1)] = 0.05
        prior_purchases: NonNegativeFloat = 10.0

    @classmethod
    def fit(
        cls, history: Interactions, category: pd.Series, config: Config, target: tuple[str, ...] = ("purchase",)
    ) -> Self:
        """Count repeat purchases and the days between them; category: of each item, [I]. A basket counts once."""
        code, names = pd.factorize(category, sort=True)
        item, gap = _purchases(history.filter_events(*target))
        group = np.where(code < 0, len(names), code)[item]
        repeat = ~np.isnan(gap)
        purchases, repeats = (np.bincount(of, minlength=len(names) + 1) for of in (group, group[repeat]))
        by_category = pd.Series(gap[repeat]).groupby(group[repeat]).quantile(config.quantile)
        soonest = by_category.reindex(range(len(names) + 1), fill_value=0.0).to_numpy()
        overall = np.quantile(gap[repeat], config.quantile) if repeat.any() else 0.0
        prior, rate = config.prior_purchases, repeats / np.maximum(purchases, 1)
        share = _shrink(rate, purchases, repeats.sum() / max(len(item), 1), prior)
        wait = _shrink(soonest, repeats, float(overall), prior)
        return cls(tuple(map(str, names)), share, share >= config.min_share, wait)

    def waits(self, category: pd.Series, overrides: Mapping[str, Override]) -> FloatArray:
        """For how many days after its purchase an item of each category is hidden; inf = forever, [N].

        category: names, empty where there is none, [N]; overrides: by category.
        """
        learned = np.where(self.repeats, self.wait_days, np.inf)
        by_name = {name: float(days) for name, days in zip(self.names, learned, strict=False)}
        by_name |= dict(self._overridden(overrides))
        code, names = pd.factorize(category)
        by_code = np.array([*(by_name.get(str(name), learned[-1]) for name in names), learned[-1]])
        return by_code[code]

    def _overridden(self, overrides: Mapping[str, Override]) -> Iterator[tuple[str, float]]:
        """Days to wait of each category that has an override."""
        index_of = {name: index for index, name in enumerate(self.names)}
        for name, override in overrides.items():
            index = index_of.get(name, len(self.names))
            may_repeat = self.repeats[index] if override.may_repeat is None else override.may_repeat
            learned = self.wait_days[index] if may_repeat else np.inf
            yield name, float(learned if override.wait_days is None else override.wait_days)


def suppressed_items(waits: FloatArray, columns: IntArray, days: FloatArray) -> IntArray:
    """Distinct columns to hide, of items [N] bought `days` ago [N]; waits: in days, of every item, [I]."""
    return np.unique(columns[days < waits[columns]])


def _purchases(history: Interactions) -> tuple[IntArray, FloatArray]:
    """Each purchase's item, and the days since the same user last bought it; NaN for the first time, [P] and [P]."""
    order = np.lexsort((history.day, history.item, history.user))
    user, item, day, session = (column[order] for column in (history.user, history.item, history.day, history.session))
    same = (np.diff(user, prepend=-1) == 0) & (np.diff(item, prepend=-1) == 0)
    in_basket = same & (np.diff(session, prepend=-1) == 0)
    item, day, same = item[~in_basket], day[~in_basket], same[~in_basket]
    return item, np.where(same, np.diff(day, prepend=np.nan), np.nan)


def _shrink(values: FloatArray, count: IntArray, overall: float, prior: float) -> FloatArray:
    """Shrink each mean of `count` observations towards the overall value, which weighs as much as `prior` of them."""
    weight = count + prior
    total = np.where(weight > 0, values * count + overall * prior, overall)
    return total / np.where(weight > 0, weight, 1.0)
