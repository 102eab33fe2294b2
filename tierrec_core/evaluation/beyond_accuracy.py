"""What accuracy does not show: concentration, popularity bias, variety, and who is served worse."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.evaluation.bootstrap import Interval, by_group
from tierrec_core.evaluation.metrics import coverage

_MOST_GROUPS = 12
_FEWEST_USERS = 20


def exposure_gini(items: IntArray, num_items: int) -> float:
    """Gini index of how often each item of the catalogue is shown in lists [U, k], -1 where empty.

    0: all items equally often; (I - 1) / I: always the same one. 0 too when nothing is shown.
    """
    shown = np.sort(np.bincount(items[items >= 0], minlength=num_items))
    if shown.sum() == 0:
        return 0.0
    weight = 2 * np.arange(1, num_items + 1) - num_items - 1
    return float(weight @ shown / (num_items * shown.sum()))


def popularity_bias(items: IntArray, history: Interactions) -> dict[str, float]:
    """How popular the lists are beside what their users buy by themselves (Abdollahpouri et al., 2019).

    Popularity of an item is the percentile of its number of users, in 0..1. recommended: mean over lists
    [U, k]; own: mean over the events of the histories [U]; bias: the difference. Over users who have both.
    """
    recommended, own = popularity_of_users(items, history)
    both = ~np.isnan(recommended + own)
    if not both.any():
        return {"recommended": 0.0, "own": 0.0, "bias": 0.0}
    shown, bought = float(recommended[both].mean()), float(own[both].mean())
    return {"recommended": shown, "own": bought, "bias": shown - bought}


def popularity_of_users(items: IntArray, history: Interactions) -> tuple[FloatArray, FloatArray]:
    """The mean popularity, as in `popularity_bias`, of each list and of each history; NaN where empty, [U] and [U]."""
    buyers = np.bincount(history.unique_pairs()[1], minlength=history.num_items)
    percentile = rankdata(buyers) / history.num_items
    recommended = _row_means(np.where(items >= 0, percentile[items], np.nan))
    count = np.bincount(history.user, minlength=history.num_users)
    total = np.bincount(history.user, percentile[history.item], minlength=history.num_users)
    return recommended, np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def diversity(items: IntArray, category: IntArray) -> float:
    """Mean over lists [U, k] of the share of item pairs of two categories [I] (Smyth & McClave, 2001).

    Lists of fewer than two items are left out; 0 when none is longer.
    """
    found = diversity_of_lists(items, category)
    several = ~np.isnan(found)
    return float(found[several].mean()) if several.any() else 0.0


def diversity_of_lists(items: IntArray, category: IntArray) -> FloatArray:
    """The share of item pairs of two categories [I] in each list [U, k]; NaN below two items, [U]."""
    label = np.where(items >= 0, category[items], -1)
    shown = items >= 0
    pair = np.triu(shown[:, :, None] & shown[:, None, :], k=1)
    differ = pair & (label[:, :, None] != label[:, None, :])
    pairs, different = pair.sum(axis=(1, 2)), differ.sum(axis=(1, 2))
    shares: FloatArray = np.divide(different, pairs, out=np.full(len(items), np.nan), where=pairs > 0)
    return shares


def exposure_by_group(
    items: IntArray,
    num_items: int,
    groups: tuple[IntArray, Sequence[str]],
    draws: int,
    rng: np.random.Generator,
) -> dict[str, dict[str, Interval]]:
    """How evenly each group is shown the catalogue in lists [U, k]: coverage and exposure_gini by the group's name.

    groups: of each user, [U], as an index into the names that come with it; groups without users are left out. Few
    lists show few items, whoever sees them. So that groups can be compared, both figures are means over samples of
    half as many users as the smallest group has, no user twice; the intervals hold 95% of the samples.
    """
    group, names = groups
    members = {name: np.flatnonzero(group == code) for code, name in enumerate(names)}
    members = {name: users for name, users in members.items() if len(users)}
    size = (min(map(len, members.values()), default=0) + 1) // 2
    found = {}
    for name, users in members.items():
        drawn = [items[rng.choice(users, size, replace=False)] for _ in range(draws)]
        found[name] = {
            "coverage": _spread([coverage(lists, num_items, lists.shape[1]) for lists in drawn]),
            "exposure_gini": _spread([exposure_gini(lists, num_items) for lists in drawn]),
        }
    return found


def _spread(values: Sequence[float]) -> Interval:
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(float(np.mean(values)), float(low), float(high))


def known_by_group(
    values: FloatArray, groups: tuple[IntArray, Sequence[str]], draws: int, rng: np.random.Generator
) -> Mapping[str, Interval]:
    """The mean of values [U] in each group, over users for whom there is one; groups as in `exposure_by_group`."""
    known = ~np.isnan(values)
    return by_group(values[known], groups[0][known], groups[1], draws, rng)


def beside_tier(values: FloatArray, tier: IntArray) -> FloatArray:
    """Values [E] less the mean of all users of the same tier [E]: what a group gains or loses that its activity does
    not explain."""
    code = tier.astype(np.int64)
    count = np.maximum(np.bincount(code), 1)
    gap: FloatArray = values - (np.bincount(code, values) / count)[code]
    return gap


def demographic_groups(
    values: FloatArray, user_ids: pd.Index, users: pd.DataFrame, draws: int, rng: np.random.Generator
) -> dict[str, dict[str, tuple[int, Interval]]]:
    """The mean of values [E] of the users user_ids [E] in each group of each attribute of the USERS frame.

    Gives attribute -> group -> (users, interval). Attributes of one or more than 12 values are left out, and
    so are groups of fewer than 20 users, over whom no interval could be trusted.
    """
    return {
        attribute: groups
        for attribute, labels in _attributes(user_ids, users)
        if len(groups := _groups(values, labels, draws, rng)) > 1
    }


def _attributes(user_ids: pd.Index, users: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    known = users.drop_duplicates("user_id").set_index("user_id").reindex(user_ids)
    for attribute in known.columns:
        if 1 < known[attribute].nunique() <= _MOST_GROUPS:
            yield str(attribute), known[attribute]


def _groups(
    values: FloatArray, labels: pd.Series, draws: int, rng: np.random.Generator
) -> dict[str, tuple[int, Interval]]:
    code, names = pd.factorize(labels.astype("string"), sort=True)
    size = np.bincount(code[code >= 0], minlength=len(names))
    kept = np.where((code >= 0) & (size[code] >= _FEWEST_USERS), code, -1)
    found = by_group(values, kept, [str(name) for name in names], draws, rng)
    count = dict(zip(map(str, names), map(int, size), strict=True))
    return {name: (count[name], one) for name, one in found.items()}


def _row_means(values: FloatArray) -> FloatArray:
    """Mean of each row without its NaN; NaN for a row of nothing else."""
    there = ~np.isnan(values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    means: FloatArray = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return means
