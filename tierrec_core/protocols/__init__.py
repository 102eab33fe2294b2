"""Interfaces that every model implements."""
