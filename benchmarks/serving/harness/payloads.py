"""Request bodies for load tests: lists, items to rank, and events, each from a seeded generator."""

import itertools
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.serving.harness.load import post

NUM_RANKED = 100
_PATH = re.compile(rb'"path": *"([a-z_]+)"')
_VERSION = re.compile(rb'"model_version": *"([0-9a-f]+)"')


def lists(users: Sequence[str], count: int, first: int = 0) -> Iterator[bytes]:
    """`count` requests for ten products, for one user after the other."""
    for number in range(first, first + count):
        yield list_of(users[number % len(users)])


def list_of(user: str) -> bytes:
    """A request for ten products."""
    return post("/recommend", {"user_id": user, "k": 10})


def rankings(users: Sequence[str], items: Sequence[str], count: int, seed: int) -> Iterator[bytes]:
    """`count` requests to rank 100 items, for users in random order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(users))
    for user in itertools.islice(itertools.cycle(order), count):
        chosen = rng.choice(len(items), NUM_RANKED, replace=False)
        given = [items[item] for item in chosen]
        yield post("/recommend", {"surface": "rank", "user_id": users[user], "items": given})


def events(
    users: Sequence[str], items: Sequence[str], each: int, seed: int, name: str = "bench"
) -> Iterator[dict[str, Any]]:
    """`each` current events for every user; `name` distinguishes their keys from those of other calls."""
    rng = np.random.default_rng(seed)
    for user in users:
        for index, item in enumerate(rng.choice(len(items), each, replace=False)):
            yield {
                "key": f"{name} {user} {index}",
                "user_id": user,
                "item_id": items[item],
                "event": ("view", "cart", "purchase")[int(rng.integers(3))],
                "timestamp": datetime.now(UTC).isoformat(),
            }


def batches(posted: Iterator[dict[str, Any]], size: int) -> Iterator[bytes]:
    """Requests that post the events in batches of `size`."""
    while batch := list(itertools.islice(posted, size)):
        yield post("/events", {"events": batch})


def strategy_of(body: bytes) -> str:
    """The ranking strategy that a response names, or "none"."""
    return _first_match(_PATH, body)


def version_of(body: bytes) -> str:
    """The model version that a response names, or "none"."""
    return _first_match(_VERSION, body)


def _first_match(pattern: re.Pattern[bytes], body: bytes) -> str:
    match = pattern.search(body)
    return match[1].decode() if match else "none"
