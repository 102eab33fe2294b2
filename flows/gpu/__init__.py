"""Runs stages on other machines: sent as a git revision, and run by a worker in a clone of its own."""
