"""One test of a verdict, and its sentence in a merchant's units."""

from dataclasses import dataclass

import numpy as np

_IN_SHARES = "{points} of their events on {what} ({share})"
_CHANGES = {  # of a finding, by its family
    "shares": "{points} of their events in category {what!r} ({share})",
    **dict.fromkeys(("interests", "new_items", "unseen_categories"), _IN_SHARES),
    "moves": "moved from their favourite category to other large ones",
    "arrivals": "moved from their favourite category to {what!r}",
    "online": "{points} of the lists of {what} converted ({share})",
    "transitions": "{points} of them are {what} ({share})",
    "volume": "{growth:+.0%} {what}",
    "embedding": "the mean vector of their items moved",
}
_TO_DO = {  # about an alarm, by its family
    **dict.fromkeys(("shares", "interests", "moves", "arrivals", "embedding"), "a retrain learns it"),
    "new_items": "a retrain learns them; until then post them with their attributes",
    "unseen_categories": "only a retrain can list it",
    "transitions": "a retrain assigns tiers anew; look at what these users were offered",
    "volume": "look for a season, a campaign or an outage: a retrain brings no visits back",
    "online": "if it began with a release, `tierrec rollback` removes that",
}
_SHARE_UNIT = "Cohen's h"
_UNITS = {  # of a finding's effect and limit
    **dict.fromkeys(("moves", "arrivals"), "nats a user"),
    "volume": "log of events",
    "embedding": "standard deviations",
}


@dataclass(frozen=True)
class DriftFinding:
    """One test: a change in a group of users, with effect size and significance.

    effect, threshold: in the family's unit, see `effect_limits.BOUNDS`; an alarm needs an effect over the threshold
    p_value, adjusted: by permutation over users, and controlled for the false discovery rate over the verdict's tests
    moved: users who changed in the direction of the effect less those who changed against it, of so many `users`
    """

    family: str
    tier: str
    what: str
    before: float
    after: float
    effect: float
    threshold: float
    p_value: float
    adjusted: float
    alarm: bool
    users: int = 0
    moved: int = 0

    def sentence(self) -> str:
        """The finding in one line: who changed how, then the test and, of an alarm, what to do."""
        points = f"{100 * abs(self.after - self.before):.1f} points {'more' if self.after > self.before else 'less'}"
        share = f"{self.before:.1%} -> {self.after:.1%}"
        growth = np.expm1(self.effect) if self.family == "volume" else 0.0
        change = _CHANGES[self.family].format(points=points, what=self.what, share=share, growth=growth)
        moved = f", a net {self.moved:,} of {self.users:,} users" if self.moved > 0 else ""
        sign = ">" if abs(self.effect) > self.threshold else "<="
        effect = f"{_two_digits(abs(self.effect))} {sign} {_two_digits(self.threshold)}"
        test = f"{self.family}: {effect} {_UNITS.get(self.family, _SHARE_UNIT)}, p {_two_digits(self.p_value)}"
        return f"{self.tier} users: {change}{moved} ({test}){f'; {_TO_DO[self.family]}' if self.alarm else ''}"


def _two_digits(value: float) -> str:
    """Two significant digits, without a leading zero."""
    text = f"{value:.2g}" if value >= 0.0001 else f"{value:.0e}"
    return text[1:] if text.startswith("0.") else text
