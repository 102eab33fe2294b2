"""From an order to a list: what each tier favours, variety, quotas of places, and a block list with the last word."""

from tierrec_core.ranking.policy.audience import Audience
from tierrec_core.ranking.policy.policy import ListPolicy

__all__ = ["Audience", "ListPolicy"]
