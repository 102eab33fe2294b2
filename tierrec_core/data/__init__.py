"""Interactions, temporal splits, and the text of a catalogue."""
