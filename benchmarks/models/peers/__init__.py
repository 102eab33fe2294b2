"""Peer libraries and published baselines."""
