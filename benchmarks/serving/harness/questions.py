"""What is asked under load: lists, sorted items, and events, each from a seeded generator."""

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
    """`count` requests for ten products, each by another user than the one before."""
    for number in range(first, first + count):
        yield list_of(users[number % len(users)])


def list_of(user: str) -> bytes:
    """A request for ten products."""
    return post("/recommend", {"user_id": user, "k": 10})


def rankings(users: Sequence[str], items: Sequence[str], count: int, seed: int) -> Iterator[bytes]:
    """`count` requests to sort 100 items; users and items differ."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(users))
    for user in itertools.islice(itertools.cycle(order), count):
        chosen = rng.choice(len(items), NUM_RANKED, replace=False)
        given = [items[item] for item in chosen]
        yield post("/recommend", {"surface": "rank", "user_id": users[user], "items": given})


def events(
    users: Sequence[str], items: Sequence[str], each: int, seed: int, name: str = "bench"
) -> Iterator[dict[str, Any]]:
    """`each` events of now for every user; `name` makes their keys differ from those of other calls."""
    rng = np.random.default_rng(seed)
    for user in users:
        for place, item in enumerate(rng.choice(len(items), each, replace=False)):
            yield {
                "key": f"{name} {user} {place}",
                "user_id": user,
                "item_id": items[item],
                "event": ("view", "cart", "purchase")[int(rng.integers(3))],
                "timestamp": datetime.now(UTC).isoformat(),
            }


def batches(posted: Iterator[dict[str, Any]], size: int) -> Iterator[bytes]:
    """The events as posts of `size` each."""
    while batch := list(itertools.islice(posted, size)):
        yield post("/events", {"events": batch})


def path_in(body: bytes) -> str:
    """Which rung of the ladder gave an answer."""
    return _found(_PATH, body)


def version_in(body: bytes) -> str:
    """Which model gave an answer."""
    return _found(_VERSION, body)


def _found(pattern: re.Pattern[bytes], body: bytes) -> str:
    found = pattern.search(body)
    return found[1].decode() if found else "none"
