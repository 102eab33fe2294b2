"""Releases: which one serves which users, and when a challenger becomes the champion."""
