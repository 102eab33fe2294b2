"""The data gate: validation of raw events with Great Expectations."""
