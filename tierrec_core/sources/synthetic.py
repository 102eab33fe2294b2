"""A made shop whose tiers, interests and drift are known, so that what is estimated can be held against the truth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, Event, FloatArray, IntArray
from tierrec_core.settings import SyntheticSource
from tierrec_core.sources.frames import SourceFrames

_WHERE = "synthetic"

TIER_SHARES = (0.4, 0.4, 0.2)
SESSIONS_PER_DAY = (0.05, 0.2, 0.7)
INTERESTS = (0.55, 0.2, 0.1)
LOOKS_PER_SESSION = 2.5

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
    """A log and the truth behind it; user u is row u of log.users, category c is categories[c].

    tiers: 0 light, 1 medium, 2 heavy, [U]
    before, after: share of a user's looks that goes to a category, up to the drift day and from it on, [U, C]
    drifted: whose interests moved, [U]
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
        """Slots of the given categories; the item of popularity rank r is drawn about as often as 1 / (r + 1)."""
        num_categories = len(self.categories)
        sizes = (len(self.items) - 1 - categories) // num_categories + 1
        ranks = np.floor((sizes + 1.0) ** rng.random(categories.shape)).astype(np.int64) - 1
        return np.minimum(ranks, sizes - 1) * num_categories + categories


def read_synthetic(source: SyntheticSource, seed: int) -> SourceFrames:
    """The log of the world, without the truth."""
    return make_synthetic_world(source, seed).log


def make_synthetic_world(source: SyntheticSource, seed: int) -> SyntheticWorld:
    """Make the world; the same source and seed give the same bytes.

    Each user has a tier, a few favourite categories, and in each category favourite items to which they return.
    From drift_day on, drift_share of the users give half of their top interest to their least liked category.
    """
    rng = np.random.default_rng(seed)
    catalogue = _catalogue(source, rng)
    tiers = rng.permutation(np.searchsorted(np.cumsum(TIER_SHARES), _midpoints(source.num_users)))
    before, after, drifted = _interests(source, len(catalogue.categories), rng)
    looks = _looks(source, tiers, before, after, catalogue, rng)
    users = _users(source, rng)
    events = _events(source, looks, catalogue, users["user_id"].to_numpy(), rng)
    log = SourceFrames.of(events, _with_campaigns(catalogue.frame), users, where=_WHERE)
    return SyntheticWorld(log, catalogue.categories, tiers, before, after, drifted)


def _midpoints(count: int) -> FloatArray:
    return (np.arange(count) + 0.5) / count


def _names(prefix: str, count: int) -> list[str]:
    """Ids of one width, so that their order as text is their order as numbers."""
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
    """Interests before and after the drift, [U, C] each, and who drifted, [U]."""
    users = np.arange(source.num_users)
    liked = rng.permuted(np.tile(np.arange(num_categories), (source.num_users, 1)), axis=1)
    top = INTERESTS[:num_categories]
    before = np.full(liked.shape, (1 - sum(INTERESTS)) / num_categories)
    np.put_along_axis(before, liked[:, : len(top)], before[0, 0] + np.array(top), axis=1)
    before /= before.sum(axis=1, keepdims=True)

    num_drifted = round(source.drift_share * source.num_users)
    drifts = source.drift_day is not None and num_categories > 1
    drifted = rng.permutation(source.num_users) < (num_drifted if drifts else 0)
    moved = np.where(drifted, before[users, liked[:, 0]] / 2, 0.0)
    after = before.copy()
    after[users, liked[:, 0]] -= moved
    after[users, liked[:, -1]] += moved
    return before, after, drifted


def _looks(
    source: SyntheticSource,
    tiers: IntArray,
    before: FloatArray,
    after: FloatArray,
    catalogue: _Catalogue,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """One row for each time that a user looks at an item: user, session, second since the start, slot, favourite."""
    num_sessions = np.maximum(1, rng.poisson(np.array(SESSIONS_PER_DAY)[tiers] * source.days))
    session_user = np.repeat(np.arange(source.num_users), num_sessions)
    session_start = rng.integers(source.days, size=len(session_user)) * _DAY
    session_start += rng.integers(_OPENS, _CLOSES, size=len(session_user))

    num_looks = 1 + rng.poisson(LOOKS_PER_SESSION - 1, len(session_user))
    session = np.repeat(np.arange(len(session_user)), num_looks)
    step = np.arange(len(session)) - np.repeat(np.cumsum(num_looks) - num_looks, num_looks)
    user = session_user[session]
    drift_second = np.inf if source.drift_day is None else source.drift_day * _DAY
    late = session_start[session] >= drift_second
    category = _draw_categories(np.where(late[:, None], after[user], before[user]), rng)

    slot, favourite = _choose(user, category, before.shape, catalogue, rng)
    second = session_start[session] + 60 * step + rng.integers(20, size=len(user))
    return pd.DataFrame({"user": user, "session": session, "second": second, "slot": slot, "favourite": favourite})


def _choose(
    user: IntArray, category: IntArray, shape: tuple[int, ...], catalogue: _Catalogue, rng: np.random.Generator
) -> tuple[IntArray, BoolArray]:
    """The slot that each look falls on, and whether it was drawn among the user's favourites there."""
    every = np.broadcast_to(np.arange(shape[1])[None, :, None], (*shape, _FAVOURITES_PER_CATEGORY))
    favourites = catalogue.draw(every, rng)
    favourite = rng.random(len(user)) < _FAVOURITE_SHARE
    own = favourites[user, category, rng.integers(_FAVOURITES_PER_CATEGORY, size=len(user))]
    return np.where(favourite, own, catalogue.draw(category, rng)), favourite


def _draw_categories(shares: FloatArray, rng: np.random.Generator) -> IntArray:
    """One category a row, drawn by the row's shares."""
    passed = np.cumsum(shares, axis=1) < rng.random((len(shares), 1))
    category: IntArray = np.minimum(passed.sum(axis=1), shares.shape[1] - 1)
    return category


def _events(
    source: SyntheticSource, looks: pd.DataFrame, catalogue: _Catalogue, user_ids: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Each look is a view; some become carts, most carts purchases, and some coupons are redeemed.

    Looks of a session are at least 40 seconds apart, and what follows a look has times of its own: no rows are equal.
    """
    views = _views(looks, catalogue, user_ids)
    chance = np.where(looks["favourite"], _CART_SHARE["favourite"], _CART_SHARE["other"])
    carts = _later(views[rng.random(len(views)) < chance], Event.CART, 5)
    bought = _purchases(carts[rng.random(len(carts)) < _BOUGHT_SHARE], rng)
    coupons = bought[bought["channel"] == "coupon"]
    redeemed = _later(coupons[rng.random(len(coupons)) < _REDEEM_SHARE], Event.REDEEM, 5)
    redeemed = redeemed.assign(item_id="campaign-" + redeemed["campaign"].astype(str), value=np.nan, quantity=np.nan)
    events = pd.concat([views, carts, bought, redeemed], ignore_index=True)
    events["timestamp"] = _instant(source) + pd.to_timedelta(events["second"], unit="s")
    return events.drop(columns=["second", "price", "campaign"])


def _views(looks: pd.DataFrame, catalogue: _Catalogue, user_ids: np.ndarray) -> pd.DataFrame:
    """The looks as view events, with the price of the item and the campaign that covers its category."""
    items = catalogue.items[looks["slot"]]
    return pd.DataFrame(
        {
            "user_id": user_ids[looks["user"]],
            "item_id": catalogue.frame["item_id"].to_numpy()[items],
            "event": Event.VIEW.value,
            "second": looks["second"],
            "session_id": "s" + looks["session"].astype(str),
            "channel": "web",
            "price": catalogue.frame["price"].to_numpy()[items],
            "campaign": looks["slot"] % len(catalogue.categories) % _NUM_CAMPAIGNS,
        }
    )


def _purchases(carts: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    coupon = rng.random(len(carts)) < _COUPON_SHARE
    quantity = 1.0 + rng.binomial(2, 0.15, len(carts))
    paid = carts["price"] * quantity * np.where(coupon, _COUPON_PRICE, 1.0)
    channel = np.where(coupon, "coupon", "web")
    return _later(carts, Event.PURCHASE, 5).assign(value=paid.round(2), quantity=quantity, channel=channel)


def _later(rows: pd.DataFrame, event: Event, seconds: int) -> pd.DataFrame:
    return rows.assign(event=event.value, second=rows["second"] + seconds)


def _instant(source: SyntheticSource) -> pd.Timestamp:
    start = pd.Timestamp(source.start)
    return start.tz_localize("UTC") if start.tzinfo is None else start.tz_convert("UTC")


def _users(source: SyntheticSource, rng: np.random.Generator) -> pd.DataFrame:
    """Ids, and an age and a region that have no bearing on what a user does."""
    return pd.DataFrame(
        {
            "user_id": _names("u", source.num_users),
            "age": rng.choice(["18-34", "35-54", "55+"], source.num_users),
            "region": rng.choice(["north", "south"], source.num_users, p=[0.7, 0.3]),
        }
    )


def _with_campaigns(items: pd.DataFrame) -> pd.DataFrame:
    numbers = range(_NUM_CAMPAIGNS)
    campaigns = pd.DataFrame(
        {
            "item_id": [f"campaign-{number}" for number in numbers],
            "title": [f"Campaign {number}" for number in numbers],
            "category": "campaign",
        }
    )
    return pd.concat([items, campaigns], ignore_index=True)
