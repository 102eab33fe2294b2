"""Frozen objects on disk: hashed, without pickle."""
