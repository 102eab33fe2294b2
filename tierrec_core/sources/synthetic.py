"""Synthetic log with known tiers, interests and drift, as ground truth for estimates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, Event, FloatArray, IntArray
from tierrec_core.settings.data import SyntheticSource
from tierrec_core.sources.frames import SourceFrames

_WHERE = "synthetic"

TIER_SHARES = (0.4, 0.4, 0.2)
SESSIONS_PER_DAY = (0.05, 0.2, 0.7)
INTERESTS = (0.55, 0.2, 0.1)
VIEWS_PER_SESSION = 2.5

_FAVOURITES_PER_CATEGORY = 3
_FAVOURITE_SHARE = 0.6
_CART_SHARE = {"favourite": 0.8, "other": 0.4}
_BOUGHT_SHARE = 0.8
_COUPON_SHARE = 0.1
_COUPON_PRICE = 0.8
_REDEEM_SHARE = 0.4
_NUM_CAMPAIGNS = 3
_OPENS, _CLOSES, _DAY = 8 * 3600, 21 * 3600, 86400


@dataclass(frozen=True)
class SyntheticWorld:
    """A log and the parameters behind it; user u is row u of log.users, category c is categories[c].

    tiers: 0, 1 or 2 by ascending activity, [U]
    before, after: share of a user's views by category, before the drift day and from it on, [U, C]
    drifted: whether the user's interests change, [U]
    """

    log: SourceFrames
    categories: tuple[str, ...]
    tiers: IntArray
    before: FloatArray
    after: FloatArray
    drifted: BoolArray


@dataclass(frozen=True)
class _Catalogue:
    """Item slot s has category s % C, and rank s // C in its category's popularity; items maps slots to items."""

    frame: pd.DataFrame
    categories: tuple[str, ...]
    items: IntArray

    def draw(self, categories: IntArray, rng: np.random.Generator) -> IntArray:
        """Sample slots of the given categories; popularity rank r has a probability of about 1 / (r + 1)."""
        num_categories = len(self.categories)
        sizes = (len(self.items) - 1 - categories) // num_categories + 1
        ranks = np.floor((sizes + 1.0) ** rng.random(categories.shape)).astype(np.int64) - 1
        return np.minimum(ranks, sizes - 1) * num_categories + categories


def read_synthetic(source: SyntheticSource, _root: Path, seed: int) -> SourceFrames:
    """Make a synthetic log."""
    return make_synthetic_world(source, seed).log


def make_synthetic_world(source: SyntheticSource, seed: int) -> SyntheticWorld:
    """Make the log; deterministic for a source and seed.

    Each user has a tier, a few favourite categories, and in each category favourite items. From drift_day on, a share
    of drift_share of the users moves half of the top interest to the last category in their order of preference.
    """
    rng = np.random.default_rng(seed)
    catalogue = _catalogue(source, rng)
    midpoints = (np.arange(source.num_users) + 0.5) / source.num_users
    tiers = rng.permutation(np.searchsorted(np.cumsum(TIER_SHARES), midpoints))
    before, after, drifted = _interests(source, len(catalogue.categories), rng)
    views = _views(source, tiers, before, after, catalogue, rng)
    users = _users(source, rng)
    events = _events(views, rng)
    events["timestamp"] = pd.to_datetime(source.start, utc=True) + pd.to_timedelta(events.pop("second"), unit="s")
    log = SourceFrames.of(events, _with_campaigns(catalogue.frame), users, where=_WHERE)
    return SyntheticWorld(log, catalogue.categories, tiers, before, after, drifted)


def _names(prefix: str, count: int) -> list[str]:
    """Ids of equal width, so that text order is numeric order."""
    width = len(str(count - 1))
    return [f"{prefix}{number:0{width}}" for number in range(count)]


def _catalogue(source: SyntheticSource, rng: np.random.Generator) -> _Catalogue:
    num_items = source.num_items
    categories = _names("category ", min(source.num_categories, num_items))
    items = rng.permutation(num_items)
    category = np.empty(num_items, dtype=np.int64)
    category[items] = np.arange(num_items) % len(categories)
    brands = rng.integers(max(2, num_items // 20), size=num_items)
    level = rng.uniform(0.5, 3.5, len(categories))
    frame = pd.DataFrame(
        {
            "item_id": _names("i", num_items),
            "category": np.array(categories)[category],
            "brand": [f"brand {brand}" for brand in brands],
            "price": np.exp(level[category] + rng.normal(0, 0.3, num_items)).round(2),
        }
    )
    frame["title"] = frame["brand"].str.capitalize() + ", " + frame["category"] + ", " + frame["item_id"]
    return _Catalogue(frame, tuple(categories), items)


def _interests(
    source: SyntheticSource, num_categories: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Interests before and after the drift, [U, C] each, and whether the user drifts, [U]."""
    users = np.arange(source.num_users)
    preferred = rng.permuted(np.tile(np.arange(num_categories), (source.num_users, 1)), axis=1)
    top = INTERESTS[:num_categories]
    before = np.full(preferred.shape, (1 - sum(INTERESTS)) / num_categories)
    np.put_along_axis(before, preferred[:, : len(top)], before[0, 0] + np.array(top), axis=1)
    before /= before.sum(axis=1, keepdims=True)

    num_drifted = round(source.drift_share * source.num_users)
    drifts = source.drift_day is not None and num_categories > 1
    drifted = rng.permutation(source.num_users) < (num_drifted if drifts else 0)
    moved = np.where(drifted, before[users, preferred[:, 0]] / 2, 0.0)
    after = before.copy()
    after[users, preferred[:, 0]] -= moved
    after[users, preferred[:, -1]] += moved
    return before, after, drifted


def _views(
    source: SyntheticSource,
    tiers: IntArray,
    before: FloatArray,
    after: FloatArray,
    catalogue: _Catalogue,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """View events with seconds since the start, the price of the item and the campaign of its category."""
    num_sessions = np.maximum(1, rng.poisson(np.array(SESSIONS_PER_DAY)[tiers] * source.days))
    session_user = np.repeat(np.arange(source.num_users), num_sessions)
    session_start = rng.integers(source.days, size=len(session_user)) * _DAY
    session_start += rng.integers(_OPENS, _CLOSES, size=len(session_user))

    num_views = 1 + rng.poisson(VIEWS_PER_SESSION - 1, len(session_user))
    session = np.repeat(np.arange(len(session_user)), num_views)
    step = np.arange(len(session)) - np.repeat(np.cumsum(num_views) - num_views, num_views)
    user = session_user[session]
    drift_second = np.inf if source.drift_day is None else source.drift_day * _DAY
    late = session_start[session] >= drift_second
    category = _sample_categories(np.where(late[:, None], after[user], before[user]), rng)

    slot, favourite = _sample_items(user, category, before.shape, catalogue, rng)
    second = session_start[session] + 60 * step + rng.integers(20, size=len(user))
    items = catalogue.items[slot]
    return pd.DataFrame(
        {
            "user_id": np.array(_names("u", source.num_users), dtype=object)[user],
            "item_id": catalogue.frame["item_id"].to_numpy()[items],
            "event": Event.VIEW.value,
            "second": second,
            "session_id": "s" + pd.Series(session).astype(str),
            "channel": "web",
            "price": catalogue.frame["price"].to_numpy()[items],
            "campaign": slot % len(catalogue.categories) % _NUM_CAMPAIGNS,
            "favourite": favourite,
        }
    )


def _sample_items(
    user: IntArray, category: IntArray, shape: tuple[int, ...], catalogue: _Catalogue, rng: np.random.Generator
) -> tuple[IntArray, BoolArray]:
    """The slot of each view, and whether it was sampled from the user's favourites in the category."""
    categories = np.broadcast_to(np.arange(shape[1])[None, :, None], (*shape, _FAVOURITES_PER_CATEGORY))
    favourites = catalogue.draw(categories, rng)
    favourite = rng.random(len(user)) < _FAVOURITE_SHARE
    favourite_slot = favourites[user, category, rng.integers(_FAVOURITES_PER_CATEGORY, size=len(user))]
    return np.where(favourite, favourite_slot, catalogue.draw(category, rng)), favourite


def _sample_categories(shares: FloatArray, rng: np.random.Generator) -> IntArray:
    """A category for each row, sampled by the row's shares."""
    passed = np.cumsum(shares, axis=1) < rng.random((len(shares), 1))
    category: IntArray = np.minimum(passed.sum(axis=1), shares.shape[1] - 1)
    return category


def _events(views: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Some views lead to carts, most carts to purchases, and some coupons are redeemed.

    Views of a session are at least 40 seconds apart, and the events after a view have distinct times.
    """
    chance = np.where(views["favourite"], _CART_SHARE["favourite"], _CART_SHARE["other"])
    carts = _later(views[rng.random(len(views)) < chance], Event.CART)
    bought = _purchases(carts[rng.random(len(carts)) < _BOUGHT_SHARE], rng)
    coupons = bought[bought["channel"] == "coupon"]
    redeemed = _later(coupons[rng.random(len(coupons)) < _REDEEM_SHARE], Event.REDEEM)
    redeemed = redeemed.assign(item_id="campaign-" + redeemed["campaign"].astype(str), value=np.nan, quantity=np.nan)
    events = pd.concat([views, carts, bought, redeemed], ignore_index=True)
    return events.drop(columns=["price", "campaign", "favourite"])


def _purchases(carts: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    coupon = rng.random(len(carts)) < _COUPON_SHARE
    quantity = 1.0 + rng.binomial(2, 0.15, len(carts))
    paid = carts["price"] * quantity * np.where(coupon, _COUPON_PRICE, 1.0)
    channel = np.where(coupon, "coupon", "web")
    return _later(carts, Event.PURCHASE).assign(value=paid.round(2), quantity=quantity, channel=channel)


def _later(rows: pd.DataFrame, event: Event) -> pd.DataFrame:
    """Events 5 seconds after these rows."""
    return rows.assign(event=event.value, second=rows["second"] + 5)


def _users(source: SyntheticSource, rng: np.random.Generator) -> pd.DataFrame:
    """Ids, and an age and a region that do not influence the events."""
    return pd.DataFrame(
        {
            "user_id": _names("u", source.num_users),
            "age": rng.choice(["18-34", "35-54", "55+"], source.num_users),
            "region": rng.choice(["north", "south"], source.num_users, p=[0.7, 0.3]),
        }
    )


def _with_campaigns(items: pd.DataFrame) -> pd.DataFrame:
    rows = [(f"campaign-{number}", f"Campaign {number}", "campaign") for number in range(_NUM_CAMPAIGNS)]
    campaigns = pd.DataFrame(rows, columns=["item_id", "title", "category"])
    return pd.concat([items, campaigns], ignore_index=True)
