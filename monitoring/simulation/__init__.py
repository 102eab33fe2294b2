"""A replay with a clock: what happens to a log is known, so that who notices it, and at what cost, can be told."""
