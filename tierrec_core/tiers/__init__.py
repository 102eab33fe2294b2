"""Activity tiers (light < medium < heavy) and interest layers, fitted together as one Tiering."""

from tierrec_core.tiers.tiering import TIER_NAMES, Tiering

__all__ = ["TIER_NAMES", "Tiering"]
