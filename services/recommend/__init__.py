"""Turns list requests into pages of recommendations."""
