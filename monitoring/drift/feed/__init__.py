"""Contracts on the feed: faults of the data that would otherwise be called drift, each named with cause and remedy."""
