"""A fault of the feed: what it is, since when, how sure, whom to ask, and what training on it would do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from tierrec_core.data.interactions import from_days
from tierrec_core.settings.loop import FaultKind


@dataclass(frozen=True)
class FaultAdvice:
    """Whom to ask about a kind of fault, and what a model that is trained on it would do."""

    ask: str
    harm: str


_TRACKING, _CATALOGUE, _IDENTITY = "the tracking team", "the catalogue team", "the identity or CRM team"
_FORGETS = "the model forgets what is missing"
ADVICE: Mapping[FaultKind, FaultAdvice] = {
    "empty": FaultAdvice(_TRACKING, "there is nothing to learn from"),
    "stale": FaultAdvice(_TRACKING, "lists ignore what users did since"),
    "missing_days": FaultAdvice(_TRACKING, _FORGETS),
    "unlabelled": FaultAdvice(_CATALOGUE, "category limits and interest layers ignore these items"),
    "collapse": FaultAdvice(_TRACKING, "users look less active, and fall into lower tiers"),
    "lost_events": FaultAdvice(_TRACKING, "tasks on these events lose their labels"),
    "duplicates": FaultAdvice(_TRACKING, "repeated events count as repeated interest"),
    "near_duplicates": FaultAdvice(_TRACKING, "events sent twice count as repeated interest"),
    "event_ratio": FaultAdvice(_TRACKING, "conversion, and the weight of each kind of event, are learned wrongly"),
    "bots": FaultAdvice("the security or platform team", "lists recommend what machines request"),
    "taxonomy": FaultAdvice(_CATALOGUE, "interests in the old categories are lost"),
    "relisting": FaultAdvice(_CATALOGUE, "the items lose their history and are treated as new"),
    "price": FaultAdvice("the pricing or payments team", "tiers and values are computed in a wrong unit"),
    "lost_category": FaultAdvice("the catalogue or integration team", "the category is no longer recommended"),
    "lost_channel": FaultAdvice("the team of the channel or its integration", _FORGETS),
    "clock": FaultAdvice(_TRACKING, "order, sessions and recency of events are wrong"),
    "rekeyed_users": FaultAdvice(_IDENTITY, "users lose their histories and are treated as new"),
    "lost_users": FaultAdvice(_IDENTITY, "these users look as if they had churned"),
}


@dataclass(frozen=True)
class FeedFault:
    """A data fault, with the observed and the expected value.

    kind: key of ADVICE; since: its first day, YYYY-MM-DD, or words; sure: the evidence; each is empty where unknown
    """

    what: str
    found: str
    wanted: str
    kind: str = ""
    since: str = ""
    sure: str = ""
    ask: str = ""
    harm: str = ""

    @classmethod
    def of(
        cls, kind: FaultKind, what: str, found: str, wanted: str, *, since: float | str = "", sure: str = ""
    ) -> Self:
        """A fault with the advice of its kind; since: a day since 1970 UTC, or words."""
        day = since if isinstance(since, str) else format_day(since)
        return cls(what, found, wanted, kind, day, sure, ADVICE[kind].ask, ADVICE[kind].harm)

    def sentence(self) -> str:
        """The fault in one line."""
        parts = (("since ", self.since), ("", self.sure), ("ask ", self.ask), ("if it were trained on: ", self.harm))
        told = "; ".join(lead + text for lead, text in parts if text)
        return f"data fault: {self.what}: {self.found}, wanted {self.wanted}" + (f" ({told})" if told else "")


def format_day(day: float) -> str:
    """YYYY-MM-DD of a day since 1970 UTC."""
    return f"{from_days(np.floor(day)):%Y-%m-%d}"
