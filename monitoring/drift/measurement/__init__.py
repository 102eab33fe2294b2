"""Per-user measurements of one window of the log."""
