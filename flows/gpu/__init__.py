"""Runs stages on other machines: dispatched as a git revision, run by a worker in a clone of its own."""
