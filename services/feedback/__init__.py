"""Events, items and users that a shop posts."""
