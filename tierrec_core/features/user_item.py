"""Features of users, items and user-item pairs, for models that score pairs rather than the catalogue."""

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.tiers import Tiering

_HALF_LIVES = (7.0, 30.0, 120.0)
_NEVER_DAYS = 1000.0


def item_features(history: Interactions) -> FloatArray:
    """Log events, log recent events, trend, log users and coupon share of each item, [I, 5].

    A fitted model stores them, since they need the complete log.
    """
    size = history.num_items
    events = np.bincount(history.item, minlength=size)
    recent = np.bincount(history.item, np.exp2(-history.age / 14.0), minlength=size)
    users = np.bincount(history.unique_pairs()[1], minlength=size)
    coupons = np.bincount(history.item, history.coupon, minlength=size)
    trend = np.log1p(recent) - np.log1p(np.bincount(history.item, np.exp2(-history.age / 56.0), minlength=size))
    columns = [np.log1p(events), np.log1p(recent), trend, np.log1p(users), coupons / (events + 10.0)]
    return np.stack(columns, axis=1).astype(np.float32)


def user_features(history: Interactions, tiering: Tiering) -> FloatArray:
    """Log events, log recent events, log days since the last, coupon share, one-hot tier, interests, [U, 4 + T + J]."""
    size = history.num_users
    events = np.bincount(history.user, minlength=size)
    recent = np.bincount(history.user, np.exp2(-history.age / 28.0), minlength=size)
    last = np.full(size, _NEVER_DAYS)
    np.minimum.at(last, history.user, history.age)
    coupons = np.bincount(history.user, history.coupon, minlength=size)
    columns = [np.log1p(events), np.log1p(recent), np.log1p(last), 10 * coupons / (events + 10.0)]
    tier = np.eye(len(tiering.names))[tiering.assign(history)]
    return np.hstack([np.stack(columns, axis=1), tier, tiering.interests_of(history)]).astype(np.float32)


def pair_features(history: Interactions, user: IntArray, item: IntArray) -> FloatArray:
    """Each user's earlier events with the item, for pairs (user [N], item [N]), [N, 8].

    Decayed counts at three half-lives, log count, 1 / (1 + days) since the last and the first event, how overdue
    the item is (log of days since the last event over the mean interval), and ten times its share of the user's
    events. All are 0 for a pair without events.
    """
    size = np.int64(history.num_items)
    known, pair = np.unique(history.user * size + history.item, return_inverse=True)
    count = np.bincount(pair, minlength=len(known))
    last, first = np.full(len(known), np.inf), np.zeros(len(known))
    np.minimum.at(last, pair, history.age)
    np.maximum.at(first, pair, history.age)
    decayed = [np.log1p(np.bincount(pair, np.exp2(-history.age / days), len(known))) for days in _HALF_LIVES]
    interval = (first - last) / np.maximum(count - 1, 1)
    overdue = np.where(count > 1, np.log1p(last) - np.log1p(interval), 0.0)
    share = count / np.maximum(np.diff(history.offsets)[known // size], 1)
    columns = [*decayed, np.log1p(count), 1 / (1 + last), 1 / (1 + first), overdue, 10 * share]
    table = np.vstack([np.stack(columns, axis=1), np.zeros((1, len(columns)))]).astype(np.float32)
    code = user * size + item
    position = np.searchsorted(known, code)
    has_events = np.append(known, -1)[position] == code
    return table[np.where(has_events, position, -1)]
