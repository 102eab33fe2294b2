"""Money in another unit or currency: the prices of many items change by one and the same factor."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeAlias

import numpy as np

from monitoring.drift.feed.catalogue import CatalogueSnapshot
from monitoring.drift.feed.comparison import FeedComparison, change_point
from monitoring.drift.feed.fault import FeedFault, format_day
from monitoring.drift.feed.feed_log import FeedLog
from tierrec_core.base.contracts import FloatArray, IntArray

ALL_EVENTS = "all events"
_BIN, _REACH = 0.02, 7.0  # of log price ratios
_SAME = 0.03  # log ratios up to this are the same price
_MIN_ROWS, _MIN_ITEMS, _MIN_PRICES = 200, 8, 3
_FLOOR = 0.12  # of the prices that were usual
_CATEGORY_FLOOR = 0.8  # a promotion changes the prices of many items of a category, a fault those of all
_NOISE = 1.5  # times one over the root of the rows: three standard errors of a share
_MIN_USUAL = 0.4  # of the prices
_MIN_CATALOGUE_CHANGE = 0.05  # median log ratio


def price_factors(comparison: FeedComparison) -> Iterator[FeedFault]:
    """A fault when a share of the rows, overall, of a channel or of a category, has prices times one factor."""
    excesses = [
        *comparison.excesses(partial(factor_shares, groupings=slice(2)), _FLOOR),
        *comparison.excesses(partial(factor_shares, groupings=slice(2, 3)), _CATEGORY_FLOOR),
    ]
    if not excesses:
        return
    overall = [excess for excess in excesses if excess.name == ALL_EVENTS]
    worst = (overall or excesses)[0]
    ratios = PriceRatios.of(comparison.before, comparison.after)
    factor, share = ratios.factors(slice(None))[worst.name]
    factor = ratios.refine(worst.name, factor)
    day = change_point(*ratios.daily(worst.name, factor))
    yield FeedFault.of(
        "price",
        "prices changed by one factor",
        f"{share:.0%} of the items' prices in {worst.name} are {factor:.4g} times those of the reference",
        f"under {worst.limit:.0%} at one factor",
        since=comparison.span.start + day,
        sure=worst.sure(),
    )


def catalogue_prices(now: CatalogueSnapshot, known: CatalogueSnapshot, cut: float) -> Iterator[FeedFault]:
    """A fault when the catalogue's prices of the same items changed by a common factor."""
    old, new = known.price, np.append(now.price, np.nan)[now.of_ids(known.items)]
    priced = (old > 0) & (new > 0)
    if priced.sum() < _MIN_ITEMS:
        return
    ratio = np.log(new[priced] / old[priced])
    middle = float(np.median(ratio))
    same = float((np.abs(ratio - middle) < _SAME).mean())
    if abs(middle) > _MIN_CATALOGUE_CHANGE and same > 0.5:
        yield FeedFault.of(
            "price",
            "the catalogue's prices changed by one factor",
            f"{same:.0%} of {priced.sum():,} known items cost {np.exp(middle):.4g} times as much",
            f"a median change under {np.expm1(_MIN_CATALOGUE_CHANGE):.0%}",
            since=f"some day after {format_day(cut)}",
            sure="certain: the same item ids have other prices",
        )


def factor_shares(before: FeedLog, after: FeedLog, groupings: slice) -> Mapping[str, float]:
    """By group of rows, the largest share of the usual prices that moved to one factor of them."""
    return {name: share for name, (_, share) in PriceRatios.of(before, after).factors(groupings).items()}


@dataclass(frozen=True)
class PriceRatios:
    """Log ratio of each row's price to the item's median in the earlier window, NaN where unknown, [N] each."""

    windows: tuple[FeedLog, FeedLog]
    ratios: tuple[FloatArray, FloatArray]

    @classmethod
    def of(cls, before: FeedLog, after: FeedLog) -> Self:
        """Compare two windows; items with few prices in the earlier one are left out."""
        priced = np.isfinite(before.unit_price)
        count = np.bincount(before.item[priced], minlength=len(before.items))
        usual = np.where(count >= _MIN_PRICES, np.log(before.item_prices), np.nan)
        old, new = (np.log(window.unit_price) - usual[window.item] for window in (before, after))
        return cls((before, after), (old, new))

    def factors(self, groupings: slice) -> dict[str, tuple[float, float]]:
        """By group, the factor other than one that gained most of the prices, and the share of the usual ones."""
        found = {}
        for names, codes in _groupings(self.windows)[groupings]:
            old, new = (
                _shares(ratio, code, window.item, len(names))
                for ratio, code, window in zip(self.ratios, codes, self.windows, strict=True)
            )
            same = np.abs(_CENTRES) <= _SAME + _BIN
            usual = np.maximum(old[:, same].max(axis=1), _MIN_USUAL)
            rows = np.bincount(codes[1][np.isfinite(self.ratios[1]) & (codes[1] >= 0)], minlength=len(names))
            noise = _NOISE / np.sqrt(np.maximum(rows, 1))
            gained = np.where(same, 0.0, new - old - noise[:, None]) / usual[:, None]
            best = gained.argmax(axis=1)
            for group in np.flatnonzero(np.isfinite(gained[:, 0])):
                found[names[group]] = float(np.exp(_CENTRES[best[group]])), float(gained[group, best[group]])
        return found

    def refine(self, name: str, factor: float) -> float:
        """The median factor of the group's rows near this one."""
        names, (_, code) = next(grouping for grouping in _groupings(self.windows) if name in grouping[0])
        near = (code == names.index(name)) & (np.abs(self.ratios[1] - np.log(factor)) < 1.5 * _BIN)
        return float(np.exp(np.median(self.ratios[1][near])))

    def daily(self, name: str, factor: float) -> tuple[FloatArray, FloatArray]:
        """Share of the group's rows at this factor, by day of both windows."""
        names, codes = next(grouping for grouping in _groupings(self.windows) if name in grouping[0])
        before, after = (
            window.daily((code == names.index(name)) & (np.abs(ratio - np.log(factor)) < _SAME))
            / np.maximum(window.daily(code == names.index(name)), 1)
            for window, ratio, code in zip(self.windows, self.ratios, codes, strict=True)
        )
        return before, after


_EDGES = np.arange(-_REACH, _REACH + _BIN / 2, _BIN)
_CENTRES = (_EDGES[1:] + _EDGES[:-1]) / 2


def _shares(ratio: FloatArray, group: IntArray, item: IntArray, num_groups: int) -> FloatArray:
    """Mean over a group's items of the share of rows within a bin and its neighbours, [G, B].

    NaN for a group with too few rows or items.
    """
    known = np.isfinite(ratio) & (group >= 0)
    ratio, group, item = ratio[known], group[known], item[known]
    rows = np.bincount(group, minlength=num_groups)
    pair, inverse, count = np.unique(group * (item.max(initial=0) + 1) + item, return_inverse=True, return_counts=True)
    items = np.bincount(pair // (item.max(initial=0) + 1), minlength=num_groups)
    bins = np.clip(((ratio + _REACH) / _BIN).astype(np.int64), 0, len(_CENTRES) - 1)
    cells = np.bincount(group * len(_CENTRES) + bins, 1 / count[inverse], minlength=num_groups * len(_CENTRES))
    share = cells.reshape(num_groups, len(_CENTRES)) / np.maximum(items, 1)[:, None]
    wide = np.pad(share, ((0, 0), (1, 1)))
    smooth: FloatArray = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    smooth[(rows < _MIN_ROWS) | (items < _MIN_ITEMS)] = np.nan
    return smooth


Grouping: TypeAlias = tuple[list[str], tuple[IntArray, IntArray]]


def _groupings(windows: tuple[FeedLog, FeedLog]) -> list[Grouping]:
    """All events, channels and categories: names of the groups, and each row's group in both windows."""
    before, after = windows
    whole = np.zeros(before.num_rows, np.int64), np.zeros(after.num_rows, np.int64)
    return [
        ([ALL_EVENTS], whole),
        ([f"channel {name!r}" for name in after.channels], (before.channel, after.channel)),
        ([f"category {name!r}" for name in after.categories], (before.category, after.category)),
    ]
