"""Replays of a log with known changes under retrain policies, for `tierrec simulate`."""
