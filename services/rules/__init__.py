"""The merchandising rules of a shop: rules.yaml, validated, and applied to every list."""

from services.rules.plan import RankedOrder, Situation
from services.rules.rules import Rules
from services.rules.settings import RepeatRule, Rule, Scope

__all__ = ["RankedOrder", "RepeatRule", "Rule", "Rules", "Scope", "Situation"]
