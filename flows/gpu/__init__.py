"""Stages on another machine: an orchestrator sends a revision, a worker runs the stage in a clone of its own."""
