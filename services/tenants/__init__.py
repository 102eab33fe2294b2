"""Shops: each with its folder, store, models and configuration."""
