"""List policies: novelty by tier, diversity, quotas, exposure caps and blocked items."""

from tierrec_core.ranking.policy.policy import Audience, ListPolicy

__all__ = ["Audience", "ListPolicy"]
