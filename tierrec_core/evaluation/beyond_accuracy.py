"""Audits beyond accuracy: exposure concentration, popularity bias, diversity, and differences between user groups."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.evaluation.bootstrap import ConfidenceInterval, bootstrap_by_group, percentile_interval
from tierrec_core.evaluation.metrics import coverage
from tierrec_core.evaluation.small_groups import disclosed_groups

_MAX_GROUPS = 12
_MIN_USERS, _MIN_HIDDEN = 20, 10


def exposure_gini(items: IntArray, num_items: int) -> float:
    """Gini index of item exposure in lists [U, k], -1 where empty.

    0: all items equally often; (I - 1) / I: always the same one; 0 for empty lists, too.
    """
    shown = np.sort(np.bincount(items[items >= 0], minlength=num_items))
    if shown.sum() == 0:
        return 0.0
    weight = 2 * np.arange(1, num_items + 1) - num_items - 1
    return float(weight @ shown / (num_items * shown.sum()))


def popularity_bias(items: IntArray, history: Interactions) -> dict[str, float]:
    """Mean popularity of the lists compared with their users' histories (Abdollahpouri et al., 2019).

    Popularity of an item is the percentile of its number of users, in 0..1. recommended: mean over lists
    [U, k]; own: mean over the events of the histories [U]; bias: the difference. Only users with both are included.
    """
    recommended, past = popularity_of_users(items, history)
    both = ~np.isnan(recommended + past)
    if not both.any():
        return {"recommended": 0.0, "own": 0.0, "bias": 0.0}
    mean, past_mean = float(recommended[both].mean()), float(past[both].mean())
    return {"recommended": mean, "own": past_mean, "bias": mean - past_mean}


def popularity_of_users(items: IntArray, history: Interactions) -> tuple[FloatArray, FloatArray]:
    """Mean popularity, as in `popularity_bias`, of each list and of each history; NaN where empty, [U] and [U]."""
    num_users = np.bincount(history.unique_pairs()[1], minlength=history.num_items)
    percentile = rankdata(num_users) / history.num_items
    listed = items >= 0
    recommended = _ratio(np.where(listed, percentile[items], 0.0).sum(axis=1), listed.sum(axis=1))
    total = np.bincount(history.user, percentile[history.item], minlength=history.num_users)
    return recommended, _ratio(total, np.bincount(history.user, minlength=history.num_users))


def diversity(items: IntArray, category: IntArray) -> float:
    """Mean over lists [U, k] of the share of item pairs whose categories [I] differ (Smyth & McClave, 2001).

    Lists of fewer than two items are left out; 0 if no list is longer.
    """
    shares = diversity_of_lists(items, category)
    valid = ~np.isnan(shares)
    return float(shares[valid].mean()) if valid.any() else 0.0


def diversity_of_lists(items: IntArray, category: IntArray) -> FloatArray:
    """The share of item pairs whose categories [I] differ in each list [U, k]; NaN below two items, [U]."""
    shown = items >= 0
    label = np.where(shown, category[items], -1)
    pair = np.triu(shown[:, :, None] & shown[:, None, :], k=1)
    differ = pair & (label[:, :, None] != label[:, None, :])
    return _ratio(differ.sum(axis=(1, 2)), pair.sum(axis=(1, 2)))


def exposure_by_group(
    items: IntArray, num_items: int, groups: tuple[IntArray, Sequence[str]], draws: int, rng: np.random.Generator
) -> dict[str, dict[str, ConfidenceInterval]]:
    """Coverage and exposure_gini of the lists [U, k] of each group, by the group's name.

    groups: of each user, [U], as an index into the names; groups without users are left out. Both
    figures depend on the number of lists. So that groups can be compared, they are means over samples without
    replacement, of half as many users as the smallest group has; the intervals contain 95% of the samples.
    """
    group, names = groups
    members = {name: np.flatnonzero(group == code) for code, name in enumerate(names)}
    members = {name: users for name, users in members.items() if len(users)}
    size = (min(map(len, members.values()), default=0) + 1) // 2
    exposure = {}
    for name, users in members.items():
        samples = [items[rng.choice(users, size, replace=False)] for _ in range(draws)]
        exposure[name] = {
            "coverage": _interval([coverage(lists, num_items, lists.shape[1]) for lists in samples]),
            "exposure_gini": _interval([exposure_gini(lists, num_items) for lists in samples]),
        }
    return exposure


def _interval(samples: Sequence[float]) -> ConfidenceInterval:
    return percentile_interval(float(np.mean(samples)), np.array(samples))


def mean_by_group(
    values: FloatArray, groups: tuple[IntArray, Sequence[str]], draws: int, rng: np.random.Generator
) -> Mapping[str, ConfidenceInterval]:
    """The mean of the values [U] in each group, without NaN; groups as in `exposure_by_group`."""
    known = ~np.isnan(values)
    return bootstrap_by_group(values[known], groups[0][known], groups[1], draws, rng)


def tier_adjusted(values: FloatArray, tier: IntArray) -> FloatArray:
    """Subtract the mean of all users of the same tier [E] from the values [E], to remove the effect of activity."""
    code = tier.astype(np.int64)
    count = np.maximum(np.bincount(code), 1)
    return values - (np.bincount(code, values) / count)[code]


def demographic_groups(
    values: FloatArray, user_ids: pd.Index, users: pd.DataFrame, draws: int, rng: np.random.Generator
) -> dict[str, dict[str, tuple[int, ConfidenceInterval]]]:
    """The mean of the values [E] of the users user_ids [E] in each group of each attribute of the USERS frame.

    Returns attribute -> group -> (number of users, interval). Attributes with one value or more than 12 are left out,
    and so are groups of fewer than 20 users, for which intervals are unreliable, and those that would tell theirs.
    """
    attributes = users.drop_duplicates("user_id").set_index("user_id").reindex(user_ids)
    return {
        str(name): groups
        for name, labels in attributes.items()
        if 1 < labels.nunique() <= _MAX_GROUPS and len(groups := _groups(values, labels, draws, rng)) > 1
    }


def _groups(
    values: FloatArray, labels: pd.Series, draws: int, rng: np.random.Generator
) -> dict[str, tuple[int, ConfidenceInterval]]:
    code, names = pd.factorize(labels.astype("string"), sort=True)
    size = np.bincount(code[code >= 0], minlength=len(names))
    shown = size >= _MIN_USERS
    shown[shown] = disclosed_groups(size[shown], _MIN_HIDDEN, ungrouped=len(code) - int(size[shown].sum()))
    group = np.where((code >= 0) & shown[code], code, -1)
    intervals = bootstrap_by_group(values, group, [str(name) for name in names], draws, rng)
    count = dict(zip(map(str, names), map(int, size), strict=True))
    return {name: (count[name], interval) for name, interval in intervals.items()}


def _ratio(total: FloatArray | IntArray, count: IntArray) -> FloatArray:
    """total / count, NaN where the count is 0."""
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))
