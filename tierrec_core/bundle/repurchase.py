"""Whether, and how soon, people buy the same thing again, by category: milk comes back in a week, a fridge does not."""

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
    """What a person says of a category; None leaves what was learned."""

    @property
    def may_repeat(self) -> bool | None:
        """Whether what was bought may come again; without wait_days, False hides it for good."""

    @property
    def wait_days(self) -> float | None:
        """For how many days what was bought is hidden, whatever may_repeat says."""


@dataclass(frozen=True)
class RenewalPolicy:
    """What was learned of each category; the last place of each array stands for items of no known category.

    names: categories, sorted, [C]
    repeat_share: share of the purchases in which a user bought an item again, drawn to the overall share, [C + 1]
    repeats: whether that is enough for a category whose items are bought again, [C + 1]
    wait_days: days between two purchases of one item that only the soonest fall short of, drawn likewise, [C + 1]
    """

    names: tuple[str, ...]
    repeat_share: FloatArray
    repeats: BoolArray
    wait_days: FloatArray

    class Config(Params):
        """min_share: categories with fewer repeats are durable; quantile: the share of renewals that may come sooner.

        prior_purchases: how many purchases at the overall figures each category begins with; raise it for few data.
        """

        min_share: Share = 0.05
        quantile: Annotated[float, Field(gt=0, lt=1)] = 0.05
        prior_purchases: NonNegativeFloat = 10.0

    @classmethod
    def fit(
        cls,
        history: Interactions,
        category: pd.Series,
        config: Config,
        target: tuple[str, ...] = ("purchase",),
    ) -> Self:
        """Look at who bought what again, and when. category describes the items, [I]; a basket counts once."""
        code, names = pd.factorize(category, sort=True)
        bought, pause = _purchases(history.filter_events(*target))
        place = np.where(code < 0, len(names), code)[bought]
        again = ~np.isnan(pause)
        purchases, repeats = (np.bincount(one, minlength=len(names) + 1) for one in (place, place[again]))
        by_category = pd.Series(pause[again]).groupby(place[again]).quantile(config.quantile)
        soon = by_category.reindex(range(len(names) + 1), fill_value=0.0).to_numpy()
        overall = np.quantile(pause[again], config.quantile) if again.any() else 0.0
        prior, often = config.prior_purchases, repeats / np.maximum(purchases, 1)
        share = _shrunk(often, purchases, repeats.sum() / max(len(bought), 1), prior)
        wait = _shrunk(soon, repeats, float(overall), prior)
        return cls(tuple(map(str, names)), share, share >= config.min_share, wait)

    def waits(self, category: pd.Series, overrides: Mapping[str, Override]) -> FloatArray:
        """For how many days after its purchase an item of each category is not shown; inf = never again, [N].

        category: names, empty where there is none, [N]; overrides: by category.
        """
        learned = np.where(self.repeats, self.wait_days, np.inf)
        known = {name: float(days) for name, days in zip(self.names, learned, strict=False)}
        known |= dict(self._overridden(overrides))
        code, found = pd.factorize(category)
        by_code = np.array([*(known.get(str(name), learned[-1]) for name in found), learned[-1]])
        waits: FloatArray = by_code[code]
        return waits

    def _overridden(self, overrides: Mapping[str, Override]) -> Iterator[tuple[str, float]]:
        """Days of waiting of the categories of which somebody has said something."""
        place = {name: number for number, name in enumerate(self.names)}
        for name, one in overrides.items():
            number = place.get(name, len(self.names))
            may_repeat = self.repeats[number] if one.may_repeat is None else one.may_repeat
            learned = self.wait_days[number] if may_repeat else np.inf
            yield name, float(learned if one.wait_days is None else one.wait_days)


def suppressed(waits: FloatArray, columns: IntArray, days: FloatArray) -> IntArray:
    """Distinct columns that may not be shown: what was bought `days` ago, [N] and [N], and must wait, waits [I]."""
    return np.unique(columns[days < waits[columns]])


def _purchases(history: Interactions) -> tuple[IntArray, FloatArray]:
    """Each purchase's item, and the days since the same user last bought it; NaN for the first time, [P] and [P]."""
    order = np.lexsort((history.day, history.item, history.user))
    user, item, day, session = (
        one[order] for one in (history.user, history.item, history.day, history.session)
    )
    same = (np.diff(user, prepend=-1) == 0) & (np.diff(item, prepend=-1) == 0)
    in_basket = same & (np.diff(session, prepend=-1) == 0)
    user, item, day, same = (one[~in_basket] for one in (user, item, day, same))
    return item, np.where(same, np.diff(day, prepend=np.nan), np.nan)


def _shrunk(values: FloatArray, count: IntArray, overall: float, prior: float) -> FloatArray:
    """Each mean of `count` observations, as if `prior` more of the overall value had been seen."""
    weight = count + prior
    known = np.where(weight > 0, values * count + overall * prior, overall)
    shrunk: FloatArray = known / np.where(weight > 0, weight, 1.0)
    return shrunk
