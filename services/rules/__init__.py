"""What a shop wants shown, and what not: rules.yaml, checked, and applied to every answer."""

from services.rules.order import Order, Situation
from services.rules.rules import Rules
from services.rules.settings import Repeat, Rule, Scope

__all__ = ["Order", "Repeat", "Rule", "Rules", "Scope", "Situation"]
