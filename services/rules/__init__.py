"""What a shop wants shown, and what not: rules.yaml, checked, and applied to every answer."""

from services.rules.order import RankedOrder, Situation
from services.rules.rules import Rules
from services.rules.settings import RepeatRule, Rule, Scope

__all__ = ["RankedOrder", "RepeatRule", "Rule", "Rules", "Scope", "Situation"]
